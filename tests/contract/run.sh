#!/bin/sh
# Every contract suite against the binary (target/debug/parsimony, or PARSIMONY_BIN). Needs `npm ci` and PostgreSQL.
# Arguments go to run.mjs: a suite (sdk, cloud, oracle, layout, pages, dashboard), a file, or --target oracle.
set -eu
cd "$(dirname "$0")/../.."
exec node tests/contract/run.mjs "$@"
