#!/usr/bin/env python3
"""Thousands of queues: whoever asks for what goes over all of them, however often, keeps nobody waiting and gets all of it."""
import threading

import native
from lib import scenario

QUEUES, BOUND, ASKED, PINGS = 3000, 1100, 400, 5


def create(c):
    """Names of one kind crowd together, and there are some of others."""
    for first in range(0, QUEUES, 200):
        ids = [next(c.ids) for _ in range(200)]
        c.write(b"".join(native.request(i, "queue_create", name=name_of(first + n)) for n, i in enumerate(ids)))
        for i in ids:
            c.answer(i)


def name_of(n):
    return f"{'azq'[n % 3]}-{n:05}"


def listed(c, size, prefix=""):
    return [[q["name"] for q in page] for page in listed_queues(c, size, prefix)]


def listed_queues(c, size, prefix=""):
    """All pages, as they come."""
    after, pages = "", []
    while True:
        page = c.call("queue_list", max=size, after=after, prefix=prefix)
        pages.append(page["queues"])
        after = page["next"]
        if not after:
            return pages


def pages_are_whole(s, c):
    names = sorted(name_of(n) for n in range(QUEUES))
    for size in (97, 1000):
        pages = listed(c, size)
        s.equal(f"pages of {size} have every queue once, in order", [name for page in pages for name in page], names)
        s.check("none of them is empty, or larger than asked for", all(0 < len(page) <= size for page in pages), [len(p) for p in pages])
    s.equal("so have those of a prefix", [n for page in listed(c, 1000, "z-") for n in page], [n for n in names if n[0] == "z"])


def names_are_bounded(s, b, c):
    c.call("function_create", name="busy", settings={"url": "http://127.0.0.1:1/"})
    for n in range(BOUND):
        c.call("bind", queue=name_of(n), function="busy", settings={"paused": True})
    shown = c.call("function_show", name="busy")
    s.equal("a function shows 1,000 of its queues, and how many there are", (len(shown["queues"]), shown["queue_count"]), (1000, BOUND))
    (one,) = c.call("function_list")["functions"]
    s.equal("in a list 100", (len(one["queues"]), one["queue_count"]), (100, BOUND))
    s.contains("and for people the list counts all", b.hato("function", "list"), f" {BOUND:,} ")


def pages_of_one_shard(s, c):
    """As many as a page takes of each shard are far fewer than it has."""
    queues = [q for page in listed_queues(c, 1000) for q in page]
    kept = sorted(q["name"] for q in queues if q["shard"] == queues[0]["shard"])
    for q in queues:
        if q["shard"] != queues[0]["shard"]:
            c.call("queue_delete", name=q["name"])
    s.equal("pages of queues that are all on one shard have each once, in order", [n for page in listed(c, 97) for n in page], kept)


class Asking(threading.Thread):
    """Asks for one thing many times at once, and counts what comes back."""

    def __init__(self, port, op, fields):
        super().__init__(daemon=True)
        self.c = native.Connection(port)
        self.ids = [next(self.c.ids) for _ in range(ASKED)]
        self.c.write(b"".join(native.request(i, op, **fields) for i in self.ids))
        self.answered = 0

    def run(self):
        for i in self.ids:
            self.c.answer(i)
            self.answered += 1


def others_are_served(s, b, op, **fields):
    asking = Asking(b.port, op, fields)
    asking.start()
    s.wait_for(f"the first answer to {op}", lambda: asking.answered > 0)
    with native.Connection(b.port) as c:
        for _ in range(PINGS):
            c.call("ping")
        c.call(op, **fields)  # which takes its turn, and is not behind all of them
    answered = asking.answered
    s.check(f"others are served while one asks {ASKED} times for {op}", answered < ASKED / 2, answered)
    asking.join()
    s.equal("who is answered each time", asking.answered, ASKED)


def who_leaves_is_forgotten(s, b):
    with native.Connection(b.port) as c:
        c.write(b"".join(native.request(next(c.ids), "status") for _ in range(ASKED)))
        c.write(b"".join(native.request(next(c.ids), "queue_list") for _ in range(ASKED)))
    with native.Connection(b.port) as c:
        s.wait_for("its requests to be gone", lambda: c.call("status")["connections"] == 1)


with scenario() as scene:
    broker = scene.broker("--loops", "2")
    with native.Connection(broker.port) as client:
        create(client)
        pages_are_whole(scene, client)
        names_are_bounded(scene, broker, client)
    for asked in ("status", "queue_list", "function_list"):
        others_are_served(scene, broker, asked)
    others_are_served(scene, broker, "function_show", name="busy")
    who_leaves_is_forgotten(scene, broker)
    with native.Connection(broker.port) as client:
        pages_of_one_shard(scene, client)
    scene.equal("it stops in order", broker.stop(), 0)
