#!/usr/bin/env python3
"""What a function may have holds for the node, however many queues are bound to it and whatever loops they live on: requests at
once, requests a second. And each queue gets its turn."""
import threading
import time

from lib import scenario

QUEUES = [f"q{i}" for i in range(8)]
LOOPS = 4


class Crowd:
    """Counts how many requests are out at once, and keeps each for a moment."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.lock = threading.Lock()
        self.out = 0
        self.most = 0
        self.order = []

    def __call__(self, request):
        with self.lock:
            self.out += 1
            self.most = max(self.most, self.out)
            self.order.append(request.headers["hato-queue"])
        time.sleep(self.seconds)
        with self.lock:
            self.out -= 1
        return 200


def bind_all(b, function):
    for queue in QUEUES:
        b.hato("bind", queue, function)


def send_all(b, count):
    for queue in QUEUES:
        b.hato("send", queue, *[str(i) for i in range(count)])


def empty(b):
    return all(queue["ready"] + queue["in_flight"] + queue["delayed"] == 0 for queue in b.json("queue", "list"))


def concurrency(s, b):
    crowd = Crowd(0.01)
    e = s.endpoint(crowd)
    b.hato("function", "create", "narrow", "--url", e.url, "--max-concurrency", 2)
    send_all(b, 20)
    bind_all(b, "narrow")
    s.wait_for("all to be delivered", lambda: empty(b))
    s.equal("no more requests are out than the function allows, over all queues and loops", crowd.most, 2)
    s.equal("each message came once", len(e.requests), 20 * len(QUEUES))
    first = {queue: crowd.order.index(queue) for queue in QUEUES}
    done = {queue: len(crowd.order) - 1 - crowd.order[::-1].index(queue) for queue in QUEUES}
    s.check("no queue had all its messages delivered before each loop had its turn", max(first.values()) < min(done.values()),
            (first, done))


def changed(s, b):
    """Raised while queues wait, then lowered."""
    crowd = Crowd(0.02)
    e = s.endpoint(crowd)
    b.hato("function", "set", "narrow", "--url", e.url, "--max-concurrency", 1)
    send_all(b, 20)
    s.wait_for("some to be delivered", lambda: len(e.requests) > 8)
    s.equal("a lower limit holds", crowd.most, 1)
    b.hato("function", "set", "narrow", "--max-concurrency", 6)
    s.wait_for("all to be delivered", lambda: empty(b))
    s.check("a higher one is made use of", 1 < crowd.most <= 6, crowd.most)


def rate(s, b):
    crowd = Crowd(0)
    e = s.endpoint(crowd)
    b.hato("function", "set", "narrow", "--url", e.url, "--max-concurrency", 1000, "--rate", 20)
    began = time.monotonic()
    send_all(b, 5)
    s.wait_for("all to be delivered", lambda: empty(b))
    # Two at once, then one each 50 ms.
    s.check("so does the rate", time.monotonic() - began >= (5 * len(QUEUES) - 2) / 20 - 0.1, time.monotonic() - began)


def gone(s, b):
    """Who waits for his turn when the function, or his queue, goes away holds nobody up."""
    crowd = Crowd(0.02)
    e = s.endpoint(crowd)
    b.hato("function", "set", "narrow", "--url", e.url, "--max-concurrency", 1, "--rate", 0)
    send_all(b, 10)
    for queue in QUEUES[:4]:
        b.hato("unbind", queue)
    s.wait_for("the others to be delivered", lambda: all(b.json("queue", "show", queue)["ready"] == 0 for queue in QUEUES[4:]))
    s.check("one at a time", crowd.most == 1, crowd.most)
    for queue in QUEUES[4:]:
        b.hato("unbind", queue)
    b.hato("function", "delete", "narrow")
    crowd = Crowd(0.01)
    e = s.endpoint(crowd)
    b.hato("function", "create", "narrow", "--url", e.url, "--max-concurrency", 3)
    bind_all(b, "narrow")
    s.wait_for("all to be delivered", lambda: empty(b))
    s.check("a new function of the name has its own limit, whole", 1 < crowd.most <= 3, crowd.most)


with scenario() as scene:
    broker = scene.broker("--loops", str(LOOPS))
    for name in QUEUES:
        broker.hato("queue", "create", name)
    for part in (concurrency, changed, rate, gone):
        part(scene, broker)
