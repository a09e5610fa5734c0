#!/usr/bin/env python3
"""What queues do: delays, cancelling, purging, groups and their order, priorities, fairness, deduplication, retention, limits,
dead letters, halted groups, redrives, streams."""

import native
from lib import scenario

FIFO = {"kind": 1}
HALT_GROUP = 1
READY, IN_FLIGHT, DELAYED, HALTED_AT = 1, 2, 3, 4


def bodies(deliveries):
    return [one["message"]["body"] for one in deliveries]


def make(c, name, **settings):
    c.call("queue_create", name=name, settings=settings)
    return name


def delays(s, c):
    q = make(c, "delays")
    ids = c.send(q, {"body": b"at once"}, {"body": b"in 300 ms", "delay_ms": 300}, {"body": b"in an hour", "delay_ms": 3600000},
                 {"body": b"in nine years", "delay_ms": 9 * 365 * 86400000})
    s.equal("only what is not delayed is ready", bodies(c.receive(q, 10)), [b"at once"])
    s.equal("the others are counted as delayed", c.counts(q)["delayed"], 3)
    got = c.receive(q, 10, wait_ms=60000)
    s.equal("a delayed message comes when it is time", bodies(got), [b"in 300 ms"])
    s.check("and not before", got[0]["first_received_ms"] >= got[0]["sent_ms"] + 300, got)
    peeked = c.call("peek", queue=q, which=DELAYED)["messages"]
    s.equal("delayed ones can be looked at", [(one["state"], one["due_ms"] - one["sent_ms"]) for one in peeked],
            [("delayed", 3600000), ("delayed", 9 * 365 * 86400000)])
    s.equal("cancel deletes them", c.call("cancel", queue=q, message_ids=ids[2:])["codes"], [])
    s.equal("what is held is not cancelled, what is gone not found", c.call("cancel", queue=q, message_ids=[ids[1], ids[2]])["codes"],
            [native.CONFLICT, native.NOT_FOUND])
    q = make(c, "delaying", delay_ms=250)
    c.send(q, {"body": b"late"}, {"body": b"now", "no_delay": True})
    s.equal("a queue's own delay, and a message without it", bodies(c.receive(q, 10)), [b"now"])
    s.equal("the delayed one follows", bodies(c.receive(q, 10, wait_ms=60000)), [b"late"])
    now = c.call("status")["now_ms"]
    c.send(q, {"body": b"then", "not_before_ms": now + 400})
    got = c.receive(q, 10, wait_ms=60000)
    s.check("a point in time instead of a delay", bodies(got) == [b"then"] and got[0]["first_received_ms"] >= now + 400, got)


def visibility(s, c):
    q = make(c, "visibility", visibility_ms=60000)
    c.send(q, b"x")
    first, = c.receive(q, visibility_ms=200)
    s.equal("a leased message is given to nobody else", c.receive(q), [])
    again, = c.receive(q, wait_ms=60000)
    s.check("when its lease ends it comes again, counted", again["receive_count"] == 2
            and again["lease_until_ms"] - 60000 >= first["lease_until_ms"], (first, again))
    s.equal("the first receipt is stale now", c.ack(q, first), [native.RECEIPT_STALE])
    c.call("extend", queue=q, receipts=[again["receipt"]], visibility_ms=0)
    third, = c.receive(q, visibility_ms=0)
    s.equal("extended to 0 it is ready at once", third["receive_count"], 3)
    fourth, = c.receive(q)
    c.call("nack", queue=q, receipts=[fourth["receipt"]], uncounted=True)
    s.equal("an uncounted nack takes the receive back", c.receive(q)[0]["receive_count"], 4)


def long_polls(s, c, b):
    q = make(c, "polls")
    with native.Connection(b.port) as other:
        waiting = [other.ask("receive", queue=q, wait_ms=3600000) for _ in range(3)]
        other.call("ping")
        s.equal("a long poll does not hold up what comes after it", other.kept, {})
        c.send(q, b"1", b"2", b"3")
        s.equal("each waiting receive gets one message", sorted(sum((bodies(other.answer(n)["deliveries"]) for n in waiting), [])),
                [b"1", b"2", b"3"])
        s.equal("one whose time is over gets none", other.receive(q, wait_ms=50), [])


