#!/usr/bin/env python3
"""Clients that ask for much and read nothing: what the broker holds for them is bounded, others are served meanwhile, and what they
were to get is given to others."""
import re
import struct
import threading

import native
from lib import memory_bound, scenario

MIB = 1 << 20
LEFT = ("ready", "in_flight", "delayed")
SMALL_BUFFER = 4096
SEND = 5  # of Request


def memory(b):
    return b.json("status")["memory_bytes"]


def metric(b, name):
    return int(re.search(rf"^{name} (\d+)", b.get("/metrics")[1], re.MULTILINE)[1])


def unsent(b):
    return metric(b, "hato_unsent_bytes")


def requests(b):
    return metric(b, "hato_requests_total")


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
    s.check("and costs no more memory than that", memory(b) - before < memory_bound(96 * MIB), f"{(memory(b) - before) / MIB:.0f} MiB")
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
    s.check("a hundred such streams are bounded by what there is", memory(b) - before < memory_bound(200 * MIB),
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
    s.check("hundreds of replies to one connection are bounded, too", grown < memory_bound(160 * MIB), f"{grown / MIB:.0f} MiB")
    slow.close()
    got = set()
    s.wait_for("all messages to come to somebody who reads",
               lambda: len(got) == 400 or got.update(one["message_id"] for one in take(c, "pipelined")))
    s.equal("nothing is left of it, nor came what was not sent", (len(got), sum(c.counts("pipelined")[state] for state in LEFT)),
            (400, 0))


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
    s.check("and costs little", memory(b) - before < memory_bound(64 * MIB), f"{(memory(b) - before) / MIB:.0f} MiB after {sent} requests")
    served(s, b, "it waits")
    slow.close()


def deaf_connections(b, count):
    return [native.Connection(b.port, buffer=SMALL_BUFFER) for _ in range(count)]


def close(connections):
    for one in connections:
        one.close()


UNSENT = 512 * MIB  # of all connections; from half of it on they get less
BOUND = UNSENT // 2 + 384 * MIB  # with what is in the making meanwhile, and what memory freed on other threads leaves


def peeks_at_once(b, count, buffer=None):
    one = native.Connection(b.port, buffer=buffer)
    ids = [next(one.ids) for _ in range(count)]
    one.write(b"".join(native.request(i, "peek", queue="peeked", max_messages=1000) for i in ids))
    return one, ids


def many_peeks_that_are_read(s, b, c, before):
    """Many times what a connection may have waiting for it."""
    one, ids = peeks_at_once(b, 60)
    with one:
        s.equal("60 peeks of 15 MiB asked for at once are all answered to who reads", [len(one.answer(i)["messages"]) for i in ids], [16] * 60)
    asked = requests(b)
    deaf = [peeks_at_once(b, 200, SMALL_BUFFER)[0] for _ in range(10)]
    served(s, b, "10 connections don't read 2000 peeks")
    s.check("most of which are not read either", requests(b) - asked < 1500, requests(b) - asked)
    s.equal("nor does that take from others", len(c.call("peek", queue="peeked", max_messages=1000)["messages"]), 16)
    s.check("what is not asked for yet costs nothing", b.memory_peak() - before < memory_bound(BOUND), f"{(b.memory_peak() - before) / MIB:.0f} MiB")
    close(deaf)
    s.wait_for("those who are gone to be forgotten", lambda: unsent(b) == 0)


def many_peeks_that_are_not_read(s, b, c, before):
    deaf = deaf_connections(b, 80)
    for one in deaf:
        for _ in range(3):
            one.ask("peek", queue="peeked", max_messages=15)
    served(s, b, "80 connections don't read 240 peeks of 15 MiB")
    s.check("replies to all connections are bounded together", b.memory_peak() - before < memory_bound(BOUND), f"{(b.memory_peak() - before) / MIB:.0f} MiB")
    s.wait_for("some of them to be refused", lambda: re.search(r"^hato_refused_total [1-9]", b.get("/metrics")[1], re.MULTILINE))
    answered = [one.read_reply() for one in deaf for _ in range(3)]
    refused = [reply["error"]["code"] for reply in answered if reply["error"] is not None]
    s.check("who would have too much to read is refused", refused and set(refused) == {native.OVERLOADED}, refused)
    s.check("who has read is answered", len(deaf[-1].call("peek", queue="peeked", max_messages=15)["messages"]) > 0)
    close(deaf)
    s.wait_for("all to be answered again", lambda: len(c.call("peek", queue="peeked", max_messages=15)["messages"]) == 15)


def many_streams_that_are_not_read(s, b, c, before):
    deaf = deaf_connections(b, 100)
    for one in deaf:
        one.ask("stream_open", queue="wide", credit=1000)
    served(s, b, "100 streams are not read")
    s.wait_for("as many messages as may to be under way", lambda: c.counts("wide")["in_flight"] > 100)
    served(s, b, "100 streams have got what they may")
    s.check("streams pause when all connections together have too much to read", b.memory_peak() - before < memory_bound(BOUND),
            f"{(b.memory_peak() - before) / MIB:.0f} MiB")
    close(deaf)


def many_receives_that_are_not_read(s, b, c, before):
    s.wait_for("messages to come back", lambda: c.counts("wide")["in_flight"] == 0)
    deaf = deaf_connections(b, 60)
    for one in deaf:
        for _ in range(2):
            one.ask("receive", queue="wide", max_messages=20, wait_ms=600000)
    s.wait_for("messages to be given", lambda: c.counts("wide")["in_flight"] > 200)
    served(s, b, "60 connections don't read 120 receives of 20 MiB")
    s.check("receives are bounded likewise", b.memory_peak() - before < memory_bound(BOUND), f"{(b.memory_peak() - before) / MIB:.0f} MiB")
    close(deaf)
    got = set()
    s.wait_for("all messages to come to somebody who reads",
               lambda: len(got) == 700 or got.update(one["message_id"] for one in take(c, "wide")))
    s.equal("and each of them is there", len(got), 700)


def all_connections_together(s):
    b = s.broker(name="all-together")
    with native.Connection(b.port) as c:
        before = memory(b)
        fill(c, "peeked", 20, MIB - 100)
        many_peeks_that_are_read(s, b, c, before)
        many_peeks_that_are_not_read(s, b, c, before)
        fill(c, "wide", 700, MIB - 100)
        many_streams_that_are_not_read(s, b, c, before)
        many_receives_that_are_not_read(s, b, c, before)


def whoever_leads(s):
    """One node of three is full of what nobody reads; what others decide is answered there all the same."""
    here = s.cluster(3)[0]
    deaf = []

    def fill_up():
        deaf.append(native.Connection(here.port, buffer=SMALL_BUFFER))
        deaf[-1].ask("receive", queue="heavy", wait_ms=0, visibility_ms=0)
        return unsent(here) >= UNSENT

    with native.Connection(here.port) as c:
        queues = [f"led-{i}" for i in range(24)]  # enough for each node to lead some
        given = {}
        for queue in queues:
            c.call("queue_create", name=queue, settings={"visibility_ms": 600000})
            c.send(queue, b"first")
            given[queue] = c.receive(queue)
        c.call("queue_create", name="heavy", settings={"max_message_bytes": 16 * MIB})
        c.send("heavy", bytes(15 * MIB))
        before = memory(here)
        s.wait_for("all that may wait to be read to do so", fill_up)
        sent = [len(c.send(queue, b"second")) for queue in queues]
        codes = [c.ack(queue, *given[queue]) for queue in queues]
        s.check("nothing was read meanwhile", unsent(here) >= UNSENT, unsent(here))
        s.equal("sends and acks are answered whoever leads", (sent, codes), ([1] * 24, [[]] * 24))
        s.equal("what would be large is refused", c.code("receive", queue=queues[0], wait_ms=0), native.OVERLOADED)
        s.check("memory is bounded", here.memory_peak() - before < memory_bound(UNSENT + 384 * MIB), f"{(here.memory_peak() - before) / MIB:.0f} MiB")
        s.wait_for("those who read nothing to be closed", lambda: unsent(here) < UNSENT)
        s.equal("then all is given again", [len(c.drain(queue)) for queue in queues], [1] * 24)
    close(deaf)


WITH_SETTINGS = {  # small requests whose replies tell large settings, 130 to 200 KB
    "queue_set": {"name": "large", "settings": {"visibility_ms": 5000}},
    "queue_show": {"name": "large"},
    "bind": {"queue": "large", "function": "large"},
    "unbind": {"queue": "large"},
    "function_set": {"name": "large", "settings": {"timeout_ms": 5000}},
    "function_show": {"name": "large"},
}


def make_large(c):
    weights = [{"group": f"{i:04}" + "g" * 124, "weight": 5} for i in range(1000)]
    c.call("queue_create", name="large", settings={"group_weights": weights, "user_data": bytes(65000)})
    headers = [f"x-h{i:02}: " + "v" * 4000 for i in range(32)]
    c.call("function_create", name="large", settings={"url": "http://127.0.0.1:1/", "headers": headers, "timeout_ms": 5000})


def pipelined(count, op):
    return b"".join(native.request(i + 1, op, **WITH_SETTINGS[op]) for i in range(count))


def answered(c, count):
    """How many of `count` replies come, each with settings. They are not decoded: that would take longer than all else."""
    ids = set()
    try:
        for _ in range(count):
            size, = struct.unpack("<I", c.read(4))
            (_, _, number), (_, _, body) = native.raw_fields(c.read(size))
            if len(body) > 100000:
                ids.add(number)
    except (native.Gone, ConnectionError):
        pass
    return len(ids)


def settings_that_are_read(s, b, loops, before):
    for op in WITH_SETTINGS:
        with native.Connection(b.port) as c:
            writer = threading.Thread(target=c.write, args=(pipelined(3000, op),))
            writer.start()
            s.equal(f"3000 {op} at once are all answered to who reads ({loops} loops)", answered(c, 3000), 3000)
            writer.join()
    s.check("and cost little", b.memory_peak() - before < memory_bound(256 * MIB), f"{(b.memory_peak() - before) / MIB:.0f} MiB")


def results_that_are_read(s, b, loops, before):
    for i in range(4):  # some of them another loop's
        send = native.encode("Send", {"queue": f"refused-{i}", "messages": [{"priority": 9}] * 999 + [{"body": b"good"}]})  # 4,000 bytes
        raw = native.tagged(SEND, native.LENGTH, native.varint(len(send)) + send)
        frames = b"".join(native.frame(native.encode("Request", {"id": number + 1}) + raw) for number in range(4000))
        with native.Connection(b.port) as c:
            c.call("queue_create", name=f"refused-{i}")
            writer = threading.Thread(target=c.write, args=(frames,))
            writer.start()
            read = sum(len(c.read(struct.unpack("<I", c.read(4))[0])) > 40000 for _ in range(4000))
            writer.join()
        s.equal(f"4000 sends of 999 bad messages and a good one at once are all answered to who reads ({loops} loops)", read, 4000)
    s.check("and cost little", b.memory_peak() - before < memory_bound(200 * MIB), f"{(b.memory_peak() - before) / MIB:.0f} MiB")


def settings_that_are_not_read(s, b, loops, before):
    for op in WITH_SETTINGS:
        deaf = deaf_connections(b, 150)
        for one in deaf:
            one.write(pipelined(60, op))
        s.wait_for("much to wait to be read", lambda: unsent(b) >= UNSENT // 2 - MIB)  # one reply more might be beyond
        with native.Connection(b.port) as c:
            sent = [len(c.send("others", b"%d" % i)) for i in range(100)]
        s.equal(f"sends are answered while 150 connections don't read 9000 {op} ({loops} loops)", sent, [1] * 100)
        s.check("replies with settings are bounded", b.memory_peak() - before < memory_bound(UNSENT + 384 * MIB),
                f"{(b.memory_peak() - before) / MIB:.0f} MiB")
        close(deaf)
        s.wait_for("those who are gone to be forgotten", lambda: unsent(b) == 0)


def replies_with_settings(s, loops):
    b = s.broker("--loops", str(loops), name=f"settings-{loops}")
    with native.Connection(b.port) as c:
        make_large(c)
        c.call("queue_create", name="others")
        before = memory(b)
    results_that_are_read(s, b, loops, before)
    settings_that_are_read(s, b, loops, before)
    settings_that_are_not_read(s, b, loops, before)
    b.stop()


def who_owes_is_not_read(s):
    """While all hold what they may, whatever a connection asks for waits for it to read, if it has much to."""
    b = s.broker("--loops", "1", name="owing")
    with native.Connection(b.port) as c, native.Connection(b.port, buffer=SMALL_BUFFER) as owing:
        make_large(c)
        c.call("queue_create", name="others")
        c.call("queue_create", name="heavy", settings={"max_message_bytes": 16 * MIB})
        c.send("heavy", bytes(15 * MIB))
        shown, deaf = [], []

        def sequence():
            return c.call("send", queue="others", messages=[{"body": b"x"}])["results"][0]["sequence"]

        def owes():
            shown.append(owing.ask("queue_show", name="large"))
            c.call("ping")
            return unsent(b) > 0

        def fill_up():
            deaf.append(native.Connection(b.port, buffer=SMALL_BUFFER))
            deaf[-1].ask("receive", queue="heavy", wait_ms=0, visibility_ms=0)
            return unsent(b) >= UNSENT

        s.wait_for("the kernel to take no more", owes)
        s.check("it is far from what pauses a connection by itself", unsent(b) < 2 * MIB, unsent(b))
        s.wait_for("all that may wait to be read to do so", fill_up)
        late = owing.ask("send", queue="others", messages=[{"body": b"late"}])
        for _ in range(10):
            c.call("ping")
        earlier = sequence()
        for number in shown:
            owing.answer(number)
        later = owing.answer(late)["results"][0]["sequence"]
        s.check("what it asks for is done once it has read, be it small", later > earlier, (earlier, later))
    close(deaf)


with scenario() as scene:
    who_owes_is_not_read(scene)
    replies_with_settings(scene, 1)
    replies_with_settings(scene, 2)
    whoever_leads(scene)
    all_connections_together(scene)
    broker = scene.broker()
    with native.Connection(broker.port) as client:
        for part in (a_stream_that_is_not_read, streams_by_the_dozen, replies_that_are_not_read, requests_whose_replies_pile_up):
            part(scene, broker, client)
