#!/usr/bin/env python3
"""A disk that is full: sends are refused, receives and acks go on, and when there is space again so do sends. Needs to be root, for a
small file system of its own."""
import contextlib
import os
import re
import subprocess

import native
from lib import Skipped, scenario

SIZE = "160m"
FLAGS = ("--log-window", "64MiB", "--log-segment", "4MiB", "--disk-reserve", "24MiB")
BODY = 100000
SPILLS_AT = 100 << 20  # of the disk used: what is beyond the log's window goes to the store


@contextlib.contextmanager
def small_disk(path):
    os.makedirs(path)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", path], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Skipped(f"no small file system to be had here: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=False)


def disk_used(path):
    disk = os.statvfs(path)
    return (disk.f_blocks - disk.f_bfree) * disk.f_frsize


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def send_until_refused(c, queue, pick):
    """Sends until the broker says that its disk is full. Returns the bodies stored."""
    stored = set()
    while True:
        bodies = [pick(BODY) for _ in range(5)]
        try:
            results = c.call("send", queue=queue, messages=[{"body": body} for body in bodies])["results"]
        except native.Refused as refused:
            return stored, refused
        stored |= {body for body, result in zip(bodies, results) if result["error"] is None}


def fill_for_good(s, b, c, queue):
    """Sends until nothing the broker can let go of makes room. Returns the bodies stored and the last refusal."""
    stored = set()

    def refused_and_said():
        more, refused = send_until_refused(c, queue, os.urandom)
        stored.update(more)
        said = not b.json("status")["accepts_sends"] and "hato_accepts_sends 0" in b.get("/metrics")[1]
        return refused if said and not more else None

    return stored, s.wait_for("status and metrics to say that sends are refused", refused_and_said)


def fills_and_recovers(s, b):
    with native.Connection(b.port) as c:
        c.call("queue_create", name="jobs")
        stored, refused = fill_for_good(s, b, c, "jobs")
        s.equal("sends are refused by code", refused.code, native.STORAGE_FULL)
        s.contains("and told what goes on", refused.message, "receive and ack go on")
        s.check("there was room for some", len(stored) > 100, len(stored))
        done = b.run("send", "jobs", "x", "--json")
        s.check("hato says so, too", done.returncode == 1 and '"code":"storage_full"' in done.stderr, done.stderr)
        s.equal("the broker is alive and ready", (b.get("/healthz")[0], b.get("/readyz")[0]), (200, 200))
        s.equal("queues are still made, and settings changed",
                c.call("queue_create", name="more")["settings"]["visibility_ms"], 30000)

        some = c.receive("jobs", 20)
        s.equal("receives go on", len(some), 20)
        s.equal("acks go on", c.ack("jobs", *some[:10]), [])
        s.equal("nacks go on", c.call("nack", queue="jobs", receipts=[one["receipt"] for one in some[10:]])["codes"], [])
        gone = {one["message"]["body"] for one in some[:10]}
        b.kill()
        b.start()
    with native.Connection(b.port) as c:
        s.equal("a broker that is killed on a full disk starts again with all it had", c.counts("jobs")["ready"], len(stored) - 10)
        rest = c.drain("jobs", 50)
        s.check("receiving and acking empties it", {one["message"]["body"] for one in rest} == stored - gone)
        s.wait_for("sends to be accepted again", lambda: c.code("send", queue="jobs", messages=[{"body": b"again"}]) == native.OK)
        s.equal("space that comes back is used", [one["message"]["body"] for one in c.receive("jobs")], [b"again"])


def nack_all(c, queue):
    """Receives and nacks until there is nothing more. Returns the bodies."""
    bodies = set()
    while got := c.receive(queue, 10):
        c.call("nack", queue=queue, receipts=[one["receipt"] for one in got])
        bodies |= {one["message"]["body"] for one in got}
    return bodies


