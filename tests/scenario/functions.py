#!/usr/bin/env python3
"""Messages are pushed to functions: every format, partial failures, endpoints that are down, slow or throttle, signatures,
dead letters with their reason, order, and what a crash of the broker in the middle means."""
import base64
import hashlib
import hmac
import json
import threading
import time

import native
from lib import Endpoint, free_ports, scenario

SECRETS = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def bound(b, name, url, *options, queue=(), bind=()):
    b.hato("queue", "create", name, *queue)
    b.hato("function", "create", name, "--url", url, "--retry-min", "50ms", "--retry-max", "200ms", *options)
    b.hato("bind", name, name, *bind)


def empty(b, name):
    queue = b.json("queue", "show", name)
    return queue["ready"] + queue["in_flight"] + queue["delayed"] + queue["moving"] == 0


def raw(s, b):
    e = s.endpoint()
    bound(b, "raw", e.url, "--content-type", "text/plain", "--header", "X-Key: secret")
    b.hato("send", "raw", "hello", "--attr", "kind=new", "--attr", "size:number=3", "--group", "g", "--traceparent", TRACE)
    s.wait_for("the request", lambda: e.requests)
    s.wait_for("the ack", lambda: empty(b, "raw"))
    got = e.requests[0]
    s.equal("raw: the body as it is", (got.method, got.body), ("POST", b"hello"))
    s.equal("with all else in headers", [got.headers[name] for name in (
        "content-type", "x-key", "hato-queue", "hato-receive-count", "hato-attr-kind", "hato-attr-size", "hato-group",
        "traceparent")], ["text/plain", "secret", "raw", "1", "new", "3", "g", TRACE])
    s.equal("once", len(e.requests), 1)


def lambda_event(s, b):
    def answer(request):
        records = request.json()["Records"]
        bad = [{"itemIdentifier": one["messageId"]} for one in records
               if one["body"] == "bad" and int(one["attributes"]["ApproximateReceiveCount"]) < 3]
        return 200, json.dumps({"batchItemFailures": bad}), {"Content-Type": "application/json"}

    e = s.endpoint(answer)
    bound(b, "lambda", e.url, "--format", "lambda", bind=("--batch", 10, "--paused"))
    b.hato("send", "lambda", "good", "bad", "good, too", "--attr", "kind=new")
    b.hato("resume", "lambda")
    s.wait_for("all to be done", lambda: empty(b, "lambda"))
    first = e.requests[0].json()["Records"]
    s.equal("lambda: one request with the batch", [one["body"] for one in first], ["good", "bad", "good, too"])
    record = first[0]
    s.equal("as AWS's event", (record["eventSource"], record["eventSourceARN"], record["awsRegion"], record["md5OfBody"],
                               record["messageAttributes"]["kind"]["stringValue"]),
            ("aws:sqs", "arn:aws:sqs:us-east-1:000000000000:lambda", "us-east-1", hashlib.md5(b"good").hexdigest(), "new"))
    later = [[one["body"] for one in request.json()["Records"]] for request in e.requests[1:]]
    s.equal("only what is named in batchItemFailures comes again", later, [["bad"], ["bad"]])
    counts = [int(one["attributes"]["ApproximateReceiveCount"]) for request in e.requests[1:] for one in request.json()["Records"]]
    s.equal("counted", counts, [2, 3])


def cloudevents(s, b):
    e = s.endpoint(lambda _: 204)
    bound(b, "binary", e.url, "--format", "cloudevents")
    b.hato("send", "binary", '{"a":1}', "--attr", "content-type=application/json", "--attr", "type=thing.made", "--attr", "kind=x y")
    s.wait_for("the request", lambda: e.requests)
    h = e.requests[0].headers
    s.equal("cloudevents: attributes in headers", (h["ce-specversion"], h["ce-type"], h["ce-source"], h["content-type"], h["ce-kind"]),
            ("1.0", "thing.made", "arn:aws:sqs:us-east-1:000000000000:binary", "application/json", "x%20y"))
    s.equal("and the data as the body", e.requests[0].body, b'{"a":1}')
    e = s.endpoint(lambda _: 204)
    bound(b, "structured", e.url, "--format", "cloudevents-structured")
    b.hato("send", "structured", '{"a":1}', "--attr", "content-type=application/json")
    s.wait_for("the request", lambda: e.requests)
    event = e.requests[0].json()
    s.equal("structured: all in one object", (event["specversion"], event["data"], event["datacontenttype"]),
            ("1.0", {"a": 1}, "application/json"))


