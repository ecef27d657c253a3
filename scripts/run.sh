#!/usr/bin/env bash
# Installs what is missing, builds the release binary and starts a development server: `make run`.
# Arguments and PARSE_SERVER_* variables go to the server.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null 2>&1 || PATH="$HOME/.cargo/bin:$PATH"

scripts/install.sh run
cargo build --locked --release
exec "${CARGO_TARGET_DIR:-target}/release/parsimony" "$@"
