#!/usr/bin/env python3
"""Three real nodes: they elect, replicate, lose one and go on, and let nobody in who does not belong to them."""
import os
import shutil
import socket
import subprocess
import time

import native
from lib import free_ports, scenario

QUEUES = [f"jobs-{number}" for number in range(12)]  # enough for every shard to have some


class Client:
    """Asks one of the nodes after the other, and none in particular."""

    def __init__(self, s, nodes):
        self.s = s
        self.nodes = nodes
        self.connections = [native.Connection(node.port) for node in nodes]
        self.turn = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for connection in self.connections:
            connection.close()

    def call(self, op, **fields):
        self.turn += 1
        return self.connections[self.turn % len(self.connections)].call(op, **fields)

    def send(self, queue, producer, sequence, body):
        reply = self.call("send", queue=queue, messages=[{"body": body}], producer=producer, sequence=sequence)
        return reply["results"][0]["error"] is None

    def drain(self, queue):
        bodies = []
        while True:
            some = self.call("receive", queue=queue, max_messages=100, wait_ms=0)["deliveries"]
            if not some:
                return sorted(bodies)
            self.call("ack", queue=queue, receipts=[one["receipt"] for one in some])
            bodies += [one["message"]["body"] for one in some]


def leaders(node):
    """Shard -> the node that leads it, as this one knows."""
    with native.Connection(node.port) as c:
        return {shard["shard"]: shard["leader"] for shard in c.call("status")["shards"]}


def all_agree(nodes):
    views = [leaders(node) for node in nodes]
    return views[0] if 0 not in views[0].values() and all(view == views[0] for view in views) else None


def caught_up(nodes):
    """Whether all nodes have applied the same."""
    def applied(node):
        with native.Connection(node.port) as c:
            return [(shard["shard"], shard["applied"], shard["commit"]) for shard in c.call("status")["shards"]]

    first = applied(nodes[0])
    return all(applied(node) == first for node in nodes[1:]) and all(a == c for _, a, c in first)


def body(queue, number):
    return f"{queue} {number}".encode()


def send_some(client, start, count):
    """Every queue gets messages `start` to `start + count - 1`, under the numbers of a producer of its own."""
    good = True
    for producer, queue in enumerate(QUEUES, 1):
        for number in range(start, start + count):
            good = client.send(queue, producer, number, body(queue, number)) and good
    return good


def send_to(s, nodes, start):
    with Client(s, nodes) as client:
        return send_some(client, start, 1)


def agreed_without(nodes, gone):
    """The leaders, once all these nodes know others than the one that is gone."""
    view = all_agree(nodes)
    return view if view and gone not in view.values() else None


def replication(s, nodes):
    view = s.wait_for("all nodes to agree on the leaders", lambda: all_agree(nodes))
    s.check("every shard has a leader that all nodes know", len(view) == 9, view)
    with Client(s, nodes) as client:
        for queue in QUEUES:
            client.call("queue_create", name=queue)
        s.wait_for("any node to list all queues", lambda: all(
            [queue["name"] for queue in connection.call("queue_list")["queues"]] == sorted(QUEUES)
            for connection in client.connections))
        s.check("any node accepts messages", send_some(client, 1, 5))
        held = client.call("receive", queue="jobs-0", max_messages=1, visibility_ms=3600000)["deliveries"]
        s.equal("a message is leased", len(held), 1)

    victim = nodes[view[1] - 1]
    victim.kill()
    rest = [node for node in nodes if node is not victim]
    with Client(s, rest) as client:
        s.check("with one of three killed the others accept messages, and clients see no error", send_some(client, 6, 5))
        s.wait_for("the others to lead everything", lambda: agreed_without(rest, nodes.index(victim) + 1))
        duplicate = client.call("send", queue="jobs-3", messages=[{"body": body("jobs-3", 2)}], producer=4, sequence=2)
        s.check("a send repeated to another leader is stored once", duplicate["results"][0]["duplicate"], duplicate)

    victim.start()
    s.wait_for("the one that came back to catch up", lambda: caught_up(nodes))
    s.check("the node that was killed comes back and catches up", True)

    other = rest[0]
    other.kill()
    with Client(s, [node for node in nodes if node is not other]) as client:
        s.equal("what one node acknowledged is received from another, once and all of it",
                [client.drain(queue) for queue in QUEUES[1:]],
                [sorted(body(queue, number) for number in range(1, 11)) for queue in QUEUES[1:]])
        s.equal("what is leased stays leased when the leader changes", held[0]["message"]["body"] in client.drain("jobs-0"),
                False)
        s.equal("its receipt still holds", client.call("ack", queue="jobs-0", receipts=[held[0]["receipt"]])["codes"], [])
    other.start()
    s.wait_for("all to be there again", lambda: caught_up(nodes) and all_agree(nodes))


