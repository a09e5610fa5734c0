#!/usr/bin/env python3
"""Every command of `hato`, in the order in which somebody would meet them, with what --json prints; and what it says, and with
which exit code, when something is wrong."""
import contextlib
import fcntl
import json
import os
import pty
import re
import shlex
import signal
import socket
import struct
import subprocess
import termios

import native
from lib import program, scenario

REFUSED, USAGE, UNREACHABLE, PARTLY, LOCAL, STOPPED = 1, 2, 3, 5, 6, 130


def error_of(done):
    return json.loads(done.stderr)["error"]


def queues(s, b):
    made = b.json("queue", "create", "jobs", "--visibility", "5s", "--dead-letter", "jobs-dead", "--max-receives", 2)
    s.equal("queue create tells name, counts and settings",
            (made["name"], made["ready"], made["settings"]["visibility_ms"], made["settings"]["dead_letter_queue"]),
            ("jobs", 0, 5000, "jobs-dead"))
    s.equal("its ARN is AWS's", made["arn"], "arn:aws:sqs:us-east-1:000000000000:jobs")
    again = b.json("queue", "create", "jobs", "--visibility", "5s", "--dead-letter", "jobs-dead", "--max-receives", 2)
    s.equal("creating it again with the same settings changes nothing", again["created_ms"], made["created_ms"])
    done = b.run("queue", "create", "jobs", "--visibility", "6s", "--json")
    s.equal("with other settings it is refused", (done.returncode, error_of(done)["code"]), (REFUSED, "exists"))
    s.equal("the dead-letter queue was made along", [q["name"] for q in b.json("queue", "list")], ["jobs", "jobs-dead"])
    changed = b.json("queue", "set", "jobs", "--visibility", "1m", "--max-messages", 100)
    s.equal("queue set changes what it names and leaves the rest",
            (changed["settings"]["visibility_ms"], changed["settings"]["max_messages"], changed["settings"]["max_receives"]),
            (60000, 100, 2))
    shown = b.json("queue", "show", "jobs")
    s.equal("queue show tells the same, and what messages waited", (shown["settings"], shown["waited"]["count"]),
            (changed["settings"], 0))
    b.hato("queue", "create", "halting.fifo", "--on-exhausted", "halt-group", "--max-receives", 3)
    shown = {line.strip() for line in b.hato("queue", "show", "halting.fifo").splitlines()}
    s.check("show tells after how many receives a group halts", any(re.fullmatch("max receives +3", line) for line in shown), shown)
    b.hato("queue", "delete", "halting.fifo", "--yes")
    s.contains("for people there is a table", b.hato("queue", "list"), "READY  IN FLIGHT  DELAYED  MOVING")
    s.equal("--names is a name a line, with --json a list of them", (b.hato("queue", "list", "--names"),
            b.json("queue", "list", "--names")), ("jobs\njobs-dead\n", ["jobs", "jobs-dead"]))


def far_behind(s, b):
    """What is looked for may lie behind more than the broker looks at for one page."""
    b.hato("queue", "create", "far")
    with native.Connection(b.port) as c:
        for _ in range(1100):  # one by one: each is a chunk of its own
            c.send("far", {"body": b"near", "group": "near"})
        c.send("far", {"body": b"found", "group": "far"})
    s.equal("peek goes on until it finds something", [one["body"] for one in b.json("peek", "far", "--group", "far")], ["found"])
    s.contains("also for people", b.hato("peek", "far", "--group", "far"), "found")
    s.equal("or to the end", b.json("peek", "far", "--group", "nobody"), [])
    b.hato("queue", "delete", "far", "--yes")


