#!/usr/bin/env python3
"""What an operator sees: health, readiness, metrics, log lines, and flags that are wrong."""
import http.client
import json
import os
import re
import socket
import subprocess

import native
from lib import program, scenario

SAMPLE = re.compile(r'^([a-z_]+)(\{[^}]*\})? (-?[0-9.e+]+)$')


def metrics(b):
    """Name with labels -> value; fails on a line that is not of the text format."""
    status, text = b.get("/metrics")
    assert status == 200, status
    values, described = {}, set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            described.add(line.split()[2])
        elif not line.startswith("#"):
            found = SAMPLE.match(line)
            assert found, f"not a sample: {line!r}"
            base = re.sub(r"_(bucket|sum|count)$", "", found.group(1))
            assert found.group(1) in described or base in described, f"{found.group(1)} has no TYPE"
            assert found.group(1) + (found.group(2) or "") not in values, f"{line!r} twice"
            values[found.group(1) + (found.group(2) or "")] = float(found.group(3))
    return values


def health(s, b):
    s.equal("/healthz", b.get("/healthz"), (200, "alive\n"))
    s.equal("/readyz", b.get("/readyz"), (200, "ready\n"))
    s.equal("another path is told what there is", b.get("/nothing"), (404, "not found; this port has /healthz, /readyz and /metrics\n"))
    connection = http.client.HTTPConnection("127.0.0.1", b.http_port, timeout=60)
    statuses = []
    for method, path in (("POST", "/healthz"), ("HEAD", "/metrics"), ("GET", "/healthz"), ("GET", "/healthz?verbose=1")):
        connection.request(method, path)
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()
    s.equal("methods and queries, on one connection", statuses, [405, 200, 200, 200])


def numbers(s, b):
    before = metrics(b)
    with native.Connection(b.port) as c:
        c.call("queue_create", name="jobs")
        c.send("jobs", *[b"x" * 100] * 10)
        got = c.receive("jobs", 4)
        c.ack("jobs", *got[:3])
        s.equal("a refusal", c.code("receive", queue="nowhere"), native.NOT_FOUND)
        after = metrics(b)
        grown = {name: after[name] - before.get(name, 0) for name in after}
        s.equal("connections and requests are counted", (after["hato_connections"], grown["hato_connections_accepted_total"],
                                                         grown["hato_refused_total"]), (1, 1, 1))
        s.equal("requests", grown["hato_requests_total"], 6)  # hello, and the five above
        of_queue = {name: value for name, value in after.items() if 'queue="' in name}
        s.check("queues have their counts", {value for name, value in of_queue.items() if "ready" in name} == {6.0}
                and {value for name, value in of_queue.items() if "in_flight" in name} == {1.0}, of_queue)
        s.equal("every shard is led", {value for name, value in after.items() if name.startswith("hato_shard_leader")}, {1})


def same_names_in_two_regions(s, b):
    for region in ("eu-west-1", "eu-west-2"):
        with native.Connection(b.port, hello=False) as c:
            c.call("hello", account="111122223333", region=region)
            c.call("function_create", name="twin", settings={"url": "http://127.0.0.1:1/"})
            c.call("queue_create", name="twin")
            c.send("twin", b"x")
            c.ack("twin", *c.receive("twin"))
            c.call("bind", queue="twin", function="twin", settings={"paused": True})

    def of(kind):
        return sorted(name for name in metrics(b) if f'{kind}="twin"' in name and "eu-west" in name)

    s.wait_for("the functions to have series", lambda: len(of("function")) >= 12)
    ready = [name for name in of("queue") if name.startswith("hato_queue_ready")]
    s.equal("a queue's name in two regions has a series for each", ready,
            [f'hato_queue_ready{{queue="twin",account="111122223333",region="{region}"}}' for region in ("eu-west-1", "eu-west-2")])
    for family, kind in (("hato_queue_wait_seconds_count", "queue"), ("hato_function_window", "function")):
        s.equal(f"so has {family}", sum(name.startswith(family) for name in of(kind)), 2)


