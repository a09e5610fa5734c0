"""The bugs that tests/mutants.sh plants, and the planting: each in a copy of the sources, which is built and given to the simulator."""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SOURCES = ["CMakeLists.txt", "broker", "client", "proto", "bench", "tests"]
SEEDS = 60
CHUNK = 10  # seeds of one process
FAILED_SEED = re.compile(r"^not ok \d+ - seed (\d+)", re.MULTILINE)

# `old`, which stands in the file exactly once, becomes `new`; the simulator runs clusters of so many nodes.
Mutant = namedtuple("Mutant", "name nodes file old new")
MUTANTS = [
    Mutant("an fsync is skipped", 1, "broker/log/writer.c",
           "        code = log->disk->sync(w->segment->file, &e);", "        code = ERR_OK;"),
    Mutant("acknowledgements and votes leave before they are on disk", 3, "broker/shard/ready.c",
           "shard_link_owe(s, &ready.persisted_messages[i], ready.number);", "shard_link_send(s, &ready.persisted_messages[i]);"),
    Mutant("a vote is not written", 3, "broker/shard/ready.c",
           "        s->hard_unwritten = true;", "        s->hard_unwritten = false;"),
    Mutant("an entry has an earlier time than its commands", 1, "broker/shard/batch.c",
           "entry_stamp(&b->payload, timekeeper_now_ms(&s->time));", "entry_stamp(&b->payload, timekeeper_now_ms(&s->time) - 20);"),
    Mutant("a snapshot leaves bodies out", 3, "broker/shard/offer.c",
           "        if (rc == ERR_OK)\n            rc = put_body(p, ref, entry);", "        if (rc == ERR_OK && ref.index % 8 != 0)\n            rc = put_body(p, ref, entry);"),
    Mutant("a stale receipt is accepted", 1, "broker/state/settle.c",
           "        *out = ERR_RECEIPT_STALE;", "        s->bits |= s->chunk != NULL ? bit & s->chunk->live & ~s->chunk->delayed : 0;"),
    Mutant("a send that is repeated is stored again", 1, "broker/state/send.c",
           "if (in.producer != 0 && in.count > 0)", "if (in.producer != 0 && in.count > 0 && m->index == 0)"),
    Mutant("a full disk refuses acks", 1, "broker/shard/submit.c",
           "    entry_add_ack(&b->writer, queue, leases, count);",
           "    if (shard_refuse_messages(s, e) != ERR_OK)\n        return ERR_STORAGE_FULL;\n    entry_add_ack(&b->writer, queue, leases, count);"),
    Mutant("a full disk takes sends", 1, "broker/shard/submit.c",
           "    size_t bytes = entry_send_bytes(messages, send->count);\n    int rc = admit(s, bytes, e);\n    if (rc != ERR_OK)\n        return rc;\n    rc = shard_refuse_messages(s, e);",
           "    size_t bytes = entry_send_bytes(messages, send->count);\n    int rc = admit(s, bytes, e);"),
    Mutant("an ack is forgotten", 1, "broker/state/settle.c",
           "    chunk_remove(m, c, s->bits | s->late, true);", "    chunk_remove(m, c, m->index % 64 == 0 ? 0 : s->bits | s->late, true);"),
    Mutant("a receive is not counted", 1, "broker/state/lease.c",
           "            t->receives++;", "            t->receives += m->index % 16 != 0;"),
    Mutant("leases end early", 1, "broker/state/lease.c",
           "if (l.bits == 0 || l.until_ms > m->clock_ms)", "if (l.bits == 0 || l.until_ms > m->clock_ms + 100)"),
    Mutant("a group's order is not kept", 1, "broker/state/pick.c",
           "    return !lane_blocked(l) && lane_has_ready(l);", "    return lane_has_ready(l);"),
    Mutant("a group goes on while its dead letter is on its way", 1, "broker/state/lane.h",
           " || l->moving > 0", ""),
    Mutant("a delay is forgotten", 1, "broker/state/send.c",
           "    else if (msg->delay_ms > 0)", "    else if (msg->delay_ms > 0 && m->index % 16 != 0)"),
    Mutant("the deduplication window is half as long", 1, "broker/state/dedup.c",
           "*found = now_ms < put_ms + window_ms;", "*found = now_ms < put_ms + window_ms / 2;"),
    Mutant("what came through a channel is taken twice", 1, "broker/state/outbox.c",
           "    return INBOX_SEEN;", "    return INBOX_NEW;"),
    Mutant("one item too many of a channel counts as settled", 1, "broker/state/outbox.c",
           "    uint64_t to = upto < c->next ? upto : c->next - 1;", "    uint64_t to = upto + 1 < c->next ? upto + 1 : c->next - 1;"),
    Mutant("a replica that has left has a vote", 3, "broker/consensus/crate/src/group.rs",
           "if check::passes_over(&message, &self.node.raft) {", "if false && check::passes_over(&message, &self.node.raft) {"),
    Mutant("a replica is let go before a majority knows on disk", 3, "broker/shard/change.c",
           "    if (status.commit > s->changed_at)\n        return true;", "    if (status.last_index > 0)\n        return true;"),
    Mutant("a newcomer votes before it has the log", 3, "broker/shard/change.c",
           "            return shard_hears(g->s, node) &&", "            return true || shard_hears(g->s, node) &&"),
    Mutant("a replica that left forgets its term and vote", 3, "broker/shard/leave.c",
           "{.term = s->hard.term, .vote = s->hard.vote}", "{.term = 1}"),
    Mutant("a replica leaves that is still a member", 5, "broker/shard/leave.c",
           " || membership_includes(&now, node)", ""),
]