def streams(s, c, b):
    q = make(c, "streams")
    with native.Connection(b.port) as other:
        stream = other.ask("stream_open", queue=q, credit=5, max_batch=2)
        c.send(q, *[b"%d" % i for i in range(12)])
        got, frames = [], []
        while len(got) < 5:
            frames.append(other.answer(stream)["deliveries"])
            got += frames[-1]
        s.equal("a stream delivers what it has credit for", bodies(got), [b"%d" % i for i in range(5)])
        s.check("in frames of the batch at most", max(map(len, frames)) <= 2, frames)
        s.equal("and no more", c.counts(q)["in_flight"], 5)
        other.write(native.request(next(other.ids), "stream_credit", stream=stream, credit=3))
        while len(got) < 8:
            got += other.answer(stream)["deliveries"]
        s.equal("credit that is added is used", bodies(got), [b"%d" % i for i in range(8)])
        other.write(native.request(next(other.ids), "stream_close", stream=stream))
        s.equal("closed, it says so last", other.answer(stream), {"error": None})
        s.equal("what it gave stays leased", (c.counts(q)["in_flight"], other.ack(q, *got)), (8, []))
        s.equal("what it did not give is ready", c.counts(q)["ready"], 4)
        again = other.ask("stream_open", queue=q, credit=100)
        got = other.answer(again)["deliveries"]
        s.equal("another stream gets the rest", bodies(got), [b"%d" % i for i in range(8, 12)])
        c.call("queue_delete", name=q)
        end = other.answer(again)
        s.equal("a stream ends when its queue is deleted", end["error"]["code"], native.NOT_FOUND)


def order(s, c):
    q = make(c, "order.fifo", **FIFO)
    c.send(q, *[{"body": b"%d" % i, "group": f"g{i % 2}", "deduplication_id": str(i)} for i in range(10)])
    got = c.receive(q, 3)
    group = got[0]["message"]["group"]
    s.equal("a group's messages come in order", bodies(got), [b"%d" % i for i in range(10) if f"g{i % 2}" == group][:3])
    others = c.receive(q, 10)
    s.equal("while some of a group are out, none of it is given", {one["message"]["group"] for one in others}, {"g0", "g1"} - {group})
    c.ack(q, *got[:1])
    c.call("nack", queue=q, receipts=[one["receipt"] for one in got[1:]])
    s.equal("what is nacked comes again in its place", bodies(c.receive(q, 10)),
            [b"%d" % i for i in range(10) if f"g{i % 2}" == group][1:])
    q = make(c, "groupless.fifo", **FIFO)
    c.send(q, *[b"%d" % i for i in range(5)])
    s.equal("messages without a group are one", (bodies(c.receive(q, 2)), c.receive(q, 5)), ([b"0", b"1"], []))


def deduplication(s, c):
    q = make(c, "dedup.fifo", **FIFO, content_deduplication=True, deduplication_window_ms=1000)
    first, = c.send(q, {"body": b"a", "group": "g"})
    second, = c.call("send", queue=q, messages=[{"body": b"a", "group": "g"}])["results"]
    s.equal("an equal body is a duplicate", (second["duplicate"], second["message_id"]), (True, first))
    c.drain(q)
    third, = c.call("send", queue=q, messages=[{"body": b"a", "group": "other"}])["results"]
    s.equal("also when the first is deleted, also in another group", third["duplicate"], True)
    s.wait_for("the window to end", lambda: not c.call("send", queue=q, messages=[{"body": b"a", "group": "g"}])["results"][0]["duplicate"])
    s.equal("after the window it is a new message", bodies(c.receive(q)), [b"a"])
    q = make(c, "dedup")
    c.send(q, {"body": b"a", "deduplication_id": "1"}, {"body": b"b", "deduplication_id": "1"}, {"body": b"c", "deduplication_id": "2"})
    s.equal("ids count also within one send, and on a standard queue", bodies(c.receive(q, 10)), [b"a", b"c"])


def priorities(s, c):
    q = make(c, "priorities")
    c.send(q, *[{"body": b"%d" % (i % 8), "priority": i % 8} for i in range(80)])
    got = [int(body) for body in bodies(c.receive(q, 30))]
    s.check("higher priorities come first", sum(got[:10]) > sum(got[-10:]) and got[0] == 7, got)
    s.check("and the lowest does not starve", 0 in [int(body) for body in bodies(c.receive(q, 49))] or 0 in got)


