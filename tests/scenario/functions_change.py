#!/usr/bin/env python3
"""Functions, bindings and queues are changed while requests are out: nothing is lost, nothing is delivered twice that was acked,
and nothing goes where it should not go any more."""
import threading

import native
from lib import scenario

LOOPS = "2"


class Gate:
    """Requests wait at it until it is opened, or answer at once; what they answer is set meanwhile."""

    def __init__(self):
        self.event = threading.Event()
        self.status = 200
        self.waiting = 0
        self.lock = threading.Lock()

    def __call__(self, _):
        with self.lock:
            self.waiting += 1
        self.event.wait(60)
        return self.status


def counts(b, queue):
    shown = b.json("queue", "show", queue)
    return shown["ready"], shown["in_flight"], shown["delayed"]


def bound(b, name, url, *options, queue=(), bind=()):
    b.hato("queue", "create", name, *queue)
    b.hato("function", "create", name, "--url", url, "--retry-min", "20ms", "--retry-max", "50ms", *options)
    b.hato("bind", name, name, *bind)


def bodies(e):
    return sorted(request.body.decode() for request in e.requests)


def paused(s, b):
    gate = Gate()
    e = s.endpoint(gate)
    bound(b, "paused", e.url, "--max-concurrency", 2)
    b.hato("send", "paused", *[f"m{i}" for i in range(6)])
    s.wait_for("requests", lambda: gate.waiting == 2)
    b.hato("pause", "paused")
    gate.event.set()
    s.wait_for("the acks", lambda: counts(b, "paused") == (4, 0, 0))
    s.equal("paused with requests out: they end, and are acked", len(e.requests), 2)
    b.hato("resume", "paused")
    s.wait_for("all to be delivered", lambda: counts(b, "paused") == (0, 0, 0))
    s.equal("resumed: the rest comes, each once", bodies(e), [f"m{i}" for i in range(6)])


def moved(s, b):
    gate = Gate()
    old, new = s.endpoint(gate), s.endpoint()
    bound(b, "moved", old.url, "--max-concurrency", 2)
    b.hato("send", "moved", *[f"m{i}" for i in range(6)])
    s.wait_for("requests", lambda: gate.waiting == 2)
    b.hato("function", "set", "moved", "--url", new.url, "--max-concurrency", 3)
    s.wait_for("what is not out to be delivered to the new URL", lambda: len(new.requests) == 4)
    gate.status = 500
    gate.event.set()
    s.wait_for("all to be delivered", lambda: counts(b, "moved") == (0, 0, 0))
    s.equal("moved with requests out: the old URL gets no more", len(old.requests), 2)
    s.equal("what failed there is tried at the new one", bodies(new), [f"m{i}" for i in range(6)])


def unbound(s, b):
    gate = Gate()
    e = s.endpoint(gate)
    bound(b, "unbound", e.url, "--max-concurrency", 2)
    b.hato("send", "unbound", *[f"m{i}" for i in range(6)])
    s.wait_for("requests", lambda: gate.waiting == 2)
    b.hato("unbind", "unbound")
    gate.event.set()
    s.wait_for("the acks", lambda: counts(b, "unbound") == (4, 0, 0))
    b.hato("function", "delete", "unbound")
    s.equal("unbound with requests out: they end and are acked, the rest stays", len(e.requests), 2)


def queue_deleted(s, b):
    gate = Gate()
    e = s.endpoint(gate)
    bound(b, "doomed", e.url, "--max-concurrency", 2)
    b.hato("send", "doomed", *[f"m{i}" for i in range(6)])
    s.wait_for("requests", lambda: gate.waiting == 2)
    b.hato("queue", "delete", "doomed")
    b.hato("queue", "create", "doomed")
    b.hato("send", "doomed", "new")
    gate.event.set()
    s.wait_for("the requests to end", lambda: b.json("function", "show", "doomed")["in_flight"] == 0)
    s.equal("its queue deleted with requests out: a new one of the name has nothing to do with them",
            (counts(b, "doomed"), len(e.requests)), ((1, 0, 0), 2))
    b.hato("bind", "doomed", "doomed")
    s.wait_for("all to be delivered", lambda: counts(b, "doomed") == (0, 0, 0))
    s.equal("and is delivered once bound", bodies(e)[-1], "new")


def deleted_while_bound(s, b):
    """A bind that passes a delete leaves a queue bound to nothing: it waits, and nothing goes to the old URL."""
    old, new = s.endpoint(), s.endpoint()
    left = 0
    with native.Connection(b.port) as one, native.Connection(b.port) as other:
        one.call("queue_create", name="race")
        one.call("queue_create", name="race2")
        for _ in range(40):
            one.call("function_create", name="race", settings={"url": old.url, "retry_min_ms": 20, "retry_max_ms": 50})
            asked = other.ask("function_delete", name="race")
            bind = [one.ask("bind", queue=queue, function="race") for queue in ("race", "race2")]
            taken = []
            for number in bind:
                try:
                    one.answer(number)
                    taken.append(number)
                except native.Refused:
                    pass
            try:
                other.answer(asked)
                deleted = True
            except native.Refused:
                deleted = False
            if deleted and taken:
                left += 1
                seen = len(old.requests)
                for queue in ("race", "race2"):
                    one.call("send", queue=queue, messages=[{"body": b"secret"}])
                one.call("function_create", name="race", settings={"url": new.url})
                for queue in ("race", "race2"):
                    one.call("bind", queue=queue, function="race")
                s.wait_for("the new function", lambda: counts(b, "race") == counts(b, "race2") == (0, 0, 0))
                if len(old.requests) != seen:
                    break
            for queue in ("race", "race2"):
                one.call("unbind", queue=queue)
            if not deleted or taken:
                one.call("function_delete", name="race")
    s.note(f"{left} binds passed a delete")
    s.equal("a function that was deleted while it was bound gets nothing any more", len(old.requests), 0)


def restarted(s, b):
    """Stopped in order with requests out: their messages go back uncounted, and come again."""
    gate = Gate()
    e = s.endpoint(gate)
    bound(b, "restarted", e.url, "--timeout", "1h", queue=("--dead-letter", "restarted-dead", "--max-receives", 1))
    b.hato("send", "restarted", *[f"m{i}" for i in range(4)])
    s.wait_for("requests", lambda: gate.waiting == 4)
    b.restart()
    gate.event.set()
    s.wait_for("all to be delivered", lambda: counts(b, "restarted") == (0, 0, 0))
    s.equal("after a restart what was out comes again, as its first receive",
            ({request.headers["hato-receive-count"] for request in e.requests[4:]}, bodies(e)[::2]),
            ({"1"}, [f"m{i}" for i in range(4)]))
    s.equal("and costs no receive", b.json("queue", "show", "restarted-dead")["ready"], 0)


with scenario() as scene:
    broker = scene.broker("--loops", LOOPS)
    for part in (paused, moved, unbound, queue_deleted, deleted_while_bound, restarted):
        part(scene, broker)
