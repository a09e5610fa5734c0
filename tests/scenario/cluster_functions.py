#!/usr/bin/env python3
"""Functions of a cluster: any node tells how deliveries go on all of them, and says so where one could not be asked."""
import native
from lib import free_ports, scenario

FAST = {"retry_min_ms": 50, "retry_max_ms": 200}


def letters(node, queues):
    with native.Connection(node.port) as c:
        return [c.counts(f"{queue}-dead")["ready"] for queue in queues]


def shown(node, name):
    return node.json("function", "show", name)


def listed(node, name):
    return next(one for one in node.json("function", "list") if one["name"] == name)


def on_top(node, name):
    return next(one for one in node.json("top", "--once", "--interval", "100ms")["functions"] if one["name"] == name)


def failing(s, nodes):
    """Each message fails twice and becomes a dead letter, whichever node leads its queue."""
    endpoint = s.endpoint(lambda request: (500, "no such user: " + request.body.decode()))
    queues = list(native.queues_by_leader(s, nodes, "failing").values())
    with native.Connection(nodes[0].port) as c:
        c.call("function_create", name="failing", settings={"url": endpoint.url, **FAST})
        for queue in queues:
            c.call("queue_create", name=f"{queue}-dead")
            c.call("queue_set", name=queue, settings={"dead_letter_queue": f"{queue}-dead", "max_receives": 2})
            c.call("bind", queue=queue, function="failing")
            c.send(queue, queue.encode())
    s.wait_for("the dead letters", lambda: letters(nodes[0], queues) == [1] * len(queues))
    failed = 2 * len(queues)
    for node in nodes:
        got = shown(node, "failing")
        s.equal(f"{node.name}: function show counts what all nodes delivered",
                (got["failed_total"], got["delivered_total"], got["partial"]), (failed, 0, False))
        s.equal(f"{node.name}: its attempts are those of all nodes",
                sorted((one["queue"], one["status"], one["answer"]) for one in got["attempts"]),
                sorted([(queue, 500, f"no such user: {queue}") for queue in queues] * 2))
        times = [one["started_ms"] for one in got["attempts"]]
        s.equal(f"{node.name}: newest first", times, sorted(times, reverse=True))
        s.contains(f"{node.name}: and the last error", got["last_error"], "500")
        s.equal(f"{node.name}: function list counts the same", listed(node, "failing")["failed_total"], failed)
        s.equal(f"{node.name}: and so does top", on_top(node, "failing")["failed_total"], failed)


def one_node_delivers(s, nodes):
    """The breaker of a function whose only queue is led by another node than the catalog."""
    port, = free_ports(1)
    queues = native.queues_by_leader(s, nodes, "down")
    catalog = nodes[native.leaders(nodes[0])[0] - 1]
    delivering = next(node for node in queues if node is not catalog)
    with native.Connection(nodes[0].port) as c:
        c.call("function_create", name="down", settings={"url": f"http://127.0.0.1:{port}/", **FAST})
        c.call("bind", queue=queues[delivering], function="down")
        c.send(queues[delivering], *[b"x"] * 20)
    for node in nodes:
        s.wait_for(f"{node.name} to know that the endpoint is down", lambda n=node: shown(n, "down")["state"] == "open")
        s.contains(f"{node.name}: function show says why", shown(node, "down")["last_error"], "not reachable")
        s.equal(f"{node.name}: function list and top tell the state",
                (listed(node, "down")["state"], on_top(node, "down")["state"]), ("open", "open"))
    return delivering, catalog


def not_reached(s, nodes, delivering, catalog):
    """The node that delivers hangs: the others tell what they know."""
    with native.Connection(catalog.port) as met, native.Connection(catalog.port) as fresh:
        s.equal("with all nodes there nothing lacks", met.call("function_show", name="down")["partial"], False)
        delivering.pause()
        one, listing, other = met.ask("function_show", name="down"), met.ask("function_list"), fresh.ask("function_show", name="down")
        s.equal("where the node that delivers hangs, function show says that it is partial", met.answer(one)["partial"], True)
        s.equal("and function list of which functions that holds",
                {f["name"]: f["partial"] for f in met.answer(listing)["functions"]}, {"down": True, "failing": True})
        s.equal("likewise where it was not connected to yet", fresh.answer(other)["partial"], True)
        rest = [node for node in nodes if node is not delivering]
        s.wait_for("the others to deliver", lambda: (lambda f: f["state"] == "open" and not f["partial"])(shown(rest[0], "down")))
        s.check("once another node leads its queue nothing lacks", True)
    delivering.resume()
    s.wait_for("all nodes to agree on the leaders", lambda: native.agreed_leaders(nodes))
    s.equal("what is asked of all nodes again is whole", [shown(node, "down")["partial"] for node in nodes], [False] * 3)
    delivering.kill()
    s.wait_for("the others to lead", lambda: (lambda view: view and nodes.index(delivering) + 1 not in view.values())(
        native.agreed_leaders([node for node in nodes if node is not delivering])))
    s.equal("a node that is gone and leads nothing is not asked",
            [shown(node, "down")["partial"] for node in nodes if node is not delivering], [False] * 2)


def told_to_people(s, node):
    s.contains("function list shows the state", node.hato("function", "list"), "open")
    s.check("function show has no word of what lacks where nothing does", "partial" not in node.hato("function", "show", "down"))


def asked_directly(s, nodes):
    """What nodes ask each other is open to clients, and checked."""
    with native.Connection(nodes[0].port) as c:
        s.equal("no names are refused", c.code("function_activity"), native.INVALID)
        s.equal("too many are", c.code("function_activity", names=["x"] * 1001), native.INVALID)
        s.equal("and those that are none", c.code("function_activity", names=["a b"]), native.INVALID)
        s.equal("of functions that it does not deliver for a node says nothing",
                c.call("function_activity", names=["nobody", "nobody"])["functions"], [])


with scenario() as scene:
    three = scene.cluster(3, "--shards", "32")
    failing(scene, three)
    asked_directly(scene, three)
    delivers, keeps = one_node_delivers(scene, three)
    told_to_people(scene, keeps)
    not_reached(scene, three, delivers, keeps)