def messages(s, b):
    sent = b.json("send", "jobs", "one", "two", "--attr", "kind=new", "--attr", "size:number=3", "--attr", "raw:binary=AAH/")
    s.equal("send answers for each message", [one["code"] for one in sent], ["ok", "ok"])
    got = b.json("receive", "jobs", "--max", 10, "--visibility", "30s")
    s.equal("receive brings them, in order", [one["body"] for one in got], ["one", "two"])
    s.equal("with their attributes", got[0]["attributes"],
            {"kind": {"type": "text", "value": "new"}, "size": {"type": "number", "value": "3"},
             "raw": {"type": "binary", "value_base64": "AAH/"}})
    shown = b.hato("peek", "jobs", "--full", "--max", 1)
    s.check("for people, too, a number differs from a text", all(part in shown for part in
            ("  kind=new\n", "  size:number=3\n", "  raw:binary=AAH/\n")), shown)
    s.equal("with the ids that send gave", [one["message_id"] for one in got], [one["message_id"] for one in sent])
    s.equal("and says when the lease ends", got[0]["lease_until_ms"] - got[0]["first_received_ms"], 30000)
    s.equal("a leased message is in flight", [one["state"] for one in b.json("peek", "jobs")], ["in-flight", "in-flight"])
    first, second = got[0]["receipt"], got[1]["receipt"]
    s.equal("extend answers for each receipt", b.json("extend", "jobs", first, second, "--visibility", "2m"),
            [{"receipt": first, "code": "ok"}, {"receipt": second, "code": "ok"}])
    s.equal("and the lease is longer",
            b.json("peek", "jobs")[0]["due_ms"] > got[0]["lease_until_ms"], True)
    s.equal("ack deletes", b.json("ack", "jobs", first), [{"receipt": first, "code": "ok"}])
    done = b.run("ack", "jobs", first, second, "--json")
    s.equal("of several receipts the good are acked, the stale named",
            (done.returncode, [one["code"] for one in json.loads(done.stdout)]), (PARTLY, ["receipt_stale", "ok"]))
    b.hato("send", "jobs", "third")
    third = b.json("receive", "jobs")[0]
    b.hato("nack", "jobs", third["receipt"], "--delay", "1h", "--error", "no such user", "--status", 404)
    s.equal("nack gives it back, after its delay and with its error",
            [(one["state"], one["last_error"]) for one in b.json("peek", "jobs")], [("delayed", "no such user")])
    s.equal("cancel deletes what nobody holds", b.json("cancel", "jobs", third["message_id"]),
            [{"message_id": third["message_id"], "code": "ok"}])
    s.equal("and then nothing is there", b.json("peek", "jobs"), [])


def input_and_output(s, b):
    b.hato("send", "jobs", "-", stdin="all of\nthe input")
    s.equal("send - takes all of the input as one message", b.hato("receive", "jobs", "--ack", "--body"), "all of\nthe input\n")
    told = b.json("send", "jobs", "--lines", stdin="".join(f"line {i}\n" for i in range(50)))
    s.equal("send --lines takes each line as one", (told["sent"], told["failed"]), (50, 0))
    got = b.hato("receive", "jobs", "--max", 50, "--follow", "--ack", "--body")
    s.equal("receive --follow --max ends with the last of them", got.splitlines(), [f"line {i}" for i in range(50)])
    b.hato("send", "jobs", "x", "y")
    s.equal("purge says how many it deleted", b.json("purge", "jobs"), {"purged": 2})
    s.equal("receipts may come from the input", b.json("ack", "jobs", "-", stdin=""), [])