def node_that_leads(nodes, queue):
    with native.Connection(nodes[0].port) as c:
        shard = c.call("queue_show", name=queue)["shard"]
    return nodes[leaders(nodes[0])[shard] - 1]


def passed_on(s, nodes):
    """What a client wants of another node than its own."""
    leader = node_that_leads(nodes, "jobs-5")
    own, third = (node for node in nodes if node is not leader)
    with native.Connection(own.port) as c, native.Connection(third.port) as other:
        waiting = c.ask("receive", queue="jobs-5", wait_ms=3600000)
        stream = c.ask("stream_open", queue="jobs-6", credit=2)
        other.send("jobs-5", b"for the poll")
        other.send("jobs-6", b"one", b"two", b"three", b"four")
        s.equal("a long poll is answered", [one["message"]["body"] for one in c.answer(waiting)["deliveries"]], [b"for the poll"])
        got = []
        while len(got) < 2:
            got += [one["message"]["body"] for one in c.answer(stream)["deliveries"]]
        s.equal("a stream delivers as far as its credit goes", got, [b"one", b"two"])
        c.write(native.request(1000, "stream_credit", stream=stream, credit=2))
        while len(got) < 4:
            got += [one["message"]["body"] for one in c.answer(stream)["deliveries"]]
        s.equal("and further with more", got, [b"one", b"two", b"three", b"four"])
        c.write(native.request(1001, "stream_close", stream=stream))
        s.equal("and ends when it is closed", c.answer(stream)["error"], None)
        s.equal("a refusal comes through", c.code("send", queue="nowhere", messages=[{"body": b"x"}]), native.NOT_FOUND)
        numbers = [c.ask("send", queue="jobs-7", messages=[{"body": b"%d" % number}]) for number in range(500)]
        for number in numbers:
            c.answer(number)
        s.equal("pipelined requests take effect in their order",
                [int(one["message"]["body"]) for one in other.receive("jobs-7", 500, wait_ms=0)], list(range(500)))
    s.wait_for("the others' connections to be gone", lambda: connections(leader) == 1)
    with native.Connection(own.port) as c, native.Connection(third.port) as other:
        c.ask("receive", queue="jobs-5", wait_ms=3600000, visibility_ms=3600000)
        c.call("queue_show", name="jobs-5")
        s.check("a client's requests come over a connection of their own", connections(leader) == 2)
        c.close()
        s.wait_for("the poll to be over", lambda: connections(leader) == 1)
        other.send("jobs-5", b"after")
        s.equal("a client that went away gets no messages", [one["message"]["body"] for one in other.receive("jobs-5", wait_ms=0)],
                [b"after"])


def connections(node):
    """That which asks among them; many where it is not let in."""
    try:
        with native.Connection(node.port) as c:
            return c.call("status")["connections"]
    except OSError:
        return 1000


