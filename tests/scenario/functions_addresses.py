#!/usr/bin/env python3
"""Where a broker that others can reach sends requests to: not into its own network, unless it is told where it may."""
from lib import scenario


def reachable(s, name, *more):
    """A broker that listens for other machines."""
    b = s.broker(name=name, start=False)
    return b.start("--listen", f"0.0.0.0:{b.port}", "--insecure", *more)


def bound(s, b):
    e = s.endpoint()
    b.hato("queue", "create", "jobs")
    b.hato("function", "create", "jobs", "--url", e.url)
    b.hato("bind", "jobs", "jobs")
    b.hato("send", "jobs", "x")
    return e


def refused(s, name, *more):
    b = reachable(s, name, *more)
    e = bound(s, b)
    shown = s.wait_for("the breaker to open", lambda: [one for one in [b.json("function", "show", "jobs")] if one["state"] == "open"])
    s.contains(f"{name}: a private address is not connected to, and function show says what allows it", shown[0]["last_error"],
               "address 127.0.0.1 is private and not among those of --allow-endpoints")
    s.equal(f"{name}: which costs no receive", (len(e.requests), shown[0]["failed_total"]), (0, 0))


def allowed(s, name, *more):
    e = bound(s, reachable(s, name, *more))
    s.wait_for("the request", lambda: e.requests)
    s.equal(f"{name}: a private address is connected to", e.requests[0].body, b"x")


with scenario() as scene:
    refused(scene, "by-default")
    refused(scene, "others-allowed", "--allow-endpoints", "10.0.0.0/8,fd00::/8")
    allowed(scene, "among-those-allowed", "--allow-endpoints", "10.0.0.0/8,127.0.0.0/30")
    allowed(scene, "all-allowed", "--allow-private")