def redrives(s, b):
    b.hato("send", "jobs", "doomed")
    for _ in range(2):
        b.hato("nack", "jobs", b.json("receive", "jobs", "--wait", "10s")[0]["receipt"], "--error", "boom")
    s.wait_for("the dead letter", lambda: b.json("queue", "show", "jobs-dead")["ready"] == 1)
    dead = b.json("peek", "jobs-dead")[0]
    s.equal("a dead letter says where it comes from and why",
            (dead["provenance"]["reason"], dead["provenance"]["attempts"], dead["last_error"]), ("max-receives", 2, "boom"))
    s.equal("by the name that commands take", dead["provenance"]["source_queue"], "jobs")
    s.contains("people are told too", b.hato("peek", "jobs-dead"), "max-receives in jobs: boom")
    done = b.run("redrive", "jobs-dead", "--to", "nowhere", "--json")
    s.equal("a queue that is not there can't be redriven to", (done.returncode, error_of(done)["code"], error_of(done)["field"]),
            (REFUSED, "not_found", "destination"))
    moved = b.json("redrive", "jobs-dead", "--reason", "boom")
    s.equal("redrive moves it back and waits for its end", (moved["state"], moved["moved"], moved["skipped"]),
            ("completed", 1, 0))
    s.equal("redrive --list tells of it", [one["id"] for one in b.json("redrive", "jobs-dead", "--list")], [moved["id"]])
    s.equal("and it is where it was", b.hato("receive", "jobs", "--ack", "--body"), "doomed\n")
    done = b.run("redrive", "jobs-dead", "--cancel", "--json")
    s.equal("there is none to cancel now", (done.returncode, error_of(done)["code"]), (REFUSED, "not_found"))


