#!/usr/bin/env python3
"""The broker is killed at random moments, again and again, while clients send, receive, ack and nack. Afterwards their histories
are compared with what the broker promises: nothing acknowledged is lost, nothing acked comes back, no lease is broken, receive
counts are right, sends of producers are stored once, groups keep their order, dead letters arrive once.

    kill_under_load.py [--rounds N] [--seed N]
"""
import argparse
import random
import threading
import time

import native
from history import History
from lib import scenario

ROUNDS = 12  # in a usual test run; --rounds 200 is the full one
VISIBILITY_MS = 400
DEAD_AFTER = 2
UNDER_WAY_MAX = 1500  # messages in a queue, so that draining at the end is quick
GROUPS = 5


class Stage:
    """What the clients share: where the broker is, whether it is up, and when to end."""

    def __init__(self, broker, seed):
        self.broker = broker
        self.seed = seed
        self.up = threading.Event()
        self.ending = threading.Event()
        self.drained = threading.Event()
        self.crashes = []  # of clients
        self.threads = []

    def spawn(self, client, *arguments):
        def run():
            try:
                client(self, random.Random(self.seed + len(self.threads)), *arguments)
            except Exception as problem:  # pylint: disable=broad-except
                self.crashes.append(f"{client.__name__}: {problem!r}")

        thread = threading.Thread(target=run, daemon=True)
        self.threads.append(thread)
        thread.start()

    def connect(self):
        """A connection once there is a broker again; None when it is time to end."""
        while True:
            self.up.wait()
            try:
                return native.Connection(self.broker.port)
            except (OSError, native.Refused):
                time.sleep(0.01)


# ------------------------------------------------------------ senders

def body_for(pick, name, number):
    return b"%s %d %s" % (name, number, bytes(pick.choice((0, 100, 1000, 20000))))


def producer(stage, pick, queue, history, name, idempotent=True, group=None):
    """Sends with some requests under way. With `idempotent` it repeats what had no reply, under the same numbers."""
    identity = pick.getrandbits(63) | 1 if idempotent else 0
    number = 1
    open_sends = []  # [(first number, messages)] without a reply, oldest first
    connection = None
    asked = []
    while not (stage.ending.is_set() and not open_sends):
        try:
            if connection is None:
                connection = stage.connect()
                asked = []
                if not idempotent:
                    open_sends = []  # their fate stays unknown
                for first, messages in open_sends:
                    asked.append(connection.ask("send", queue=queue, messages=messages, producer=identity, sequence=first,
                                                settled_below=open_sends[0][0]))
            while len(open_sends) < 4 and not stage.ending.is_set() and history.under_way() < UNDER_WAY_MAX:
                messages = []
                for _ in range(pick.randrange(1, 12)):
                    body = body_for(pick, name, number + len(messages))
                    history.sending(body)
                    messages.append({"body": body, "group": group} if group else {"body": body})
                open_sends.append((number, messages))
                number += len(messages)
                first, messages = open_sends[-1]
                fields = {"producer": identity, "sequence": first, "settled_below": open_sends[0][0]} if idempotent else {}
                asked.append(connection.ask("send", queue=queue, messages=messages, **fields))
            if not open_sends:
                time.sleep(0.005)
                continue
            results = connection.answer(asked.pop(0))["results"]
            _, messages = open_sends.pop(0)
            for message, result in zip(messages, results):
                if result["error"] is not None:
                    history.problem(f"a send was refused: {result['error']}")
                else:
                    history.sent(message["body"], result)
        except native.Refused as refused:
            if refused.code not in (native.NOT_LEADER, native.CLOSED, native.UNKNOWN_OUTCOME, native.OVERLOADED):
                history.problem(f"a send was refused: {refused}")
            connection.close()
            connection = None
        except (OSError, native.Gone):
            if connection is not None:
                connection.close()
            connection = None


# ------------------------------------------------------------ receivers

