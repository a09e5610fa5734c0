#!/usr/bin/env python3
"""A node that was away for longer than the log lasts takes a snapshot, at the pace it was told. What it took once is not taken again:
so it catches up however long the backlog is, for each time there is only what came meanwhile."""
import os
import re
import time

import native
from lib import scenario

BATCH, BATCHES, BODY = 500, 320, 1024
SENT = BATCH * BATCHES * BODY  # a time; more than the window
MIB = 1 << 20
WINDOW_MIB, SEGMENT_MIB = 64, 4
WINDOW = ("--log-window", f"{WINDOW_MIB}MiB", "--log-segment", f"{SEGMENT_MIB}MiB")
RATE = 32 * MIB


def fill(s, nodes, marker):
    """More than the window, until the log of each node has let go of what was there before."""
    with native.Connection(nodes[0].port) as c:
        for batch in range(BATCHES):
            c.call("send", queue="jobs", messages=[{"body": b"%1d%015d" % (marker, batch * BATCH + i) + os.urandom(BODY - 16)}
                                                   for i in range(BATCH)])
    for node in nodes:
        s.wait_for("the log to be within its window", lambda node=node: log_bytes(node) <= (WINDOW_MIB + SEGMENT_MIB) * MIB)


def log_bytes(node):
    with native.Connection(node.port) as c:
        return c.call("status")["log_bytes"]


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
    fill(s, nodes[:2], marker)
    began = time.monotonic()
    third.start()
    s.wait_for("a snapshot to be installed", lambda: len(bodies_taken(third, shard)) > before)
    took = sum(bodies_taken(third, shard)[before:])
    s.check("it takes it no faster than --catch-up-rate says", took <= RATE * (time.monotonic() - began + 0.5),
            f"{took / MIB:.0f} MiB in {time.monotonic() - began:.1f} s")
    return took


def make_lead(nodes, wanted, shard):
    """Of three: who leads hands over to a node that it hears of."""
    while role(wanted, shard) != "leader":
        leader, other = sorted((node for node in nodes if node is not wanted), key=lambda node: role(node, shard) != "leader")
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


def functions_that_changed_meanwhile(s):
    """A node that was away delivers to a function as it is now, though no entry told it of the change."""
    nodes = s.cluster(3, *WINDOW, "--shards", "32")  # so many that each leads some
    catalog, first, third = nodes  # shard 0 is the first node's to lead, the second's are 1, 4, 7, ...
    queues = [f"pushed-{i}" for i in range(32)]
    former, present = s.endpoint(), s.endpoint()
    first.hato("function", "create", "worker", "--url", former.url)
    for queue in ["jobs", *queues]:
        first.hato("queue", "create", queue)
    for queue in queues:
        first.hato("bind", queue, "worker")
    with native.Connection(first.port) as c:
        shards = {queue: c.call("queue_show", name=queue)["shard"] for queue in queues}
    its = [queue for queue in queues if shards[queue] % 3 == 1]
    s.wait_for("the catalog to be led where it belongs", lambda: role(catalog, 0) == "leader")
    before = len(bodies_taken(first, 0))
    first.kill()
    catalog.hato("function", "set", "worker", "--url", present.url)
    fill(s, [catalog, third], 1)
    first.start()
    s.wait_for("the catalog's snapshot to be installed", lambda: len(bodies_taken(first, 0)) > before)
    s.wait_for("it to lead its part again", lambda: all(role(first, shards[queue]) == "leader" for queue in its))
    for queue in its:
        first.hato("send", queue, queue)
    s.wait_for("all to be delivered", lambda: len(present.requests) + len(former.requests) >= len(its))
    s.check("it leads some of the queues", its)
    s.equal("all go where the function is now", len(former.requests), 0)
    s.equal("and the catalog had no other leader meanwhile", role(catalog, 0), "leader")


with scenario() as scene:
    cluster = scene.cluster(3, *WINDOW, "--catch-up-rate", str(RATE))
    with native.Connection(cluster[0].port) as connection:
        connection.call("queue_create", name="jobs")
        number = connection.call("queue_show", name="jobs")["shard"]
    first = away(scene, cluster, number, 1)
    scene.check("the first time it takes the backlog", first > SENT * 0.9, f"{first / MIB:.0f} MiB")
    second = away(scene, cluster, number, 2)
    scene.check("the second time only what came since", SENT * 0.5 < second < SENT * 1.4, f"{second / MIB:.0f} of {2 * SENT / MIB:.0f} MiB")
    make_lead(cluster, cluster[2], number)
    scene.equal("and all of it is there when it leads", len(received(cluster[2])), 2 * BATCH * BATCHES)
    functions_that_changed_meanwhile(scene)