def a_redrive_that_is_cancelled(s, b):
    """Whoever waits for it learns that it did not do what it was to do."""
    b.hato("queue", "create", "slow-dead")
    b.hato("send", "slow-dead", *range(100))
    waiter = subprocess.Popen([*program("hato"), "--server", b.server, "redrive", "slow-dead", "--to", "jobs", "--rate", "1"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    s.wait_for("the redrive to run", lambda: any(one["state"] == "running" for one in b.json("redrive", "slow-dead", "--list")))
    b.hato("redrive", "slow-dead", "--cancel")
    told = waiter.communicate()[0]
    s.check("a redrive that somebody cancels ends as refused, and says what it moved",
            waiter.returncode == REFUSED and told.startswith("cancelled: moved "), f"{waiter.returncode} {told}")
    b.hato("queue", "delete", "slow-dead", "--yes")
    b.hato("queue", "purge", "jobs")


def functions(s, b):
    made = b.json("function", "create", "resize", "--url", "http://127.0.0.1:9/", "--format", "lambda", "--header",
                  "X-Key: 1", "--secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    s.equal("function create tells its settings", (made["settings"]["format"], made["settings"]["headers"]), ("lambda", ["X-Key: 1"]))
    s.check("a secret is never shown", "MfKQ9r8G" not in json.dumps(made) + json.dumps(b.json("function", "show", "resize")))
    s.equal("function set changes", b.json("function", "set", "resize", "--timeout", "5s")["settings"]["timeout_ms"], 5000)
    bound = b.json("bind", "jobs", "resize", "--batch", 3, "--paused")
    s.equal("bind is the queue's", bound["settings"]["binding"],
            {"function": "resize", "batch_size": 3, "window_ms": 0, "max_concurrency": 1000, "paused": True})
    s.equal("the function knows its queues", b.json("function", "list")[0]["queues"], ["jobs"])
    s.equal("function list --names --json is a list of names", b.json("function", "list", "--names"), ["resize"])
    s.equal("resume and pause", (b.json("resume", "jobs")["settings"]["binding"]["paused"],
                                 b.json("pause", "jobs")["settings"]["binding"]["paused"]), (False, True))
    done = b.run("function", "delete", "resize", "--json")
    s.equal("a bound function is not deleted", (done.returncode, error_of(done)["code"]), (REFUSED, "conflict"))
    s.check("unbind", "binding" not in b.json("unbind", "jobs")["settings"])
    s.equal("then it is", b.json("function", "delete", "resize"), {"deleted": "resize"})


def broker_itself(s, b):
    status = b.json("status")
    s.equal("status counts", (status["queues"], status["functions"], status["accepts_sends"], len(status["shards"])),
            (2, 0, True, 9))
    s.check("ping", b.json("ping")["us"] > 0)
    top = b.json("top", "--once", "--interval", "100ms")
    s.equal("top has the queues", [queue["name"] for queue in top["queues"]], ["jobs", "jobs-dead"])
    s.equal("queue delete", b.json("queue", "delete", "jobs"), {"deleted": "jobs"})
    s.equal("and it is gone", [queue["name"] for queue in b.json("queue", "list")], ["jobs-dead"])


def completed(b, lines):
    """What a real bash makes of each line when asked to insert all completions of its end: the words of the line then."""
    ours = os.path.dirname(program("hato")[-1])
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(PS1="", TERM="dumb", HATO_SERVER=b.server, PATH=ours + ":" + os.environ["PATH"])
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
    got = b""

    def until(marker):
        nonlocal got
        while marker not in got:
            got += os.read(terminal, 65536)
        before, got = got.split(marker, 1)
        return before.decode()

    os.write(terminal, b"stty -echo; bind 'set enable-bracketed-paste off'; source <(hato completion bash); echo SET-\"UP\"\n")
    until(b"SET-UP")
    words = []
    for line in lines:  # then to its beginning, and a command that prints what there is
        os.write(terminal, line.encode() + b"\x1b*\x01printf '<%s>' \x05; echo '@'END\n")
        said = until(b"@END")
        words.append(said[said.rfind("<hato>"):])
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(terminal)
    return words


def completion(s, b):
    wanted = {
        "hato qu": "<hato><queue>",
        f"hato --server {b.server} qu": f"<hato><--server><{b.server}><queue>",
        f"hato --server={b.server} --json queue sh": f"<hato><--server={b.server}><--json><queue><show>",
        f"hato --deadline 9s --server {b.server} queue show jobs-": f"<hato><--deadline><9s><--server><{b.server}><queue><show><jobs-dead>",
        "hato queue --json pur": "<hato><queue><--json><purge>",
        "hato receive --max 3 --wait 1s jo": "<hato><receive><--max><3><--wait><1s><jobs><jobs-dead>",
        "hato function create f --format clo": "<hato><function><create><f><--format><cloudevents><cloudevents-structured>",
        "hato function create f --format=lam": "<hato><function><create><f><--format=lambda>",
        "hato queue set jobs --weight a:b=1 --dead-letter jobs-": "<hato><queue><set><jobs><--weight><a:b=1><--dead-letter><jobs-dead>",
        "hato send jobs --not-b": "<hato><send><jobs><--not-before>",
        "hato bind jobs completed-f": "<hato><bind><jobs><completed-function>",
        "hato --server 127.0.0.1:1 queue show jo": "<hato><--server><127.0.0.1:1><queue><show><jo>",
    }
    b.hato("function", "create", "completed-function", "--url", "http://127.0.0.1:9/")
    for (line, words), got in zip(wanted.items(), completed(b, wanted)):
        s.equal(f"bash completes {line.replace(b.server, 'SERVER')!r}", got, words)
    b.hato("function", "delete", "completed-function")


def completion_of_odd_names(s, b):
    """What answers for a broker may call its queues what it likes: nothing of that is run, or put where it would be."""
    directory = s.path("odd")
    os.makedirs(directory)
    script, ran = os.path.join(directory, "hato"), os.path.join(directory, "ran")
    with open(script, "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\ncat <<'END'\njobs\njo$(touch {ran})\njo`touch {ran}`\njo;ls\njo*\njobs-2.fifo\nEND\n")
    os.chmod(script, 0o755)
    typed = "; ".join(("COMP_LINE='hato queue show jo'", "COMP_POINT=18", "COMP_WORDS=(hato queue show jo)", "COMP_CWORD=3", "_hato"))
    done = subprocess.run(["bash", "-c", b.hato("completion", "bash") + typed + "; printf '<%s>' \"${COMPREPLY[@]}\""],
                          env=dict(os.environ, PATH=directory + ":" + os.environ["PATH"]), capture_output=True, text=True, check=False)
    s.equal("completion offers names that are names", done.stdout, "<jobs><jobs-2.fifo>")
    s.check("and runs none", not os.path.exists(ran), done.stderr)


def in_a_shell(b, text):
    hato = shlex.join([*program("hato"), "--server", b.server])
    done = subprocess.run(["bash", "-c", text.replace("hato ", hato + " ") + "; echo ${PIPESTATUS[0]}"], capture_output=True,
                          text=True, check=False)
    return done.stdout, done.stderr


def pipes(s, b):
    body = "x" * 100000
    for how in ("--body", "--json", "--body --follow", "--json --follow"):
        b.hato("queue", "purge", "jobs-dead")
        for _ in range(3):
            b.hato("send", "jobs-dead", "-", stdin=body)
        out, err = in_a_shell(b, f"hato receive jobs-dead --max 3 {how} --ack --visibility 0s | head -c 1 >/dev/null")
        s.check(f"who closes the pipe of {how} before all is written is told", out == f"{LOCAL}\n"
                and "cannot write to standard output" in err, out + err)
        s.equal("and the messages are still there", b.json("queue", "show", "jobs-dead")["ready"], 3)
    b.hato("queue", "purge", "jobs-dead")
    out, err = in_a_shell(b, "hato queue list >&-")
    s.check("a closed output is an error like others", f"{LOCAL}\n" == out and "cannot write to standard output" in err, out + err)
    s.refused("standard input is read once", b.run("send", "jobs-dead", "-", "-"), "'-' is given twice")


def ctrl_c(s, b):
    sender = subprocess.Popen([*program("hato"), "--server", b.server, "send", "jobs-dead", "--lines"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    sender.stdin.write("one\ntwo\nthree\n")
    sender.stdin.flush()
    s.wait_for("the lines", lambda: b.json("queue", "show", "jobs-dead")["ready"] == 3)
    sender.send_signal(signal.SIGINT)
    told = sender.stdout.readline()
    sender.wait()
    sender.stdin.close()
    s.check("ctrl-c ends send --lines, which tells what was sent", sender.returncode == STOPPED and "sent 3 messages" in told,
            f"{sender.returncode} {told}")
    b.hato("queue", "purge", "jobs-dead")


def live_view(s, b):
    """hato top in a terminal of twelve rows; keys that come together are all obeyed."""
    first = "a-name-that-is-the-first-of-all-and-longer-than-forty-characters"
    names = [first, *(f"top-{i}" for i in range(7))]
    for name in names:
        b.hato("queue", "create", name)
    for i in range(3):
        b.hato("function", "create", f"top-{i}", "--url", "http://127.0.0.1:9/")
    child, terminal = pty.fork()
    if child == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 100, 0, 0))
        command = [*program("hato"), "--server", b.server, "top"]
        os.execvp(command[0], command)
    got = ""
    while "a-name-that-is-t...orty-characters " not in got or "1 to 1 of 10" not in got:
        got += os.read(terminal, 65536).decode(errors="replace")
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 150, 0, 0))
    while first not in got:
        got += os.read(terminal, 65536).decode(errors="replace")
    got = ""
    for keys, wanted in ((b"", "1 to 1 of 10"), (b"\x1b[B\x1b[Bj", "4 to 4 of 10"), (b"s", "(by ready)"), (b"\tj", "2 to 2 of 3"),
                         (b"\tk", "3 to 3 of 10")):
        os.write(terminal, keys)
        while wanted not in got:
            got += os.read(terminal, 65536).decode(errors="replace")
        got = ""
    os.write(terminal, b"q")
    with contextlib.suppress(OSError):  # the end of the terminal
        while os.read(terminal, 65536):
            pass
    s.equal("hato top shows, scrolls, sorts and ends when told", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
    os.close(terminal)
    for name in names:
        b.hato("queue", "delete", name)
    for i in range(3):
        b.hato("function", "delete", f"top-{i}")


def asks_a_person(s, b):
    """What cannot be undone is asked about on a terminal, with --json as well, and nowhere else."""
    b.hato("queue", "create", "dear")
    b.hato("send", "dear", "one")
    for command, wanted in ((("queue", "purge"), "Delete all messages of dear? [y/N]"), (("purge",), "Delete all messages of dear? [y/N]"),
                            (("queue", "delete"), "Delete the queue dear with its messages? [y/N]")):
        for more in ((), ("--json",)):
            child, terminal = pty.fork()
            if child == 0:
                os.execvp(program("hato")[0], [*program("hato"), "--server", b.server, *command, "dear", *more])
            got = ""
            while wanted not in got:
                got += os.read(terminal, 65536).decode()
            os.write(terminal, b"n\n")
            with contextlib.suppress(OSError):  # the end of the terminal
                while os.read(terminal, 65536):
                    pass
            s.equal(f"{' '.join((*command, *more))} that is answered with n is left", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]),
                    STOPPED)
            os.close(terminal)
    s.equal("nothing is gone then", b.json("queue", "show", "dear")["ready"], 1)
    s.equal("without a terminal nothing is asked", b.json("purge", "dear"), {"purged": 1})
    b.hato("queue", "delete", "dear")
    for command in (["queue", "purge"], ["purge"], ["queue", "delete"]):
        s.contains(f"the help of {' '.join(command)} tells when it asks", b.hato(*command, "--help"), "a terminal")


