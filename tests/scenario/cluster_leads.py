#!/usr/bin/env python3
"""Leads are spread over the nodes, and come back to a node that comes back, while clients see nothing but latency."""
import native
from lib import scenario
from workers import working

QUEUES = [f"jobs-{number}" for number in range(12)]  # every shard has some
HOUR_MS = 3600000


def leads(node):
    """Node -> how many shards it leads, as this one tells."""
    return {one["node"]: one["leads"] for one in node.json("cluster", "status")["nodes"]}


def spread(s, node, what):
    s.wait_for(what, lambda: sorted(leads(node).values()) == [3, 3, 3])
    s.check(what, True)


def hold_one(c, queue):
    c.send(queue, b"held")
    return c.call("receive", queue=queue, max_messages=1, visibility_ms=HOUR_MS)["deliveries"][0]


def through_a_return(s, nodes):
    """Node 2 is killed and comes back. Who asks the others sees no error, neither when its leads are lost nor when they come back."""
    held_queue = "held"
    with native.Connection(nodes[0].port) as c:
        for queue in QUEUES + [held_queue]:
            c.call("queue_create", name=queue)
        held = hold_one(c, held_queue)
    nodes[1].kill()
    s.wait_for("the others to lead what it led", lambda: sum(leads(nodes[0]).values()) == 9 and leads(nodes[0])[2] == 0)
    with working(s, [nodes[0].port, nodes[2].port], QUEUES):
        nodes[1].start()
        spread(s, nodes[0], "after its return node 2 leads its part again")
    with native.Connection(nodes[1].port) as c:
        s.equal("a lease of before holds", c.call("receive", queue=held_queue, max_messages=1, wait_ms=0)["deliveries"], [])
        s.check("and its receipt is good", c.call("ack", queue=held_queue, receipts=[held["receipt"]]) is not None)
        s.equal("nothing is left", [c.counts(queue)["ready"] + c.counts(queue)["in_flight"] for queue in QUEUES + [held_queue]],
                [0] * (len(QUEUES) + 1))


with scenario() as scene:
    three = scene.cluster(3)
    spread(scene, three[0], "a new cluster's leads are spread evenly")
    through_a_return(scene, three)