def settle(connection, history, queue, op, givens, deliveries, **fields):
    """Acks or nacks; what has no reply stays open."""
    for given in givens:
        if op == "ack":
            history.acking(given)
        else:
            given.let_go = True
    codes = connection.call(op, queue=queue, receipts=[one["receipt"] for one in deliveries], **fields)["codes"]
    for given, code in zip(givens, codes or [native.OK] * len(givens)):
        if code == native.OK and op == "ack":
            history.ack_done(given)
        elif code == native.RECEIPT_STALE:
            given.ack_asked = False  # it did not happen: the message must come again
        elif code != native.OK:
            history.problem(f"{op} of a receipt as given: code {code}")


def receiving(stage, queue, history, handle):
    """Receives until there is nothing more to come, and hands over what came."""
    connection = None
    while not stage.drained.is_set():
        try:
            if connection is None:
                connection = stage.connect()
            deliveries = connection.receive(queue, 50, wait_ms=50, visibility_ms=VISIBILITY_MS)
            if deliveries:
                handle(connection, [(history.received(one, VISIBILITY_MS), one) for one in deliveries])
        except native.Refused as refused:
            if refused.code not in (native.NOT_LEADER, native.CLOSED, native.UNKNOWN_OUTCOME):
                history.problem(f"a receiver was refused: {refused}")
            connection.close()
            connection = None
        except (OSError, native.Gone):
            if connection is not None:
                connection.close()
            connection = None


def unzip(pairs):
    return [given for given, _ in pairs], [delivery for _, delivery in pairs]


def consumer(stage, pick, queue, history):
    def handle(connection, pairs):
        acked, nacked = [], []
        for pair in pairs:
            luck = 0 if stage.ending.is_set() else pick.random()
            if luck < 0.75:
                acked.append(pair)
            elif luck < 0.85:
                nacked.append(pair)  # the others' leases run out
        if acked:
            settle(connection, history, queue, "ack", *unzip(acked))
        if nacked:
            settle(connection, history, queue, "nack", *unzip(nacked), delay_ms=pick.choice((0, 50)))

    receiving(stage, queue, history, handle)


def group_consumer(stage, pick, queue, history):
    """The only one of its queue, so that it sees the order."""
    done = {}  # group -> highest sequence whose ack was asked for
    numbers = {}  # (group, sequence) -> number in the body

    def handle(connection, pairs):
        at = {}
        for given, delivery in pairs:
            group = delivery["message"]["group"]
            number = int(delivery["message"]["body"].split(b" ", 2)[1])
            numbers[group, given.sequence] = number
            last = at.get(group)
            if last is not None and given.sequence <= last:
                history.problem(f"group {group}: {given.sequence} after {last} in one batch")
            if last is None:
                skipped = [seq for (g, seq), _ in numbers.items() if g == group and done.get(group, 0) < seq < given.sequence]
                if skipped:
                    history.problem(f"group {group}: {given.sequence} given while {skipped} are not done")
            at[group] = given.sequence
        keep = len(pairs) if stage.ending.is_set() or pick.random() < 0.7 else pick.randrange(len(pairs))
        if keep:
            for given, delivery in pairs[:keep]:
                group = delivery["message"]["group"]
                done[group] = max(done.get(group, 0), given.sequence)
            settle(connection, history, queue, "ack", *unzip(pairs[:keep]))
        if pairs[keep:] and pick.random() < 0.5:
            settle(connection, history, queue, "nack", *unzip(pairs[keep:]))

    receiving(stage, queue, history, handle)
    for group in {g for g, _ in numbers}:
        order = [number for (g, _), number in sorted(numbers.items()) if g == group]
        if order != sorted(order):
            history.problem(f"group {group} is not in the order sent: {order}")


def failing_consumer(stage, _, queue, history):
    def handle(connection, pairs):
        for given, _ in pairs:
            if given.count > DEAD_AFTER:
                history.problem(f"{given.message_id} was received {given.count} times; {DEAD_AFTER} are allowed")
        settle(connection, history, queue, "nack", *unzip(pairs), error="no")

    receiving(stage, queue, history, handle)


# ------------------------------------------------------------ the whole

