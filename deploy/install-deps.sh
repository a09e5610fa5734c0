#!/bin/sh
# Installs what is missing, by apt, on Debian 12 or newer. Quick and silent when nothing is.
#
#   deploy/install-deps.sh [build|quickstart|test|bench]
#
# build (default): what the broker is built with. quickstart: that, and what the example function runs on. test:
# build, and what ./tests/run.sh needs. bench: build, and the peers that bench/compare.sh measures against; their
# services are not started.
set -eu

rust_min=1.85

build="gcc libc6-dev cmake make ninja-build pkg-config ca-certificates libuv1-dev libprotobuf-c-dev protobuf-c-compiler
    libzstd-dev libcurl4-openssl-dev libyajl-dev libssl-dev libxxhash-dev librocksdb-dev node-llhttp"
quickstart="python3"
test="check libjansson-dev clang clang-format clang-tidy libclang-rt-dev shellcheck python3 python3-yaml"
bench="redis-server rabbitmq-server beanstalkd default-jre-headless curl python3"

die() {
    echo "install-deps: $*" >&2
    exit 1
}

case "${1-build}" in
build) wanted=$build ;;
quickstart) wanted="$build $quickstart" ;;
test) wanted="$build $test" ;;
bench) wanted="$build $bench" ;;
-h | --help)
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
    exit 0
    ;;
*) die "unknown set \"$1\"; use build, quickstart, test or bench" ;;
esac

# Whether a cargo that is new enough can be run.
cargo_new_enough() {
    for cargo in "$(command -v cargo || true)" /usr/bin/cargo; do
        [ -n "$cargo" ] || continue
        version=$("$cargo" --version 2>/dev/null | cut -d' ' -f2) || continue
        [ -n "$version" ] || continue
        oldest=$(printf '%s\n%s\n' "$rust_min" "$version" | sort -V | head -n 1)
        if [ "$oldest" = "$rust_min" ]; then
            return 0
        fi
    done
    return 1
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    die "this is no Debian; install the like of these by other means, then use cmake:" "$wanted" "cargo >= $rust_min"
fi

missing=""
for package in $wanted; do
    status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || status=absent
    [ "$status" = installed ] || missing="$missing $package"
done
cargo_new_enough || missing="$missing cargo-web rustc-web"
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || die "run as root: apt-get install$missing"
    as_root=sudo
fi

# Peers of the benchmark are started by it on ports of its own; their packages would start them as services.
policy=/usr/sbin/policy-rc.d
if [ "${1-build}" = bench ] && [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
    $as_root chmod 755 $policy
    # shellcheck disable=SC2064
    trap "$as_root rm -f $policy" EXIT
fi

echo "install-deps: installing$missing"
output=$(mktemp)
apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" >"$output" 2>&1
}
apt update || echo "install-deps: the package lists could not be refreshed; going on with the old ones" >&2
# shellcheck disable=SC2086
if ! apt install --no-install-recommends --no-remove $missing; then
    tail -n 20 "$output" >&2
    rm -f "$output"
    die "apt-get could not install:$missing (its last lines are above)"
fi
rm -f "$output"
cargo_new_enough || die "cargo is still older than $rust_min; install cargo-web, or a toolchain by rustup"
