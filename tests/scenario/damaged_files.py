#!/usr/bin/env python3
"""Files that were cut, flipped, lost. Only a torn tail, which provably was never acknowledged, is cut off; everything else is
refused by a message that says which file, where, and what to do. Never is anything that was acknowledged gone without a word."""
import glob
import os
import random
import re
import shutil
import struct
import subprocess

import native
from lib import build_directory, scenario

SEED = 7
BITS = 25  # flipped, in a usual run
MESSAGES = 250
SEGMENT = ("--log-segment", "1MiB", "--log-window", "64MiB")
HEADER = 4096
ADVICE = re.compile(r"backup|peers")


# ------------------------------------------------------------ what is on the disk

def records(path):
    """(offset, kind, bytes) of each record of a segment, by proto/LOG-FORMAT.md; none of a file made in advance."""
    with open(path, "rb") as file:
        data = file.read()
    life, at, found = data[32:40], HEADER, []
    while at + 64 <= len(data) and data[at + 8:at + 16] == life:
        size = 64 + (struct.unpack_from("<I", data, at + 44)[0] + 7) // 8 * 8
        found.append((at, data[at + 56], size))
        at += size
    return found


def segments(data):
    """The log's files that hold something, oldest first."""
    return [path for path in sorted(glob.glob(f"{data}/log/*.seg")) if records(path)]


def flip(path, at, mask=0x10):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ mask]))


