#!/bin/sh
# The whole test run: installs what the tests need, builds, checks, and closes with one line "N passed, N failed".
# ./tests/run.sh --help says what can be chosen.
set -eu
cd "$(dirname "$0")/.."
case "${1-}" in
-h | --help) ;;
*) ./deploy/install-deps.sh test ;;
esac
exec python3 tests/runner.py "$@"