def fairness(s, c):
    q = make(c, "fairness")
    c.send(q, *[{"body": b"noisy", "group": "noisy"}] * 900)
    c.send(q, *[{"body": b"quiet", "group": "quiet"}] * 5)
    got = bodies(c.receive(q, 20))
    s.equal("a quiet tenant does not wait behind a noisy one", got.count(b"quiet"), 5)


def retention(s, c):
    q = make(c, "retention", retention_ms=1000)
    c.send(q, b"old")
    s.wait_for("the message to expire", lambda: c.counts(q)["expired_total"] == 1)
    s.equal("what is older than the retention is dropped", (c.receive(q), c.counts(q)["ready"]), ([], 0))


def limits(s, c):
    q = make(c, "limits", max_messages=10, max_message_bytes=1000, max_in_flight=3)
    c.send(q, *[b"x"] * 8)
    results = c.call("send", queue=q, messages=[{"body": b"y"}] * 4)["results"]
    s.equal("beyond max_messages sends are refused, one by one",
            [one["error"]["code"] if one["error"] else native.OK for one in results], [native.OK] * 2 + [native.LIMIT] * 2)
    s.contains("by a sentence with the limit", results[3]["error"]["message"], "10")
    got = c.receive(q, 10)
    s.equal("no more than max_in_flight are leased", (len(got), c.receive(q, 10)), (3, []))
    c.ack(q, *got)
    s.equal("acks make room", (len(c.send(q, b"z")), len(c.receive(q, 10))), (1, 3))
    result, = c.call("send", queue=q, messages=[{"body": bytes(1001)}])["results"]
    s.equal("a message above max_message_bytes is refused", result["error"]["code"], native.TOO_LARGE)
    big = make(c, "big", max_message_bytes=64 << 20)
    result, = c.call("send", queue=big, messages=[{"body": bytes((64 << 20) - 100)}])["results"]
    s.equal("64 MiB go through", (result["error"], len(c.receive(big)[0]["message"]["body"])), (None, (64 << 20) - 100))
    bytes_limited = make(c, "bytes", max_bytes=1000)
    results = c.call("send", queue=bytes_limited, messages=[{"body": bytes(400)}] * 3)["results"]
    s.equal("max_bytes likewise", [one["error"] is None for one in results], [True, True, False])


def purge(s, c):
    q = make(c, "purge")
    c.send(q, *[b"x"] * 500)
    c.send(q, *[{"body": b"later", "delay_ms": 60000}] * 5)
    c.receive(q, 100)
    s.equal("purge deletes what is ready, delayed and in flight", (c.call("queue_purge", name=q)["purged"],
                                                                  [c.counts(q)[k] for k in ("ready", "in_flight", "delayed", "bytes")]),
            (505, [0, 0, 0, 0]))
    c.send(q, b"new")
    s.equal("and not what comes after", bodies(c.receive(q, 10)), [b"new"])


def long_errors(s, c):
    q = make(c, "verbose")
    c.send(q, b"x")
    for error, kept in (("x" * 2000, "x" * 1024), ("€" * 1000, "€" * 341), ("a" + "é" * 1000, "a" + "é" * 511)):
        one, = c.receive(q, wait_ms=60000)
        c.call("nack", queue=q, receipts=[one["receipt"]], error=error)
        s.equal(f"an error of {len(error.encode())} bytes is cut at a whole character",
                c.call("peek", queue=q)["messages"][0]["last_error"], kept)


