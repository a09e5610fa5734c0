#!/usr/bin/env python3
"""Endpoints that lie, trickle, reset, pour, hang, throttle and fail for long: what each costs a message, and that delivery goes on
when they are well again."""
import email.utils
import socket
import struct
import threading
import time

from lib import scenario


class Raw:
    """An endpoint that answers with bytes of its own. `answer(connection, body)` is called for each request; the connection is
    closed after it."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.handle, args=(connection,), daemon=True).start()

    def handle(self, connection):
        with connection:
            try:
                data = b""
                while b"\r\n\r\n" not in data:
                    data += self.more(connection)
                head, _, body = data.partition(b"\r\n\r\n")
                length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                while len(body) < length:
                    body += self.more(connection)
                self.requests += 1
                self.answer(connection, body)
            except OSError:
                pass  # the broker has hung up

    @staticmethod
    def more(connection):
        data = connection.recv(65536)
        if not data:
            raise OSError("the end")
        return data

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Hasty(Raw):
    """Says that it won't have that before it has read it, and hangs up: what it had not read resets the connection."""

    def handle(self, connection):
        with connection:
            connection.recv(1000)
            self.requests += 1
            connection.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\n\r\ntoo long")


def counts(b, queue):
    shown = b.json("queue", "show", queue)
    return shown["ready"], shown["in_flight"], shown["delayed"]


def empty(b, queue):
    return counts(b, queue) == (0, 0, 0)


