#!/usr/bin/env python3
"""Nodes of three are killed or stopped for a while, one after the other, while clients of all of them send, receive, ack and nack.
Afterwards the clients' histories are compared with what the broker promises, as in kill_under_load.py. A client stays with its
node, whoever leads: what it asks for is passed on.

    cluster_under_load.py [--rounds N] [--seed N]
"""
import argparse
import random
import time

import kill_under_load as load
import native
from history import History
from lib import scenario

ROUNDS = 8  # in a usual test run; --rounds 200 is the full one
REPLICAS = 3


class Stage(load.Stage):
    """Clients come to any node that runs."""

    def __init__(self, nodes, seed):
        super().__init__(nodes[0], seed)
        self.nodes = nodes
        self.pick = random.Random(seed)
        self.up.set()

    def connect(self):
        while True:
            try:
                return native.Connection(self.pick.choice([node for node in self.nodes if node.running()]).port)
            except (OSError, native.Refused, IndexError):
                time.sleep(0.01)


def applied(node):
    with native.Connection(node.port) as c:
        return [(shard["shard"], shard["applied"]) for shard in c.call("status")["shards"]]


def leads(node):
    with native.Connection(node.port) as c:
        status = c.call("status")
        return sum(shard["leader"] == status["node"] for shard in status["shards"])


def disturb(s, nodes, pick):
    """One node is away for a while. Returns what was done."""
    victim = max(nodes, key=leads) if pick.random() < 0.5 else pick.choice(nodes)
    luck = pick.random()
    if luck < 0.5:
        victim.kill()
        time.sleep(pick.uniform(0.1, 3))
        victim.start()
        return "killed"
    if luck < 0.75:
        if victim.stop() != 0:
            s.check("a node that is asked to stop ends well", False, victim.last_lines())
        victim.start()
        return "stopped"
    victim.pause()
    time.sleep(pick.uniform(0.5, 5))
    victim.resume()
    s.wait_for(f"{victim.name} to be ready again", victim.is_ready)
    return "paused"


def create_queues(node):
    with native.Connection(node.port) as c:
        c.call("queue_create", name="standard")
        c.call("queue_create", name="groups.fifo", settings={"kind": 1})
        c.call("queue_create", name="failing",
               settings={"dead_letter_queue": "failing-dead", "max_receives": load.DEAD_AFTER})


def begin(stage):
    histories = History("standard"), History("groups"), History("failing")
    standard, groups, failing = histories
    for number in range(2):
        stage.spawn(load.producer, "standard", standard, b"p%d" % number)
        stage.spawn(load.consumer, "standard", standard)
    stage.spawn(load.producer, "standard", standard, b"plain", False)
    for number in range(load.GROUPS):
        stage.spawn(load.producer, "groups.fifo", groups, b"g%d" % number, True, f"group{number}")
    stage.spawn(load.group_consumer, "groups.fifo", groups)
    stage.spawn(load.producer, "failing", failing, b"f", True)
    stage.spawn(load.failing_consumer, "failing", failing)
    return histories


def main(options):
    with scenario() as s:
        s.note(f"{options.rounds} rounds, seed {options.seed}")
        nodes = s.cluster(REPLICAS, "--log-window", "64MiB", "--log-segment", "1MiB")
        create_queues(nodes[0])
        stage = Stage(nodes, options.seed)
        histories = begin(stage)
        pick = random.Random(options.seed)
        done = []
        for _ in range(options.rounds):
            time.sleep(pick.uniform(0.2, 1))
            done.append(disturb(s, nodes, pick))
        s.note(" ".join(done))
        stage.ending.set()
        s.wait_for("the senders to get their last replies", lambda: sum(thread.is_alive() for thread in stage.threads) <= 4)
        load.drain(s, stage, ("standard", "groups.fifo", "failing"))
        stage.drained.set()
        for thread in stage.threads:
            thread.join()
        s.equal("no client met what it did not expect", stage.crashes, [])
        # Each time a client of any node may lose a reply, and leases that were given with it.
        losses = len(done) * REPLICAS
        for history in histories[:2]:
            problems = history.check(losses)
            s.check(f"the history of {history.name} holds: {len(history.stories)} messages, {history.acked} acks",
                    not problems and history.acked > 0, "\n".join(problems[:20]))
        load.dead_letters(s, stage, histories[2], losses)
        s.wait_for("the replicas to have applied the same", lambda: len({str(applied(node)) for node in nodes}) == 1)
        s.check("all replicas end with the same", True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Disturbs a cluster under load and checks what clients saw.")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    main(parser.parse_args())
