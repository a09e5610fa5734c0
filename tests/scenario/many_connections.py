#!/usr/bin/env python3
"""Connections by the thousand that say nothing; and more of them than there may be."""
import contextlib
import resource
import socket

import native
from lib import scenario

IDLE = 10000
SPARE_FILES = 500  # of this process, beside the connections


def raise_files(wanted):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard) if hard != resource.RLIM_INFINITY else wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def ten_thousand(s):
    files = raise_files(IDLE + SPARE_FILES)
    idle = min(IDLE, files - SPARE_FILES)
    if idle < IDLE:
        s.note(f"this machine allows {files} open files: {idle} connections instead of {IDLE}")
    b = s.broker()
    silent = native.Connection(b.port, preface=None)
    b.hato("queue", "create", "jobs")
    before = b.json("status")["memory_bytes"]
    connections = [native.Connection(b.port, hello=False) for _ in range(idle)]
    status = b.json("status")
    s.check(f"{idle} connections are open", status["connections"] > idle, status["connections"])
    each = (status["memory_bytes"] - before) / idle
    s.note(f"{each / 1024:.1f} KiB each")
    s.check("an idle one costs less than 8 KiB", each < 8192, f"{each:.0f} bytes")
    with native.Connection(b.port) as c:
        for i in range(200):
            c.send("jobs", b"%d" % i)
        s.equal("beside them others work", len(c.drain("jobs")), 200)
    s.equal("each of them is alive", {c.call("ping") == {} for c in connections}, {True})
    waiting = [c.ask("receive", queue="jobs", wait_ms=60000) for c in connections[:1000]]
    with native.Connection(b.port) as c:
        c.send("jobs", *[b"for one"] * 1000)
    s.equal("a thousand of them wait for a message, and each gets one",
            sum(len(c.answer(number)["deliveries"]) for c, number in zip(connections, waiting)), 1000)
    for c in connections:
        c.close()
    s.wait_for("the broker to let go of them", lambda: b.json("status")["connections"] < 10)
    s.check("a connection that never says what it speaks is closed", silent.reads_end())
    silent.close()


def too_many(s):
    """A broker with few files for its own: clients must not take those that the log needs."""
    b = s.broker(start=False)
    b.limit_files = 256
    b.start()
    b.hato("queue", "create", "jobs")
    open_ones = []
    reply = {"error": None}
    while reply["error"] is None and len(open_ones) < 300:
        c = native.Connection(b.port, hello=False)
        with contextlib.suppress(OSError):  # one that is refused may be closed by now
            c.ask("ping")
        reply = c.read_reply()
        open_ones.append(c)
    open_ones.pop().close()
    s.check("connections beyond what the open files allow are refused by code, with what to do",
            reply["id"] == 0 and reply["error"]["code"] == native.OVERLOADED and "ulimit -n" in reply["error"]["message"],
            f"{len(open_ones)} opened, then {reply}")
    with open(b.log, encoding="utf-8") as log:
        s.contains("and the log says so", log.read(), 'level=warn event="connections are refused, as many as may be are open"')
    one = open_ones[0]
    for i in range(50):
        one.send("jobs", bytes(200000))
    s.equal("those inside are served, and the log goes on", len(one.drain("jobs")), 50)
    while len(open_ones) > 1:
        open_ones.pop().close()
    s.wait_for("room for others", lambda: b.run("ping").returncode == 0)
    s.check("when some have gone others come in", b.running())
    one.close()


def half_requests(s):
    b = s.broker(start=False)
    b.limit_files = 256
    b.start()
    half = [socket.create_connection(("127.0.0.1", b.http_port)) for _ in range(300)]
    for one in half:
        with contextlib.suppress(OSError):  # one that has given way
            one.sendall(b"GET /healthz HTTP/1.1\r\n")
    s.equal("half a request on each of 300 connections keeps no others out",
            [b.get(path)[0] for path in ("/healthz", "/readyz", "/metrics")], [200] * 3)
    for one in half:
        one.close()


with scenario() as scene:
    half_requests(scene)
    ten_thousand(scene)
    too_many(scene)
