#!/usr/bin/env python3
"""A function for Hato: counts the words of the lines it is given.

    deploy/examples/wordcount.py [--port N]

Each message arrives as a POST whose body is the message's (format raw). 2xx means done; the message is then deleted. Anything
else means that it failed: Hato tries again, and after the queue's --max-receives moves it to the dead-letter queue, with the first
bytes of the answer as the reason. GET / tells the totals as JSON.

A message may come twice, for example when the answer to the first got lost. So what is counted is kept by message id.
"""
import argparse
import http.server
import json
import signal
import sys
import threading

POISON = b"!poison"


class Totals:
    def __init__(self):
        self.lock = threading.Lock()
        self.words = {}  # by message id
        self.refused = {}  # attempts, by message id

    def count(self, message_id, line):
        with self.lock:
            self.words[message_id] = len(line.split())

    def refuse(self, message_id):
        with self.lock:
            self.refused[message_id] = self.refused.get(message_id, 0) + 1

    def summary(self):
        with self.lock:
            return {"lines": len(self.words), "words": sum(self.words.values()),
                    "poisoned": len(self.refused), "refusals": sum(self.refused.values())}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # the connection stays open for the next message
    disable_nagle_algorithm = True
    totals = Totals()

    def answer(self, status, text):
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        line = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        message_id = self.headers.get("Hato-Message-Id", "")
        if line.startswith(POISON):
            self.totals.refuse(message_id)
            self.answer(422, f"cannot count the words of {line.decode(errors='replace')!r}")
            return
        self.totals.count(message_id, line)
        self.answer(200, "")

    def do_GET(self):
        self.answer(200, json.dumps(self.totals.summary()) + "\n")

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


def main():
    parser = argparse.ArgumentParser(description="A function for Hato: counts the words of the lines it is given.")
    parser.add_argument("--port", type=int, default=8080, help="where to listen on 127.0.0.1 (8080); 0: any free port")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Server(("127.0.0.1", options.port), Handler) as server:
        print(f"http://127.0.0.1:{server.server_address[1]}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
