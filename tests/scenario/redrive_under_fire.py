#!/usr/bin/env python3
"""The broker is killed at random moments while a FIFO queue is redriven, bit by bit, into one that is nearly always full, and redrives are
begun, cancelled and begun again, and single messages of it leased meanwhile. Each message arrives once, and each group in its order.

    redrive_under_fire.py [--each N] [--seed N]
"""
import argparse
import collections
import random
import threading
import time

import native
from lib import scenario

GROUPS = 6
FULL_AT = 30  # messages
EACH = 150    # of a group, in a usual test run


class Receiver(threading.Thread):
    """Receives and acks what arrives; now and then it forgets to ack."""

    def __init__(self, broker, pick):
        super().__init__(daemon=True)
        self.broker = broker
        self.pick = pick
        self.over = threading.Event()
        self.arrived = collections.defaultdict(list)  # by group, in order of the first receive
        self.acked = set()
        self.came_back = []

    def run(self):
        while not self.over.is_set():
            try:
                with native.Connection(self.broker.port) as c:
                    while not self.over.is_set():
                        self.receive(c)
            except (OSError, EOFError, native.Refused):
                time.sleep(0.02)  # it was killed

    def receive(self, c):
        got = c.call("receive", queue="full.fifo", max_messages=self.pick.randrange(1, 8), wait_ms=50, visibility_ms=600)
        for d in got["deliveries"]:
            body = d["message"]["body"]
            group, number = map(int, body.split())
            if body in self.acked:
                self.came_back.append(body)
            if number not in self.arrived[group]:
                self.arrived[group].append(number)
        if got["deliveries"] and self.pick.random() >= 0.1:
            c.call("ack", queue="full.fifo", receipts=[d["receipt"] for d in got["deliveries"]])
            self.acked |= {d["message"]["body"] for d in got["deliveries"]}


def fill(broker, each):
    with native.Connection(broker.port) as c:
        c.call("queue_create", name="from.fifo")
        c.call("queue_create", name="full.fifo", settings={"max_messages": FULL_AT})
        for number in range(each):
            c.call("send", queue="from.fifo",
                   messages=[{"body": b"%d %d" % (group, number), "group": f"g{group}"} for group in range(GROUPS)])


def try_to(c, op, **fields):
    try:
        c.call(op, **fields)
    except native.Refused:
        pass  # one is running, or none is


def meddle(broker, pick):
    """Redrives, cancelled ones among them, and leases that hold a group up."""
    try:
        with native.Connection(broker.port) as c:
            for _ in range(pick.randrange(1, 6)):
                try_to(c, "redrive_start", queue="from.fifo", destination="full.fifo")
                if pick.random() < 0.2:
                    try_to(c, "redrive_cancel", queue="from.fifo")
                if pick.random() < 0.15:
                    c.call("receive", queue="from.fifo", max_messages=3, wait_ms=0, visibility_ms=300)
                time.sleep(pick.random() * 0.4)
    except (OSError, EOFError):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--each", type=int, default=EACH, help="messages of a group (%(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    pick = random.Random(options.seed)
    print(f"# --seed {options.seed}")
    with scenario() as s:
        broker = s.broker("--shards", "4")
        fill(broker, options.each)
        receiver = Receiver(broker, random.Random(options.seed + 1))
        receiver.start()
        while len(receiver.acked) < GROUPS * options.each and receiver.is_alive():
            meddle(broker, pick)
            if pick.random() < 0.6:
                broker.kill()
                broker.start()
        receiver.over.set()
        receiver.join()
        s.equal("each message arrives", len(receiver.acked), GROUPS * options.each)
        s.equal("and none after it was acked", receiver.came_back, [])
        s.equal("each group comes in its order", {g: n for g, n in receiver.arrived.items() if n != sorted(n)}, {})
        with native.Connection(broker.port) as c:
            counts = [c.counts(name) for name in ("from.fifo", "full.fifo")]
        s.equal("nothing is left, or stored twice", [(n["ready"], n["in_flight"], n["delayed"], n["moving"], n["bytes"], n["sent_total"])
                                                     for n in counts], [(0, 0, 0, 0, 0, GROUPS * options.each)] * 2)


main()
