#!/usr/bin/env python3
"""A node that is asked to stop hands over what it leads: the others need no election timeout to notice, and nobody who sends through
them is told of an unknown outcome."""
import threading

import native
from lib import scenario

QUEUES = [f"jobs-{number}" for number in range(12)]  # enough for every shard to have some
ASKED_TO_LEAD = "to get leadership"  # what raft-rs says of an election that the former leader asked for


class Sender(threading.Thread):
    """Sends as nobody that may try again, and keeps what it was told."""

    def __init__(self, node, name):
        super().__init__()
        self.node, self.label, self.enough = node, name, threading.Event()
        self.codes, self.stored = [], []

    def run(self):
        with native.Connection(self.node.port) as c:
            while not self.enough.is_set():
                number = len(self.codes)
                body = f"{self.label} {number}".encode()
                self.codes.append(c.code("send", queue=QUEUES[number % len(QUEUES)], messages=[{"body": body}]))
                if self.codes[-1] == native.OK:
                    self.stored.append(body)


def led_by(node):
    with native.Connection(node.port) as c:
        return {shard["shard"] for shard in c.call("status")["shards"] if shard["role"] == "leader"}


def times_asked(nodes):
    return sum(node.last_lines(1000000).count(ASKED_TO_LEAD) for node in nodes)


def stop_one(s, nodes):
    leader = max(nodes, key=lambda node: len(led_by(node)))
    others = [node for node in nodes if node is not leader]
    led, asked = led_by(leader), times_asked(others)
    senders = [Sender(node, f"{leader.name} {node.name} {number}") for node in others for number in range(2)]
    for sender in senders:
        sender.start()
    s.wait_for("some to be stored", lambda: all(len(sender.stored) > 50 for sender in senders))
    s.equal(f"{leader.name} stops in order", leader.stop(), 0)
    s.check(f"it asked others to lead its {len(led)} shards", times_asked(others) - asked >= len(led) > 0,
            f"{times_asked(others) - asked} times")
    after = [len(sender.stored) for sender in senders]
    s.wait_for("more to be stored", lambda: all(len(sender.stored) > count + 50 for sender, count in zip(senders, after)))
    for sender in senders:
        sender.enough.set()
        sender.join()
    codes = {code for sender in senders for code in sender.codes}
    s.equal("nobody who sent through the others was told anything but yes", codes, {native.OK})
    leader.start()
    return [body for sender in senders for body in sender.stored]


with scenario() as scene:
    cluster = scene.cluster(3, "--log-level", "debug")
    with native.Connection(cluster[0].port) as first:
        for queue in QUEUES:
            first.call("queue_create", name=queue)
    stored = []
    for _ in range(3):
        stored += stop_one(scene, cluster)
    with native.Connection(cluster[0].port) as first:
        found = [one["message"]["body"] for queue in QUEUES for one in first.drain(queue, 500)]
    scene.equal("each message is there, once", sorted(found), sorted(stored))
