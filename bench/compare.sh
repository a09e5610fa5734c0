#!/bin/bash
# Measures Hato against the limit of this machine and against its peers, side by side, and prints the table of aims.
#
#   bench/compare.sh [flags]
#
#   --rounds N      rounds, each with every contender once; what counts is the median of the rounds' ratios (default 3)
#   --quick         one short round and a backlog of 300k: does it all run? Its figures say little
#   --full          the backlog is 20 million messages (20 GB of disk, some minutes)
#   --backlog N     the backlog is N messages (default 1m)
#   --only WORDS    of send, receive, latency, push, queues, backlog: these alone, with commas between
#   --without WORDS peers to leave out, with commas between
#   --json          [{"name", "value", "against", "ratio", "aim", "met"}] in place of the table
#   --build DIR     where bin/hatod, bin/hato-limit and bin/hato-bench are (default build)
#   --dir DIR       where the servers' files go, on the disk to be measured (default /var/tmp)
#
# Every run starts its server on fresh files and removes them. Peers that are not installed are left out and named:
# bench/install-peers.sh installs them. Progress goes to standard error.
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=3 duration=5s warmup=1s fill=300k pushed=200k queues=100k backlog=1m sample=200k
only=send,receive,latency,push,queues,backlog without='' json='' build=build dir=/var/tmp
peers=(redis rabbitmq beanstalkd nats kafka)

usage() { sed -n '2,19s/^# \{0,1\}//p' bench/compare.sh; }
say() { printf '%s\n' "$*" >&2; }
die() { say "compare.sh: $*"; exit 2; }
has() { [[ ",$1," == *",$2,"* ]]; }

while [ $# -gt 0 ]; do
    case $1 in
    --quick) rounds=1 duration=2s warmup=500ms fill=50k pushed=50k queues=10k backlog=300k sample=50k ;;
    --full) backlog=20m sample=500k ;;
    --json) json=--json ;;
    --help) usage; exit 0 ;;
    --rounds | --backlog | --only | --without | --build | --dir)
        [ $# -gt 1 ] || die "$1 needs a value"
        printf -v "${1#--}" %s "$2"
        shift
        ;;
    *) usage >&2; die "\"$1\" is not understood" ;;
    esac
    shift
done
[[ $rounds =~ ^[1-9][0-9]?$ ]] || die "--rounds is 1 to 99"
for word in ${only//,/ }; do
    has send,receive,latency,push,queues,backlog "$word" || die "--only \"$word\": send, receive, latency, push, queues, backlog"
done
bench=$build/bin/hato-bench hatod=$build/bin/hatod limit=$build/bin/hato-limit
for program in "$bench" "$hatod" "$limit"; do
    [ -x "$program" ] || die "$program is not there: build first (cmake -S . -B $build && cmake --build $build)"
done

work=$(mktemp -d "$dir/hato-compare-XXXXXX")
running='' # the peer that is up, if any
finish() {
    [ -z "$running" ] || bench/peers.sh stop "$running" "$work/peer" || true
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
lines=$work/lines
: >"$lines"
declare -A seen=() # WORKLOAD.SYSTEM.FIELD of this round
failed=''

# ---------------------------------------------------------------- who takes part
installed=()
for peer in "${peers[@]}"; do
    state=$(bench/peers.sh list | awk -v n="$peer" '$1 == n { sub(/^[^ ]+ +/, ""); print }')
    if has "$without" "$peer"; then
        say "left out: $peer (--without)"
    elif [ "$state" != installed ]; then
        say "left out: $peer ($state; bench/install-peers.sh $peer)"
    elif ! "$bench" systems | grep -q "^$peer "; then
        say "left out: $peer (hato-bench was built without its client library; bench/install-peers.sh $peer, build again)"
    else
        installed+=("$peer")
    fi
done

# ---------------------------------------------------------------- one run
# What the last run left to be written back is not to slow this one down.
settle() {
    sync
    sleep 1
}

remember() { # WORKLOAD SYSTEM FILE: keeps every number of a run's line
    local name value
    while IFS=$'\t' read -r name value; do
        seen[$1.$2.$name]=$value
    done < <(grep -o '"[a-z0-9_]*": [0-9.e+-]*' "$3" | sed 's/"\(.*\)": /\1\t/')
}

run() { # WORKLOAD SYSTEM hato-bench's arguments...
    local workload=$1 system=$2
    shift 2
    settle
    printf '  %-9s %-11s' "$workload" "$system" >&2
    if "$bench" "$@" --json --quiet >"$work/out" 2>"$work/err"; then
        remember "$workload" "$system" "$work/out"
        say "$(shown "$workload" "$system")"
    else
        say "failed: $(tail -n 1 "$work/err")"
        failed=1
    fi
}

shown() { # WORKLOAD SYSTEM: what a person wants to see at once
    case $1 in
    latency) printf 'p50 %.0f us' "${seen[$1.$2.p50_us]}" ;;
    push) printf '%.0f messages/s in %.0f requests/s' "${seen[$1.$2.rate]}" "${seen[$1.$2.requests_rate]}" ;;
    queues) printf '%.0f MB, listed in %s s' "$((${seen[$1.$2.memory_peak]} / 1000000))" "${seen[$1.$2.list_seconds]}" ;;
    backlog) printf 'receive %.0f/s (short queue %.0f/s), peak %d MB, restart %s s' "${seen[$1.$2.deep_rate]}" \
        "${seen[$1.$2.short_rate]}" "$((${seen[$1.$2.memory_peak]} / 1000000))" "${seen[$1.$2.restart_seconds]}" ;;
    *) printf '%.0f/s' "${seen[$1.$2.rate]}" ;;
    esac
}

