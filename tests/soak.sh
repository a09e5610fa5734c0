#!/bin/bash
# The simulator for longer than the test run has time for.
#
#   tests/soak.sh [--seeds N] [--jobs J] [--nodes N,...] [--from SEED] [--seconds N]
#
#   --seeds N     seeds for each number of nodes (default 10000)
#   --jobs J      how many run at a time (default: one for each core)
#   --nodes N,... clusters of 1 to 5 nodes (default 1,3,5)
#   --from SEED   the first (default: drawn, and told)
#   --seconds N   virtual seconds of each (default 60)
#
# Example: tests/soak.sh --seeds 2000 --jobs 2 --nodes 3
#
# Each seed is a run of its own and goes the same way every time. One that fails is told with its reason and the command that
# replays it. Ends with one line "N passed, N failed", and with 1 when any failed. HATO_BUILD names a build directory to use.
set -euo pipefail
cd "$(dirname "$0")/.."

seeds=10000 jobs=$(nproc) nodes=1,3,5 from=$((RANDOM * 32768 + RANDOM + 1)) seconds=60
chunk=20 # seeds of one process

die() { printf 'soak.sh: %s\n' "$*" >&2; exit 2; }

while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' tests/soak.sh; exit 0 ;;
    --seeds | --jobs | --nodes | --from | --seconds)
        [ $# -gt 1 ] || die "$1 needs a value"
        printf -v "${1#--}" %s "$2"
        shift 2
        ;;
    *) die "\"$1\" is not understood; see tests/soak.sh --help" ;;
    esac
done
for name in seeds jobs from seconds; do
    [[ ${!name} =~ ^[1-9][0-9]{0,15}$ ]] || die "--$name is a number from 1, not \"${!name}\""
done
[[ $nodes =~ ^[1-5](,[1-5])*$ ]] || die "--nodes is of the form 1,3,5, each from 1 to 5, not \"$nodes\""

build=${HATO_BUILD:-build}
if [ -z "${HATO_BUILD-}" ]; then
    [ -e "$build/CMakeCache.txt" ] || cmake -S . -B "$build" -G Ninja >/dev/null
    cmake --build "$build" --target simulate >&2
fi
[ -x "$build/tests/simulate" ] || die "$build/tests/simulate is not there: build it first"

calls() {
    local n at left
    for n in ${nodes//,/ }; do
        for ((at = from, left = seeds; left > 0; at += chunk, left -= chunk)); do
            echo "--nodes $n --seconds $seconds --from $at --seeds $((left < chunk ? left : chunk))"
        done
    done
}

all=$((seeds * (1 + $(tr -cd , <<<"$nodes" | wc -c))))
echo "soak: $all runs of $seconds virtual seconds, seeds from $from, $jobs at a time" >&2
run() {
    local code=0
    # shellcheck disable=SC2086 # the words of a call
    "$build/tests/simulate" $1 || code=$?
    [ "$code" -le 1 ] || echo "not ok simulate $1: it ended with $code"
}
export -f run
export build
calls | xargs -d '\n' -P "$jobs" -I{} bash -c 'run "{}"' 2>&1 | awk -v all="$all" -v quiet="$([ -t 2 ] && echo 0 || echo 1)" '
    /^ok /     { passed++ }
    /^not ok / { failed++; print; fflush() }
    /^#/       { print; fflush() }
    !quiet && (passed + failed) != told { told = passed + failed; printf "\r%d of %d, %d failed ", told, all, failed > "/dev/stderr" }
    END {
        if (!quiet)
            printf "\r" > "/dev/stderr"
        if (passed + failed < all) { failed += all - passed - failed; print "not all of them said how they ended" }
        printf "%d passed, %d failed\n", passed, failed
        exit failed > 0
    }'