def queues_of_several_shards(s, nodes):
    endpoint = s.endpoint()
    with Client(s, nodes) as client:
        for number in range(8):
            client.call("queue_create", name=f"work-{number}",
                        settings={"dead_letter_queue": f"dead-{number}", "max_receives": 1, "visibility_ms": 0})
            client.call("send", queue=f"work-{number}", messages=[{"body": b"doomed"}])
            client.call("receive", queue=f"work-{number}", wait_ms=0)
        for number in range(8):
            s.wait_for(f"the message in dead-{number}",
                       lambda n=number: client.call("receive", queue=f"dead-{n}", wait_ms=100)["deliveries"])
        s.check("dead letters come to queues that other nodes lead", True)
        client.call("function_create", name="f", settings={"url": endpoint.url})
        for number in range(6):
            client.call("bind", queue=QUEUES[number], function="f")
            client.call("send", queue=QUEUES[number], messages=[{"body": b"push %d" % number}])
        s.wait_for("the function to get everything", lambda: sum(
            request.body.count(b"push") for request in endpoint.requests) >= 6)
        s.check("a function gets what any node leads", True)
        for number in range(6):
            client.call("unbind", queue=QUEUES[number])
        s.wait_for("the catalog's node to know", lambda: unbound(client))


def unbound(client):
    """Whether the function could be deleted: the node that decides may not have heard of the last unbinding yet."""
    try:
        client.call("function_delete", name="f")
        return True
    except native.Refused as refused:
        if refused.code != native.CONFLICT:
            raise
        return False


def leader_is_lost(s, nodes):
    """Requests that wait for a leader, and the stream and the poll of one that is killed."""
    led = {}
    for queue in QUEUES:
        led.setdefault(node_that_leads(nodes, queue), []).append(queue)
    leader, (polled, streamed, *_) = max(led.items(), key=lambda one: len(one[1]))
    own, third = (node for node in nodes if node is not leader)
    with native.Connection(own.port) as c, native.Connection(third.port) as other:
        waiting = c.ask("receive", queue=polled, wait_ms=3600000)
        stream = c.ask("stream_open", queue=streamed, credit=10)
        c.call("queue_show", name=polled)
        leader.kill()
        numbers = [c.ask("send", queue="jobs-7", messages=[{"body": b"%d" % number}], producer=99, sequence=number + 1)
                   for number in range(50)]
        other.send(polled, b"late")
        s.equal("a long poll outlives the leader", [one["message"]["body"] for one in c.answer(waiting)["deliveries"]], [b"late"])
        other.send(streamed, b"later")
        s.equal("and so does a stream", [one["message"]["body"] for one in c.answer(stream)["deliveries"]], [b"later"])
        for number in numbers:
            c.answer(number)
        s.equal("sends of a producer are stored in their order, and once",
                [int(one["message"]["body"]) for one in other.receive("jobs-7", 500, wait_ms=0)], list(range(50)))
    leader.start()
    s.wait_for("all to be there again", lambda: caught_up(nodes))


def refusal(connection, number):
    try:
        connection.answer(number)
        return native.OK
    except native.Refused as refused:
        return refused.code


def without_a_majority(s, nodes):
    nodes[0].kill()
    nodes[1].kill()
    lonely = nodes[2]
    s.wait_for("the last one to know that it can't decide", lambda: set(leaders(lonely).values()) == {0})
    with native.Connection(lonely.port) as c:
        asked = [c.ask("send", queue="jobs-1", messages=[{"body": b"x"}]), c.ask("receive", queue="jobs-1", wait_ms=0)]
        s.equal("one of three decides nothing, nor does it hand out messages", [refusal(c, one) for one in asked],
                [native.NOT_LEADER] * 2)
    status, text = lonely.get("/readyz")
    s.check("it says that it is not ready, and why", status == 503 and "no leader" in text, (status, text))
    s.equal("it is alive", lonely.get("/healthz")[0], 200)
    nodes[0].start(ready=False)
    nodes[1].start(ready=False)
    for node in nodes:
        s.wait_for(f"{node.name} to be ready again", node.is_ready)
    s.check("with a majority it goes on", send_to(s, nodes, 101))


