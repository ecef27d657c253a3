#!/usr/bin/env bash
# Every test, beside the real components: `make test`. Arguments choose Rust tests, as the runner
# takes them; the contract tests then stay out.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null 2>&1 || PATH="$HOME/.cargo/bin:$PATH"

scripts/install.sh test
# Built before anything is started, so that a long build holds no ports. The tests' build has the binary too: one of
# its own would compile every dependency a second time, with other features.
if cargo nextest --version >/dev/null 2>&1; then
  runner=(cargo nextest run --locked --all-features --no-fail-fast)
  cargo nextest run --locked --all-features --no-run
else
  runner=(cargo test --locked --all-features --no-fail-fast)
  cargo test --locked --all-features --no-run
fi

# Stopped however this ends.
trap 'status=$?; trap "" INT TERM; scripts/test-env.sh stop; exit $status' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
scripts/test-env.sh start
. .test-env/env

"${runner[@]}" "$@"
if [ $# -eq 0 ] && [ -x tests/contract/run.sh ]; then
  target=${CARGO_TARGET_DIR:-target}
  # Failures once more at the end, where they are found.
  export CONTRACT_REPORTER=${CONTRACT_REPORTER:-spec}
  export PARSIMONY_BIN=$(realpath "$target/debug/parsimony")
  tests/contract/run.sh
  # The SDK behind PgBouncer in transaction mode.
  tests/contract/run.sh --pooler sdk
  # A selection on MongoDB; the whole is `tests/contract/run.sh --database mongo`.
  CONTRACT_GROUPS=objects,batch,queries,users,sessions,roles,files,installations,config,sdks \
    tests/contract/run.sh --database mongo sdk oracle live/protocol.test.js live/sessions.test.js live/triggers.test.js
fi