def drain(s, stage, queues):
    with native.Connection(stage.broker.port) as c:
        for queue in queues:
            s.wait_for(f"{queue} to be empty", lambda q=queue: not any(
                c.counts(q)[kind] for kind in ("ready", "in_flight", "delayed", "moving")))


def dead_letters(s, stage, history, kills):
    """Everything sent to the failing queue is in its dead-letter queue, once."""
    with native.Connection(stage.broker.port) as c:
        dead = c.drain("failing-dead", 500)
    bodies = [one["message"]["body"] for one in dead]
    s.equal("no dead letter is there twice", len(bodies) - len(set(bodies)), 0)
    lost = [body[:40] for body, story in history.stories.items() if story.sends and body not in set(bodies)]
    s.check("each message that failed is in the dead-letter queue", not lost, lost)
    wrong = [one["message_id"] for one in dead if one["message"]["provenance"]["attempts"] != DEAD_AFTER
             or one["message"]["provenance"]["reason"] != "max-receives"
             or history.stories[one["message"]["body"]].stored - {one["message"]["provenance"]["message_id"]}]
    s.check("with its first id, its attempts and the reason", not wrong, wrong)
    for body in bodies:  # they were settled there: the history's own checks are of the rest
        story = history.stories[body]
        for given in story.given:
            given.ack_asked = True
        if not story.given:  # every reply that gave it was lost
            del history.stories[body]
    problems = history.check(kills)
    s.check(f"the failing queue's history holds, {len(bodies)} messages", not problems, "\n".join(problems[:20]))


def main(options):
    with scenario() as s:
        s.note(f"{options.rounds} rounds, seed {options.seed}")
        b = s.broker("--log-window", "64MiB", "--log-segment", "1MiB")
        with native.Connection(b.port) as c:
            c.call("queue_create", name="standard")
            c.call("queue_create", name="groups.fifo", settings={"kind": 1})
            c.call("queue_create", name="failing", settings={"dead_letter_queue": "failing-dead", "max_receives": DEAD_AFTER})
        stage = Stage(b, options.seed)
        standard, groups, failing = History("standard"), History("groups"), History("failing")
        stage.up.set()
        for i in range(2):
            stage.spawn(producer, "standard", standard, b"p%d" % i)
            stage.spawn(consumer, "standard", standard)
        stage.spawn(producer, "standard", standard, b"plain", False)
        for i in range(GROUPS):
            stage.spawn(producer, "groups.fifo", groups, b"g%d" % i, True, f"group{i}")
        stage.spawn(group_consumer, "groups.fifo", groups)
        stage.spawn(producer, "failing", failing, b"f", True)
        stage.spawn(failing_consumer, "failing", failing)

        pick = random.Random(options.seed)
        kills = 0
        for _ in range(options.rounds):
            time.sleep(pick.uniform(0.02, 0.8))
            stage.up.clear()
            if pick.random() < 0.1:
                code = b.stop()
                if code != 0:
                    s.check("a broker that is asked to stop ends well", False, f"exit code {code}\n{b.last_lines()}")
            else:
                b.kill()
            kills += 1  # a client may lose a reply in both cases
            b.start()
            stage.up.set()
        stage.ending.set()
        s.wait_for("the senders to get their last replies", lambda: sum(thread.is_alive() for thread in stage.threads) <= 4)
        drain(s, stage, ("standard", "groups.fifo", "failing"))
        stage.drained.set()
        for thread in stage.threads:
            thread.join()
        s.equal("no client met what it did not expect", stage.crashes, [])
        with native.Connection(b.port) as c:
            counts = c.counts("standard")
        seen = len({one.message_id for story in standard.stories.values() for one in story.given})
        s.equal("the broker counted each message once as sent and once as acked",
                (counts["sent_total"] >= seen, counts["sent_total"] - counts["acked_total"]), (True, 0))
        for history in (standard, groups):
            problems = history.check(kills)
            s.check(f"the history of {history.name} holds: {len(history.stories)} messages, {history.acked} acks, {kills} kills",
                    not problems and history.acked > 0, "\n".join(problems[:20]))
        dead_letters(s, stage, failing, kills)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Kills the broker under load and checks what clients saw.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    main(parser.parse_args())
