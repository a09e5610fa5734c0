#!/usr/bin/env python3
"""A broker is asked to stop while requests to functions are out: it takes up no more, waits for these as long as it was told to,
settles what they say, and ends."""
import signal
import threading

from lib import scenario


class Gate:
    """Answers a request, but not before it is opened."""

    def __init__(self):
        self.opened = threading.Event()

    def __call__(self, _):
        self.opened.wait(60)
        return 200


def bound(s, b, name, answer):
    e = s.endpoint(answer)
    b.hato("queue", "create", name)
    b.hato("function", "create", name, "--url", e.url)
    b.hato("bind", name, name)
    return e


def request_out(s, b, name):
    """A broker with one request out, and the gate that keeps it."""
    gate = Gate()
    e = bound(s, b, name, gate)
    b.hato("send", name, "out")
    s.wait_for("the request", lambda: e.requests)
    return e, gate


def stopping(b):
    status, text = b.get("/readyz")
    return text if status == 503 else None


def waits(s):
    b = s.broker("--loops", "2")
    e, gate = request_out(s, b, "jobs")
    b.signal(signal.SIGTERM)
    s.equal("asked to stop while a request is out it says that it is not ready", s.wait_for("/readyz", lambda: stopping(b)),
            "the node stops\n")
    b.hato("send", "jobs", "later")
    s.equal("clients are served, but nothing more is sent to a function", (b.json("queue", "show", "jobs")["ready"],
                                                                           len(e.requests)), (1, 1))
    gate.opened.set()
    s.equal("when the request is answered the broker ends", b.wait(), 0)
    b.start()
    s.wait_for("the rest", lambda: len(e.requests) == 2 and b.json("queue", "show", "jobs")["in_flight"] == 0)
    s.equal("what the answer said was settled: it comes once", [r.body for r in e.requests], [b"out", b"later"])


def has_its_limit(s):
    """The longest wait there is to be, and none."""
    for limit in ("1s", "0"):
        b = s.broker("--drain-timeout", limit)
        e, gate = request_out(s, b, "jobs")
        s.equal(f"--drain-timeout {limit}: a request that is not answered does not hold up the end", b.stop(), 0)
        gate.opened.set()
        b.start()
        s.wait_for("the request", lambda e=e: len(e.requests) == 2)
        s.equal("its message was given back, uncounted", [r.headers["hato-receive-count"] for r in e.requests], ["1", "1"])


def at_once(s):
    for first, second in ((signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)):
        b = s.broker("--drain-timeout", "1h")
        _, gate = request_out(s, b, "jobs")
        b.signal(first)
        s.wait_for("/readyz", lambda b=b: stopping(b))
        b.signal(second)
        s.equal("a second signal ends it at once, and not in order", b.wait(), 1)
        gate.opened.set()


with scenario() as scene:
    for part in (waits, has_its_limit, at_once):
        part(scene)
