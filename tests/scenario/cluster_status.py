#!/usr/bin/env python3
"""hato cluster status: any node tells of all nodes, and of those that do not answer that they do not."""
import native
from lib import scenario


def told(node):
    return node.json("cluster", "status")


def exit_of(node):
    return node.run("cluster", "status", "--check").returncode


def by_node(status, number):
    return next(one for one in status["nodes"] if one["node"] == number)


def replicas_of(status, number):
    """The states of a node's replicas of all shards."""
    return [replica["state"] for shard in status["shards"] for replica in shard["replicas"] if replica["node"] == number]


def all_well(s, nodes):
    view = s.wait_for("all nodes to agree on the leaders", lambda: native.agreed_leaders(nodes))
    with native.Connection(nodes[0].port) as c:
        for queue in native.queues_by_leader(s, nodes, "jobs").values():
            c.send(queue, b"x")
    for node in nodes:
        status = s.wait_for(f"{node.name} to call the cluster healthy",
                            lambda n=node: (lambda t: t["health"] == "healthy" and t)(told(n)))
        s.equal(f"{node.name}: the leaders are those that the nodes name",
                {shard["shard"]: shard["leader"] for shard in status["shards"]}, view)
        s.equal(f"{node.name}: all nodes answer", [(one["node"], one["answers"]) for one in status["nodes"]],
                [(1, True), (2, True), (3, True)])
        s.equal(f"{node.name}: and say where they serve clients", [one["client_address"] for one in status["nodes"]],
                [f"127.0.0.1:{one.port}" for one in nodes])
        s.equal(f"{node.name}: each shard has three voters", {len([r for r in shard["replicas"] if r["voter"]])
                                                             for shard in status["shards"]}, {3})
        s.equal(f"{node.name}: leads are counted", [one["leads"] for one in status["nodes"]],
                [list(view.values()).count(number) for number in (1, 2, 3)])
        s.equal(f"{node.name}: who asked is said", status["asked"], nodes.index(node) + 1)
    s.equal("--check ends well", exit_of(nodes[0]), 0)
    text = nodes[1].hato("cluster", "status")
    s.contains("people are told", text, "3 nodes, 9 shards, healthy")
    s.contains("with addresses", text, f"127.0.0.1:{nodes[2].port}")


def one_hangs(s, nodes):
    """A node that is stopped keeps its connections: nobody is told that it is gone."""
    nodes[2].pause()
    with native.Connection(nodes[0].port) as c:
        first = c.call("cluster_status")
        third = next(one for one in first["nodes"] if one["node"] == 3)
        s.check("of a node that hangs there is no status", third["status"] is None, third)
        s.contains("but why", third["problem"], "no answer within 2 s")
        again = c.ask("cluster_status")
        other = c.ask("ping")
        c.answer(other)
        third = next(one for one in c.answer(again)["nodes"] if one["node"] == 3)
        s.contains("asked again by the same connection it is not waited for", third["problem"], "still owes an answer")
    status = s.wait_for("its replicas to be silent",
                        lambda: (lambda t: set(replicas_of(t, 3)) == {"silent"} and t)(told(nodes[0])))
    s.equal("the cluster is degraded", (status["health"], exit_of(nodes[1])), ("degraded", 1))
    s.equal("and what is left leads everything", by_node(status, 3)["leads"], 0)
    with native.Connection(nodes[0].port) as c:
        for queue in native.queues_by_leader(s, nodes[:2], "more").values():
            c.send(queue, *[b"x"] * 10)
    s.check("it falls behind", by_node(told(nodes[0]), 3)["behind"] > 0, told(nodes[0]))
    s.contains("people are told", nodes[0].hato("cluster", "status"), "3 (silent")
    nodes[2].resume()
    s.wait_for("it to catch up", lambda: (lambda t: t["health"] == "healthy" and by_node(t, 3)["behind"] == 0)(told(nodes[0])))


def two_are_gone(s, nodes):
    nodes[1].kill()
    nodes[2].kill()
    status = s.wait_for("the last one to give up leading",
                        lambda: (lambda t: {shard["leader"] for shard in t["shards"]} == {0} and t)(told(nodes[0])))
    s.contains("why a node does not answer is said", by_node(status, 2)["problem"], "refused")
    s.equal("without a leader the cluster is unavailable", (status["health"], exit_of(nodes[0])), ("unavailable", 1))
    s.contains("and people are told", nodes[0].hato("cluster", "status"), "none")


def by_itself(s, node):
    status = told(node)
    s.equal("a node by itself is a cluster of one", (status["health"], len(status["nodes"]), exit_of(node)), ("healthy", 1, 0))
    s.equal("and leads everything", {shard["leader"] for shard in status["shards"]}, {1})


with scenario() as scene:
    by_itself(scene, scene.broker())
    three = scene.cluster(3)
    all_well(scene, three)
    one_hangs(scene, three)
    two_are_gone(scene, three)
