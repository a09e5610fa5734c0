#!/usr/bin/env python3
"""A cluster that changes while it serves: one node with data grows into three, a node is drained, removed, replaced after it lost its
disk, and zones keep replicas apart. Clients see nothing but latency."""
import shutil

import native
from lib import free_ports, scenario
from workers import working

QUEUES = [f"jobs-{number}" for number in range(12)]  # every shard has some
KEPT = 3000
HOUR_MS = 3600000


class Cluster:
    """A node by itself at first; others are added under the ids that follow."""

    def __init__(self, s, *arguments):
        self.s = s
        self.arguments = arguments
        self.ports = free_ports(6)
        self.nodes = {}
        self.first = s.broker("--node", "1", *arguments, name="node1")

    def peers(self):
        return ",".join(f"{node}=127.0.0.1:{port}" for node, port in enumerate(self.ports, 1) if node in self.nodes)

    def open_to_others(self):
        self.first.restart("--listen-peer", f"127.0.0.1:{self.ports[0]}")
        self.nodes[1] = self.first

    def add(self, node, *more):
        """As an operator does: adds it, and starts it as told."""
        told = self.first.json("cluster", "add", f"{node}=127.0.0.1:{self.ports[node - 1]}", *more)["start"]
        return self.start_as_told(node, told)

    def start_as_told(self, node, told):
        words = told.split()
        arguments = words[words.index("--node"):]
        self.nodes[node] = broker = self.s.broker(*arguments, *self.arguments, name=f"node{node}-{len(self.s.brokers)}", start=False)
        return broker.start()

    def status(self):
        return self.first.json("cluster", "status")

    def voters(self):
        return [{one["node"] for one in shard["replicas"] if one["voter"]} for shard in self.status()["shards"]]

    def wait_until_placed(self, nodes):
        def is_placed():
            status = self.status()
            return len(status["nodes"]) == nodes and status["health"] == "healthy"

        self.s.wait_for(f"{nodes} nodes to have their shards", is_placed)

    def wait_for_leads(self, spread):
        self.s.wait_for(f"the leads to be {spread}",
                        lambda: sorted(node["leads"] for node in self.status()["nodes"]) == sorted(spread))


def fill(s, node):
    """Messages of all kinds, a lease among them."""
    with native.Connection(node.port) as c:
        for queue in QUEUES + ["kept", "held"]:
            c.call("queue_create", name=queue)
        for start in range(0, KEPT, 500):
            c.call("send", queue="kept", messages=[{"body": b"%06d" % (start + i)} for i in range(500)])
        c.call("send", queue="held", messages=[{"body": b"held"}])
        return c.call("receive", queue="held", max_messages=1, visibility_ms=HOUR_MS)["deliveries"][0]


def nothing_lost(s, node, held, what):
    with native.Connection(node.port) as c:
        s.equal(f"{what} all messages are there", c.counts("kept")["ready"], KEPT)
        s.equal(f"{what} a lease of before holds", c.call("receive", queue="held", max_messages=1, wait_ms=0)["deliveries"], [])
        s.equal(f"{what} its receipt is good", c.call("extend", queue="held", receipts=[held["receipt"]], visibility_ms=HOUR_MS)["codes"], [])


def grows(s, c):
    s.refused("a node by itself that speaks with no other can't be added to",
              c.first.run("cluster", "add", f"2=127.0.0.1:{c.ports[1]}"), "--listen-peer")
    held = fill(s, c.first)
    c.open_to_others()
    s.wait_for("the node to know itself", lambda: c.status()["version"] > 0)
    with working(s, [c.first.port], QUEUES):
        c.add(2)
        c.wait_until_placed(2)
        c.add(3)
        c.wait_until_placed(3)
        s.equal("one node has grown into three", c.voters(), [{1, 2, 3}] * 9)
        c.wait_for_leads([3, 3, 3])
    nothing_lost(s, c.nodes[3], held, "grown:")
    return held


def loses_its_first(s, c, held):
    """All that there was came from the first node: now it goes."""
    c.first.kill()
    s.wait_for("the others to lead", lambda: sorted(one["leads"] for one in c.nodes[2].json("cluster", "status")["nodes"])[0] == 0)
    nothing_lost(s, c.nodes[2], held, "without the first:")
    c.first.start("--listen-peer", f"127.0.0.1:{c.ports[0]}")
    c.wait_until_placed(3)


