#!/usr/bin/env bash
# Packages in dist/: an archive of the program, and the npm package. Two runs with the same binary give the same bytes.
#   DIST_BIN=path   the binary, instead of one built for release
#   DIST_DIR=path   where to, instead of dist/
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "dist: $*" >&2; exit 1; }

binary=${DIST_BIN:-target/release/parsimony}
[ -n "${DIST_BIN:-}" ] || cargo build --release --locked --all-features --bin parsimony
[ -x "$binary" ] || fail "there is no program $binary"
out=$(mkdir -p "${DIST_DIR:-dist}" && cd "${DIST_DIR:-dist}" && pwd)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
arch=$(uname -m)
# What a build made is as old as the commit it was made of.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022

# Sorted, owned by nobody in particular, of one age, compressed without a name or time.
archive() {
  tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --format=gnu \
    --mode=u+rwX,go+rX,go-w -C "$work" -cf - "$2" | gzip -n >"$out/$1"
  echo "dist: $out/$1"
}

# --- The program -----------------------------------------------------------------------------------
name=parsimony-$version-linux-$arch
mkdir -p "$work/$name/docs" "$work/$name/lib/parsimony/node_modules"
install -m 755 "$binary" "$work/$name/parsimony"
cp packaging/parsimony.service LICENSE README.md CHANGELOG.md "$work/$name/"
cp docs/*.md "$work/$name/docs/"
# The SDK of Cloud Code, as the lock file has it, with what it needs.
node scripts/runtime-modules.mjs "$work/$name/lib/parsimony/node_modules"
archive "$name.tar.gz" "$name"

# --- The npm package -------------------------------------------------------------------------------
node scripts/npm-package.mjs "$work/package" "$binary"
archive "parsimony-server-$version.tgz" package
