"""Checks what includes what: layers downward only, and one home per dependency. Prints each violation; exit 1 if any."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# The broker's layers, lowest first; those of one line do not see each other. A file may include what stands below.
LAYERS = [["base"], ["net"], ["store"], ["log"], ["consensus"], ["state"], ["shard"], ["cluster"], ["command"],
          ["protocol", "dispatch"], ["server"]]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

# What stands below and is nevertheless out of reach. The state machine is pure: no sockets, no consensus; the disk layers
# know nothing of the network.
OUT_OF_REACH = {
    "store": {"net"},
    "log": {"net", "store"},
    "consensus": {"net", "store"},
    "state": {"net", "consensus"},
}

# Of a layer that is out of reach a header that is data alone.
DATA_ALONE = {"consensus/membership.h"}

# Programs and libraries beside the broker, and which of the broker's layers they may use.
BESIDE = {
    "client": {"base"},
    "bench": {"base", "net"},
    "tests": set(RANK),
}

# A dependency's headers, and the folders that are its home.
HOMES = [
    (r"uv\.h", ["broker/net/", "broker/dispatch/", "broker/server/", "client/", "bench/", "tests/"]),
    (r"openssl/.*", ["broker/net/", "tests/"]),
    (r"rocksdb/.*", ["broker/store/", "tests/unit/state/walked.h"]),
    (r"zstd.*\.h", ["broker/log/"]),
    (r"curl/.*", ["broker/dispatch/", "tests/"]),
    (r"llhttp\.h", ["broker/net/", "bench/"]),
    (r"yajl/.*", ["broker/dispatch/"]),
    (r"jansson\.h", ["tests/"]),
    (r"ini\.h", ["broker/server/", "client/cli/"]),
    (r"xxhash\.h", ["broker/base/"]),
    (r"hato_raft\.h", ["broker/consensus/"]),
    (r"protobuf-c/.*", ["broker/state/", "broker/shard/", "broker/command/", "broker/protocol/", "client/", "bench/",
                        "tests/"]),
    (r"check\.h", ["tests/"]),
]

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def sources():
    for top in ("broker", "client", "bench", "tests"):
        for at, folders, names in os.walk(os.path.join(ROOT, top)):
            folders[:] = sorted(name for name in folders if name not in ("crate", "target", "__pycache__"))
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    yield os.path.relpath(os.path.join(at, name), ROOT)


def part_of(path):
    """("broker", layer) or (top folder, None)."""
    words = path.split("/")
    return ("broker", words[1]) if words[0] == "broker" else (words[0], None)


def layer_problem(path, header):
    """Why the quoted include is wrong, or None."""
    top, layer = part_of(path)
    target = header.split("/")[0]
    if target == "proto":
        if top == "broker" and RANK[layer] < RANK["state"]:
            return "the layers below state know nothing of the protocol's messages"
        return None
    if target in RANK and "/" in header:
        if top == "tests" and os.path.exists(os.path.join(ROOT, "tests", "unit", header)):
            return None
        if not os.path.exists(os.path.join(ROOT, "broker", header)):
            return f"there is no broker/{header}"
        if top != "broker":
            return None if target in BESIDE[top] else f"{top}/ may use {', '.join(sorted(BESIDE[top]))} of the broker only"
        if target == layer:
            return None
        if RANK[target] >= RANK[layer]:
            return f"{layer}/ stands below or beside {target}/"
        if target in OUT_OF_REACH.get(layer, ()) and header not in DATA_ALONE:
            return f"{target}/ is out of reach for {layer}/"
        return None
    if top == "broker":
        return 'write it as "layer/file.h" (or <...>, if it is not ours)'
    return None


def home_problem(path, header):
    for pattern, homes in HOMES:
        if re.fullmatch(pattern, header) and not path.startswith(tuple(homes)):
            return f"its home is {', '.join(homes)}"
    return None


def main():
    problems = 0
    files = 0
    for path in sources():
        files += 1
        top, layer = part_of(path)
        if top == "broker" and layer not in RANK:
            print(f"{path}: no layer of this name; add it to {os.path.relpath(__file__, ROOT)}")
            problems += 1
            continue
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                found = INCLUDE.match(line)
                if not found:
                    continue
                kind, header = found.groups()
                problem = home_problem(path, header) or (layer_problem(path, header) if kind == '"' else None)
                if problem:
                    print(f"{path}:{number}: {header}: {problem}")
                    problems += 1
    print(f"{files} files looked at, {problems} includes out of order")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
