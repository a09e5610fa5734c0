#!/usr/bin/env python3
"""A node that was away for longer than the log lasts takes a snapshot. What it took once is not taken again: so it catches up
however long the backlog is, for each time there is only what came meanwhile."""
import os
import re

import native
from lib import scenario

BATCH, BATCHES, BODY = 500, 320, 1024
SENT = BATCH * BATCHES * BODY  # a time; more than the window
MIB = 1 << 20


def fill(node, marker):
    with native.Connection(node.port) as c:
        for batch in range(BATCHES):
            c.call("send", queue="jobs", messages=[{"body": b"%1d%015d" % (marker, batch * BATCH + i) + os.urandom(BODY - 16)}
                                                   for i in range(BATCH)])


def bodies_taken(node, shard):
    found = re.findall(rf'event="snapshot installed" shard={shard} .*bodies_bytes=(\d+)', node.last_lines(1000000))
    return [int(size) for size in found]


def role(node, shard):
    with native.Connection(node.port) as c:
        return next(one["role"] for one in c.call("status")["shards"] if one["shard"] == shard)


def away(s, nodes, shard, marker):
    """What the third node takes when it comes back."""
    third = nodes[2]
    before = len(bodies_taken(third, shard))
    third.kill()
    fill(nodes[0], marker)
    third.start()
    s.wait_for("a snapshot to be installed", lambda: len(bodies_taken(third, shard)) > before)
    return sum(bodies_taken(third, shard)[before:])


def make_lead(nodes, shard):
    """The third of three: who leads hands over to a node that it hears of."""
    while role(nodes[2], shard) != "leader":
        leader, other = sorted(nodes[:2], key=lambda node: role(node, shard) != "leader")
        other.pause()
        leader.stop()
        other.resume()
        leader.start()


def received(node):
    got = set()
    with native.Connection(node.port) as c:
        while deliveries := c.call("receive", queue="jobs", max_messages=1000, visibility_ms=600000)["deliveries"]:
            got.update(one["message"]["body"][:16] for one in deliveries)
            c.call("ack", queue="jobs", receipts=[one["receipt"] for one in deliveries])
    return got


with scenario() as scene:
    cluster = scene.cluster(3, "--log-window", "64MiB", "--log-segment", "4MiB")
    with native.Connection(cluster[0].port) as connection:
        connection.call("queue_create", name="jobs")
        number = connection.call("queue_show", name="jobs")["shard"]
    first = away(scene, cluster, number, 1)
    scene.check("the first time it takes the backlog", first > SENT * 0.9, f"{first / MIB:.0f} MiB")
    second = away(scene, cluster, number, 2)
    scene.check("the second time only what came since", SENT * 0.5 < second < SENT * 1.4, f"{second / MIB:.0f} of {2 * SENT / MIB:.0f} MiB")
    make_lead(cluster, number)
    scene.equal("and all of it is there when it leads", len(received(cluster[2])), 2 * BATCH * BATCHES)