def more_queues_than_series(s, b):
    with native.Connection(b.port) as c:
        for number in [c.ask("queue_create", name=f"many-{i}") for i in range(2100)]:
            c.answer(number)
    values = metrics(b)
    s.equal("a page has series of 2,000 queues and counts the others",
            (sum(name.startswith("hato_queue_ready{") for name in values), values["hato_queues_without_series"]),
            (2000, values["hato_queues"] - 2000))
    s.check("all are counted", values["hato_queues"] >= 2100, values["hato_queues"])
    for name in ("ready", "moving", "halted_groups"):
        s.equal(f"each has hato_queue_{name}", sum(line.startswith(f"hato_queue_{name}{{") for line in values), 2000)


def too_many_pages_at_once(s, b):
    asking = [http.client.HTTPConnection("127.0.0.1", b.http_port, timeout=60) for _ in range(10)]
    for one in asking:  # the broker has accepted them all
        one.request("GET", "/healthz")
        one.getresponse().read()
    b.pause()
    for one in asking:
        one.request("GET", "/metrics")
    b.resume()
    answers = [(answer.status, answer.read()) for answer in (one.getresponse() for one in asking)]
    for one in asking:
        one.close()
    s.equal("of ten pages of metrics asked for at once four are made", [status for status, _ in answers].count(200), 4)
    s.equal("the others are told to ask again", {text for status, text in answers if status == 503},
            {b"other pages of metrics are being made: ask again in a second, or from fewer places\n"})
    s.equal("and then get theirs", b.get("/metrics")[0], 200)


def pages_that_nobody_reads(s, b):
    deaf = []
    for _ in range(12):
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect(("127.0.0.1", b.http_port))
        deaf.append(one)

    def no_room():
        for one in deaf:
            one.sendall(b"GET /metrics HTTP/1.1\r\nHost: hato\r\n\r\n")
        return "not being read" in b.get("/metrics")[1]

    s.wait_for("pages that nobody reads to have filled their room", no_room)
    s.equal("health is told all the same", b.get("/healthz")[0], 200)
    for one in deaf:
        one.close()
    s.wait_for("metrics to be there again", lambda: b.get("/metrics")[0] == 200)


