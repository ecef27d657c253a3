#!/usr/bin/env bash
# Installs what is missing, builds (profile quick: ready sooner than a release) and starts a development server: `make run`.
# Arguments and PARSE_SERVER_* variables go to the server.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null 2>&1 || PATH="$HOME/.cargo/bin:$PATH"

scripts/install.sh run
cargo build --locked --profile quick

# Beside another server on the usual port: the next free one.
if [ $# -eq 0 ] && [ -z "${PORT:-}" ]; then
  port=1337
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  [ $port = 1337 ] || { export PORT=$port; echo "Port 1337 is taken; this server listens on $port."; }
fi
exec "${CARGO_TARGET_DIR:-target}/quick/parsimony" "$@"