def overwrite(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


# ------------------------------------------------------------ trying

class Original:
    """A data directory as a broker left it, to be copied and spoilt."""

    def __init__(self, s, name, end):
        self.s = s
        broker = s.broker(*SEGMENT, name=name)
        pick = random.Random(SEED)
        with native.Connection(broker.port) as c:
            c.call("queue_create", name="jobs")
            self.bodies = {pick.randbytes(9000) for _ in range(MESSAGES)}
            for body in self.bodies:
                c.send("jobs", body)
            gone = c.receive("jobs", 50)
            c.ack("jobs", *gone)
            self.bodies -= {one["message"]["body"] for one in gone}
        end(broker)
        self.data = broker.data
        self.broker = s.broker(*SEGMENT, name=name + "-spoilt", start=False)

    def spoil(self, change):
        """Starts a broker on a spoilt copy. Returns its refusal, or None and the broker runs."""
        b = self.broker
        shutil.rmtree(b.data, ignore_errors=True)
        shutil.copytree(self.data, b.data)
        change(b.data)
        with open(b.log, "wb"):
            pass
        b.start(ready=False)
        self.s.wait_for("the broker to start or refuse", lambda: not b.running() or answers(b))
        if b.running():
            return None
        return b.last_lines()

    def holds_all(self):
        """Whether all that was acknowledged is there, no more and no less; ends the broker."""
        with native.Connection(self.broker.port) as c:
            found = {one["message"]["body"] for one in c.drain("jobs")}
        self.broker.kill()
        return found == self.bodies

    def refused(self, what, change, *parts):
        """Checks that starting on it is refused, naming these and what to do."""
        refusal = self.spoil(change)
        if refusal is None:
            self.broker.kill()
        self.s.check(f"{what} is refused, and said where and what to do", refusal is not None
                     and all(part in refusal for part in parts) and ADVICE.search(refusal), refusal)

    def survives(self, what, change):
        refusal = self.spoil(change)
        self.s.check(what, refusal is None and self.holds_all(), refusal or "not all messages are there")


def answers(b):
    try:
        return b.get("/readyz")[0] == 200
    except OSError:
        return False


# ------------------------------------------------------------ the log

def torn_tails(s, original):
    last = segments(original.data)[-1]
    found = records(last)
    mark, _, _ = found[-1]
    entry, _, size = next(one for one in reversed(found) if one[1] == 5)
    with open(last, "rb") as file:
        begun = file.read()[entry:entry + size]
    name = os.path.basename(last)
    original.survives("bytes of a write that never ended are cut off, and nothing else",
                      lambda data: overwrite(f"{data}/log/{name}", mark, random.Random(SEED).randbytes(5000)))
    original.survives("so is half of a record",
                      lambda data: overwrite(f"{data}/log/{name}", mark, begun[:size // 2]))
    original.survives("so are zeros", lambda data: overwrite(f"{data}/log/{name}", mark, bytes(600)))


def damaged_log(s, original):
    logs = segments(original.data)
    first, last = os.path.basename(logs[0]), os.path.basename(logs[-1])
    inside = records(logs[-1])[3][0] + 100
    original.refused("a bit flipped in what was acknowledged", lambda d: flip(f"{d}/log/{last}", inside), last, "offset")
    original.refused("one in an older file", lambda d: flip(f"{d}/log/{first}", 6000), first, "offset")
    original.refused("one in a file's header", lambda d: flip(f"{d}/log/{first}", 20), first, "offset 0")
    original.refused("a file that was cut", lambda d: os.truncate(f"{d}/log/{last}", 300000), last, "300000")
    original.refused("an empty file", lambda d: os.truncate(f"{d}/log/{first}", 0), first)
    original.refused("a first file that is gone", lambda d: os.unlink(f"{d}/log/{first}"), ".seg", "missing")
    original.refused("a last file that is gone", lambda d: os.unlink(f"{d}/log/{last}"), last, "missing")
    original.refused("a log directory that is gone", lambda d: shutil.rmtree(f"{d}/log"), "log")
    original.refused("a damaged hato.node", lambda d: flip(f"{d}/hato.node", 30), "hato.node")
    original.refused("a cut hato.node", lambda d: os.truncate(f"{d}/hato.node", 20), "hato.node")
    original.refused("a hato.node that is gone", lambda d: os.unlink(f"{d}/hato.node"), "hato.node")


def any_bit(s, original, kind):
    """Wherever a bit flips: the broker refuses and names the file, or everything is there."""
    pick = random.Random(SEED)
    paths = segments(original.data) if kind == "log" else \
        [path for path in glob.glob(f"{original.data}/store/*") if re.search(r"\.sst$|MANIFEST|CURRENT", path)]
    wrong = []
    refusals = 0
    for _ in range(BITS):
        path = pick.choice(paths)
        size = records(path)[-1][0] if kind == "log" else os.path.getsize(path)
        at, mask = pick.randrange(size), 1 << pick.randrange(8)
        relative = os.path.relpath(path, original.data)
        refusal = original.spoil(lambda d, r=relative, a=at, m=mask: flip(f"{d}/{r}", a, m))
        if refusal is None:
            if not original.holds_all():
                wrong.append(f"{relative} at {at} bit {mask}: messages are missing and nothing was said")
        else:
            refusals += 1
            if original.broker.directory not in refusal or not ADVICE.search(refusal):
                wrong.append(f"{relative} at {at} bit {mask}: {refusal}")
    s.check(f"any bit of the {kind}'s files: refused with the file named, or nothing is lost ({refusals} of {BITS} refused)",
            not wrong, "\n".join(wrong))


# ------------------------------------------------------------ the store

def damaged_store(s, original):
    tables = [os.path.basename(path) for path in glob.glob(f"{original.data}/store/*.sst")]
    s.check("a broker that stopped in order left its state in tables", tables, os.listdir(f"{original.data}/store"))
    table = tables[0]
    manifest = os.path.basename(glob.glob(f"{original.data}/store/MANIFEST-*")[0])
    size = os.path.getsize(f"{original.data}/store/{table}")
    # Its end is read at every start; a bit in a block that is not is found when the block is read (any_bit).
    original.refused("a bit flipped in the end of a table", lambda d: flip(f"{d}/store/{table}", size - 100), f"store/{table} is damaged")
    original.refused("a table that was cut", lambda d: os.truncate(f"{d}/store/{table}", size // 2),
                     f" {original.broker.data}/store/{table} is damaged")
    original.refused("a table that is gone", lambda d: os.unlink(f"{d}/store/{table}"), f"store/{table} is missing")
    original.refused("a damaged manifest", lambda d: flip(f"{d}/store/{manifest}", 40), f"store/{manifest} is damaged")
    original.refused("a manifest without its last byte", lambda d: os.truncate(f"{d}/store/{manifest}", os.path.getsize(f"{d}/store/{manifest}") - 1),
                     f"store/{manifest} is damaged", "it ends at byte")
    original.refused("a manifest that is gone", lambda d: os.unlink(f"{d}/store/{manifest}"), f"store/{manifest} is missing")
    original.refused("a CURRENT that is gone", lambda d: os.unlink(f"{d}/store/CURRENT"), "store/CURRENT is missing")
    original.survives("a store that is gone is made anew from a log that is whole", lambda d: shutil.rmtree(f"{d}/store"))


def peek_to_the_end(c, queue):
    """How many messages a peek gives, or its refusal."""
    after, found = "", 0
    try:
        while True:
            page = c.call("peek", queue=queue, after=after, max_messages=100)
            found += len(page["messages"])
            after = page["next"]
            if not after:
                return found
    except native.Refused as refused:
        return refused


def without_spilled_bodies(s, b):
    """The store is whole, but what the log gave up is not in it."""
    whole = b.data + "-whole"
    shutil.copytree(b.data, whole)
    subprocess.run([os.path.join(build_directory(), "tests", "drop_bodies"), f"{b.data}/store"], check=True)
    b.start()
    with native.Connection(b.port) as c:
        found = peek_to_the_end(c, "jobs")
    s.check("a peek tells of a body that is gone, and leaves none out in silence",
            isinstance(found, native.Refused) and found.code == native.CORRUPT and ADVICE.search(str(found)), found)
    b.kill()
    shutil.rmtree(b.data)
    shutil.move(whole, b.data)


def without_its_beginning(s):
    """A log whose beginning was spilled to the store: the store can't be made anew from it."""
    b = s.broker(*SEGMENT, name="long")
    with native.Connection(b.port) as c:
        c.call("queue_create", name="jobs")
        pick = random.Random(SEED)
        for _ in range(160):
            c.send("jobs", *[pick.randbytes(60000) for _ in range(10)])
        s.wait_for("the log to let go of its beginning", lambda: not os.path.exists(f"{b.data}/log/{1:016x}.seg"))
        s.equal("all messages are counted", c.counts("jobs")["ready"], 1600)
    b.stop()
    without_spilled_bodies(s, b)
    shutil.rmtree(f"{b.data}/store")
    b.start(ready=False)
    s.equal("a store that can't be made anew is refused", b.wait(), 1)
    refusal = b.last_lines()
    s.check("and said what to do", ADVICE.search(refusal), refusal)


# ------------------------------------------------------------ while it runs

def receive_all(c, queue):
    for _ in range(150):
        c.receive(queue, 10)


def peek_all(c, queue):
    after = ""
    for _ in range(150):
        after = c.call("peek", queue=queue, after=after, max_messages=10)["next"]


def found_while_serving(s, reading):
    """Damage that is found only when a message is read: its shard stops and says so, the others go on."""
    b = s.broker("--log-segment", "1MiB", "--log-window", "64MiB", name=f"serving_{reading.__name__}")
    with native.Connection(b.port) as c:
        names = [f"jobs{i}" for i in range(12)]
        shards = {name: c.call("queue_create", name=name)["shard"] for name in names}
        pick = random.Random(SEED)
        for _ in range(150):
            for name in names[:1]:
                c.send(name, *[pick.randbytes(10000) for _ in range(10)])
        other = next(name for name in names if shards[name] != shards[names[0]])
        c.send(other, b"fine")
        for path in segments(b.data)[:-1]:
            for at, kind, size in records(path):
                if kind == 5 and size > 5000:
                    flip(path, at + 3000)
        error = None
        try:
            reading(c, names[0])
        except native.Refused as refused:
            error = refused
        s.check(f"{reading.__name__} says so when it meets damage", error is not None and error.code == native.CORRUPT
                and ".seg" in error.message, error)
        s.equal("a queue of another shard goes on", [one["message"]["body"] for one in c.receive(other)], [b"fine"])
        status, text = b.get("/readyz")
        s.check("/readyz says that a shard does not serve, and why", status == 503 and ".seg" in text, text)
        s.contains("/metrics count it", b.get("/metrics")[1], f'hato_shard_stopped{{shard="{shards[names[0]]}"}} 1')
        problems = [one["problem"] for one in b.json("status")["shards"] if one["role"] == "stopped"]
        s.check("hato status tells the problem", len(problems) == 1 and ".seg" in problems[0], problems)


with scenario() as scene:
    killed = Original(scene, "killed", lambda broker: broker.kill())
    torn_tails(scene, killed)
    damaged_log(scene, killed)
    any_bit(scene, killed, "log")
    stopped = Original(scene, "stopped", lambda broker: broker.stop())
    damaged_store(scene, stopped)
    any_bit(scene, stopped, "store")
    without_its_beginning(scene)
    found_while_serving(scene, receive_all)
    found_while_serving(scene, peek_all)
