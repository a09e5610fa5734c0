#!/bin/sh
# From a fresh clone to jobs being processed, on Debian 12:
#
#   deploy/quickstart.sh [FILE]
#
# Installs what is missing, builds in build/, starts a broker and an example function (deploy/examples/wordcount.py), and sends
# every line of FILE (a licence text of this machine by default) as a job. A few poisoned lines among them end in the dead-letter
# queue with their reason. What was sent, counted and refused is compared at the end. Nothing is left running, and nothing
# outside of build/ but the packages.
#
# HATO_BUILD names a build directory to use instead; a build that is there is not configured anew.
set -eu

step() {
    printf '\n== %s\n' "$*"
}

die() {
    printf 'quickstart: %s\n' "$*" >&2
    exit 1
}

case "${1-}" in
-h | --help)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
    exit 0
    ;;
"")
    input=/usr/share/common-licenses/GPL-3
    [ -r "$input" ] || input=LICENSE
    ;;
*)
    input=$(realpath -- "$1")
    if [ ! -f "$input" ] || [ ! -r "$input" ]; then
        die "$1 is not a file that can be read"
    fi
    if grep -q '^!poison' "$input"; then
        die "$1 has lines that begin with !poison: these are what the script adds"
    fi
    ;;
esac
cd "$(dirname "$0")/.."

# ------------------------------------------------------------ build

step "Installing what is missing"
deploy/install-deps.sh quickstart

build=${HATO_BUILD:-build}
step "Building in $build/ (the first time takes minutes)"
if [ ! -e "$build/build.ninja" ] && [ ! -e "$build/Makefile" ]; then
    rm -f "$build/CMakeCache.txt" # of a configure that lacked packages
    cmake -S . -B "$build" -G Ninja -DHATO_TESTS=OFF >/dev/null
fi
cmake --build "$build" --target hatod hato_cli
bin=$(cd "$build/bin" && pwd)
PATH=$bin:$PATH

# ------------------------------------------------------------ a broker, a function, and their end

work=$(mktemp -d "${TMPDIR:-/tmp}/hato-quickstart-XXXXXX")
broker_pid="" function_pid=""

# shellcheck disable=SC2317 # called by the trap
finish() {
    code=$?
    trap - EXIT INT TERM
    if [ "$code" -ne 0 ] && [ -s "$work/broker.log" ]; then
        printf '\nThe broker'\''s last lines:\n' >&2
        tail -n 20 "$work/broker.log" >&2
    fi
    for pid in $function_pid $broker_pid; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Two ports nobody listens on, so that a broker that runs already is not in the way.
ports=$(python3 - <<'PYTHON'
import socket
held = [socket.socket() for _ in range(2)]
for one in held:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in held))
PYTHON
)
native=${ports% *}
http=${ports#* }
export HATO_SERVER="127.0.0.1:$native"

# Waits until the command given succeeds; ends when the process $1 does.
wait_until() {
    process=$1
    shift
    until "$@" >/dev/null 2>&1; do
        kill -0 "$process" 2>/dev/null || die "$1: the process it waits for has ended"
        sleep 0.05
    done
}

step "Starting a broker"
echo "hatod --data $work/data --listen $HATO_SERVER --http 127.0.0.1:$http"
hatod --data "$work/data" --listen "$HATO_SERVER" --http "127.0.0.1:$http" 2>"$work/broker.log" &
broker_pid=$!
wait_until "$broker_pid" hato ping
hato ping

step "Starting the function"
python3 deploy/examples/wordcount.py --port 0 >"$work/function.url" &
function_pid=$!
wait_until "$function_pid" test -s "$work/function.url"
url=$(cat "$work/function.url")
echo "deploy/examples/wordcount.py listens on $url"

# ------------------------------------------------------------ the jobs

poisoned=3
# Every line of the file, with poisoned ones after the 10th, 20th and 30th.
awk -v most=$poisoned '{ print }
    NR % 10 == 0 && done < most { done++; printf "!poison %d\n", done }
    END { while (done < most) { done++; printf "!poison %d\n", done } }' "$input" >"$work/jobs"
lines=$(($(wc -l <"$work/jobs") - poisoned))
words=$(LC_ALL=C tr -s '[:space:]' '\n' <"$input" | LC_ALL=C grep -c . || true) # as the function splits them: by bytes

step "Making the queues, and binding the function"
set -x
hato queue create jobs-dead
hato queue create jobs --dead-letter jobs-dead --max-receives 3
hato function create wordcount --url "$url" --format raw --retry-min 100ms --retry-max 1s
hato bind jobs wordcount --max-concurrency 16
{ set +x; } 2>/dev/null

step "Sending the $lines lines of $input, and $poisoned poisoned ones"
echo "hato send jobs --lines < jobs"
hato send jobs --lines <"$work/jobs"

# The value of a number in JSON of one line.
number() {
    sed -n "s/.*\"$1\": *\([0-9][0-9]*\).*/\1/p"
}

totals() {
    # A proxy of the environment is not for this machine.
    python3 -c 'import sys, urllib.request
local = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(local.open(sys.argv[1]).read().decode(), end="")' "$url"
}

left() {
    queue=$(hato queue list --json | sed 's/},{/}\n{/g' | grep '"name":"jobs",')
    echo $(($(echo "$queue" | number ready) + $(echo "$queue" | number in_flight) + $(echo "$queue" | number delayed) +
        $(echo "$queue" | number moving)))
}

step "Watching the function work"
remaining=$(left)
while [ "$remaining" -gt 0 ]; do
    echo "$remaining jobs to go"
    kill -0 "$broker_pid" 2>/dev/null || die "the broker has ended"
    sleep 0.3
    remaining=$(left)
done
echo "all jobs are done"

step "What became of them"
result=$(totals)
echo "the function: $result"
echo
hato queue list
echo
echo "hato peek jobs-dead --full"
hato peek jobs-dead --full
step "hato function show wordcount"
hato function show wordcount | sed -n '1,25p'
step "hato status"
hato status

check() {
    [ "$2" -eq "$3" ] || die "$1: $2, where $3 was expected"
}
check "lines counted" "$(echo "$result" | number lines)" "$lines"
check "words counted" "$(echo "$result" | number words)" "$words"
check "poisoned lines" "$(echo "$result" | number poisoned)" "$poisoned"
dead=$(hato peek jobs-dead --json)
check "dead letters" "$(echo "$dead" | grep -o '"body":"!poison [0-9]*"' | sort -u | wc -l)" "$poisoned"
check "their reasons" "$(echo "$dead" | grep -o '"last_error":"HTTP 422: cannot count [^"]*"' | sort -u | wc -l)" "$poisoned"

step "Stopping"
kill "$broker_pid"
wait "$broker_pid" || die "the broker ended with $?"
broker_pid=""
printf '\n%s lines sent, %s lines with %s words counted, %s poisoned lines in the dead-letter queue. Nothing is left running.\n' \
    "$((lines + poisoned))" "$lines" "$words" "$poisoned"
