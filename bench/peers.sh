#!/bin/bash
# Starts and stops the servers Hato is compared with, each as durable as it gets, on a free port of 127.0.0.1.
#
#   bench/peers.sh list                 NAME and "installed", or what is missing, a line each
#   bench/peers.sh start NAME DIR       starts it on the empty or new directory DIR; prints HOST:PORT
#   bench/peers.sh stop NAME DIR        stops it; DIR stays
#
# bench/install-peers.sh installs them.
set -euo pipefail

peers=${HATO_PEERS:-$HOME/.cache/hato-peers}
rabbitmq_bin=/usr/lib/rabbitmq/bin
START_SECONDS=90
STOP_SECONDS=10

die() { printf 'peers.sh: %s\n' "$*" >&2; exit 1; }

first_program() { # PATH...: the first that can be run
    local program
    for program in "$@"; do
        if command -v "$program" 2>/dev/null; then return 0; fi
    done
    return 1
}

nats_program() { first_program "$peers/bin/nats-server" nats-server "${GOBIN:-$HOME/go/bin}/nats-server"; }

missing() { # NAME: prints what is missing, nothing when it can be started
    case $1 in
    redis) first_program redis-server >/dev/null || echo redis-server ;;
    rabbitmq) [ -x $rabbitmq_bin/rabbitmq-server ] || echo rabbitmq-server ;;
    beanstalkd) first_program beanstalkd /usr/bin/beanstalkd >/dev/null || echo beanstalkd ;;
    nats) nats_program >/dev/null || echo nats-server ;;
    kafka)
        first_program java >/dev/null || echo java
        compgen -G "$peers/kafka/kafka_2.13-*.jar" >/dev/null || echo "Kafka's jars"
        ;;
    *) die "no peer \"$1\": redis, rabbitmq, beanstalkd, nats, kafka" ;;
    esac
}

taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        taken $port || { echo $port; return; }
    done
}

# Runs a server in a session of its own, so that it can be stopped with all that it starts.
run() { # DIR COMMAND...
    local dir=$1
    shift
    setsid "$@" >"$dir/output" 2>&1 </dev/null &
    echo $! >"$dir/pid"
}

wait_for() { # DIR COMMAND...: until the command succeeds
    local dir=$1 end=$((SECONDS + START_SECONDS))
    shift
    until "$@" >/dev/null 2>&1; do
        if ! kill -0 "$(cat "$dir/pid")" 2>/dev/null || [ $SECONDS -ge $end ]; then
            tail -n 5 "$dir/output" >&2
            die "it did not start; its output is in $dir/output"
        fi
        sleep 0.1
    done
}

start_redis() { # DIR PORT
    run "$1" redis-server --bind 127.0.0.1 --port "$2" --dir "$1" --save '' --appendonly yes --appendfsync always
    wait_for "$1" taken "$2"
}

start_beanstalkd() {
    mkdir -p "$1/wal"
    run "$1" "$(first_program beanstalkd /usr/bin/beanstalkd)" -l 127.0.0.1 -p "$2" -b "$1/wal" -f0
    wait_for "$1" taken "$2"
}

start_nats() {
    cat >"$1/nats.conf" <<CONF
host: 127.0.0.1
port: $2
jetstream { store_dir: "$1/store", sync_interval: always }
CONF
    run "$1" "$(nats_program)" -c "$1/nats.conf"
    wait_for "$1" taken "$2"
}

# All that RabbitMQ would look for elsewhere is told here, so that it meets no other RabbitMQ of this machine.
rabbitmq_env() { # DIR: fills the array `env`
    env=(HOME="$1" RABBITMQ_NODENAME="hato-bench-$(cat "$1/port")@localhost" RABBITMQ_NODE_IP_ADDRESS=127.0.0.1
        RABBITMQ_NODE_PORT="$(cat "$1/port")" RABBITMQ_DIST_PORT="$(cat "$1/dist")" ERL_EPMD_PORT="$(cat "$1/epmd")"
        ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_MNESIA_BASE="$1/mnesia" RABBITMQ_LOG_BASE="$1/log"
        RABBITMQ_CONFIG_FILE="$1/rabbitmq" RABBITMQ_ENABLED_PLUGINS_FILE="$1/plugins"
        RABBITMQ_CONF_ENV_FILE="$1/none" RABBITMQ_PID_FILE="$1/erlang.pid" RABBITMQ_SERVER_START_ARGS= LC_ALL=C.UTF-8)
}

