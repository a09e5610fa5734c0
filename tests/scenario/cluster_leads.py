#!/usr/bin/env python3
"""Leads are spread over the nodes, and come back to a node that comes back, while clients see nothing but latency."""
import threading

import native
from lib import scenario

QUEUES = [f"jobs-{number}" for number in range(12)]  # every shard has some
HOUR_MS = 3600000


def leads(node):
    """Node -> how many shards it leads, as this one tells."""
    return {one["node"]: one["leads"] for one in node.json("cluster", "status")["nodes"]}


class Worker(threading.Thread):
    """Sends to a queue and receives and acks there, one after the other, until it is told to stop: through nodes that stay up."""

    def __init__(self, port, queue, producer):
        super().__init__()
        self.port, self.queue, self.producer = port, queue, producer
        self.over = threading.Event()
        self.sent = self.received = 0
        self.problem = ""

    def once(self, c):
        self.sent += 1
        body = f"{self.queue} {self.sent}".encode()
        reply = c.call("send", queue=self.queue, messages=[{"body": body}], producer=self.producer, sequence=self.sent)
        result = reply["results"][0]
        if result["error"] or result["duplicate"]:
            raise AssertionError(f"send {self.sent}: {result}")
        got = c.call("receive", queue=self.queue, max_messages=1, wait_ms=10000)["deliveries"]
        if [one["message"]["body"] for one in got] != [body] or got[0]["receive_count"] != 1:
            raise AssertionError(f"sent {body}, received {got}")
        acked = c.call("ack", queue=self.queue, receipts=[got[0]["receipt"]])
        if acked.get("results") and any(one.get("code") for one in acked["results"]):
            raise AssertionError(f"ack {self.sent}: {acked}")
        self.received += 1

    def run(self):
        try:
            with native.Connection(self.port) as c:
                while not self.over.is_set():
                    self.once(c)
        except Exception as problem:  # told by the main thread
            self.problem = repr(problem)


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
    workers = [Worker(nodes[i % 2 * 2].port, queue, 100 + i) for i, queue in enumerate(QUEUES)]
    for worker in workers:
        worker.start()
    nodes[1].start()
    spread(s, nodes[0], "after its return node 2 leads its part again")
    for worker in workers:
        worker.over.set()
    for worker in workers:
        worker.join()
    s.equal("no client saw an error", [worker.problem for worker in workers if worker.problem], [])
    s.equal("each message came once, and first", [worker.received for worker in workers], [worker.sent for worker in workers])
    with native.Connection(nodes[1].port) as c:
        s.equal("a lease of before holds", c.call("receive", queue=held_queue, max_messages=1, wait_ms=0)["deliveries"], [])
        s.check("and its receipt is good", c.call("ack", queue=held_queue, receipts=[held["receipt"]]) is not None)
        s.equal("nothing is left", [c.counts(queue)["ready"] + c.counts(queue)["in_flight"] for queue in QUEUES + [held_queue]],
                [0] * (len(QUEUES) + 1))


with scenario() as scene:
    three = scene.cluster(3)
    spread(scene, three[0], "a new cluster's leads are spread evenly")
    through_a_return(scene, three)