def signature(s, b):
    e = s.endpoint()
    bound(b, "signed", e.url, "--secret", SECRETS[0], "--secret", SECRETS[1])
    b.hato("send", "signed", "hello")
    s.wait_for("the request", lambda: e.requests)
    got = e.requests[0]
    content = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    wanted = " ".join("v1," + base64.b64encode(hmac.new(base64.b64decode(secret[6:]), content, hashlib.sha256).digest()).decode()
                      for secret in SECRETS)
    s.equal("the signature is Standard Webhooks', by both secrets", got.headers["webhook-signature"], wanted)


def dead_letters(s, b):
    e = s.endpoint(lambda request: (500, "no such user: " + request.body.decode()) if request.body.startswith(b"bad") else 200)
    bound(b, "poison", e.url, queue=("--dead-letter", "poison-dead", "--max-receives", 3))
    b.hato("send", "poison", "good", "bad 1", "bad 2")
    s.wait_for("the dead letters", lambda: b.json("queue", "show", "poison-dead")["ready"] == 2 and empty(b, "poison"))
    dead = b.json("peek", "poison-dead")
    s.equal("a dead letter has the reason", sorted(one["last_error"] for one in dead),
            ["HTTP 500: no such user: bad 1", "HTTP 500: no such user: bad 2"])
    s.equal("its attempts and the last status", {(one["provenance"]["attempts"], one["provenance"]["last_status"],
                                                  one["provenance"]["reason"]) for one in dead}, {(3, 500, "max-receives")})
    shown = b.json("function", "show", "poison")
    tried = [one["status"] for one in shown["attempts"]]
    s.equal("function show lists the attempts", (sorted(tried), shown["failed_total"], shown["delivered_total"]),
            ([200] + [500] * 6, 6, 1))
    answers = {one["answer"] for one in shown["attempts"] if one["status"] == 500}
    s.equal("with the first bytes of the answers", answers, {"no such user: bad 1", "no such user: bad 2"})


def endpoint_down(s, b):
    """Nobody listens; later somebody does."""
    port, = free_ports(1)
    bound(b, "down", f"http://127.0.0.1:{port}/", queue=("--dead-letter", "down-dead", "--max-receives", 2, "--visibility", "1s"))
    b.hato("send", "down", *[f"message {i}" for i in range(50)])
    s.wait_for("the breaker to open", lambda: b.json("function", "show", "down")["state"] == "open")
    time.sleep(1.5)  # longer than a lease and several probes
    queue = b.json("queue", "show", "down")
    s.equal("while the endpoint is down all messages wait where they are", (queue["ready"] + queue["in_flight"], queue["delayed"]),
            (50, 0))
    shown = b.json("function", "show", "down")
    s.contains("function show says why", shown["last_error"], "not reachable")
    e = Endpoint(lambda _: 200, port)
    s.endpoints.append(e)
    s.wait_for("all to be delivered", lambda: empty(b, "down"))
    s.equal("when it is back each message comes as its first receive", {r.headers["hato-receive-count"] for r in e.requests}, {"1"})
    s.equal("each once", len({r.body for r in e.requests}), 50)
    s.equal("none is a dead letter", b.json("queue", "show", "down-dead")["ready"], 0)


def throttled(s, b):
    """429 with Retry-After, then 503 without."""
    state = {"refusals": 0}
    lock = threading.Lock()

    def answer(_):
        with lock:
            if state["refusals"] < 6:
                state["refusals"] += 1
                return (429, "slow down", {"Retry-After": "1"}) if state["refusals"] == 1 else (503, "busy")
        return 200

    e = s.endpoint(answer)
    bound(b, "throttled", e.url, queue=("--dead-letter", "throttled-dead", "--max-receives", 2))
    b.hato("send", "throttled", *[str(i) for i in range(10)])
    s.wait_for("all to be delivered", lambda: empty(b, "throttled"))
    s.equal("an endpoint that throttles costs no message a receive", {r.headers["hato-receive-count"] for r in e.requests}, {"1"})
    s.equal("nor a dead letter", b.json("queue", "show", "throttled-dead")["ready"], 0)


def slow(s, b):
    """Slower than the queue's visibility: leases are extended. Slower than the timeout: it failed."""
    release = threading.Event()
    e = s.endpoint(lambda request: (release.wait(60), 200)[1] if request.body == b"slow" else 200)
    bound(b, "slow", e.url, "--timeout", "20s", queue=("--visibility", "500ms"))
    b.hato("send", "slow", "slow")
    s.wait_for("the request", lambda: e.requests)
    time.sleep(1.5)
    s.equal("while a request is out its message is held", b.json("queue", "show", "slow")["in_flight"], 1)
    release.set()
    s.wait_for("the ack", lambda: empty(b, "slow"))
    s.equal("and given once", len(e.requests), 1)


