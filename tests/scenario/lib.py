"""What scenarios are written with: real brokers on free ports in directories of their own, the real command line, HTTP
endpoints that play the functions, and checks that are printed as TAP lines.

A scenario is an executable file beside this one:

    from lib import scenario

    with scenario() as s:
        broker = s.broker()
        broker.hato("queue", "create", "jobs")
        broker.hato("send", "jobs", "hello")
        got = broker.json("receive", "jobs")
        s.equal("the body comes back", got[0]["body"], "hello")
        broker.kill()       # SIGKILL; broker.start() goes on with the same data on the same ports
        broker.start()

When the block is left all is stopped and removed; where a check failed, the brokers' last lines are shown. HATO_BUILD names
the build directory (default: build/test, else build). HATO_SANITIZE is set when that build carries a sanitizer. Waiting has
a limit only so that a hang is told of; no check is about how fast something is.
"""
import contextlib
import http.client
import http.server
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HANG_SECONDS = 300
POLL_SECONDS = 0.02
SHOWN_LINES = 40
PORT_FIRST = 10000


def build_directory():
    named = os.environ.get("HATO_BUILD")
    if named:
        return named
    for place in ("build/test", "build"):
        if os.path.exists(os.path.join(ROOT, place, "bin", "hatod")):
            return os.path.join(ROOT, place)
    raise FileNotFoundError("no build with a hatod found; build first or set HATO_BUILD")


def program(name):
    """The words that run one of our programs; HATO_WRAP is what the test run wants before them."""
    return [*os.environ.get("HATO_WRAP", "").split(), os.path.join(build_directory(), "bin", name)]