class Failure(Exception):
    """What keeps a mutant from being tried."""


def run(command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False, **more)


def prepare(work):
    """A copy of the sources, configured. The Rust crate's build is taken over from where there is one."""
    for name in SOURCES:
        at = os.path.join(ROOT, name)
        copy = shutil.copytree if os.path.isdir(at) else shutil.copy
        copy(at, os.path.join(work, name))
    build = os.path.join(work, "build")
    for place in (os.environ.get("HATO_BUILD", ""), os.path.join(ROOT, "build", "test"), os.path.join(ROOT, "build")):
        if place and os.path.isdir(os.path.join(place, "crate")):
            shutil.copytree(os.path.join(place, "crate"), os.path.join(build, "crate"))
            break
    done = run(["cmake", "-S", work, "-B", build, "-G", "Ninja"])
    if done.returncode != 0:
        raise Failure(done.stdout)
    return build


def compile_in(build):
    done = run(["cmake", "--build", build, "--target", "simulate"])
    if done.returncode != 0:
        raise Failure("it does not compile:\n" + "\n".join(done.stdout.splitlines()[-20:]))


def find(build, nodes, seeds):
    """(seed, why) of the first run that fails, or None. A simulator that dies has found it as well."""
    for at in range(1, seeds + 1, CHUNK):
        done = run([os.path.join(build, "tests", "simulate"), "--nodes", str(nodes), "--from", str(at), "--seeds", str(min(CHUNK, seeds + 1 - at))])
        failed = FAILED_SEED.search(done.stdout)
        if failed:
            reason = next((line[2:] for line in done.stdout.splitlines() if line.startswith(f"# seed {failed[1]} ")), "")
            return int(failed[1]), reason
        if done.returncode != 0:
            return at, "the simulator ended with " + str(done.returncode)
    return None


def place(root, mutant):
    """The file it goes into, and what that holds."""
    path = os.path.join(root, mutant.file)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(mutant.old) != 1:
        raise Failure(f"{mutant.file} has {text.count(mutant.old)} places of: {mutant.old}")
    return path, text


def plant(work, mutant):
    path, text = place(work, mutant)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(mutant.old, mutant.new))
    return path, text


def attempt(work, build, mutant, seeds):
    path, text = plant(work, mutant)
    try:
        compile_in(build)
        return find(build, mutant.nodes, seeds)
    finally:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def show(mutants):
    """What there is, and whether it still has its place."""
    code = 0
    for mutant in mutants:
        try:
            place(ROOT, mutant)
            print(f"{mutant.name} ({mutant.file}, {mutant.nodes} nodes)")
        except (Failure, OSError) as problem:
            code = 1
            print(f"{mutant.name}: cannot be planted: {problem}")
    return code


def main(options):
    chosen = [mutant for mutant in MUTANTS if options.filter in mutant.name]
    if options.list:
        return show(chosen)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="hato-mutants-") as work:
        try:
            build = prepare(work)
        except Failure as problem:
            print(f"cannot build: {problem}", file=sys.stderr)
            return 2
        try:
            compile_in(build)
            harmed = find(build, 3, 2)
        except Failure as problem:
            harmed = problem
        if harmed:
            print(f"the sources as they are: {harmed}", file=sys.stderr)
            return 2
        for number, mutant in enumerate(chosen, 1):
            try:
                found = attempt(work, build, mutant, options.seeds)
                told = f"found by seed {found[0]}: {found[1]}" if found else f"NOT FOUND within {options.seeds} seeds"
            except Failure as problem:
                found, told = None, f"cannot be planted: {problem}"
            failed += found is None
            print(f"{'ok' if found else 'not ok'} {number} - {mutant.name}: {told}", flush=True)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tests/mutants.sh", formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="Shows that the simulator's checkers can fail: plants one bug after the other into a copy of\n"
                                                 "the sources, and runs seeds until one fails. Ends with 1 when a bug was not found.",
                                     epilog="Example: tests/mutants.sh --filter fsync --seeds 20\n\n"
                                            "HATO_BUILD names a build directory whose build of the Rust crate is used (default build/test, else build).")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="for each bug at most (%(default)s)")
    parser.add_argument("--filter", default="", help="only bugs whose name contains this")
    parser.add_argument("--list", action="store_true", help="what there is; ends with 1 when the sources have no place for one any more")
    sys.exit(main(parser.parse_args()))
