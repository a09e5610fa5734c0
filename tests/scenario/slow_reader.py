#!/usr/bin/env python3
"""Clients that ask for much and read nothing: what the broker holds for them is bounded, others are served meanwhile, and what they
were to get is given to others."""
import native
from lib import scenario

MIB = 1 << 20
SMALL_BUFFER = 4096


def memory(b):
    return b.json("status")["memory_bytes"]


def fill(c, queue, count, size):
    """Bodies that compress well: they cost the disk little, and a reader all they say."""
    c.call("queue_create", name=queue, settings={"visibility_ms": 3000})
    for _ in range(count // 10):
        c.send(queue, *[bytes(size)] * 10)


def served(s, b, what):
    with native.Connection(b.port) as c:
        c.call("queue_create", name="others")
        for i in range(100):
            c.send("others", b"%d" % i)
        s.equal(f"others are served while {what}", len(c.drain("others")), 100)


def a_stream_that_is_not_read(s, b, c):
    fill(c, "streamed", 300, 256 * 1024)
    before = memory(b)
    slow = native.Connection(b.port, buffer=SMALL_BUFFER)
    slow.ask("stream_open", queue="streamed", credit=100000)
    s.wait_for("the stream to fill what it may", lambda: c.counts("streamed")["in_flight"] > 10)
    served(s, b, "a stream with much credit is not read")
    counts = c.counts("streamed")
    s.check("it is given a few messages, not all it has credit for", counts["in_flight"] < 150, counts)
    s.check("and costs no more memory than that", memory(b) - before < 64 * MIB, f"{(memory(b) - before) / MIB:.0f} MiB")
    slow.close()
    got = []
    s.wait_for("all messages to come to somebody who reads",
               lambda: len(got) == 300 or got.extend(take(c, "streamed")))
    s.equal("each came once after it was let go", len({one["message_id"] for one in got}), 300)


def take(c, queue):
    some = c.receive(queue, 100, wait_ms=1000)
    if some:
        c.ack(queue, *some)
    return some


def streams_by_the_dozen(s, b, c):
    fill(c, "many", 300, 256 * 1024)
    before = memory(b)
    slow = [native.Connection(b.port, buffer=SMALL_BUFFER) for _ in range(20)]
    for one in slow:
        for _ in range(5):
            one.ask("stream_open", queue="many", credit=100000)
    served(s, b, "a hundred streams are not read")
    s.check("a hundred such streams are bounded by what there is", memory(b) - before < 200 * MIB,
            f"{(memory(b) - before) / MIB:.0f} MiB")
    for one in slow:
        one.close()


def replies_that_are_not_read(s, b, c):
    fill(c, "pipelined", 400, MIB)
    before = memory(b)
    slow = native.Connection(b.port, buffer=SMALL_BUFFER)
    slow.write(b"".join(native.request(i + 1, "receive", queue="pipelined", max_messages=10, wait_ms=1000) for i in range(300)))
    s.wait_for("the broker to answer", lambda: c.counts("pipelined")["in_flight"] > 0)
    served(s, b, "300 pipelined receives are not read")
    grown = memory(b) - before
    s.check("hundreds of replies to one connection are bounded, too", grown < 160 * MIB, f"{grown / MIB:.0f} MiB")
    slow.close()
    got = []
    s.wait_for("all messages to come to somebody who reads",
               lambda: len({one["message_id"] for one in got}) == 400 or got.extend(slim(take(c, "pipelined"))))
    s.check("nothing of it is lost", True)


def slim(deliveries):
    return [{"message_id": one["message_id"]} for one in deliveries]


def requests_whose_replies_pile_up(s, b, c):
    for i in range(300):
        c.call("queue_create", name=f"listed-{i}")
    before = memory(b)
    slow = native.Connection(b.port, buffer=SMALL_BUFFER)
    slow.socket.settimeout(2)
    listing = native.request(1, "queue_list", max=1000)  # 14 bytes that are answered with 60,000
    sent = 0
    try:
        while sent < 1000000:
            slow.write(listing * 1000)
            sent += 1000
    except TimeoutError:
        pass
    s.check("a connection that does not read its replies is not read any more", sent < 1000000, sent)
    s.check("and costs little", memory(b) - before < 64 * MIB, f"{(memory(b) - before) / MIB:.0f} MiB after {sent} requests")
    served(s, b, "it waits")
    slow.close()


with scenario() as scene:
    broker = scene.broker()
    with native.Connection(broker.port) as client:
        for part in (a_stream_that_is_not_read, streams_by_the_dozen, replies_that_are_not_read, requests_whose_replies_pile_up):
            part(scene, broker, client)
