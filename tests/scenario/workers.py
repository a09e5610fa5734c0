"""Clients that use a cluster while something happens to it, and must not notice."""
import contextlib
import itertools
import threading

import native

PRODUCERS = itertools.count(100)  # each worker is one of its own


class Worker(threading.Thread):
    """Sends to a queue and receives and acks there, one after the other, until it is told to stop: through nodes that stay up."""

    def __init__(self, port, queue, producer):
        super().__init__()
        self.port, self.queue, self.producer = port, queue, producer
        self.over = threading.Event()
        self.sent = self.received = 0
        self.problem = ""

    def once(self, c):
        self.sent += 1
        body = f"{self.queue} {self.sent}".encode()
        reply = c.call("send", queue=self.queue, messages=[{"body": body}], producer=self.producer, sequence=self.sent)
        result = reply["results"][0]
        if result["error"] or result["duplicate"]:
            raise AssertionError(f"send {self.sent}: {result}")
        got = c.call("receive", queue=self.queue, max_messages=1, wait_ms=10000)["deliveries"]
        if [one["message"]["body"] for one in got] != [body] or got[0]["receive_count"] != 1:
            raise AssertionError(f"sent {body}, received {got}")
        codes = c.ack(self.queue, got[0])
        if any(codes):
            raise AssertionError(f"ack {self.sent}: {codes}")
        self.received += 1

    def run(self):
        try:
            with native.Connection(self.port) as c:
                while not self.over.is_set():
                    self.once(c)
        except Exception as problem:  # told by the main thread
            self.problem = repr(problem)


@contextlib.contextmanager
def working(s, ports, queues):
    """A worker for each queue, at these ports in turns, while the block lasts. The block gets them."""
    workers = [Worker(ports[i % len(ports)], queue, next(PRODUCERS)) for i, queue in enumerate(queues)]
    for worker in workers:
        worker.start()
    try:
        yield workers
    finally:
        for worker in workers:
            worker.over.set()
        for worker in workers:
            worker.join()
    s.equal("no client saw an error", [worker.problem for worker in workers if worker.problem], [])
    s.equal("each message came once, and first", [worker.received for worker in workers], [worker.sent for worker in workers])
