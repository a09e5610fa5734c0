#!/bin/sh
# Three nodes on this machine, for trying out. They listen on 127.0.0.1 alone, on ports that were free.
#
#   deploy/cluster.sh                starts them, and prints their addresses and what to try
#   deploy/cluster.sh --status       which nodes run, and how many shards each leads
#   deploy/cluster.sh --kill N       ends node N with SIGKILL, as a crash would
#   deploy/cluster.sh --start N      starts node N again, with its data
#   deploy/cluster.sh --stop         stops all and removes their data; with --keep the next start goes on with it
#
# Builds in build/ when there is no build yet (installing what that needs, Debian 12). Everything else is kept in build/cluster/.
# HATO_BUILD names a build directory to use instead, HATO_CLUSTER_DIR a directory for the nodes.
set -eu
cd "$(dirname "$0")/.."

die() {
    printf 'cluster: %s\n' "$*" >&2
    exit 1
}

usage() {
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "deploy/cluster.sh"
}

wrong() {
    printf 'cluster: %s\n\n' "$*" >&2
    usage >&2
    exit 2
}

build=${HATO_BUILD:-build}
dir=${HATO_CLUSTER_DIR:-$build/cluster}
nodes="1 2 3"

# ------------------------------------------------------------ what there is

# Port of node $2 for $1: native, http or peers.
port() {
    case $1 in
    native) line=1 ;;
    http) line=2 ;;
    *) line=3 ;;
    esac
    sed -n "${line}p" "$dir/ports" | cut -d' ' -f"$2"
}

servers() {
    echo "127.0.0.1:$(port native 1),127.0.0.1:$(port native 2),127.0.0.1:$(port native 3)"
}

# The process of node $1, when it runs. A number that another process has by now is not taken for it.
process() {
    pid=$(cat "$dir/$1/pid" 2>/dev/null) || return 1
    grep -aqsF -- "$dir/$1/data" "/proc/$pid/cmdline" || return 1
    echo "$pid"
}

hato() {
    "$build/bin/hato" "$@"
}

# Whether node $1 is ready: every shard has a leader, and clients are served.
ready() {
    python3 - "http://127.0.0.1:$(port http "$1")/readyz" 2>/dev/null <<'PYTHON'
import sys, urllib.request
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1]).read()
PYTHON
}

must_exist() {
    [ -e "$dir/ports" ] || die "there is no cluster in $dir: deploy/cluster.sh starts one"
}

# ------------------------------------------------------------ starting

start_node() {
    mkdir -p "$dir/$1"
    setsid "$build/bin/hatod" --data "$dir/$1/data" --node "$1" \
        --peers "1=127.0.0.1:$(port peers 1),2=127.0.0.1:$(port peers 2),3=127.0.0.1:$(port peers 3)" \
        --listen "127.0.0.1:$(port native "$1")" --http "127.0.0.1:$(port http "$1")" \
        </dev/null >>"$dir/$1/log" 2>&1 &
    echo $! >"$dir/$1/pid"
    started=$!
}

# Waits until node $1, process $2, is ready; what it said last is shown when it ends instead.
await() {
    until ready "$1"; do
        if ! kill -0 "$2" 2>/dev/null; then
            tail -n 5 "$dir/$1/log" >&2
            die "node $1 has ended; its last lines are above"
        fi
        sleep 0.1
    done
}

choose_ports() {
    python3 - <<'PYTHON'
import random, socket
# Not of those that the kernel gives to connections: one might have a node's while that is down.
with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
    first, last = map(int, file.read().split())
free = [port for port in range(10000, 65536) if not first <= port <= last]
if len(free) < 100:
    free = range(10000, 65536)
ports = []
for port in random.sample(free, len(free)):
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            continue
    ports.append(port)
    if len(ports) == 9:
        break
else:
    raise SystemExit("there are no nine free ports from 10000 on")
for at in (0, 3, 6):
    print(*ports[at:at + 3])
PYTHON
}

