#!/usr/bin/env python3
"""A broker of two loops is asked to stop while receives wait, streams run, sends are on their way and messages move between
shards, each on connections of either loop for queues of either loop: it ends well each time, and keeps what it has answered."""
import native
from lib import scenario

ROUNDS = 5
QUEUES = [f"queue-{i}" for i in range(8)]
CONNECTIONS = 12
SENDS = 40


def prepare(c):
    for queue in QUEUES:
        c.call("queue_create", name=queue, settings={"dead_letter_queue": f"dead-{queue}", "max_receives": 1, "visibility_ms": 600000})
        c.call("queue_create", name=f"empty-{queue}")


def keep_busy(connection, first):
    """Much under way: polls of empty queues, streams that are not read, sends, and failures that move to other shards."""
    words = []
    number = 1000
    for queue in QUEUES:
        number += 3
        words.append(native.request(number, "receive", queue=f"empty-{queue}", wait_ms=600000))
        words.append(native.request(number + 1, "stream_open", queue=f"empty-{queue}", credit=1000))
        words.append(native.request(number + 2, "receive", queue=queue, max_messages=2))
    for i in range(SENDS):
        queue = QUEUES[(first + i) % len(QUEUES)]
        words.append(native.request(i + 1, "send", queue=queue, messages=[{"body": b"%d" % i}]))
    connection.write(b"".join(words))


def answered_sends(connection):
    """The ids of messages that were said to be stored, until the broker closes."""
    stored = []
    try:
        while True:
            reply = connection.read_reply()
            if reply["send"] is not None:
                stored += [result["message_id"] for result in reply["send"]["results"] if result["error"] is None]
    except (ConnectionError, OSError):
        return stored


def all_ids(c):
    """The ids under which the messages of all queues were sent: dead letters have new ones, and tell the old."""
    found = set()
    for queue in [*QUEUES, *[f"dead-{queue}" for queue in QUEUES]]:
        after = ""
        while True:
            page = c.call("peek", queue=queue, max_messages=1000, after=after)
            found.update((one["message"]["provenance"] or one)["message_id"] for one in page["messages"])
            after = page["next"]
            if not after:
                break
    return found


def one_round(s, b, number, stored):
    """Adds to `stored` what was answered; nothing is ever acked, so all of it must be there after each round."""
    connections = [native.Connection(b.port) for _ in range(CONNECTIONS)]
    for i, connection in enumerate(connections):
        keep_busy(connection, i)
    with native.Connection(b.port) as c:
        for queue in QUEUES[:number + 1]:
            got = c.receive(queue, 10)
            if got:
                c.call("nack", queue=queue, receipts=[one["receipt"] for one in got])
    s.equal(f"it ends well, round {number}", b.stop(), 0)
    for connection in connections:
        stored.update(answered_sends(connection))
        connection.close()
    b.start()
    with native.Connection(b.port) as c:
        s.wait_for("messages that move between shards to arrive", lambda: sum(c.counts(queue)["moving"] for queue in QUEUES) == 0)
        lost = stored - all_ids(c)
        s.check(f"nothing it has answered is lost, round {number}", not lost, f"{len(lost)} of {len(stored)}: {sorted(lost)[:5]}")


with scenario() as scene:
    broker = scene.broker("--loops", "2")
    with native.Connection(broker.port) as client:
        prepare(client)
    answered = set()
    for i in range(ROUNDS):
        one_round(scene, broker, i, answered)
    with native.Connection(broker.port) as client:
        scene.check("some were answered, and some of them moved", len(answered) > 0
                    and sum(client.counts(f"dead-{queue}")["ready"] for queue in QUEUES) > 0, len(answered))