def dead_letters_wait(s, b):
    """What would bring bodies into the log a second time may not have what it keeps for receives and acks."""
    with native.Connection(b.port) as c:
        c.call("queue_create", name="buried")
        c.call("queue_create", name="failing", settings={"dead_letter_queue": "buried", "max_receives": 1})
        for queue in ("work", "kept"):
            c.call("queue_create", name=queue)
        c.send("work", b"job")
        failing = {os.urandom(BODY) for _ in range(400)}
        for body in failing:
            c.send("failing", body)
        fill_for_good(s, b, c, "kept")
        s.check("all of a queue fails", nack_all(c, "failing") == failing)
        for _ in range(300):
            job = c.receive("work")
            c.call("nack", queue="work", receipts=[job[0]["receipt"]], uncounted=True)
        s.equal("receives and acks go on meanwhile", c.ack("work", *c.receive("work")), [])
        s.equal("no dead letter is anywhere but where it was, or where it goes",
                c.counts("failing")["moving"] + c.counts("buried")["ready"], len(failing))
        s.check("most of them wait", c.counts("failing")["moving"] > len(failing) // 2, c.counts("failing"))
        s.check("and the status says so", re.search(r"delayed, [1-9][0-9,]* moving", b.hato("status")), b.hato("status"))
        c.call("queue_purge", name="kept")
        s.wait_for("dead letters to move on when there is space", lambda: c.counts("buried")["ready"] == len(failing))
        s.check("they are what failed", {one["message"]["body"] for one in c.drain("buried", 50)} == failing)


def fill(path):
    """Takes the disk's last byte."""
    with open(path, "wb") as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 20))
                file.flush()


def taken_by_others(s, b, disk):
    """Somebody else fills the disk to the last byte while messages are sent."""
    other = os.path.join(disk, "other")
    with native.Connection(b.port) as c:
        c.call("queue_create", name="squeezed")
        stored = set()
        for _ in range(40):
            body = os.urandom(BODY)
            c.send("squeezed", body)
            stored.add(body)
        fill(other)
        refused_stored, refused = send_until_refused(c, "squeezed", os.urandom)
        stored |= refused_stored
        s.equal("sends are refused when others took the space", refused.code, native.STORAGE_FULL)
        got = c.receive("squeezed", 5)
        s.equal("receives and acks go on without a byte free", (len(got), c.ack("squeezed", *got)), (5, []))
        stored -= {one["message"]["body"] for one in got}
        os.unlink(other)
        s.wait_for("sends to be accepted again", lambda: c.code("send", queue="squeezed", messages=[{"body": b"y"}]) == native.OK)
        stored.add(b"y")
        b.kill()
        b.start()
    with native.Connection(b.port) as c:
        found = {one["message"]["body"] for one in c.drain("squeezed", 50)}
        s.check("nothing that was acknowledged is lost", not stored - found, f"{len(stored - found)} of {len(stored)} lost")


def spill_until_full(s, b, disk):
    """Somebody else fills the disk while messages go from the log to the store, and gives the space back. Returns the bodies stored."""
    other = os.path.join(disk, "other")
    stored = set()
    with native.Connection(b.port) as c:
        while disk_used(disk) < SPILLS_AT:
            body = os.urandom(BODY)
            c.send("long", body)
            stored.add(body)
        fill(other)
        refused_stored, _ = send_until_refused(c, "long", os.urandom)
        stored |= refused_stored
        s.wait_for("the store to have no space", lambda: "no space left on the disk" in read(b.log))
        s.equal("the broker lives on a full disk that its store wants", b.get("/healthz")[0], 200)
        got = c.receive("long", 5)
        s.equal("receives and acks go on", (len(got), c.ack("long", *got)), (5, []))
        stored -= {one["message"]["body"] for one in got}
    os.unlink(other)
    return stored


def store_begins_anew(s, b, disk):
    """RocksDB is not gone on with after a full disk: flushes that are none, files of number 0. What was flushed since is on disk."""
    with native.Connection(b.port) as c:
        c.call("queue_create", name="long")
    stored = spill_until_full(s, b, disk)
    s.wait_for("the broker to begin anew", lambda: read(b.log).count("event=ready") == 2)
    s.check("in the same process", b.running())
    s.equal("that is called as before", read(f"/proc/{b.process.pid}/comm"), "hatod\n")
    fill(os.path.join(disk, "other"))
    b.kill()
    os.unlink(os.path.join(disk, "other"))
    b.start()
    with native.Connection(b.port) as c:
        found = {one["message"]["body"] for one in c.drain("long", 50)}
        s.check("nothing that was acknowledged is lost", not stored - found, f"{len(stored - found)} of {len(stored)} lost")
        s.wait_for("sends to be accepted again", lambda: c.code("send", queue="long", messages=[{"body": b"y"}]) == native.OK)


