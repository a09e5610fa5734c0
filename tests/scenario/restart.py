#!/usr/bin/env python3
"""A broker that is asked to stop ends what is under way, and after its start everything is as before."""
import random
import signal
import threading
import time

import native
from lib import scenario

RUNS = 4


def state(b):
    """All that a person can see, but for what is counted since the start, and the time."""
    queues = b.json("queue", "list")
    for queue in queues:
        queue["peek"] = b.json("peek", queue["name"], "--all", "--full")
    functions = b.json("function", "list")
    for function in functions:
        for name in ("state", "in_flight", "window", "delivered_total", "failed_total", "last_error", "retry_at_ms", "attempts"):
            function.pop(name)
    return queues, functions


def prepare(s, b):
    b.hato("queue", "create", "plain", "--visibility", "10m")
    b.hato("queue", "create", "groups.fifo", "--visibility", "10m", "--content-deduplication")
    b.hato("queue", "create", "failing", "--dead-letter", "failing-dead", "--max-receives", 1, "--weight", "big=5")
    b.hato("function", "create", "resize", "--url", "http://127.0.0.1:9/", "--format", "lambda", "--header", "X-A: b")
    b.hato("bind", "failing-dead", "resize", "--paused")
    with native.Connection(b.port) as c:
        c.send("plain", *[{"body": b"%d" % i, "attributes": [{"name": "n", "number": str(i)}], "priority": i % 8} for i in range(100)])
        c.send("plain", {"body": b"later", "delay_ms": 3600 * 1000})
        held = c.receive("plain", 10)
        c.call("nack", queue="plain", receipts=[held[0]["receipt"]], delay_ms=3600 * 1000, error="not now", status=500)
        c.send("groups.fifo", *[{"body": b"%d" % i, "group": f"g{i % 3}"} for i in range(30)])
        busy = {one["message"]["group"] for one in c.receive("groups.fifo", 4)}
        c.send("failing", b"bad", {"body": b"worse", "group": "big"})
        for one in c.receive("failing", 2):
            c.call("nack", queue="failing", receipts=[one["receipt"]], error="boom")
        s.wait_for("the dead letters", lambda: c.counts("failing-dead")["ready"] == 2)
        return held, busy


def keeps_everything(s, b, held, busy):
    before = state(b)
    for i in range(RUNS):
        b.restart() if i % 2 else (b.kill(), b.start())
        s.equal(f"after {'a stop' if i % 2 else 'SIGKILL'} and a start all is as before", state(b), before)
    with native.Connection(b.port) as c:
        s.equal("a receipt from before is good", c.ack("plain", held[1]), [])
        s.equal("one of a message that was nacked is not", c.ack("plain", held[0]), [native.RECEIPT_STALE])
        duplicate, = c.call("send", queue="groups.fifo", messages=[{"body": b"5", "group": "g2"}])["results"]
        s.check("a duplicate from before is known", duplicate["duplicate"], duplicate)
        s.equal("a group that is held is still held, the others are not",
                {one["message"]["group"] for one in c.receive("groups.fifo", 30)}, {"g0", "g1", "g2"} - busy)


def ends_what_is_under_way(s, b):
    """Everything that was asked before the stop has an answer: done, or not done and said so."""
    with native.Connection(b.port) as c:
        c.call("queue_create", name="busy")
    answered, refused, problems = [], [], []
    started = threading.Barrier(5)

    def send(number):
        try:
            with native.Connection(b.port) as c:
                started.wait()
                for i in range(100000):
                    body = b"%d %d" % (number, i)
                    try:
                        c.send("busy", body)
                        answered.append(body)
                    except native.Refused as refusal:
                        refused.append(refusal.code)
                        return
        except (OSError, native.Gone):
            pass
        except Exception as problem:  # pylint: disable=broad-except
            problems.append(repr(problem))

    threads = [threading.Thread(target=send, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    waiting = native.Connection(b.port)
    with native.Connection(b.port) as c:
        c.call("queue_create", name="silent")
    receive = waiting.ask("receive", queue="silent", wait_ms=3600 * 1000)
    started.wait()
    s.wait_for("some sends", lambda: len(answered) > 200)
    s.equal("under load a stop ends well", b.stop(), 0)
    for thread in threads:
        thread.join()
    s.equal("no client met what it did not expect", problems, [])
    s.check("who was refused was told that the broker is going", not set(refused) - {native.CLOSED, native.NOT_LEADER,
                                                                                     native.UNKNOWN_OUTCOME}, refused)
    try:
        waiting.answer(receive)
        told = "an answer"
    except native.Refused as refusal:
        told = refusal.code
    except (OSError, native.Gone):
        told = "the end of the connection"
    s.check("a long poll does not hold it up", told in (native.CLOSED, native.NOT_LEADER, "the end of the connection"), told)
    b.start()
    with native.Connection(b.port) as c:
        found = {one["message"]["body"] for one in c.drain("busy")}
    s.equal("all that was acknowledged is there", len(set(answered) - found), 0)
    waiting.close()


def stops_at_any_time(s, b):
    b.stop()
    codes = []
    pick = random.Random(1)
    for _ in range(10):
        with open(b.log, "w", encoding="utf-8"):
            pass
        b.start(ready=False)
        s.wait_for("its first line", lambda: "event=starting" in b.last_lines())
        time.sleep(pick.uniform(0, 0.3))
        codes.append(b.stop())
    s.equal("asked while it starts, it ends well", set(codes), {0})
    b.start()
    b.signal(signal.SIGINT)
    s.equal("SIGINT is as good as SIGTERM", b.wait(), 0)


def two_of_them(s, b):
    b.start()
    other = s.broker(start=False, name="second")
    other.data = b.data
    other.start(ready=False)
    s.equal("a second broker on the same data is refused", other.wait(), 1)
    s.contains("and says why", other.last_lines(), "another broker runs on")
    third = s.broker(start=False, name="third")
    third.port, third.http_port = b.port, b.http_port
    third.start(ready=False)
    s.equal("one on the same port as well", third.wait(), 1)
    s.contains("and says why, and what to do", third.last_lines(), "choose another port")
    s.equal("the first is not disturbed", b.get("/readyz")[0], 200)


with scenario() as scene:
    broker = scene.broker()
    keeps_everything(scene, broker, *prepare(scene, broker))
    for part in (ends_what_is_under_way, stops_at_any_time, two_of_them):
        part(scene, broker)