def bad_requests(s, b):
    for what, raw, wanted in (
            ("no HTTP", b"\x00\x01\x02\x03\r\n\r\n", b"400"),
            ("a line of 9,000 bytes", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", b"414"),
            ("70 headers", b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: b\r\n" % i for i in range(70)) + b"\r\n", b"431"),
            ("a body beyond the limit", b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", b"413"),
            ("a length that is none", b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
            ("two lengths", b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"400")):
        with socket.create_connection(("127.0.0.1", b.http_port), timeout=60) as connection:
            connection.sendall(raw)
            s.equal(f"{what} is refused", connection.recv(65536).split(b" ")[1], wanted)
    s.equal("and the broker goes on", b.get("/healthz")[0], 200)


def log_lines(s):
    b = s.broker("--log-format", "json", "--log-level", "debug", name="json")
    b.stop()
    with open(b.log, encoding="utf-8") as log:
        lines = [json.loads(line) for line in log if not line.startswith("#")]
    s.check("log lines are JSON when asked", [one["event"] for one in lines if one["event"] in ("starting", "ready", "stopped")]
            == ["starting", "ready", "stopped"] and all("time" in one and "level" in one for one in lines), lines)
    b = s.broker("--log-level", "error", name="quiet")
    b.stop()
    s.equal("and none are written below the level asked", [line for line in b.last_lines().splitlines() if not line.startswith("#")], [])


def listening_ports(pid):
    """Of its IPv4 sockets, one each."""
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table]
    open_files = [os.path.join(f"/proc/{pid}/fd", fd) for fd in os.listdir(f"/proc/{pid}/fd")]
    sockets = {os.readlink(path) for path in open_files if os.path.lexists(path)}
    return [int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]


def one_port_for_all_loops(s):
    command = [*program("hatod"), "--data", s.path("any-port"), "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--loops", "4"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        ready = next(line for line in process.stderr if "event=ready" in line)
        port, http_port = (int(re.search(rf"{name}=127.0.0.1:(\d+)", ready).group(1)) for name in ("listen", "http"))
        s.wait_for("all loops to listen", lambda: len(listening_ports(process.pid)) == 5)  # the first one tells
        s.equal("with port 0 all loops listen on the port that is told", sorted(listening_ports(process.pid)),
                sorted([port] * 4 + [http_port]))
        process.terminate()
        process.stderr.read()


def flags(s):
    def hatod(*arguments, **environment):
        return subprocess.run([*program("hatod"), *arguments], capture_output=True, text=True, timeout=60, check=False,
                              env={"PATH": "/usr/bin:/bin", **environment}, cwd=s.directory)

    s.check("--help and --version", hatod("--help").returncode == 0 and "--data DIR" in hatod("--help").stdout
            and hatod("--version").stdout.startswith("hatod "))
    for what, arguments, part in (
            ("an unknown flag", ("--bogus", "1"), "--bogus"),
            ("a flag without its value", ("--data",), "--data"),
            ("a word", ("data",), "'data'"),
            ("a number that is none", ("--shards", "many"), "--shards"),
            ("a number out of bounds", ("--shards", "100000"), "1 to"),
            ("a size that is none", ("--cache", "big"), "--cache"),
            ("an address that is none", ("--listen", "nowhere"), "HOST:PORT"),
            ("a host that is no address", ("--listen", "no.such.host:1"), "not an IP address"),
            ("a port that is none", ("--listen", "127.0.0.1:99999"), "65535"),
            ("an account that is none", ("--account", "12"), "account"),
            ("a level that is none", ("--log-level", "loud"), "loud"),
            ("a window below four segments", ("--log-window", "64MiB", "--log-segment", "64MiB"), "4 times"),
            ("a file that is not there", ("--config", "/nowhere/hato.ini"), "/nowhere/hato.ini"),
            ("the world without credentials", ("--listen", "0.0.0.0:9325"), "--insecure")):
        s.refused(f"{what} is refused and told", hatod("--data", s.path("none"), *arguments) if what != "a flag without its value"
                  else hatod(*arguments), part)
    s.equal("wrong usage has its exit code", hatod("--bogus", "1").returncode, 2)
    with open(s.path("hato.ini"), "w", encoding="utf-8") as file:
        file.write("shards = 3\nlog-level = nonsense\n")
    done = hatod("--config", s.path("hato.ini"))
    s.refused("a bad line of the file is named by its number", done, "hato.ini, line 2", "nonsense")
    done = hatod(HATO_SHARDS="none")
    s.refused("a bad variable of the environment is named", done, "HATO_SHARDS")
    done = hatod("--data", "/proc/none")
    s.refused("a directory that can't be made", done, "/proc/none")
    s.equal("has another", done.returncode, 1)


def what_is_fixed_at_birth(s):
    """What a data directory was made with can be left out later, or given as it was, but not changed."""
    b = s.broker("--cluster", "dove", "--shards", "2", "--node", "7", name="dove")
    b.stop()
    b.arguments = ()
    for flag, value, part in (("--cluster", "hato", "belongs to cluster 'dove', not 'hato'"), ("--shards", "3", "2 shards"),
                              ("--node", "1", "belongs to node 7")):
        given = [] if flag == "--node" else ["--node", "7"]
        code = b.start(*given, flag, value, ready=False).wait()
        s.check(f"another {flag} is refused for a data directory", code != 0 and part in b.last_lines(3), b.last_lines(3))
    b.start("--node", "7")
    s.equal("it starts without --cluster and --shards", b.stop(), 0)
    b.start("--node", "7", "--cluster", "dove", "--shards", "2")
    s.equal("and with those it was made with", b.stop(), 0)


with scenario() as scene:
    broker = scene.broker()
    for part in (health, numbers, same_names_in_two_regions, more_queues_than_series, too_many_pages_at_once, pages_that_nobody_reads, bad_requests):
        part(scene, broker)
    log_lines(scene)
    one_port_for_all_loops(scene)
    flags(scene)
    what_is_fixed_at_birth(scene)
