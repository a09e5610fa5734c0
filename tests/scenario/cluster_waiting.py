#!/usr/bin/env python3
"""Streams and waiting receives that another node decides are bounded by the node that the client is connected to."""
import native
from lib import memory_bound, scenario

MIB = 1 << 20
WAITING_MAX = 16384  # streams and waiting receives of a connection
FRAME_MAX = 4096     # of what opens one
STREAM_OPEN, RECEIVE = 10, 6  # of Request


def of_others(s, nodes, prefix):
    """A node, and queues that others lead: (the leader, its queue) of each."""
    found = native.queues_by_leader(s, nodes, prefix)
    own = next((node for node in nodes if node not in found), nodes[0])
    return own, [(leader, queue) for leader, queue in found.items() if leader is not own]


def code(c, number):
    try:
        reply = c.answer(number)
        return reply["error"]["code"] if reply.get("error") else native.OK
    except native.Refused as refused:
        return refused.code


def padded(number, op, name, fields, size):
    """A frame with a field that nobody knows, of `size` bytes."""
    body = native.encode(name, fields) + native.tagged(1000, native.LENGTH, native.varint(size) + bytes(size))
    return native.frame(native.encode("Request", {"id": number}) + native.tagged(op, native.LENGTH,
                                                                                 native.varint(len(body)) + body))


def refusals(c, numbers):
    """The codes of those of these requests that are refused before a ping that was asked after them is answered."""
    c.call("ping")
    return [code(c, number) for number in numbers if c.kept.get(number)]


def how_many(s, own, queues):
    """The limit holds for the connection, not for each node that leads some of its queues."""
    first, last = queues[0][1], queues[-1][1]
    with native.Connection(own.port) as c:
        half = WAITING_MAX // 2
        streams = [c.ask("stream_open", queue=first, credit=1) for _ in range(half)]
        polls = [c.ask("receive", queue=last, wait_ms=3600000) for _ in range(half)]
        s.equal("as many streams and waiting receives as a connection may have are taken", refusals(c, streams + polls), [])
        more = [c.ask("stream_open", queue=last, credit=1), c.ask("receive", queue=first, wait_ms=3600000)]
        s.equal("one more is refused, without asking who leads its queue", refusals(c, more), [native.LIMIT] * 2)
        s.equal("a receive that does not wait is none of them", c.receive(first, wait_ms=0), [])
        c.write(native.request(next(c.ids), "stream_close", stream=streams[0]))
        s.equal("a stream can be closed", code(c, streams[0]), native.OK)
        s.equal("which makes room for another", refusals(c, [c.ask("stream_open", queue=last, credit=1)]), [])
        s.equal("and no more", refusals(c, [c.ask("stream_open", queue=last, credit=1)]), [native.LIMIT])


def credit(s, own, queue):
    """What comes while the way to the leader is being opened is added up."""
    wanted = 110001  # more than one grant may have
    total = wanted + 99
    with native.Connection(own.port) as c:
        for first in range(0, total, 1000):
            c.send(queue, *[b""] * min(1000, total - first))
    with native.Connection(own.port) as c:
        stream = next(c.ids)
        c.write(native.request(stream, "stream_open", queue=queue, credit=1, max_batch=1000, visibility_ms=3600000)
                + b"".join(native.request(next(c.ids), "stream_credit", stream=stream, credit=55000) for _ in range(2)))
        got = 0
        while got < wanted:
            got += len(c.answer(stream)["deliveries"])
        s.equal("a stream that another node leads has all the credit that it was given at once", got, wanted)
        s.equal("and no more", c.counts(queue)["ready"], total - wanted)


def hung(s, own, leader, queue):
    """The leader does not answer: what waits for it is bounded all the same."""
    with native.Connection(own.port) as c, native.Connection(own.port) as fresh:
        c.receive(queue, wait_ms=0)
        before = own.memory_peak()
        leader.pause()
        numbers = []
        for _ in range(400):
            numbers.append(next(c.ids))
            c.write(padded(numbers[-1], STREAM_OPEN, "StreamOpen", {"queue": queue, "credit": 1}, MIB - 1000))
        for _ in range(50):
            numbers.append(next(c.ids))
            c.write(padded(numbers[-1], RECEIVE, "Receive", {"queue": queue}, FRAME_MAX))
        c.call("ping")
        grown = own.memory_peak() - before
        s.check("streams and receives of large frames take no memory of the node that they are sent to",
                grown < memory_bound(100 * MIB), f"{grown / MIB:.0f} MiB")
        s.equal("they are refused", {code(c, number) for number in numbers}, {native.TOO_LARGE})

        before = own.memory_peak()
        stream = fresh.ask("stream_open", queue=queue, credit=1)
        more = native.request(1 << 20, "stream_credit", stream=stream, credit=1) * 10000
        for _ in range(200):
            fresh.write(more)
        fresh.call("ping")
        grown = own.memory_peak() - before
        s.check("nor does credit without end", grown < memory_bound(16 * MIB), f"{grown / MIB:.0f} MiB")
    leader.resume()


def held(s, own, others, queue):
    """While nobody leads the queue, what waits for a leader is held here, and counts as it will when it is passed on."""
    for node in others:
        node.pause()
    with native.Connection(own.port) as c:
        while c.code("send", queue=queue, messages=[{"body": b"x"}]) != native.NOT_LEADER:
            pass
        numbers = [next(c.ids) for _ in range(WAITING_MAX + 2)]
        c.write(b"".join(native.request(number, "stream_open", queue=queue, credit=1) for number in numbers))
        s.equal("streams beyond the limit are refused while none of them has a leader", refusals(c, numbers[WAITING_MAX:]),
                [native.LIMIT] * 2)
    for node in others:
        node.resume()


with scenario() as scene:
    three = scene.cluster(3, "--shards", "32")
    how_many(scene, *of_others(scene, three, "many"))
    client_of, led = of_others(scene, three, "credit")
    credit(scene, client_of, led[0][1])
    client_of, led = of_others(scene, three, "hung")
    hung(scene, client_of, *led[0])
    client_of, led = of_others(scene, three, "held")
    held(scene, client_of, [node for node in three if node is not client_of], led[0][1])