def in_doubt(s):
    """What an earlier leader was asked and could not decide is not refused as if it had never been asked."""
    nodes = s.cluster(5)
    with native.Connection(nodes[0].port) as c:
        c.call("queue_create", name="doubtful")
    leader = node_that_leads(nodes, "doubtful")
    own, *others = (node for node in nodes if node is not leader)
    with native.Connection(own.port) as c:
        c.send("doubtful", b"before")
        for node in others:
            node.kill()
        asked = c.ask("send", queue="doubtful", messages=[{"body": b"perhaps"}], producer=3, sequence=1)
        s.equal("without a majority its outcome is unknown", refusal(c, asked), native.UNKNOWN_OUTCOME)
        others[0].start(ready=False)
        asked = c.ask("send", queue="doubtful", messages=[{"body": b"perhaps"}], producer=3, sequence=1)
        s.equal("with one it can be repeated", refusal(c, asked), native.OK)
        s.equal("and is there once", [one["message"]["body"] for one in c.drain("doubtful")], [b"before", b"perhaps"])
    for node in others[1:]:
        node.start(ready=False)


def strangers(s, nodes):
    for number, data in enumerate((b"GET / HTTP/1.1\r\n\r\n", b"HATO\1\0\0\0", b"HATP\7\0\x08\0", os.urandom(2000)), 1):
        with socket.create_connection(("127.0.0.1", nodes[0].peer_port)) as c:
            c.sendall(data)
            s.wait_for("its refusal", lambda n=number: nodes[0].last_lines(400).count('event="peer refused"') >= n)
    s.check("strangers at the peers' port are refused, each with a line", True)
    s.contains("a version that is not spoken is named", nodes[0].last_lines(400), "versions 7 to 8")
    s.check("the broker goes on", send_to(s, nodes, 201))


def lost_data(s, nodes):
    """A node whose disk was replaced must not vote as if nothing had happened."""
    node = nodes[1]
    s.equal("a node is stopped", node.stop(), 0)
    shutil.move(node.data, node.data + ".kept")
    node.start(ready=False)
    s.wait_for("it to be told why", lambda: "another data directory than when node" in node.last_lines())
    s.wait_for("the others to say so", lambda: "another data directory than when node" in nodes[0].last_lines(400))
    s.check("a node that lost its data is refused by those it had met", node.get("/readyz")[0] == 503)
    s.check("the others go on without it", send_to(s, [nodes[0], nodes[2]], 301))
    node.kill()
    shutil.rmtree(node.data)
    shutil.move(node.data + ".kept", node.data)
    node.start()
    s.wait_for("the node with its data to catch up", lambda: caught_up(nodes))
    s.check("with its data it is let in again", True)


def other_cluster(s, nodes):
    """The same addresses, another name: as when an old machine is started by mistake."""
    node = nodes[2]
    node.stop()
    code = node.start("--cluster", "pigeon", ready=False).wait()
    s.check("another cluster's name is refused for a data directory", code != 0 and "belongs to cluster 'hato'" in node.last_lines(3))
    node.start()
    stranger = s.broker("--node", "3", "--cluster", "pigeon", "--listen-peer", f"127.0.0.1:{free_ports(1)[0]}",
                        *nodes[2].arguments[2:], name="stranger", start=False)
    stranger.start(ready=False)
    s.wait_for("the stranger to be refused", lambda: "of another: check --peers" in stranger.last_lines())
    s.check("a node of another cluster is refused and told so", stranger.get("/readyz")[0] == 503)
    stranger.kill()