def commands_no_terminal(s, b):
    """Whoever may send must not be able to write to the title, the clipboard or the keys of who looks."""
    b.hato("queue", "create", "hostile")
    body = "red \x1b[31m bell \x07 tab\t end"
    b.hato("send", "hostile", body, body, "--attr", "kind:text.\x1b[32m=v")
    for command in (("peek", "hostile", "--full"), ("receive", "hostile")):
        child, terminal = pty.fork()
        if child == 0:
            os.execvp(program("hato")[0], [*program("hato"), "--server", b.server, *command])
        got = b""
        with contextlib.suppress(OSError):  # the end of the terminal
            while more := os.read(terminal, 65536):
                got += more
        os.waitpid(child, 0)
        os.close(terminal)
        s.check(f"{command[0]} shows a terminal what would command it", b"red \\x1b[31m bell \\x07" in got and b"\x1b" not in got
                and b"kind:text..[32m=v" in got, got)
        s.contains(f"{command[0]} leaves a body as it is elsewhere", b.hato(*command), body)
    b.hato("queue", "delete", "hostile")


def example_of_cancel(s, b):
    """The id that the help shows is one as the broker gives them, of a message that is not there."""
    example, = [line.split() for line in b.hato("cancel", "--help").splitlines() if line.startswith("  hato cancel jobs ")]
    done = b.run(*example[1:], "--json")
    s.equal("the help of cancel shows an id that is one", [one["code"] for one in json.loads(done.stdout)], ["not_found"])