def hanging(s, b):
    """A message that hangs the function, among others that don't: it is at fault, and ends as a dead letter."""
    end = threading.Event()
    e = s.endpoint(lambda request: (end.wait(60), 200)[1] if request.body == b"hang" else 200)
    bound(b, "hanging", e.url, "--timeout", "200ms", queue=("--dead-letter", "hanging-dead", "--max-receives", 2))
    b.hato("send", "hanging", "hang")

    def dead():
        b.hato("send", "hanging", "fine")
        return [letter for letter in b.json("peek", "hanging-dead") if letter["body"] == "hang"]

    letter, = s.wait_for("the dead letter", dead)
    end.set()
    s.contains("a message that hangs its function becomes a dead letter, and says why", letter["last_error"], "no answer in time")


def redirected(s, b):
    other = s.endpoint()
    e = s.endpoint(lambda request: (307, "", {"Location": other.url}) if request.headers["hato-receive-count"] == "1" else 200)
    bound(b, "redirected", e.url)
    b.hato("send", "redirected", "x")
    s.wait_for("the ack", lambda: empty(b, "redirected"))
    s.equal("a redirect is never followed", (len(e.requests), len(other.requests)), (2, 0))


def pause_and_concurrency(s, b):
    now = {"out": 0, "most": 0}
    lock = threading.Lock()

    def answer(_):
        with lock:
            now["out"] += 1
            now["most"] = max(now["most"], now["out"])
        time.sleep(0.01)
        with lock:
            now["out"] -= 1
        return 200

    e = s.endpoint(answer)
    bound(b, "narrow", e.url, bind=("--max-concurrency", 2, "--paused"))
    b.hato("send", "narrow", *[str(i) for i in range(40)])
    s.equal("a function whose queues are all paused is so itself", b.json("function", "show", "narrow")["state"], "paused")
    s.equal("a paused queue pushes nothing", (b.json("queue", "show", "narrow")["ready"], len(e.requests)), (40, 0))
    b.hato("resume", "narrow")
    s.wait_for("all to be delivered", lambda: empty(b, "narrow"))
    s.check("never more at once than allowed", now["most"] <= 2, now["most"])
    b.hato("unbind", "narrow")
    b.hato("send", "narrow", "unbound")
    s.equal("an unbound queue keeps its messages", b.hato("receive", "narrow", "--ack", "--body"), "unbound\n")


def in_order(s, b):
    """A FIFO queue with a function that fails now and then: groups keep their order."""
    seen = []
    lock = threading.Lock()

    def answer(request):
        with lock:
            count = int(request.headers["hato-receive-count"])
            if count == 1 and len(seen) % 7 == 3:
                seen.append(None)
                return 500
            seen.append((request.headers["hato-group"], int(request.body)))
        return 200

    e = s.endpoint(answer)
    b.hato("queue", "create", "ordered.fifo")
    b.hato("function", "create", "ordered", "--url", e.url, "--retry-min", "20ms", "--retry-max", "50ms")
    with native.Connection(b.port) as c:
        for i in range(60):
            c.send("ordered.fifo", {"body": b"%d" % i, "group": f"g{i % 3}", "deduplication_id": f"{i}"})
    b.hato("bind", "ordered.fifo", "ordered")
    s.wait_for("all to be delivered", lambda: empty(b, "ordered.fifo"))
    for group in ("g0", "g1", "g2"):
        order = [number for one in seen if one for g, number in [one] if g == group]
        s.equal(f"group {group} is delivered in order", order, sorted(set(order)))


def broker_killed(s, b):
    """The broker is killed while requests are out: everything is delivered at least once, nothing is lost."""
    bodies = {f"message {i}" for i in range(300)}
    answered = 100  # requests before the crash; those after them are out when it comes
    seen = []
    crashed = threading.Event()
    lock = threading.Lock()

    def answer(request):
        with lock:
            seen.append(request.body.decode())
            late = len(seen) > answered
        if late:
            crashed.wait(60)
        return 200

    e = s.endpoint(answer)
    bound(b, "survivor", e.url, "--timeout", "500ms")  # what was under way is leased for that, and 10 s
    b.hato("send", "survivor", *bodies)

    def rest():
        left = {one["body"] for one in b.json("peek", "survivor", "--max", 1000)}
        return left if len(seen) > answered and len(left) < len(bodies) else None

    left = s.wait_for("some to be delivered", rest)
    b.kill()
    before = len(seen)
    crashed.set()
    b.start()
    s.wait_for("all to be delivered", lambda: empty(b, "survivor"))
    s.equal("after a crash of the broker the rest is delivered, without being asked", set(seen), bodies)
    s.equal("what was acked before it does not come again", set(seen[before:]) - left, set())


with scenario() as scene:
    broker = scene.broker()
    for part in (raw, lambda_event, cloudevents, signature, dead_letters, endpoint_down, throttled, slow, hanging, redirected,
                 pause_and_concurrency, in_order, broker_killed):
        part(scene, broker)