def dead_letters(s, c):
    q = make(c, "dying", dead_letter_queue="dead", max_receives=2)
    message_id, = c.send(q, {"body": b"x", "attributes": [{"name": "k", "text": "v"}]})
    for _ in range(2):
        one, = c.receive(q, wait_ms=60000)
        c.call("nack", queue=q, receipts=[one["receipt"]], error="too bad", status=503)
    dead, = c.receive("dead", wait_ms=60000)
    p = dead["message"]["provenance"]
    s.equal("a dead letter keeps body, attributes, and where it was", (dead["message"]["body"], dead["message"]["attributes"][0]["text"],
                                                                      p["source_queue"].rsplit(":", 1)[-1], p["message_id"]),
            (b"x", "v", "dying", message_id))
    s.equal("and why", (p["attempts"], p["reason"], p["last_error"], p["last_status"]), (2, "max-receives", "too bad", 503))
    s.equal("its receives there begin anew", dead["receive_count"], 1)
    c.call("nack", queue="dead", receipts=[dead["receipt"]])
    c.send(q, b"other")
    for _ in range(2):
        one, = c.receive(q, wait_ms=60000)
        c.call("nack", queue=q, receipts=[one["receipt"]], error="out of paper")
    s.wait_for("the second dead letter", lambda: c.counts("dead")["ready"] == 2)
    started = c.call("redrive_start", queue="dead", reason="paper")
    s.wait_for("the redrive to end", lambda: c.call("redrive_list", queue="dead")["redrives"][0]["state"] == "completed")
    done = c.call("redrive_list", queue="dead")["redrives"][0]
    s.equal("a redrive by reason moves those only", (done["id"], done["moved"], done["skipped"], done["total"]),
            (started["id"], 1, 1, 2))
    s.equal("back to where they came from", bodies(c.receive(q, 10)), [b"other"])
    make(c, "elsewhere")
    c.call("redrive_start", queue="dead", destination="elsewhere")
    s.equal("or elsewhere", bodies(c.receive("elsewhere", 10, wait_ms=60000)), [b"x"])


def full_dead_letter_queue(s, c):
    make(c, "full-dead.fifo", max_messages=1)
    q = make(c, "full.fifo", dead_letter_queue="full-dead.fifo", max_receives=1)
    c.call("send", queue="full-dead.fifo", messages=[{"body": b"full", "group": "g"}])
    c.call("send", queue=q, messages=[{"body": body, "group": "g"} for body in (b"1", b"2")])
    first, = c.receive(q)
    c.call("nack", queue=q, receipts=[first["receipt"]], error="out of paper")
    s.wait_for("the refusal", lambda: c.counts(q)["dead_letters_refused_total"] == 1)
    there = c.call("peek", queue=q)["messages"]
    s.equal("what a full dead-letter queue refuses stays where it was, and its group waits",
            [(one["message_id"] == first["message_id"], one["state"], one["receive_count"]) for one in there],
            [(True, "delayed", 1), (False, "ready", 0)])
    again, = c.receive(q, 1, wait_ms=60000)
    s.equal("after a while it is given out again, the first of its group",
            (again["message_id"], again["receive_count"]), (first["message_id"], 2))
    c.call("queue_set", name="full-dead.fifo", settings={"max_messages": 0})
    c.call("nack", queue=q, receipts=[again["receipt"]], error="out of paper")
    second, = c.receive(q, 1, wait_ms=60000)
    s.equal("it goes when there is room, and then the next is served",
            (bodies([second]), c.counts(q)["dead_lettered_total"], c.counts("full-dead.fifo")["ready"]), ([b"2"], 1, 2))


def lost_dead_letter_queue(s, c, b):
    q = make(c, "careful", dead_letter_queue="careless", max_receives=1)
    s.equal("naming a dead-letter queue makes it", c.counts("careless")["ready"], 0)
    c.call("queue_delete", name="careless")
    c.send(q, b"x")
    c.call("nack", queue=q, receipts=[c.receive(q)[0]["receipt"]])
    s.wait_for("the dead letter to arrive", lambda: c.counts(q)["dead_lettered_total"] == 1)
    s.equal("one that was deleted is made anew by the next dead letter", c.counts("careless")["ready"], 1)
    with open(b.log, encoding="utf-8") as log:
        s.equal("and the trace says so", log.read().count('event="dead-letter queue made"'), 1)


def slow_redrive(s, c):
    make(c, "source")
    q = make(c, "letters")
    c.send(q, *[b"%d" % i for i in range(50)])
    c.call("redrive_start", queue=q, destination="source", rate=5)
    s.wait_for("some to be moved", lambda: c.call("redrive_list", queue=q)["redrives"][0]["moved"] >= 3)
    s.equal("one redrive at a time", c.code("redrive_start", queue=q, destination="source"), native.CONFLICT)
    stopped = c.call("redrive_cancel", queue=q)
    s.check("a redrive has a rate and can be cancelled", stopped["state"] == "cancelled" and 3 <= stopped["moved"] < 50, stopped)
    counts = [c.counts(name)["ready"] + c.counts(name)["moving"] for name in (q, "source")]
    s.equal("and nothing is lost or doubled", sum(counts), 50)


