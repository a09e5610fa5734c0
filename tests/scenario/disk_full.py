#!/usr/bin/env python3
"""A disk that is full: sends are refused, receives and acks go on, and when there is space again so do sends. Needs to be root, for a
small file system of its own."""
import contextlib
import os
import subprocess
import sys

import native
from lib import scenario

SIZE = "160m"
FLAGS = ("--log-window", "64MiB", "--log-segment", "4MiB", "--disk-reserve", "24MiB")
BODY = 100000


@contextlib.contextmanager
def small_disk(path):
    os.makedirs(path)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", path], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print(f"ok 1 - skipped: no small file system to be had here ({done.stderr.strip()})")
        print("1..1")
        sys.exit(0)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=False)


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


def fills_and_recovers(s, b):
    with native.Connection(b.port) as c:
        c.call("queue_create", name="jobs")
        stored, refused = send_until_refused(c, "jobs", os.urandom)
        s.equal("sends are refused by code", refused.code, native.STORAGE_FULL)
        s.contains("and told what goes on", refused.message, "receive and ack go on")
        s.check("there was room for some", len(stored) > 100, len(stored))
        done = b.run("send", "jobs", "x", "--json")
        s.check("hato says so, too", done.returncode == 1 and '"code":"storage_full"' in done.stderr, done.stderr)
        s.equal("hato status shows it", b.json("status")["accepts_sends"], False)
        s.contains("and the metrics", b.get("/metrics")[1], "hato_accepts_sends 0")
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
        with open(other, "wb") as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(1 << 20))
                    file.flush()
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


with scenario() as scene:
    with small_disk(scene.path("disk")) as place:
        broker = scene.broker(*FLAGS, start=False)
        broker.data = os.path.join(place, "data")
        broker.start()
        fills_and_recovers(scene, broker)
        taken_by_others(scene, broker, place)
        scene.equal("it stops in order", broker.stop(), 0)