def drains_and_removes(s, c, held):
    s.refused("of three none is drained by the way", c.first.run("cluster", "drain", "3"), "--fewer-replicas")
    c.add(4)
    with working(s, [c.first.port, c.nodes[2].port], QUEUES):
        c.wait_until_placed(4)
        s.check("of four nodes each shard has three that vote", all(len(voters) == 3 for voters in c.voters()), c.voters())
        c.first.hato("cluster", "drain", "3")
        s.equal("a drained node votes nowhere", c.voters(), [{1, 2, 4}] * 9)
        s.refused("and only such a one is removed", c.first.run("cluster", "remove", "2", "--yes"), "--fewer-replicas")
        c.first.hato("cluster", "remove", "3", "--yes")
        c.wait_until_placed(3)
        s.wait_for("the others to send it away", lambda: "was removed" in c.nodes[3].last_lines(100))
    s.equal("it is not listed any more", [node["node"] for node in c.status()["nodes"]], [1, 2, 4])
    c.nodes[3].stop()
    nothing_lost(s, c.nodes[4], held, "with another third node:")


def replaces(s, c, held):
    """A node that lost its disk is refused until it is replaced, and then takes all from the others; who it was before is nobody any more."""
    former = c.nodes[2]
    former.kill()
    lost = s.broker(*former.arguments, name="lost", start=False)
    lost.start(ready=False)
    s.wait_for("the others to refuse one with nothing", lambda: "another data directory" in c.first.last_lines(400))
    lost.stop()
    with working(s, [c.first.port, c.nodes[4].port], QUEUES):
        told = c.first.json("cluster", "replace", "2", "--yes")["start"]
        former.start(ready=False)
        s.wait_for("the former one to be refused", lambda: "replaced by another" in former.last_lines(200))
        former.kill()
        c.start_as_told(2, told)
        c.wait_until_placed(3)
        s.equal("three vote again", c.voters(), [{1, 2, 4}] * 9)
    c.nodes[4].kill()
    s.wait_for("the rest to lead", lambda: all(shard["leader"] in (1, 2) for shard in c.status()["shards"]))
    nothing_lost(s, c.nodes[2], held, "with the replaced one needed for a majority:")
    c.nodes[4].start()
    c.wait_until_placed(3)


def transfers(s, c):
    c.first.hato("cluster", "transfer", "1", "4")
    s.wait_for("it to lead", lambda: c.status()["shards"][1]["leader"] == 4)
    c.first.hato("cluster", "transfer", "1", "any")
    s.refused("a shard that there is not", c.first.run("cluster", "transfer", "99", "1"), "no shard 99")
    s.refused("nobody without a vote", c.first.run("cluster", "transfer", "1", "3"), "has no vote")


def zones(s, c):
    for node, zone in ((1, "east"), (2, "east"), (4, "west")):
        c.first.hato("cluster", "set", str(node), "--zone", zone)
    c.add(5, "--zone", "north")
    c.wait_until_placed(4)
    s.check("each zone has a replica", all({4, 5} < voters for voters in c.voters()), c.voters())
    s.equal("zones are told", [node["zone"] for node in c.status()["nodes"]], ["east", "east", "west", "north"])


def hostile(s, c):
    for words, parts in ((("add", "x=1:1"), ("no node",)), (("add", "7"), ("N=HOST:PORT",)), (("add", "7=nowhere"), ("HOST:PORT",)),
                         (("add", "0=127.0.0.1:1"), ("no node",)), (("add", "1=127.0.0.1:1"), ("there already",)),
                         (("add", f"7=127.0.0.1:{c.ports[0]}"), ("has the address",)),
                         (("add", "7=127.0.0.1:7", "--zone", "a b"), ("zone",)), (("drain", "77"), ("no node 77",)),
                         (("remove", "77", "--yes"), ("no node 77",)), (("replace", "77", "--yes"), ("no node 77",)), (("set", "1"), ("--zone",))):
        s.refused("cluster " + " ".join(words), c.first.run("cluster", *words), *parts)
    for join in ("", "x", "0" * 32 + "/8", "0" * 32 + "/8/0", "0" * 32 + "/999/5"):
        done = s.broker("--node", "9", "--join", join or " ", "--peers", f"1=127.0.0.1:{c.ports[0]},9=127.0.0.1:{c.ports[5]}",
                        name=f"wrong{len(join)}-{len(s.brokers)}", start=False)
        done.start(ready=False)
        s.check(f"--join '{join}' is refused", done.process.wait(30) == 1 and "hato cluster add" in done.last_lines())
    shutil.rmtree(s.path("lost"), ignore_errors=True)


with scenario() as scene:
    it = Cluster(scene, "--shards", "8")
    lease = grows(scene, it)
    loses_its_first(scene, it, lease)
    drains_and_removes(scene, it, lease)
    replaces(scene, it, lease)
    transfers(scene, it)
    zones(scene, it)
    hostile(scene, it)
