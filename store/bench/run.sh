#!/usr/bin/env bash
# Builds the comparison, runs it, and writes what it finds into the
# documentation: docs/figures/store-append.svg, the tables of
# docs/comparison.md, and everything measured in store/bench/results.json.
#
#     store/bench/run.sh [--quick] [--dir DIRECTORY] [...]
#
# Any option of the program can be given; --help lists them. Nothing else
# should run on the machine. Needs strace, and a C compiler for SQLite.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

for argument in "$@"; do
    case $argument in -h | --help) help=1 ;; esac
done
if [ -z "${help:-}" ]; then
    command -v strace >/dev/null || { echo "install strace first: it counts the syncs" >&2; exit 1; }
fi

# The configuration of the project's own directories is not meant for this.
cd "$here"
cargo build --release --locked --quiet
target=${CARGO_TARGET_DIR:-$here/target}
cd "$root"
mkdir -p docs/figures
exec "$target/release/vsm-store-bench" \
    --json "$here/results.json" \
    --svg docs/figures/store-append.svg \
    --replace-in docs/comparison.md \
    --dir "$here" "$@"