def delays(s, b):
    b.hato("queue", "create", "slow", "--delay", "1h")
    b.hato("send", "slow", "at once", "--delay", "0")
    s.equal("a delay of 0 overrides the queue's", [one["body"] for one in b.json("receive", "slow")], ["at once"])
    b.hato("queue", "delete", "slow")


def wrong(s, b):
    s.refused("an unknown command", b.run("frob"), "no command 'frob'", "hato --help")
    s.equal("ends with the code for usage", b.run("frob").returncode, USAGE)
    s.refused("an unknown option", b.run("send", "jobs-dead", "--bogus", "x"), "--bogus")
    s.refused("an option without its value", b.run("queue", "create", "q", "--visibility"), "--visibility")
    s.refused("a duration that is none", b.run("queue", "create", "q", "--visibility", "soon"), "soon")
    s.refused("a number that is none", b.run("receive", "jobs-dead", "--max", "ten"), "ten")
    s.refused("too few words", b.run("send"), "hato send QUEUE")
    for name in ("a.b", "a b", "a/b", "é", "x" * 81, ".fifo"):
        done = b.run("queue", "create", name, "--json")
        s.check(f"the queue name {name[:10]!r} is refused with its field", done.returncode == REFUSED
                and error_of(done)["code"] == "invalid" and error_of(done)["field"] == "name", done.stderr)
    done = b.run("send", "nowhere", "x", "--json")
    s.equal("sending to a queue that is not there", (done.returncode, error_of(done)["code"]), (REFUSED, "not_found"))
    s.contains("says how to make it", error_of(done)["message"], "hato queue create nowhere")
    done = b.run("queue", "create", "caf\u00e9", "--json")
    s.contains("a name that is refused is shown as it was given", error_of(done)["message"], '"caf\u00e9"')
    for command in (["set", "nowhere", "--timeout", "5s"], ["delete", "nowhere"], ["show", "nowhere"]):
        message = error_of(b.run("function", *command, "--json"))["message"]
        s.check(f"function {command[0]} names what is not there as the user did", "nowhere" in message and
                "us-east-1" not in message and "hato function create nowhere" in message, message)
    b.hato("queue", "create", "small", "--max-messages", 1)
    b.hato("send", "small", "x")
    s.refused("a full queue says what makes room", b.run("send", "small", "y"), "ack some, or raise it")
    b.hato("queue", "delete", "small")
    done = b.run("bogus", "--json")
    s.equal("with --json wrong use is told in JSON, too", (done.returncode, error_of(done)["code"]), (USAGE, "usage"))
    done = b.run("ping", "--server", "127.0.0.1:%d" % b.http_port, "--json")
    s.equal("an HTTP server where the broker should be", (done.returncode, error_of(done)["code"]), (UNREACHABLE, "protocol"))
    done = b.run("ping", "--server", "127.0.0.1:1", "--json")
    s.equal("a broker that is not there", (done.returncode, error_of(done)["code"]), (UNREACHABLE, "io"))
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = "127.0.0.1:%d" % deaf.getsockname()[1]
        done = b.run("send", "jobs", "x", "--server", address, "--deadline", "200ms", "--json")
    told = error_of(done)
    s.check("one that never greets did nothing: no outcome is unknown", (done.returncode, told["code"]) == (UNREACHABLE, "io") and
            address in told["message"] and "--server" in told["message"], f"{done.returncode} {done.stderr}")
    for words in (["queue", "create"], ["send"], ["receive"], ["redrive"], ["function", "create"], ["top"],
                  ["queue"], ["function"]):
        done = b.run(*words, "--help")
        s.check(f"{' '.join(words)} --help", done.returncode == 0 and f"hato {words[0]}" in done.stdout, done.stdout)