def usage(s):
    def refused(name, part, *arguments):
        broker = s.broker(*arguments, start=False)
        code = broker.start(ready=False).wait()
        s.check(name, code == 2 and part in broker.last_lines(2), (code, broker.last_lines(2)))

    refused("a list of peers without this node is refused", "does not name this node", "--node", "4", "--peers",
            "1=127.0.0.1:1,2=127.0.0.1:2")
    refused("a list of peers that can't be read is refused", "N=HOST:PORT", "--peers", "127.0.0.1:1")
    refused("a peers' port open to other machines needs certificates", "--peer-cert", "--peers", "1=10.0.0.1:1,2=10.0.0.2:1")
    refused("certificates go together", "--peer-ca is missing", "--peer-cert", "a", "--peer-key", "b")


def few_files(s):
    """Connections between nodes for their clients take files as clients do, and never those that log and store need."""
    nodes = s.cluster(3, start=False)
    for node in nodes:
        node.limit_files = 96
        node.start(ready=False)
    for node in nodes:
        s.wait_for(f"{node.name} to be ready", node.is_ready)
    with Client(s, nodes) as client:
        for queue in QUEUES:
            client.call("queue_create", name=queue)
    leader = node_that_leads(nodes, QUEUES[0])
    own = next(node for node in nodes if node is not leader)
    s.wait_for("connections to be closed", lambda: connections(own) == 1)
    held, codes = [native.Connection(own.port)], []
    while native.OVERLOADED not in codes:  # a client and what it needs take two; there may be an even number
        held.append(native.Connection(own.port))
        codes.append(held[-1].code("queue_show", name=QUEUES[0]))
    s.check("what can't be passed on for want of connections is refused as overload",
            codes.count(native.OK) == len(codes) - 1 > 5, codes)
    for connection in held:
        connection.close()
    s.wait_for("connections to be closed", lambda: all(connections(node) == 1 for node in nodes))
    s.check("afterwards all goes on", send_to(s, nodes, 1))
    for node in nodes:
        s.equal(f"{node.name} stops in order", node.stop(), 0)


def certificates(s):
    """Three nodes that speak TLS, and one whose certificate comes from elsewhere."""
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=s.directory)

    def authority(name):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")

    def certificate(name, by):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-addext",
                "subjectAltName=IP:127.0.0.1", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial", "-days",
                "2", "-copy_extensions", "copy", "-out", f"{name}.pem")

    authority("ours")
    authority("theirs")
    for number in (1, 2):
        certificate(f"node-{number}", "ours")
    certificate("node-3", "theirs")
    nodes = s.cluster(3, "--peer-cert", lambda n: s.path(f"node-{n}.pem"), "--peer-key", lambda n: s.path(f"node-{n}.key"),
                      "--peer-ca", s.path("ours.pem"), start=False)
    for node in nodes:
        node.start(ready=False)
    for node in nodes[:2]:
        s.wait_for(f"{node.name} to be ready", node.is_ready)
    s.check("nodes with certificates of one authority find each other", True)
    s.wait_for("the third to be refused", lambda: "/CN=node-3 is refused" in nodes[0].last_lines())
    s.wait_for("it to say so", lambda: "refused this side's certificate" in nodes[2].last_lines())
    s.check("a certificate of another authority is refused, and named", nodes[2].get("/readyz")[0] == 503)
    with Client(s, nodes[:2]) as client:
        client.call("queue_create", name="safe")
        s.check("messages are accepted over TLS", all(client.send("safe", 5, number, b"hello") for number in (1, 2)))


def main():
    with scenario() as s:
        nodes = s.cluster(3)
        for part in (replication, passed_on, queues_of_several_shards, leader_is_lost, without_a_majority, strangers, lost_data, other_cluster):
            began = time.monotonic()
            part(s, nodes)
            s.note(f"{part.__name__}: {time.monotonic() - began:.1f} s")
        usage(s)
        for node in nodes:
            s.equal(f"{node.name} stops in order", node.stop(), 0)
        in_doubt(s)
        few_files(s)
        certificates(s)


main()