# Runs a workload against one contender, starting and stopping its server.
contend() { # WORKLOAD SYSTEM hato-bench's arguments...
    local workload=$1 system=$2
    shift 2
    case $system in
    hato) run "$workload" hato "$@" --spawn "$hatod" --dir "$work" ;;
    limit) run "$workload" limit "$@" --system limit --spawn "$limit" --dir "$work" ;;
    *)
        local server
        rm -rf "$work/peer"
        running=$system
        if server=$(bench/peers.sh start "$system" "$work/peer" 2>"$work/err"); then
            run "$workload" "$system" "$@" --system "$system" --server "$server"
        else
            say "  $workload $system did not start: $(tail -n 1 "$work/err")"
            failed=1
        fi
        bench/peers.sh stop "$system" "$work/peer"
        running=''
        rm -rf "$work/peer"
        ;;
    esac
}

# The order turns from round to round, so that nobody always runs after the same neighbour.
turned() { # ROUND WORDS...
    local by=$(($1 % ($# - 1)))
    shift
    printf '%s\n' "${@:by+1}" "${@:1:by}"
}

# ---------------------------------------------------------------- rows
row() { # NAME AIM VALUE-KEY AGAINST-KEY-OR-NUMBER: a line for the table, if both were measured
    local value=${seen[$3]:-} against=${seen[$4]:-}
    [[ $4 =~ ^[0-9.]+$ ]] && against=$4
    [ -n "$value" ] && [ -n "$against" ] || return 0
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$value" "$against" >>"$lines"
}

measure_send() { # ROUND
    local system
    for system in $(turned "$1" hato limit "${installed[@]}"); do
        contend send "$system" send --duration $duration --warmup $warmup
    done
    row "send: limit" ">= 0.4" send.hato.rate send.limit.rate
    row "send: Redis Streams, appendfsync always" ">= 5" send.hato.rate send.redis.rate
    row "send: RabbitMQ quorum queue" ">= 8" send.hato.rate send.rabbitmq.rate
    row "send: beanstalkd -f0" ">= 20" send.hato.rate send.beanstalkd.rate
    row "send: NATS JetStream, sync_interval always" ">= 20" send.hato.rate send.nats.rate
    row "send: Kafka, flush.messages=1" ">= 10" send.hato.rate send.kafka.rate
}

measure_receive() {
    local system redis=
    [[ " ${installed[*]} " != *" redis "* ]] || redis=redis
    # shellcheck disable=SC2086
    for system in $(turned "$1" hato $redis); do
        contend receive "$system" receive --fill $fill
    done
    row "receive and ack: Redis Streams, appendfsync always" ">= 2.5" receive.hato.rate receive.redis.rate
}

measure_latency() {
    local system
    for system in $(turned "$1" hato limit); do
        contend latency "$system" latency --duration $duration --warmup $warmup
    done
    row "one at a time: p50 in us, limit" "<= 1.5" latency.hato.p50_us latency.limit.p50_us
}

measure_push() {
    contend push hato push --messages $pushed
    row "push: deliveries a second, counted in messages, batches of 10" ">= 1" push.hato.rate 20000
    row "push: requests a second that carry them, 10 messages each" ">= 1" push.hato.requests_rate 2000
    row "push: CPU of 100 idle functions, per cent of a core" "<= 1" push.hato.idle_cpu_percent 1
}

measure_queues() {
    contend queues hato queues --queues $queues
    row "$queues queues, a message each: memory peak, bytes" "<= 1" queues.hato.memory_peak 500000000
}

measure_backlog() {
    contend backlog hato backlog --messages "$backlog" --sample $sample
    row "backlog of $backlog: memory peak, bytes" "<= 1" backlog.hato.memory_peak 300000000
    row "backlog of $backlog: receive and ack, short queue" ">= 0.8" backlog.hato.deep_rate backlog.hato.short_rate
    row "backlog of $backlog: restart, seconds" "<= 1" backlog.hato.restart_seconds 3
    row "backlog of $backlog: restart after a kill, seconds" "<= 1" backlog.hato.crash_restart_seconds 3
}

for round in $(seq "$rounds"); do
    say "round $round of $rounds"
    seen=()
    for workload in send receive latency push; do
        if has "$only" $workload; then "measure_$workload" "$round"; fi
    done
done
for workload in queues backlog; do
    if has "$only" $workload; then "measure_$workload"; fi
done

"$bench" table $json <"$lines"
[ -z "$failed" ]