start_rabbitmq() {
    local env
    echo "$2" >"$1/port"
    free_port >"$1/dist"
    free_port >"$1/epmd"
    echo '[].' >"$1/plugins"
    printf 'loopback_users = none\nlog.file.level = warning\n' >"$1/rabbitmq.conf"
    rabbitmq_env "$1"
    run "$1" env "${env[@]}" $rabbitmq_bin/rabbitmq-server
    wait_for "$1" taken "$2"
    wait_for "$1" env "${env[@]}" $rabbitmq_bin/rabbitmqctl --quiet await_startup
}

start_kafka() {
    local controller id
    controller=$(free_port)
    cat >"$1/server.properties" <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$2,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$2
controller.listener.names=CONTROLLER
log.dirs=$1/log
num.partitions=1
auto.create.topics.enable=false
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
CONF
    cat >"$1/log4j2.properties" <<CONF
status = error
appender.stdout.type = Console
appender.stdout.name = stdout
rootLogger.level = error
rootLogger.appenderRef.stdout.ref = stdout
CONF
    local java=(java -Xms1g -Xmx1g -XX:+UseG1GC -XX:MaxGCPauseMillis=20
        -Dlog4j2.configurationFile="$1/log4j2.properties" -cp "$peers/kafka/*")
    id=$("${java[@]}" kafka.tools.StorageTool random-uuid 2>/dev/null | tail -n 1)
    "${java[@]}" kafka.tools.StorageTool format -t "$id" -c "$1/server.properties" >"$1/format" 2>&1 ||
        { cat "$1/format" >&2; die "Kafka's storage could not be made"; }
    run "$1" "${java[@]}" kafka.Kafka "$1/server.properties"
    wait_for "$1" taken "$2"
}

# Every process of the session that `run` began.
session_kill() { # DIR SIGNAL
    local pid
    pid=$(cat "$1/pid" 2>/dev/null) || return 0
    pkill "-$2" -s "$pid" 2>/dev/null || true
}

session_gone() {
    local pid
    pid=$(cat "$1/pid" 2>/dev/null) || return 0
    ! pgrep -s "$pid" >/dev/null
}

stop() { # NAME DIR
    local end=$((SECONDS + STOP_SECONDS))
    session_kill "$2" TERM
    until session_gone "$2" || [ $SECONDS -ge $end ]; do sleep 0.1; done
    session_kill "$2" KILL
    # RabbitMQ's name server is a daemon of its own session.
    if [ "$1" = rabbitmq ] && [ -e "$2/epmd" ]; then
        ERL_EPMD_PORT=$(cat "$2/epmd") epmd -kill >/dev/null 2>&1 || true
    fi
    rm -f "$2/pid"
}

case ${1:-} in
list)
    for name in redis rabbitmq beanstalkd nats kafka; do
        lacking=$(missing $name | paste -sd, -)
        printf '%-12s%s\n' $name "${lacking:+missing: }${lacking:-installed}"
    done
    ;;
start)
    [ $# = 3 ] || die "peers.sh start NAME DIR"
    lacking=$(missing "$2" | paste -sd, -)
    [ -z "$lacking" ] || die "$2 is not installed ($lacking): see bench/install-peers.sh"
    mkdir -p "$3"
    dir=$(cd "$3" && pwd)
    [ ! -e "$dir/pid" ] || die "$dir is in use"
    port=$(free_port)
    "start_$2" "$dir" "$port"
    echo "127.0.0.1:$port"
    ;;
stop)
    [ $# = 3 ] || die "peers.sh stop NAME DIR"
    missing "$2" >/dev/null
    stop "$2" "$3"
    ;;
*)
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    [ "${1:-}" = --help ] || exit 2
    ;;
esac
