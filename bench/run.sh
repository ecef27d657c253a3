#!/usr/bin/env bash
# Installs what is missing, builds the release binary, and measures it beside npm parse-server: `make bench`.
# Arguments go to bench/run.mjs (ARGS='--quick --only get,create'), or, after `push` or `login`, to those programs.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null 2>&1 || PATH="$HOME/.cargo/bin:$PATH"

# npm parse-server and ws are among the packages that the tests use.
scripts/install.sh test
if [ -z "${PARSIMONY_BIN:-}" ]; then
  cargo build --locked --release
  PARSIMONY_BIN=$(realpath "${CARGO_TARGET_DIR:-target}/release/parsimony")
  export PARSIMONY_BIN
fi
case "${1:-}" in
  push | login)
    program=$1
    shift
    exec node "bench/$program.mjs" "$@"
    ;;
esac
if [ -z "${FLOOR_BIN:-}" ]; then
  cargo build --locked --release --manifest-path bench/floor/Cargo.toml --target-dir bench/floor/target
fi
# A thousand sockets at both ends.
ulimit -n 16384 2>/dev/null || ulimit -n "$(ulimit -Hn)" || true
exec node bench/run.mjs "$@"
