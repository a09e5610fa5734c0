#!/usr/bin/env python3
"""Bytes no proper client would send. Each is refused in the way proto/client.proto says; meanwhile another client is served, and
the broker neither ends nor grows."""
import random
import socket
import struct
import threading

import native
from lib import scenario

SEND = 5  # of Request
SEED = 20  # of the random bytes: the same in each run


class Bystander(threading.Thread):
    """A well-behaved client, which sends, receives and acks all the while."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.connection = native.Connection(port)
        self.connection.call("queue_create", name="bystander")
        self.rounds = 0
        self.problem = None
        self.stopping = threading.Event()

    def run(self):
        try:
            while not self.stopping.is_set():
                body = b"round %d" % self.rounds
                self.connection.send("bystander", body)
                got = self.connection.receive("bystander", wait_ms=60000)
                if [one["message"]["body"] for one in got] != [body] or self.connection.ack("bystander", *got):
                    self.problem = f"sent {body!r}, got {got!r}"
                    return
                self.rounds += 1
        except Exception as problem:  # pylint: disable=broad-except
            self.problem = repr(problem)

    def stop(self):
        self.stopping.set()
        self.join()
        return self.problem


def refusal(connection):
    """The reply about the connection itself, if the connection is closed after it."""
    reply = connection.read_reply()
    return reply["id"], reply["error"]["code"], connection.reads_end()


WRONG = (0, native.PROTOCOL, True)


def prefaces(s, b):
    with native.Connection(b.port, preface=native.PREFACE) as c:
        s.equal("the broker answers with its own version", c.preface, native.PREFACE)
    with native.Connection(b.port, preface=struct.pack("<4sHH", b"HATO", 1, 99)) as c:
        s.equal("a later minor version is served", c.call("ping"), {})
    with native.Connection(b.port, preface=struct.pack("<4sHH", b"HATO", 2, 0)) as c:
        s.equal("another major version is refused by its code", refusal(c), (0, native.VERSION, True))
    with native.Connection(b.port, preface=b"GET / HT") as c:
        c.write(b"TP/1.1\r\n\r\n")
        reply = c.read_reply()
        s.check("HTTP on the native port is told where HTTP is", "--http" in reply["error"]["message"]
                and reply["error"]["code"] == native.PROTOCOL, reply)
    for size in range(8):
        with native.Connection(b.port, preface=None) as c:
            c.write(native.PREFACE[:size])
    with native.Connection(b.port, preface=None) as c:
        for byte in native.PREFACE + native.request(7, "ping"):
            c.write(bytes([byte]))
        s.equal("byte by byte is served as well", (c.read(8), c.read_reply()["id"]), (native.PREFACE, 7))


def frames(s, b):
    good = native.encode("Request", {"id": 1, "ping": {}})
    cases = {
        "of length 0": native.frame(b""),
        "of 4 GiB": struct.pack("<I", 0xFFFFFFFF) + good,
        "one byte above the limit": struct.pack("<I", 68 * 1024 * 1024 + 1),
        "that is no protobuf": native.frame(b"\xff" * 20),
        "whose varint does not end": native.frame(b"\x08" + b"\x80" * 10 + b"\x01"),
        "whose field goes beyond it": native.frame(b"\x08\x01\x1a\x7f"),
        "of a wire type that is none": native.frame(b"\x08\x01\x1f"),
        "of field number 0": native.frame(b"\x00\x01"),
        "without an id": native.frame(native.encode("Request", {"ping": {}})),
        "with id 0": native.frame(native.encode("Request", {"id": 0, "ping": {}})),
        "whose operation is a number": native.frame(b"\x08\x01" + native.tagged(6, native.VARINT, b"\x01")),
        "whose operation has a number of 70 bits": native.frame(b"\x08\x01" + native.tagged(6, native.LENGTH, native.varint(12) + b"\x98\x06" + b"\xff" * 9 + b"\x7f")),
        "whose operation is cut": native.frame(b"\x08\x01" + native.tagged(6, native.LENGTH, b"\x05\x0a\x7f\x61\x61\x61")),
    }
    for name, raw in cases.items():
        with native.Connection(b.port) as c:
            c.write(raw)
            s.equal(f"a frame {name} ends the connection", refusal(c), WRONG)
    with native.Connection(b.port) as c:
        c.write(native.request(1 << 60, "ping") + native.frame(b""))
        s.equal("what came before it is answered", c.read_reply()["id"], 1 << 60)
        s.equal("before the connection ends", refusal(c), WRONG)


def unknown(s, b):
    with native.Connection(b.port) as c:
        c.write(native.frame(b"\x08\x05" + native.tagged(99, native.LENGTH, b"\x00")))
        reply = c.read_reply()
        s.equal("an unknown operation is refused, and the connection goes on",
                (reply["id"], reply["error"]["code"], c.call("ping")), (5, native.INVALID, {}))
        c.write(native.frame(b"\x08\x06"))
        s.equal("no operation at all likewise", (c.read_reply()["error"]["code"], c.call("ping")), (native.INVALID, {}))
        later = native.tagged(77, native.VARINT, b"\x05") + native.tagged(78, native.LENGTH, b"\x03abc") \
            + native.tagged(79, native.FIXED64, b"12345678") + native.tagged(80, native.FIXED32, b"1234")
        c.call("queue_create", name="unknown")
        message = native.encode("Message", {"body": b"x"}) + later
        send = native.encode("Send", {"queue": "unknown"}) + native.tagged(2, native.LENGTH, native.varint(len(message)) + message)
        c.write(native.frame(b"\x08\x09" + native.tagged(5, native.LENGTH, native.varint(len(send + later)) + send + later) + later))
        reply = c.read_reply()
        s.check("fields of a later version are ignored in a send", reply["error"] is None
                and reply["send"]["results"][0]["error"] is None, reply)
        receive = native.encode("Receive", {"queue": "unknown"}) + later
        c.write(native.frame(b"\x08\x0a" + native.tagged(6, native.LENGTH, native.varint(len(receive)) + receive) + later))
        reply = c.read_reply()
        s.check("and in others", reply["error"] is None and reply["receive"]["deliveries"][0]["message"]["body"] == b"x", reply)


def names(s, b):
    with native.Connection(b.port) as c:
        allowed = {chr(code) for code in range(128) if chr(code).isalnum() or chr(code) in "_-"}
        served = {chr(code) for code in range(128) if c.code("queue_create", name=f"a{chr(code)}b") == native.OK}
        s.equal("a queue's name may hold letters, digits, _ and - alone", sorted(served), sorted(allowed))
        for name in ("", "a" * 81, "a.fifo.fifo", ".fifo", "é", "a\u0000b", "..", b"\xff\xfe", "x" * 100000):
            s.equal(f"the name {name[:12]!r} is refused wherever one is given",
                    {c.code(op, **{field: name}) for op, field in
                     (("queue_create", "name"), ("queue_show", "name"), ("queue_delete", "name"), ("queue_purge", "name"),
                      ("receive", "queue"), ("peek", "queue"), ("redrive_start", "queue"), ("stream_open", "queue"))},
                    {native.INVALID})
        functions = {chr(code) for code in range(128)
                     if c.code("function_create", name=f"a{chr(code)}b", settings={"url": "http://127.0.0.1/"}) == native.OK}
        s.equal("a function's name likewise", sorted(functions), sorted(allowed))
        refused = {account: c2 for account, c2 in ((account, hello_code(b, account)) for account in
                                                   ("1", "12345678901a", "0" * 13, "a:b", "../../../.."))}
        s.equal("an account is 12 digits", set(refused.values()), {native.INVALID})


def hello_code(b, account):
    with native.Connection(b.port, hello=False) as c:
        return c.code("hello", account=account)


def late_hellos(s, b):
    with native.Connection(b.port, hello=False) as c:
        s.equal("a hello that was refused may be said again",
                (c.code("hello", account="12"), c.code("hello", account="111122223333")), (native.INVALID, native.OK))
        s.equal("but one is enough", c.code("hello", account="111122224444"), native.CONFLICT)
        c.call("queue_create", name="of-the-first")
        arn = c.call("queue_show", name="of-the-first")["arn"]
        s.check("and the first one holds", ":111122223333:" in arn, arn)
    for before in (("ping", {}), ("queue_show", {"name": "none"}), ("stream_credit", {"stream": 7, "credit": 1})):
        with native.Connection(b.port, hello=False) as c:
            c.ask(before[0], **before[1])
            s.equal(f"after a {before[0]} it is too late for a hello",
                    c.code("hello", account="111122223333"), native.CONFLICT)
            c.call("queue_create", name="of-the-default")
            arn = c.call("queue_show", name="of-the-default")["arn"]
            s.check("and the connection is still that of the broker's own account", ":000000000000:" in arn, arn)


def messages(s, b):
    with native.Connection(b.port) as c:
        c.call("queue_create", name="messages")

        def result(**fields):
            error = c.call("send", queue="messages", messages=[fields])["results"][0]["error"]
            return native.OK if error is None else (error["code"], error["field"])

        s.equal("an empty body is a body", result(), native.OK)
        for what, fields, field in (
                ("an attribute without a name", {"attributes": [{"name": "", "text": "x"}]}, "attributes"),
                ("an attribute's name with a space", {"attributes": [{"name": "a b", "text": "x"}]}, "attributes"),
                ("an attribute of ours", {"attributes": [{"name": "hato.x", "text": "x"}]}, "attributes"),
                ("an attribute of AWS's", {"attributes": [{"name": "AWS.x", "text": "x"}]}, "attributes"),
                ("an attribute twice", {"attributes": [{"name": "a", "text": "x"}, {"name": "a", "text": "y"}]}, "attributes"),
                ("an attribute without a value", {"attributes": [{"name": "a"}]}, "attributes"),
                ("a number that is none", {"attributes": [{"name": "a", "number": "twelve"}]}, "attributes"),
                ("a text with a zero byte", {"attributes": [{"name": "a", "text": "x\0y"}]}, "attributes"),
                ("65 attributes", {"attributes": [{"name": f"a{i}", "text": "x"} for i in range(65)]}, "attributes"),
                ("a group of 129 bytes", {"group": "g" * 129}, "group"),
                ("a deduplication id of 129 bytes", {"deduplication_id": "d" * 129}, "deduplication_id"),
                ("a delay of 11 years", {"delay_ms": 11 * 365 * 86400 * 1000}, "delay_ms"),
                ("priority 8", {"priority": 8}, "priority"),
                ("a traceparent that is none", {"traceparent": "00-abc"}, "traceparent"),
                ("a provenance", {"provenance": {"source_queue": "elsewhere"}}, "provenance"),
                ("a group that is not UTF-8", {"group": b"\xff"}, "group")):
            got = result(**fields)
            s.check(f"{what} is refused, and its field named", got != native.OK and got[0] in (native.INVALID, native.TOO_LARGE)
                    and field in got[1], got)
        mixed = c.call("send", queue="messages", messages=[{"body": b"good"}, {"priority": 9}, {"body": b"good, too"}])
        s.equal("one bad message does not spoil the others", [one["error"] is None for one in mixed["results"]],
                [True, False, True])
        s.equal("a message above the queue's limit is refused", result(body=bytes(1024 * 1024 + 1))[0], native.TOO_LARGE)


def padded(value, size):
    """A varint of more bytes than it needs."""
    return bytes(value >> 7 * i & 0x7F | 0x80 for i in range(size - 1)) + bytes([value >> 7 * (size - 1)])


def what_clients_could_not_read(s, b):
    """Readers of protobuf take 5 bytes of a tag or a length: one message of more would spoil every reply that it is in."""
    with native.Connection(b.port) as c:
        c.call("queue_create", name="padded")
        for size, good in ((5, True), (6, False), (10, False)):
            for what, message in (("tag", padded(1 << 3 | native.LENGTH, size) + b"\5hello"),
                                  ("length", b"\x0a" + padded(5, size) + b"hello"),
                                  ("attribute", native.encode("Message", {"body": b"hello"}) + b"\x12" + padded(6, size) + b"\x0a\1k\x12\1v")):
                number = next(c.ids)
                batch = b"".join(native.tagged(2, native.LENGTH, native.varint(len(one)) + one)
                                 for one in (message, native.encode("Message", {"body": b"beside"})))
                send = native.encode("Send", {"queue": "padded"}) + batch
                c.write(native.frame(native.encode("Request", {"id": number})
                                     + native.tagged(SEND, native.LENGTH, native.varint(len(send)) + send)))
                codes = [one["error"] and one["error"]["code"] for one in c.answer(number)["results"]]
                s.equal(f"a message whose {what} is padded to {size} bytes is {'taken' if good else 'refused'}, the one beside it taken",
                        codes, [None if good else native.INVALID, None])
        got = b.json("receive", "padded", "--max", 100)
        s.equal("and all that was taken can be received", len(got), 3 * 2 + 2 * 3)


def batches(s, b):
    with native.Connection(b.port) as c:
        c.call("queue_create", name="batches")
        s.equal("1,000 messages are a batch", len(c.send("batches", *[b"x"] * 1000)), 1000)
        s.equal("1,001 are not", c.code("send", queue="batches", messages=[{"body": b"x"}] * 1001), native.INVALID)
        s.equal("none are none", c.code("send", queue="batches", messages=[]), native.INVALID)
        s.equal("1,000 are received at once", len(c.receive("batches", 1000)), 1000)
        for op, fields in (("receive", {"max_messages": 1001}), ("ack", {"receipts": []}), ("ack", {"receipts": [b"x"] * 1001}),
                           ("nack", {"receipts": [b"x"] * 1001}), ("extend", {"receipts": [b"x"] * 1001}),
                           ("cancel", {"message_ids": ["x"] * 1001}), ("peek", {"max_messages": 1001}),
                           ("receive", {"visibility_ms": 7 * 86400 * 1000 + 1}), ("receive", {"wait_ms": 3600 * 1000 + 1}),
                           ("nack", {"receipts": [b"x"], "delay_ms": 8 * 86400 * 1000}), ("stream_open", {"credit": 0}),
                           ("stream_open", {"credit": 100001}), ("stream_open", {"credit": 1, "max_batch": 1001}),
                           ("receive", {"max_messages": (1 << 32) - 1}), ("extend", {"receipts": [b"x"], "visibility_ms": (1 << 64) - 1})):
            s.equal(f"{op} of {', '.join(fields)} beyond the limit is refused", c.code(op, queue="batches", **fields), native.INVALID)
        s.equal("queue_list of 1,001", c.code("queue_list", max=1001), native.INVALID)


def receipts(s, b):
    with native.Connection(b.port) as c:
        for name in ("mine", "yours"):
            c.call("queue_create", name=name)
        c.send("mine", b"1", b"2")
        mine, other = c.receive("mine", 2)
        c.send("yours", b"x")
        yours, = c.receive("yours")

        def codes(*these):
            return [(c.call(op, queue="mine", receipts=list(these), **more)["codes"] or [native.OK] * len(these))
                    for op, more in (("nack", {"delay_ms": 1000}), ("extend", {"visibility_ms": 1000}), ("ack", {}))]

        receipt = mine["receipt"]
        forged = [bytes([*receipt[:i], receipt[i] ^ 1 << bit, *receipt[i + 1:]]) for i in range(len(receipt)) for bit in (0, 5)]
        s.equal("a receipt with any bit changed is invalid", codes(*forged), [[native.RECEIPT_INVALID] * len(forged)] * 3)
        odd = [b"", receipt[:-1], receipt + b"\0", bytes(33), b"\xff" * 33, b"x" * 10000]
        s.equal("so is one of another length, or of nothing", codes(*odd), [[native.RECEIPT_INVALID] * len(odd)] * 3)
        s.equal("so is one of another queue", codes(yours["receipt"]), [[native.RECEIPT_INVALID]] * 3)
        c.ack("mine", mine)
        s.equal("one of a deleted message is stale", codes(receipt), [[native.RECEIPT_STALE]] * 3)
        c.call("nack", queue="mine", receipts=[other["receipt"]])
        again, = c.receive("mine")
        s.equal("one of an earlier receive is stale", codes(other["receipt"]), [[native.RECEIPT_STALE]] * 3)
        s.equal("and harms the present one in no way", (c.counts("mine")["in_flight"], c.ack("mine", again)), (1, []))
        s.equal("the other queue's message is still held", c.ack("yours", yours), [])


WAITING_MAX = 16384


def more_streams_than_allowed(s, b):
    """More than the broker reads at once, too: it has to go on reading although none of them ends by itself."""
    count = 70000
    with native.Connection(b.port) as c:
        c.call("queue_create", name="watched")
        first = next(c.ids)
        ids = range(first, first + count)
        for _ in ids[1:]:
            next(c.ids)
        frames = b"".join(native.request(number, "stream_open", queue="watched", credit=1) for number in ids)
        ping = next(c.ids)
        writer = threading.Thread(target=c.write, args=(frames + native.request(ping, "ping"),))
        writer.start()
        codes = {}
        while ping not in codes:
            reply = c.read_reply()
            codes[reply["id"]] = reply["error"] and reply["error"]["code"]
        writer.join()
        refused = [codes[number] for number in ids if number in codes]
        s.equal("streams beyond the limit are refused, what comes after them is answered",
                (len(refused), set(refused), codes[ping]), (count - WAITING_MAX, {native.LIMIT}, None))
        s.equal("so are receives that would wait", c.code("receive", queue="watched", wait_ms=60000), native.LIMIT)
        s.equal("but not those that do not", c.code("receive", queue="watched", wait_ms=0), native.OK)
        c.write(native.request(next(c.ids), "stream_close", stream=first))
        s.equal("closing one makes room", [reply["id"] for reply in [c.read_reply()]], [first])
        last = c.ask("stream_open", queue="watched", credit=1)
        with native.Connection(b.port) as other:
            other.send("watched", b"x")
        s.check("all that are open can be served", c.read_reply()["stream_delivery"] is not None, last)
        padded = native.encode("Request", {"id": next(c.ids), "stream_open": {"queue": "watched", "credit": 1}})
        padded += native.tagged(500, native.LENGTH, native.varint(5000) + bytes(5000))
        c.write(native.frame(padded))
        s.equal("nor is a large request kept", c.read_reply()["error"]["code"], native.TOO_LARGE)


def random_bytes(s, b):
    pick = random.Random(SEED)
    patterns = [native.request(3, "send", queue="bystander", messages=[{"body": b"x" * 50, "group": "g"}] * 3),
                native.request(4, "receive", queue="random", max_messages=10, wait_ms=5),
                native.request(5, "queue_create", name="random", settings={"visibility_ms": 5, "group_weights": [{"group": "a", "weight": 1}]}),
                native.request(6, "ack", queue="random", receipts=[bytes(33)] * 3),
                native.request(7, "stream_open", queue="random", credit=10),
                native.request(8, "function_create", name="f", settings={"url": "http://127.0.0.1/", "headers": ["A: b"]})]
    for turn in range(300):
        with native.Connection(b.port) as c:
            try:
                if turn % 3 == 0:
                    c.write(pick.randbytes(pick.randrange(1, 2000)))
                else:
                    raw = bytearray(pick.choice(patterns))
                    if turn % 3 == 1:
                        for _ in range(pick.randrange(1, 6)):
                            raw[pick.randrange(4, len(raw))] = pick.randrange(256)
                        raw = raw.replace(b"bystander", b"elsewhere")
                    else:
                        del raw[pick.randrange(1, len(raw)):]
                    c.write(bytes(raw))
                if pick.random() < 0.5:
                    c.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the broker was quicker
    s.check("after 300 connections of random and damaged bytes the broker lives", b.running() and b.get("/healthz")[0] == 200)


with scenario() as scene:
    broker = scene.broker()
    bystander = Bystander(broker.port)
    bystander.start()
    for part in (prefaces, frames, unknown, names, late_hellos, messages, what_clients_could_not_read, batches, receipts, more_streams_than_allowed):
        part(scene, broker)
    before = broker.json("status")["memory_bytes"]
    random_bytes(scene, broker)
    after = broker.json("status")["memory_bytes"]
    scene.check("and has grown by less than 64 MiB", after - before < 64 << 20, f"from {before} to {after}")
    scene.equal("meanwhile another client was served without a hitch", bystander.stop(), None)
    scene.check("all the while", bystander.rounds > 0, bystander.rounds)
