#!/usr/bin/env bash
# Packages in dist/: an archive of the program, a Debian package of it, and the npm package. Two runs with the same
# binary give the same bytes.
#   DIST_BIN=path     the binary, instead of one built for release
#   DIST_DIR=path     where to, instead of dist/
#   DEB_COMPRESSION   xz (as a release has it), gzip, none; see scripts/deb.sh for the rest
set -euo pipefail
cd "$(dirname "$0")/.."
command -v cargo >/dev/null 2>&1 || PATH="$HOME/.cargo/bin:$PATH"

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
folder=$work/$name
mkdir -p "$folder/docs" "$folder/lib/parsimony/node_modules" "$folder/man" "$folder/completions" "$folder/monitoring"
install -m 755 "$binary" "$folder/parsimony"
cp packaging/parsimony.service LICENSE README.md CHANGELOG.md "$folder/"
cp docs/*.md docs/*.png "$folder/docs/"
cp packaging/grafana/*.json packaging/prometheus/*.yml "$folder/monitoring/"
# What the program itself knows of its command line.
"$folder/parsimony" man-page >"$folder/man/parsimony.1"
"$folder/parsimony" completions bash >"$folder/completions/parsimony.bash"
"$folder/parsimony" completions zsh >"$folder/completions/_parsimony"
"$folder/parsimony" completions fish >"$folder/completions/parsimony.fish"
# The SDK of Cloud Code and the dashboard, as the lock file has them, with what they need.
node scripts/runtime-modules.mjs "$folder/lib/parsimony/node_modules"
node scripts/bill.mjs "$folder"
archive "$name.tar.gz" "$name"

# --- The Debian package ----------------------------------------------------------------------------
if command -v dpkg-deb >/dev/null; then
  deb=parsimony_${version}_$(dpkg --print-architecture).deb
  scripts/deb.sh "$folder" "$out/$deb"
  echo "dist: $out/$deb"
else
  echo "dist: no Debian package: dpkg-deb is not installed here"
fi

# --- The npm package -------------------------------------------------------------------------------
node scripts/npm-package.mjs "$work/package" "$binary"
# npm fetches what this package depends on; its own content is the program.
node scripts/bill.mjs "$work/package" --without-modules
archive "parsimony-server-$version.tgz" package