def halted_groups(s, c):
    q = make(c, "halting.fifo", **FIFO, max_receives=2, on_exhausted=HALT_GROUP)
    c.send(q, *[{"body": b"%s%d" % (g.encode(), i), "group": g, "deduplication_id": f"{g}{i}"} for g in "ab" for i in range(2)])
    for _ in range(2):
        for one in c.receive(q, 10, wait_ms=60000):
            if one["message"]["body"] == b"a0":
                c.call("nack", queue=q, receipts=[one["receipt"]], error="no such customer")
            elif one["message"]["group"] == "b":
                c.ack(q, one)
            else:
                c.call("nack", queue=q, receipts=[one["receipt"]], uncounted=True)
    s.wait_for("the group to halt", lambda: c.counts(q)["halted_groups"] == 1)
    s.equal("a halted group gives nothing", c.receive(q, 10), [])
    halted = c.call("peek", queue=q, which=HALTED_AT)["messages"]
    s.equal("where it halted, and why, can be seen",
            [(one["message"]["group"], one["message"]["body"], one["state"], one["last_error"]) for one in halted],
            [("a", b"a0", "halted", "no such customer")])
    s.check("since when, too", halted[0]["halted_ms"] >= halted[0]["sent_ms"] > 0, halted)
    s.equal("what stands behind it is not called ready", [one["state"] for one in c.call("peek", queue=q)["messages"]],
            ["halted", "halted"])
    c.send(q, {"body": b"b2", "group": "b", "deduplication_id": "b2"})
    s.equal("others go on", bodies(c.drain(q)), [b"b2"])
    c.call("group_resume", queue=q, group="a")
    got = c.receive(q, 10)
    s.equal("resumed, it goes on where it stopped, and counts anew", (bodies(got), got[0]["receive_count"]), ([b"a0", b"a1"], 1))


def many_queues(s, c):
    for i in range(250):
        make(c, f"page-{i:03}")
    pages = c.queue_names("page-", 60)
    found = sum(pages, [])
    s.equal("queue_list pages through them in order", (found, len(pages)), ([f"page-{i:03}" for i in range(250)], 5))
    for name in found:
        c.call("queue_delete", name=name)
    s.equal("deleted they are gone", c.call("queue_list", prefix="page-")["queues"], [])
    wide = [f"wide-{i:03}" for i in range(400)]
    for name in wide:
        c.call("queue_create", name=name, settings={"user_data": bytes(65536)})
    pages = c.queue_names("wide-")
    s.equal("those with much in their settings, too", sum(pages, []), wide)
    s.check("and no page is larger than a frame may be by far", max(len(page) for page in pages) <= 300, [len(page) for page in pages])
    for name in wide:
        c.call("queue_delete", name=name)
    q = make(c, "again")
    old, = c.send(q, b"old")
    held, = c.receive(q)
    c.call("queue_delete", name=q)
    make(c, q)
    s.equal("a queue made anew is empty", c.counts(q)["ready"], 0)
    s.equal("and does not know receipts and ids of the former one", (c.ack(q, held), c.call("cancel", queue=q, message_ids=[old])["codes"]),
            ([native.RECEIPT_INVALID], [native.NOT_FOUND]))


def accounts(s, c, b):
    make(c, "mine")
    with native.Connection(b.port, hello=False) as other:
        other.call("hello", account="111122223333", region="eu-west-1")
        s.equal("another account does not see the queue", other.code("queue_show", name="mine"), native.NOT_FOUND)
        made = other.call("queue_create", name="mine")
        s.equal("and has one of its own", made["arn"], "arn:aws:sqs:eu-west-1:111122223333:mine")
        other.send("mine", b"theirs")
        s.equal("its messages are its own", c.receive("mine"), [])
        s.equal("its list has its own", [one["name"] for one in other.call("queue_list")["queues"]], ["mine"])


with scenario() as scene:
    broker = scene.broker()
    with native.Connection(broker.port) as client:
        for part in (delays, visibility, order, deduplication, priorities, fairness, retention, limits, purge, long_errors, dead_letters,
                     full_dead_letter_queue, slow_redrive, halted_groups, many_queues):
            part(scene, client)
        for part in (lost_dead_letter_queue, long_polls, streams, accounts):
            part(scene, client, broker)
