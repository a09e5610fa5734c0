#!/bin/sh
# Plants bugs and lets the simulator find them: tests/mutants.sh --help
set -eu
exec python3 "$(dirname "$0")/mutants.py" "$@"
