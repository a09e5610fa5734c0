#!/usr/bin/env python3
"""Clients that die between a request and its reply, and what becomes of what they asked for."""
import subprocess

import native
from lib import program, scenario


def refused(c, **fields):
    try:
        c.call("send", **fields)
        return None
    except native.Refused as refusal:
        return refusal


def after_the_send(s, b):
    """A client dies before its reply comes; its successor sends the same again."""
    with native.Connection(b.port) as c:
        c.call("queue_create", name="once")
        before = c.counts("once")["sent_total"]
    producer = 4711
    differ = 0
    for number in range(1, 21):
        with native.Connection(b.port) as dying:
            dying.ask("send", queue="once", messages=[{"body": b"%d" % number}], producer=producer, sequence=number)
        with native.Connection(b.port) as next_one:
            result, = next_one.call("send", queue="once", messages=[{"body": b"%d" % number}], producer=producer,
                                    sequence=number)["results"]
            again, = next_one.call("send", queue="once", messages=[{"body": b"%d" % number}], producer=producer,
                                   sequence=number)["results"]
            differ += not again["duplicate"] or again["message_id"] != result["message_id"]
    s.equal("a repeated send is told the id of the first", differ, 0)
    with native.Connection(b.port) as c:
        s.equal("each was stored once", c.counts("once")["sent_total"] - before, 20)
        s.equal("in order", [one["message"]["body"] for one in c.drain("once")], [b"%d" % i for i in range(1, 21)])
        result, = c.call("send", queue="once", messages=[{"body": b"7"}], producer=producer, sequence=7)["results"]
        s.check("a repeated send is one also when its message is long acked", result["duplicate"], result)
        s.equal("and brings nothing back", c.receive("once"), [])


def broker_dies_between_commit_and_reply(s, b):
    """The reply never comes although the messages are stored: the broker is killed in between, as far as the client can tell."""
    with native.Connection(b.port) as c:
        c.call("queue_create", name="crash")
    messages = [{"body": b"%d" % i} for i in range(50)]
    dying = native.Connection(b.port)
    dying.ask("send", queue="crash", messages=messages, producer=99, sequence=1)
    with native.Connection(b.port) as c:
        s.wait_for("the messages to be stored", lambda: c.counts("crash")["ready"] == 50)
    b.kill()
    dying.close()
    b.start()
    with native.Connection(b.port) as c:
        results = c.call("send", queue="crash", messages=messages, producer=99, sequence=1)["results"]
        s.equal("after the crash the repeated send is a duplicate, all of it", {one["duplicate"] for one in results}, {True})
        more = c.call("send", queue="crash", messages=messages[:3] + [{"body": b"new"}], producer=99, sequence=48)["results"]
        s.equal("one that overlaps stores only what is new", [one["duplicate"] for one in more], [True, True, True, False])
        s.equal("nothing is there twice", c.counts("crash")["ready"], 51)
        got = c.drain("crash")
        s.equal("and the ids are those told", [one["message_id"] for one in got[:50]], [one["message_id"] for one in results])
        s.equal("another producer's numbers are its own",
                c.call("send", queue="crash", messages=[{"body": b"other"}], producer=100, sequence=1)["results"][0]["duplicate"],
                False)
        for first, count in ((0, 1), (2**64 - 1, 1), (2**63, 1), (2**63 - 1, 2)):
            refusal = refused(c, queue="crash", messages=[{"body": b"x"}] * count, producer=101, sequence=first)
            s.check(f"{count} numbered from {first} are refused, with the limits",
                    refusal is not None and refusal.code == native.INVALID and "1 to 9223372036854775807" in refusal.message,
                    refusal)
        c.call("send", queue="crash", messages=[{"body": b"x"}] * 2, producer=102, sequence=1)
        c.call("send", queue="crash", messages=[{"body": b"x"}], producer=102, sequence=3, settled_below=3)
        late = c.call("send", queue="crash", messages=[{"body": b"x"}], producer=102, sequence=2)["results"][0]
        s.equal("what its producer called settled is a duplicate of which nothing is remembered",
                (late["duplicate"], late["message_id"], late["sequence"]), (True, "", 0))
        s.equal("the last number can be used", c.code("send", queue="crash", messages=[{"body": b"x"}], producer=101,
                                                      sequence=2**63 - 1, settled_below=2**63 - 1), native.OK)


def hato_send_lines_survives(s, b):
    """hato send --lines goes on after the broker was killed and came back, and stores each line once."""
    b.hato("queue", "create", "lines")
    total = 30000
    sender = subprocess.Popen([*program("hato"), "--server", b.server, "send", "lines", "--lines", "--window", "500", "--json"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for i in range(total):
        sender.stdin.write(f"line {i}\n")
        if i in (10000, 20000):
            sender.stdin.flush()
            s.wait_for("the first lines", lambda: b.json("queue", "show", "lines")["ready"] > 0)
            b.kill()
            b.start()
    out, err = sender.communicate()
    s.check("it ends well", sender.returncode == 0 and f'"sent":{total}' in out, (sender.returncode, out, err))
    with native.Connection(b.port) as c:
        bodies = [one["message"]["body"] for one in c.drain("lines")]
    s.equal("each line is there once", (len(bodies), len(set(bodies))), (total, total))


def with_messages_in_hand(s, b):
    """A receiver dies: what it holds comes again when its leases end; what was not yet given is not held."""
    with native.Connection(b.port) as c:
        c.call("queue_create", name="held", settings={"visibility_ms": 700})
        c.send("held", *[b"%d" % i for i in range(10)])
        with native.Connection(b.port) as dying:
            held = dying.receive("held", 5)
        s.equal("the others can be received at once", len(c.receive("held", 10)), 5)
        again = []
        s.wait_for("the leases to end", lambda: len(again) >= 5 or again.extend(
            one for one in c.receive("held", 10, wait_ms=1000) if one["message_id"] in {h["message_id"] for h in held}))
        s.equal("those that were held come again, counted", {one["receive_count"] for one in again}, {2})
        s.check("not before their leases ended", all(one["lease_until_ms"] - 700 >= held[0]["lease_until_ms"] for one in again))
    with native.Connection(b.port) as c:
        c.call("queue_create", name="waited")
        for _ in range(50):
            dying = native.Connection(b.port)
            dying.ask("receive", queue="waited", max_messages=10, wait_ms=60000)
            dying.close()
        dying = native.Connection(b.port)
        dying.ask("stream_open", queue="waited", credit=1000)
        dying.call("ping")
        dying.close()
        s.wait_for("the broker to see them gone", lambda: c.call("status")["connections"] == 1)
        c.send("waited", *[b"x"] * 20)
        got = c.receive("waited", 100)
        s.equal("receivers that are gone take nothing", (len(got), {one["receive_count"] for one in got}), (20, {1}))


with scenario() as scene:
    broker = scene.broker()
    for part in (after_the_send, broker_dies_between_commit_and_reply, hato_send_lines_survives, with_messages_in_hand):
        part(scene, broker)