start_all() {
    for node in $nodes; do
        ! process "$node" >/dev/null || die "node $node runs already: --status shows the cluster, --stop ends it"
    done
    if [ ! -x "$build/bin/hatod" ] || [ ! -x "$build/bin/hato" ]; then
        echo "Building in $build/ (minutes)"
        deploy/install-deps.sh quickstart
        if [ ! -e "$build/build.ninja" ] && [ ! -e "$build/Makefile" ]; then
            rm -f "$build/CMakeCache.txt" # of a configure that lacked packages
            cmake -S . -B "$build" -G Ninja -DHATO_TESTS=OFF >/dev/null
        fi
        cmake --build "$build" --target hatod hato_cli
    fi
    mkdir -p "$dir"
    if [ ! -e "$dir/ports" ]; then
        choose_ports >"$dir/ports.new"
        mv "$dir/ports.new" "$dir/ports"
    fi
    trap 'end_all' EXIT # a cluster that does not come up is not left half running; its data and log are kept
    trap 'exit 130' INT
    trap 'exit 143' TERM
    processes=""
    for node in $nodes; do
        start_node "$node"
        processes="$processes $started"
    done
    for node in $nodes; do
        await "$node" "$(echo "$processes" | cut -d' ' -f$((node + 1)))"
    done
    trap - EXIT INT TERM
    show
    cat <<END

Try:
  export PATH=\$PATH:$(cd "$build/bin" && pwd)
  export HATO_SERVER=$(servers)
  hato queue create jobs
  hato send jobs 'hello'
  deploy/cluster.sh --kill 1           # whichever leads: the others go on
  hato receive jobs --ack
  deploy/cluster.sh --start 1
  deploy/cluster.sh --stop
END
}

# ------------------------------------------------------------ showing, stopping

# How many shards node $1 leads, of how many.
leads() {
    hato --server "127.0.0.1:$(port native "$1")" --deadline 5s status --json 2>/dev/null | grep -o '"role":"[a-z]*"' |
        awk '/leader/ { led++ } END { if (NR > 0) printf "leads %d of %d shards", led, NR; else printf "does not answer" }'
}

show() {
    for node in $nodes; do
        if pid=$(process "$node"); then
            state="process $pid, $(leads "$node")"
        else
            state="not running"
        fi
        printf 'node %s  clients 127.0.0.1:%s  http://127.0.0.1:%s/metrics  log %s  %s\n' "$node" "$(port native "$node")" \
            "$(port http "$node")" "$dir/$node/log" "$state"
    done
}

end_all() {
    for signal in TERM KILL; do
        left=""
        for node in $nodes; do
            if pid=$(process "$node"); then
                kill -s "$signal" "$pid" 2>/dev/null || true
                left="$left $node"
            fi
        done
        tries=300 # a stop takes the drain timeout (8 s) and the handing over (3 s) at most
        while [ -n "$left" ] && [ "$tries" -gt 0 ]; do
            sleep 0.1
            tries=$((tries - 1))
            still=""
            for node in $left; do
                ! process "$node" >/dev/null || still="$still $node"
            done
            left=$still
        done
        [ -n "$left" ] || break
    done
}

stop_all() {
    must_exist
    end_all
    if [ "$keep" = yes ]; then
        echo "All nodes are stopped; their data is in $dir."
        return
    fi
    for node in $nodes; do
        rm -rf "${dir:?}/$node"
    done
    rm -f "$dir/ports"
    rmdir "$dir" 2>/dev/null || true
    echo "All nodes are stopped, and their data is removed."
}

one_of() {
    case $2 in
    1 | 2 | 3) ;;
    *) wrong "$1 takes the number of a node: 1, 2 or 3" ;;
    esac
}

# ------------------------------------------------------------ the command

what=start keep=no node=""
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        usage
        exit 0
        ;;
    --keep) keep=yes ;;
    --stop) what=stop ;;
    --status) what=status ;;
    --kill | --start)
        one_of "$1" "${2-}"
        what=${1#--}-one node=$2
        shift
        ;;
    *) wrong "unknown argument \"$1\"" ;;
    esac
    shift
done
[ "$keep" = no ] || [ "$what" = stop ] || wrong "--keep goes with --stop"

case $what in
start) start_all ;;
stop) stop_all ;;
status)
    must_exist
    show
    ;;
kill-one)
    must_exist
    pid=$(process "$node") || die "node $node does not run"
    kill -KILL "$pid"
    while process "$node" >/dev/null; do sleep 0.02; done
    show
    ;;
start-one)
    must_exist
    ! process "$node" >/dev/null || die "node $node runs already"
    start_node "$node"
    await "$node" "$started"
    show
    ;;
esac
