#!/usr/bin/env python3
"""Does anything get through at all?"""
from lib import scenario

with scenario() as s:
    broker = s.broker()
    broker.hato("queue", "create", "jobs")
    broker.hato("send", "jobs", "hello")
    s.equal("what was sent is received", broker.hato("receive", "jobs", "--ack", "--body"), "hello\n")
    s.equal("and once it is acked it is gone", broker.json("receive", "jobs"), [])
