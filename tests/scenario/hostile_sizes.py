#!/usr/bin/env python3
"""Requests that are small on the wire for what it would cost to read them: refused before that, on one node and in a cluster."""
import struct

import native
from lib import memory_bound, scenario

MIB = 1 << 20
FRAME_MAX = 68 * MIB
REQUEST_MAX = MIB  # of all but Send
FIELDS_MAX = 10000
SEND, RECEIVE, ACK, CREATE = 5, 6, 7, 15  # of Request
UNKNOWN = native.tagged(14, native.VARINT, b"\x01")  # two bytes
assert len(UNKNOWN) == 2


def operation(number, name, fields, more=b""):
    body = native.encode(name, fields) + more
    return native.tagged(number, native.LENGTH, native.varint(len(body)) + body)


def request(c, raw):
    number = next(c.ids)
    return number, native.frame(native.tagged(1, native.VARINT, native.varint(number)) + raw)


def code(c, raw):
    number, framed = request(c, raw)
    c.write(framed)
    try:
        c.answer(number)
    except native.Refused as refused:
        return refused.code
    return native.OK


def large_requests(s, where, nodes):
    before = [b.memory_peak() for b in nodes]
    filler = UNKNOWN * (60 * MIB // 2)
    with native.Connection(nodes[0].port) as c:
        c.call("queue_create", name="sizes")
        for what, raw, wanted in (
                ("a receive of 60 MiB of unknown fields", operation(RECEIVE, "Receive", {"queue": "sizes"}, filler), native.TOO_LARGE),
                ("an ack of 30 million receipts of no bytes", operation(ACK, "Ack", {"queue": "sizes"}, b"\x12\x00" * (30 * MIB)),
                 native.TOO_LARGE),
                ("a send of 30 million messages of no bytes", operation(SEND, "Send", {"queue": "sizes"}, b"\x12\x00" * (30 * MIB)),
                 native.INVALID),
                ("a send of 30 million unknown fields", operation(SEND, "Send", {"queue": "sizes", "messages": [{"body": b"x"}]}, filler),
                 native.TOO_LARGE),
                ("a queue with a megabyte of user data", operation(CREATE, "QueueCreate", {"name": "fat", "settings": {
                    "user_data": bytes(REQUEST_MAX)}}), native.TOO_LARGE)):
            s.equal(f"{where}: {what} is refused, and the connection goes on", (code(c, raw), c.call("ping")), (wanted, {}))
        grown = max(b.memory_peak() - least for b, least in zip(nodes, before))
        s.check(f"{where}: and took no more memory than to come in", grown < memory_bound(400 * MIB), f"{grown / MIB:.0f} MiB")
    with native.Connection(nodes[0].port) as c:
        c.write(request(c, filler)[1])
        reply = c.read_reply()
        s.equal(f"{where}: one of 30 million fields of its own can't be read", (reply["id"], reply["error"]["code"], c.reads_end()),
                (0, native.PROTOCOL, True))


def many_fields(s, where, nodes):
    with native.Connection(nodes[0].port) as c:
        receive = {"queue": "sizes", "wait_ms": 0}
        few = UNKNOWN * (FIELDS_MAX - 100)
        s.equal(f"{where}: a request of 10,000 fields is read", code(c, operation(RECEIVE, "Receive", receive, few)), native.OK)
        s.equal(f"{where}: one of more is not", code(c, operation(RECEIVE, "Receive", receive, few + UNKNOWN * 100)), native.TOO_LARGE)
        waits = {"queue": "sizes", "wait_ms": 60000}
        s.equal(f"{where}: nor is one kept that waits and decodes to much", code(c, operation(RECEIVE, "Receive", waits, UNKNOWN * 2000)),
                native.TOO_LARGE)


def what_is_allowed(s, where, nodes):
    with native.Connection(nodes[-1].port) as c:
        weights = [{"group": "g" * 120 + f"{i}", "weight": i + 1} for i in range(1000)]
        made = c.call("queue_create", name="full", settings={"group_weights": weights, "user_data": bytes(65536)})
        s.equal(f"{where}: the largest settings fit", len(made["settings"]["group_weights"]), 1000)
        headers = [f"X-{i}: " + "v" * 4080 for i in range(32)]
        c.call("function_create", name="full", settings={"url": "http://127.0.0.1/", "headers": headers})
        c.send("full", *[b"x"] * 1000)
        got = c.receive("full", 1000)
        receipts = [one["receipt"] for one in got]
        s.equal(f"{where}: so do all settlements of a batch, with a long error",
                [c.call("extend", queue="full", receipts=receipts, visibility_ms=60000)["codes"],
                 c.call("nack", queue="full", receipts=receipts, error="e" * 500000)["codes"]], [[], []])
        ids = [one["message_id"] for one in got]
        s.equal(f"{where}: and a cancel of one", c.call("cancel", queue="full", message_ids=ids)["codes"], [])
        longest = [{"attributes": [{"name": f"a{i}", "text": "x", "type_suffix": "s"} for i in range(64)]}] * 1000
        s.equal(f"{where}: and messages with all the attributes that they may have", len(c.send("full", *longest)), 1000)


def large_list(s, where, nodes):
    """More settings of functions than a frame takes, on one page."""
    names = [f"large-{i:03}" for i in range(600)]
    headers = [f"X-{i}: " + "v" * 4080 for i in range(32)]
    listed, largest, after = [], 0, "large-"
    with native.Connection(nodes[0].port) as c:
        for name in names:
            c.call("function_create", name=name, settings={"url": "http://127.0.0.1/", "headers": headers})
        while after:
            c.ask("function_list", after=after, max=1000)
            size, = struct.unpack("<I", c.read(4))
            page = native.decode("Reply", c.read(size))["functions"]
            listed += [one["name"] for one in page["functions"]]
            largest = max(largest, size)
            after = page["next"]
    s.equal(f"{where}: a list of functions with large settings has all of them", listed, names)
    s.check(f"{where}: on pages that fit into a frame", largest <= FRAME_MAX, f"{largest / MIB:.0f} MiB")


with scenario() as scene:
    alone = [scene.broker()]
    cluster = scene.cluster(3)
    for which, those in (("alone", alone), ("in a cluster", cluster)):
        for part in (large_requests, many_fields, what_is_allowed, large_list):
            part(scene, which, those)