def flags_of_the_broker(s, b):
    wanted = [(["--shards", "0"], "--shards takes a whole number, 1 to 256, not '0'"), (["--shards", "5x"], "1 to 256"),
              (["--shards", "99999999999999999999"], "1 to 256"), (["--log-window", "1MiB"], "--log-window takes 64MiB to 1TiB"),
              (["--drain-timeout", "5"], "--drain-timeout: "), (["--drain-timeout", "2d"], "--drain-timeout takes 0s to 1d, not '2d'"),
              (["--disk-reserve", "5x"], "--disk-reserve: "), (["--account", "12"], "--account: the account is 12 digits"),
              (["--region", "\u00e9"], 'not "\u00e9"'), (["--log-level", "loud"], "--log-level: "), (["--listen", "x"], "--listen: "),
              (["--bogus"], "--bogus"), (["--data"], "--data DIR"), (["--insecure=maybe"], "--insecure takes true or false")]
    for words, part in wanted:
        done = subprocess.run([*program("hatod"), "--data", os.path.join(b.directory, "none"), *words], capture_output=True,
                              text=True, check=False)
        s.check(f"hatod {' '.join(words)} is refused by name and limit", done.returncode == USAGE and part in done.stderr,
                f"{done.returncode} {done.stderr}")


with scenario() as scene:
    broker = scene.broker()
    for part in (queues, far_behind, messages, input_and_output, redrives, a_redrive_that_is_cancelled, functions, completion,
                 completion_of_odd_names, pipes, ctrl_c, live_view, asks_a_person, commands_no_terminal, example_of_cancel, delays,
                 broker_itself, wrong, flags_of_the_broker):
        part(scene, broker)
