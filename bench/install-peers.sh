#!/bin/bash
# Installs what bench/compare.sh compares with, by package name: Redis, RabbitMQ and beanstalkd and the client libraries from
# Debian, NATS by `go install`, Kafka's jars by Maven. Nothing is started, now or at boot.
#
#   bench/install-peers.sh [redis] [rabbitmq] [beanstalkd] [nats] [kafka]      all without arguments
set -euo pipefail
cd "$(dirname "$0")"

NATS_VERSION=v2.15.2
KAFKA_VERSION=4.1.0
peers=${HATO_PEERS:-$HOME/.cache/hato-peers}

say() { printf '%s\n' "$*" >&2; }
root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Debian starts a service when it installs it, unless this file says no.
apt_install() {
    local policy=/usr/sbin/policy-rc.d ours=
    if [ ! -e $policy ]; then
        ours=1
        printf '#!/bin/sh\nexit 101\n' | root tee $policy >/dev/null
        root chmod 755 $policy
    fi
    local status=0
    root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >/dev/null || status=$?
    [ -z "$ours" ] || root rm -f $policy
    if command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then
        root systemctl disable --quiet redis-server rabbitmq-server beanstalkd 2>/dev/null || true
    fi
    return $status
}

install_redis() { apt_install redis-server libhiredis-dev; }
install_rabbitmq() { apt_install rabbitmq-server librabbitmq-dev; }
install_beanstalkd() { apt_install beanstalkd; }

install_nats() {
    command -v go >/dev/null || apt_install golang-go
    mkdir -p "$peers/bin"
    GOBIN=$peers/bin go install github.com/nats-io/nats-server/v2@$NATS_VERSION
}

install_kafka() {
    apt_install librdkafka-dev
    command -v java >/dev/null || apt_install default-jre-headless
    command -v mvn >/dev/null || apt_install maven
    local work
    work=$(mktemp -d)
    cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>hato</groupId> <artifactId>kafka-peer</artifactId> <version>1</version> <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId> <artifactId>kafka_2.13</artifactId> <version>$KAFKA_VERSION</version>
    </dependency>
  </dependencies>
</project>
POM
    (cd "$work" && mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$peers/kafka") >&2
    rm -rf "$work"
}

[ $# -gt 0 ] || set -- redis rabbitmq beanstalkd nats kafka
failed=
for peer in "$@"; do
    declare -F "install_$peer" >/dev/null || { say "no peer \"$peer\": redis, rabbitmq, beanstalkd, nats, kafka"; exit 2; }
    say "installing $peer"
    "install_$peer" || { say "$peer could not be installed: it will be left out"; failed=1; }
done
say "now build again: the drivers of Redis, RabbitMQ and Kafka are built where their libraries are found"
[ -z "$failed" ]