def change_until_refused(c):
    """Queues' settings go to the store and hardly fill the log, which packs them. Returns how many were made, and the refusal."""
    for number in range(10000):
        try:
            c.call("queue_create", name=f"wide-{number}", settings={"user_data": bytes([number % 256]) * 65536})
        except native.Refused as refused:
            if refused.code != native.UNKNOWN_OUTCOME:  # that of the entry in which the store failed
                return number - 1, refused
    return 10000, None


def store_is_full(s, b, disk):
    """The log has room in the files it holds, the store can't write."""
    other = os.path.join(disk, "other")
    with native.Connection(b.port) as c:
        c.call("queue_create", name="kept")
        stored = {os.urandom(1000) for _ in range(50)}
        c.send("kept", *stored)
        held = c.receive("kept", 5)
        fill(other)
        made, refused = change_until_refused(c)
        s.check("a store that can't write refuses changes", refused is not None, made)
        s.equal("by the code of a full disk", refused.code, native.STORAGE_FULL)
        s.contains("and says what to do", refused.message, "free some")
        s.equal("sends are refused the same way", c.code("send", queue="kept", messages=[{"body": b"x"}]), native.STORAGE_FULL)
        s.equal("the broker is alive but not ready", (b.get("/healthz")[0], b.get("/readyz")[0]), (200, 503))
        s.contains("and says why", b.get("/readyz")[1], "no space left")
        os.unlink(other)
        s.wait_for("sends to be accepted again", lambda: c.code("send", queue="kept", messages=[{"body": b"y"}]) == native.OK)
        s.equal("it is ready again by itself", b.get("/readyz")[0], 200)
        s.equal("the metrics speak of no stopped shard", "hato_shard_stopped{shard=\"1\"} 0" in b.get("/metrics")[1], True)
        s.equal("leases outlive it", c.ack("kept", *held), [])
        stored = stored - {one["message"]["body"] for one in held} | {b"y"}
        names = sum(c.queue_names("wide-"), [])
        s.check("all that was answered is there", set(names) >= {f"wide-{number}" for number in range(made)}, (len(names), made))
        b.kill()
        b.start()
    with native.Connection(b.port) as c:
        s.equal("also after a crash", {one["message"]["body"] for one in c.drain("kept")}, stored)
        names = sum(c.queue_names("wide-"), [])
        s.check("queues, too", set(names) >= {f"wide-{number}" for number in range(made)}, (len(names), made))


def window_larger_than_the_disk(s, b):
    """The log may have more than there is; what nobody needs of it goes all the same."""
    with native.Connection(b.port) as c:
        c.call("queue_create", name="jobs")
        fill_for_good(s, b, c, "jobs")
        c.call("queue_purge", name="jobs")
        s.wait_for("sends to be accepted again", lambda: c.code("send", queue="jobs", messages=[{"body": b"y"}]) == native.OK)
        s.check("a purge makes room, however large the log may be", b.json("status")["accepts_sends"])


with scenario() as scene:
    with small_disk(scene.path("disk")) as place:
        broker = scene.broker(*FLAGS, start=False)
        broker.data = os.path.join(place, "data")
        broker.start()
        fills_and_recovers(scene, broker)
        taken_by_others(scene, broker, place)
        scene.equal("it stops in order", broker.stop(), 0)
    with small_disk(scene.path("other-disk")) as place:
        broker = scene.broker(*FLAGS, "--shards", "1", name="small", start=False)
        broker.data = os.path.join(place, "data")
        broker.start()
        store_is_full(scene, broker, place)
        scene.equal("it stops in order, too", broker.stop(), 0)
    with small_disk(scene.path("long-disk")) as place:
        broker = scene.broker(*FLAGS, "--shards", "1", name="long", start=False)
        broker.data = os.path.join(place, "data")
        broker.start()
        store_begins_anew(scene, broker, place)
        scene.equal("it stops in order then", broker.stop(), 0)
    with small_disk(scene.path("dead-letters-disk")) as place:
        broker = scene.broker(*FLAGS, "--shards", "1", name="dead-letters", start=False)
        broker.data = os.path.join(place, "data")
        broker.start()
        dead_letters_wait(scene, broker)
        scene.equal("it stops in order as well", broker.stop(), 0)
    with small_disk(scene.path("narrow-disk")) as place:
        broker = scene.broker("--log-window", "1GiB", "--log-segment", "4MiB", "--disk-reserve", "24MiB", name="narrow", start=False)
        broker.data = os.path.join(place, "data")
        broker.start()
        window_larger_than_the_disk(scene, broker)
        scene.equal("it stops in order likewise", broker.stop(), 0)