def bound(b, name, url, *options, queue=(), bind=()):
    b.hato("queue", "create", name, *queue)
    b.hato("function", "create", name, "--url", url, "--retry-min", "20ms", "--retry-max", "50ms", *options)
    b.hato("bind", name, name, *bind)


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def trickle(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def pour_headers(connection):
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-More: " + b"m" * 1000 + b"\r\n")


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
# What the endpoint does with the bad message, and with what word the message's error speaks of it. Others are answered.
BAD = {
    "resets": (reset, "no whole answer"),
    "closes": (lambda c: None, "no whole answer"),
    "promises-more": (lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort"), "no whole answer"),
    "trickles": (trickle, "no answer in time"),
    "speaks-otherwise": (lambda c: c.sendall(b"SSH-2.0-OpenSSH_9.2\r\n"), "no whole answer"),
    "header-of-200k": (lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nX-Big: " + b"b" * 200000 + b"\r\n\r\n"), "a header line is too long"),
    "refuses-at-length": (lambda c: c.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: 1000000\r\n\r\n" + b"n" * 1000000), "HTTP 400: nnn"),
    "is-lost-behind-a-proxy": (lambda c: c.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"), "HTTP 502"),
    "hangs-behind-a-proxy": (lambda c: c.sendall(b"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n"), "HTTP 504"),
    "informs-for-ever": (lambda c: c.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 20000), "HTTP 100"),
}


def bad_answers(s, b):
    """Each for one message among others that are answered: it alone pays, and ends as a dead letter with the reason."""
    for name, (act, why) in BAD.items():
        e = Raw(lambda c, body, act=act: act(c) if body == b"bad" else c.sendall(WHOLE))
        bound(b, name, e.url, "--timeout", "500ms", queue=("--dead-letter", f"{name}-dead", "--max-receives", 2))
        b.hato("send", name, "bad")

        def dead(name=name):
            b.hato("send", name, "fine")
            return [letter for letter in b.json("peek", f"{name}-dead") if letter["body"] == "bad"]

        letter, = s.wait_for(f"the dead letter of {name}", dead)
        s.contains(f"an endpoint that {name}: the message it does so to becomes a dead letter", letter["last_error"], why)
        s.wait_for("the others", lambda name=name: empty(b, name))
        e.stop()


GOOD = {
    "gives-more": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 Smuggled\r\nContent-Length: 0\r\n\r\n"),
    "pours-100-mb": lambda c: [c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")] + [c.sendall(b"y" * 1000000) for _ in range(100)],
    "pours-headers": pour_headers,
    "informs-before": lambda c: c.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + WHOLE),
    "adds-trailers": lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n"),
    "says-no-length": lambda c: c.sendall(b"HTTP/1.0 200 OK\r\n\r\nsome text"),
}


def odd_answers(s, b):
    """The status is clear, so the message is delivered."""
    for name, act in GOOD.items():
        e = Raw(lambda c, body, act=act: act(c))
        bound(b, name, e.url, queue=("--dead-letter", f"{name}-dead", "--max-receives", 1))
        b.hato("send", name, "one", "two", "three")
        s.wait_for(f"the acks of {name}", lambda name=name: empty(b, name))
        s.equal(f"an endpoint that {name} has said yes", (e.requests, counts(b, f"{name}-dead")), (3, (0, 0, 0)))
        e.stop()


# What a function of format lambda answers to a batch of three, and which of its messages fail by it.
ANSWERS = {
    "not-json": ('{"batchItemFailures": [', {0, 1, 2}),
    "no-list": ('{"batchItemFailures": "m0"}', {0, 1, 2}),
    "empty-id": ('{"batchItemFailures": [{"itemIdentifier": ""}]}', {0, 1, 2}),
    "no-id": ('{"batchItemFailures": [{}]}', {0, 1, 2}),
    "unknown-id": ('{"batchItemFailures": [{"itemIdentifier": "@0"}, {"itemIdentifier": "no such"}]}', {0, 1, 2}),
    "twice": ('{"batchItemFailures": [{"itemIdentifier": "@1"}, {"itemIdentifier": "@1"}]}', {1}),
    "other-keys": ('{"more": 1, "batchItemFailures": [{"itemIdentifier": "@2", "why": "x"}]}', {2}),
    "none": ('{"batchItemFailures": []}', set()),
    "null": ("null", set()),
    "text": ("thanks", set()),
}


def lambda_answers(s, b):
    for name, (text, failing) in ANSWERS.items():
        def answer(request, text=text):
            ids = [one["messageId"] for one in request.json()["Records"]]
            if len(ids) < 3:
                return 200
            for i, one in enumerate(ids):
                text = text.replace(f"@{i}", one)
            return 200, text, {"Content-Type": "application/json" if text[0] in "{n" else "text/plain"}

        e = s.endpoint(answer)
        queue = f"lambda-{name}"
        bound(b, queue, e.url, "--format", "lambda", bind=("--paused",),
              queue=("--dead-letter", f"{queue}-dead", "--max-receives", 1))
        b.hato("send", queue, "m0", "m1", "m2")
        b.hato("resume", queue)
        s.wait_for(f"{queue} to be done", lambda queue=queue: empty(b, queue) and
                   b.json("queue", "show", queue)["moving"] == 0)
        got = {int(one["body"][1:]) for one in b.json("peek", f"{queue}-dead")}
        s.equal(f"batchItemFailures, {name}: who has failed", got, failing)


def not_read_to_the_end(s, b):
    """What an endpoint said counts, though the connection broke behind it."""
    e = Hasty(None)
    bound(b, "hasty", e.url, queue=("--dead-letter", "hasty-dead", "--max-receives", 20))
    b.hato("send", "hasty", "-", stdin="m" * 900000)
    s.wait_for("the dead letter", lambda: b.json("peek", "hasty-dead"))
    said = [(one["status"], one["error"]) for one in b.json("function", "show", "hasty")["attempts"]]
    s.check("an answer that a reset follows is read, where sending has not met the reset before",
            {status for status, _ in said} <= {0, 413} and all(error == "HTTP 413: too long" or "Send failure" in error for _, error in said), said)
    e.stop()


def crowd(s, b):
    """An endpoint comes back from an outage, and what it can't bear stands before all else."""
    down = s.endpoint(lambda _: 503)
    bound(b, "crowd", down.url, queue=("--dead-letter", "crowd-dead", "--max-receives", 2))
    b.hato("send", "crowd", "--lines", stdin="".join(f"bad {i}\n" for i in range(20)) + "".join(f"good {i}\n" for i in range(300)))
    s.wait_for("the function to be in trouble", lambda: b.json("function", "show", "crowd")["state"] == "open")
    e = Raw(lambda c, body: reset(c) if body.startswith(b"bad") else c.sendall(WHOLE))
    b.hato("function", "set", "crowd", "--url", e.url)
    s.wait_for("all to be settled", lambda: empty(b, "crowd"))
    letters = b.json("peek", "crowd-dead", "--max", 1000)
    s.equal("what a function can't bear becomes dead letters, and keeps it from nothing behind", sorted(one["body"] for one in letters),
            sorted(f"bad {i}" for i in range(20)))
    e.stop()


def alone(s, b):
    """One message, and the function never answers it, nor anybody."""
    end = threading.Event()
    e = s.endpoint(lambda _: (end.wait(60), 200)[1])
    bound(b, "alone", e.url, "--timeout", "200ms", queue=("--dead-letter", "alone-dead", "--max-receives", 2))
    b.hato("send", "alone", "hang")
    letter, = s.wait_for("the dead letter", lambda: b.json("peek", "alone-dead"))
    s.wait_for("the endpoint to have seen all requests", lambda: len(e.requests) >= 5)
    end.set()
    s.contains("a message that always times out is a dead letter in the end, also when it is alone", letter["last_error"],
               "no answer in time")
    s.equal("after three tries that are not counted, and its max receives", (len(e.requests), letter["provenance"]["attempts"]),
            (5, 2))


def hung(s, b):
    """Requests are taken and nobody is answered, however long: with others beside it no message pays."""
    up = threading.Event()
    e = s.endpoint(lambda _: (up.wait(60), 200)[1])
    bound(b, "hung", e.url, "--timeout", "200ms", queue=("--dead-letter", "hung-dead", "--max-receives", 1))
    b.hato("send", "hung", "one", "two")
    s.wait_for("the endpoint to have been tried often", lambda: len(e.requests) >= 10)
    s.equal("an endpoint that takes requests and hangs costs no receive", b.json("peek", "hung-dead"), [])
    up.set()
    s.wait_for("delivery to go on", lambda: empty(b, "hung"))
    s.equal("and nothing is lost when it is well again", b.json("peek", "hung-dead"), [])
    with open(b.log, encoding="utf-8") as file:
        said = [line for line in file if ":hung" in line]
    s.check("the log says once that it was in trouble, and that it is well", len(said) == 2 and "no answer in time" in said[0]
            and "answers again" in said[1], said)


def lines_about(b, function):
    with open(b.log, encoding="utf-8") as file:
        return [line for line in file if f":{function}" in line]


def moved(s, b):
    """The usual repair of an endpoint that is gone: the function gets another URL."""
    bound(b, "moved", "http://127.0.0.1:1/", "--timeout", "200ms")
    b.hato("send", "moved", "one")
    s.wait_for("the log to say that it is in trouble", lambda: lines_about(b, "moved"))
    b.hato("function", "set", "moved", "--url", "http://127.0.0.1:2/")
    since = time.time() * 1000
    s.wait_for("it to be tried there", lambda: any(one["started_ms"] > since for one in b.json("function", "show", "moved")["attempts"]))
    said = lines_about(b, "moved")
    s.check("new settings are no answer", not any("answers again" in line for line in said), said)
    e = s.endpoint(lambda _: 200)
    b.hato("function", "set", "moved", "--url", e.url)
    s.wait_for("delivery to go on", lambda: empty(b, "moved"))
    s.wait_for("the log to say that it answers again", lambda: "answers again" in lines_about(b, "moved")[-1])


def proxy_down(s, b):
    """A proxy that takes connections while nobody is behind it: no receive is counted, however often it is tried."""
    up = threading.Event()
    e = Raw(lambda c, _: c.sendall(WHOLE) if up.is_set() else reset(c))
    bound(b, "proxy", e.url, queue=("--dead-letter", "proxy-dead", "--max-receives", 1))
    b.hato("send", "proxy", "one")
    s.wait_for("some tries", lambda: e.requests >= 6)
    up.set()
    s.wait_for("the ack", lambda: empty(b, "proxy"))
    s.equal("a proxy that breaks every connection costs no receive", counts(b, "proxy-dead"), (0, 0, 0))
    e.stop()


def fails_for_long(s, b):
    state = {"status": 500}
    e = s.endpoint(lambda _: state["status"])
    bound(b, "failing", e.url)
    b.hato("send", "failing", *[str(i) for i in range(20)])
    s.wait_for("many failures", lambda: b.json("function", "show", "failing")["failed_total"] > 200)
    s.equal("an endpoint that answers 500 is not taken for down", b.json("function", "show", "failing")["state"] == "open", False)
    state["status"] = 200
    s.wait_for("all to be delivered", lambda: empty(b, "failing"))
    s.equal("when it is well again all is delivered", b.json("function", "show", "failing")["delivered_total"], 20)


def retry_after(s, b):
    """In seconds, and as a date; of the endpoint (503), and of a message (500)."""
    for name, status, as_date in (("seconds", 503, False), ("date", 503, True), ("message-seconds", 500, False),
                                  ("message-date", 500, True)):
        times = []

        def answer(_, times=times, status=status, as_date=as_date):
            times.append(time.time())
            if len(times) > 1:
                return 200
            value = email.utils.formatdate(int(time.time()) + 3, usegmt=True) if as_date else "2"
            return status, "later", {"Retry-After": value}

        e = s.endpoint(answer)
        queue = f"after-{name}"
        bound(b, queue, e.url)
        b.hato("send", queue, "x")
        s.wait_for(f"{queue} to be delivered", lambda queue=queue: empty(b, queue))
        # A date names whole seconds, so that of three to come two are sure. Clocks of both sides are the same.
        s.check(f"Retry-After, {name}: not earlier", times[1] - times[0] >= 1.9, times[1] - times[0])
        s.equal("and once", len(e.requests), 2)


with scenario() as scene:
    broker = scene.broker("--loops", "2")
    for part in (bad_answers, odd_answers, lambda_answers, not_read_to_the_end, crowd, alone, hung, moved, proxy_down, fails_for_long, retry_after):
        part(scene, broker)