def free_ports(count):
    """Ports that nobody listens on now. Not of those the kernel gives to connections: one of these might take it in between."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first, last = map(int, file.read().split())
    free = [port for port in range(PORT_FIRST, 65536) if not first <= port <= last]
    if len(free) < 100:
        free = range(PORT_FIRST, 65536)
    ports = []
    for port in random.sample(free, len(free)):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise Failure(f"no {count} free ports from {PORT_FIRST} on")


def memory_bound(size):
    """What a broker may take that needs `size` bytes by itself: a sanitizer keeps shadows, and what was freed."""
    return size * {"address": 4, "thread": 8}.get(os.environ.get("HATO_SANITIZE"), 1)


class Failure(Exception):
    """Ends the scenario: what follows could not be told from its consequences."""


class Skipped(Exception):
    """Ends the scenario: this machine lacks what the rest needs, which the message names. Counted apart."""


class Broker:
    """One hatod. Its directory outlives it until the scenario ends."""

    def __init__(self, owner, name, arguments):
        self.owner = owner
        self.name = name
        self.directory = os.path.join(owner.directory, name)
        self.data = os.path.join(self.directory, "data")
        self.log = os.path.join(self.directory, "stderr")
        self.arguments = list(arguments)
        self.port, self.http_port = free_ports(2)
        self.peer_port = None  # of one of a cluster
        self.process = None
        self.limit_files = None  # open files it may have, when not what this process may
        os.makedirs(self.directory)

    @property
    def server(self):
        return f"127.0.0.1:{self.port}"

    def start(self, *more, ready=True):
        """Starts it and waits until /readyz says yes."""
        command = [*program("hatod"), "--data", self.data, "--listen", self.server, "--http",
                   f"127.0.0.1:{self.http_port}", *self.arguments, *more]
        with open(self.log, "ab") as log:
            log.write(f"# {' '.join(command)}\n".encode())
            log.flush()
            if self.limit_files is not None:  # as a shell's "ulimit -n" the hard limit as well
                command = ["prlimit", f"--nofile={self.limit_files}:{self.limit_files}", *command]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory)
        if ready:
            self.owner.wait_for(f"{self.name} to be ready", self.is_ready)
        return self

    def is_ready(self):
        code = self.process.poll()
        if code is not None:
            raise Failure(f"{self.name} ended with {code} while starting:\n{self.last_lines()}")
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def running(self):
        return self.process is not None and self.process.poll() is None

    def pid(self):
        return self.process.pid

    def memory_peak(self):
        """The most memory it has had, in bytes."""
        with open(f"/proc/{self.pid()}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM"))

    def signal(self, number):
        self.process.send_signal(number)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        """SIGKILL: what was not synced by then is the disk's to lose."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """SIGTERM. Returns the exit code, which sanitizers make other than 0 when they have something to tell."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        """Waits for its end; returns the exit code."""
        try:
            return self.process.wait(HANG_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure(f"{self.name} did not end within {HANG_SECONDS} s") from None

    def restart(self, *more):
        code = self.stop()
        if code != 0:
            raise Failure(f"{self.name} ended with {code}:\n{self.last_lines()}")
        return self.start(*more)

    def last_lines(self, count=SHOWN_LINES):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-count:])

    def get(self, path):
        """GET from the HTTP port: (status, body as text)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=HANG_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def connect(self):
        """A bare connection to the native port, for bytes that no client would send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=HANG_SECONDS)

    def run(self, *arguments, stdin=""):
        """`hato ARGUMENTS` against this broker, whatever comes of it: a CompletedProcess with text."""
        return subprocess.run([*program("hato"), "--server", self.server, *map(str, arguments)], input=stdin,
                              capture_output=True, text=True, timeout=HANG_SECONDS, check=False, cwd=self.directory)

    def hato(self, *arguments, stdin=""):
        """As run, where anything but success ends the scenario. Returns the output."""
        done = self.run(*arguments, stdin=stdin)
        if done.returncode != 0:
            words = " ".join(map(str, arguments))
            raise Failure(f"hato {words} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def json(self, *arguments, stdin=""):
        """As hato, with --json, read."""
        text = self.hato(*arguments, "--json", stdin=stdin)
        try:
            return json.loads(text)
        except ValueError:
            raise Failure(f"hato {' '.join(map(str, arguments))} --json printed no JSON:\n{text}") from None


class Request:
    """One request as an endpoint saw it."""

    def __init__(self, method, path, headers, body):
        self.method = method
        self.path = path
        self.headers = headers  # case does not matter: headers["content-type"]
        self.body = body  # bytes

    def json(self):
        return json.loads(self.body)


class Endpoint:
    """An HTTP server that plays a function. `answer(request)` is called for each request, on a thread of its own, and
    returns a status, or (status, body), or (status, body, headers). All requests are kept in `requests`, in order. With an
    ssl.SSLContext it speaks HTTPS."""

    def __init__(self, answer, port=0, tls=None):
        self.answer = answer
        self.requests = []
        self.lock = threading.Lock()
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                endpoint.handle(self)

            do_GET = do_PUT = do_POST

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 1024

            def handle_error(self, *_):
                pass  # a broker that hangs up in the middle is what some scenarios are about

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/"
        if tls:  # shaken hands on the request's own thread
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(POLL_SECONDS,), daemon=True)
        self.thread.start()

    def handle(self, handler):
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        request = Request(handler.command, handler.path, handler.headers, body)
        with self.lock:
            self.requests.append(request)
        answer = self.answer(request)
        answer = answer if isinstance(answer, tuple) else (answer,)
        status, text, headers = answer + (b"", {})[len(answer) - 1:]
        if isinstance(text, str):
            text = text.encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Scenario:
    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="hato-scenario-")
        self.brokers = []
        self.endpoints = []
        self.clusters = 0
        self.number = 0
        self.failures = 0

    # ------------------------------------------------------------ checks

    def check(self, name, good, detail=""):
        """Prints one check. Returns whether it held."""
        self.number += 1
        print(f"{'ok' if good else 'not ok'} {self.number} - {name}")
        if not good:
            self.failures += 1
            for line in str(detail).splitlines():
                print(f"#   {line}")
        sys.stdout.flush()
        return bool(good)

    def equal(self, name, got, wanted):
        return self.check(name, got == wanted, f"got    {got!r}\nwanted {wanted!r}")

    def contains(self, name, text, part):
        return self.check(name, part in text, f"no {part!r} in:\n{text}")

    def refused(self, name, done, *parts):
        """A command that failed, with each of `parts` in what it said on standard error."""
        lacking = [part for part in parts if part not in done.stderr]
        return self.check(name, done.returncode not in (0, None) and done.returncode > 0 and not lacking,
                          f"exit code {done.returncode}, lacking {lacking!r}\n{done.stdout}{done.stderr}")

    def wait_for(self, what, predicate):
        """The predicate's first true value; ends the scenario when there is none for very long."""
        end = time.monotonic() + HANG_SECONDS
        while time.monotonic() < end:
            value = predicate()
            if value:
                return value
            time.sleep(POLL_SECONDS)
        raise Failure(f"waited {HANG_SECONDS} s for {what}")

    @staticmethod
    def note(text):
        for line in str(text).splitlines():
            print(f"# {line}", flush=True)

    # ------------------------------------------------------------ what there is to play with

    def broker(self, *arguments, name=None, start=True):
        broker = Broker(self, name or f"broker{len(self.brokers) + 1}", arguments)
        self.brokers.append(broker)
        return broker.start() if start else broker

    def cluster(self, count, *arguments, start=True):
        """Brokers a1, a2, ... (of the second cluster b1, ...) that know each other. An argument may be a function of a node's number."""
        ports = free_ports(count)
        peers = ",".join(f"{number}=127.0.0.1:{port}" for number, port in enumerate(ports, 1))
        nodes = []
        for number, port in enumerate(ports, 1):
            more = [word(number) if callable(word) else word for word in arguments]
            node = self.broker("--node", str(number), "--peers", peers, *more, name=f"{self.cluster_name()}{number}",
                               start=False)
            node.peer_port = port
            nodes.append(node)
        self.clusters += 1
        if start:
            for node in nodes:  # none is ready before most are there
                node.start(ready=False)
            for node in nodes:
                self.wait_for(f"{node.name} to be ready", node.is_ready)
        return nodes

    def cluster_name(self):
        return "abcdefgh"[self.clusters]

    def endpoint(self, answer=lambda request: 200, port=0, tls=None):
        endpoint = Endpoint(answer, port, tls)
        self.endpoints.append(endpoint)
        return endpoint

    def path(self, name):
        return os.path.join(self.directory, name)

    # ------------------------------------------------------------ the end

    def close(self):
        """Every broker still running must end well when asked; this is where sanitizers speak of leaks."""
        for broker in self.brokers:
            if broker.running():
                broker.resume()
                try:
                    code = broker.stop()
                except Failure as problem:
                    self.check(f"{broker.name} stops when asked", False, problem)
                    continue
                self.check(f"{broker.name} stops cleanly when asked", code == 0, f"exit code {code}")
        for endpoint in self.endpoints:
            endpoint.stop()
        if self.failures:
            for broker in self.brokers:
                self.note(f"{broker.name}'s last lines:\n{broker.last_lines()}")
        shutil.rmtree(self.directory, ignore_errors=True)


@contextlib.contextmanager
def scenario():
    """Exits with 1 when a check failed, or none was made."""
    s = Scenario()
    try:
        try:
            yield s
        except Failure as problem:
            s.check("the scenario goes to its end", False, problem)
        except Skipped as lacking:
            s.check(f"the scenario goes to its end # SKIP {lacking}", True)
        except Exception:  # pylint: disable=broad-except
            s.check("the scenario goes to its end", False, traceback.format_exc())
    finally:
        s.close()
    print(f"1..{s.number}", flush=True)
    sys.exit(1 if s.failures or s.number == 0 else 0)
