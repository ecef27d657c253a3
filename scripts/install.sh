#!/usr/bin/env bash
# Installs what is missing to run or to test Parsimony, and nothing that is already there.
#   scripts/install.sh run    what `make run` needs
#   scripts/install.sh test   that, and the real components that the tests use
# Debian's packages as root or through sudo; npm and Python packages into this folder only.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:?usage: scripts/install.sh run|test}

fail() { echo "install: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# One copy of this folder at a time: two would write the same node_modules.
exec 9>.install.lock
flock 9

have cargo || [ ! -x "$HOME/.cargo/bin/cargo" ] || PATH="$HOME/.cargo/bin:$PATH"
have cargo || fail "Rust is missing. Install its stable toolchain (rustup), then run this again."

# --- Debian's packages -------------------------------------------------------------------------
packages=()
postgres_found() {
  local named=${PARSIMONY_PG_BIN:-${PARSE_PG_BIN:-}} dir
  [ -z "$named" ] || { [ -x "$named/initdb" ] && return 0; }
  have initdb && have postgres && return 0
  for dir in /usr/lib/postgresql/*/bin; do [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && return 0; done
  return 1
}
have cc || packages+=(build-essential)
# The encryption of Web Push is built on OpenSSL.
have pkg-config || packages+=(pkg-config)
pkg-config --exists openssl 2>/dev/null || [ -e /usr/include/openssl/ssl.h ] || packages+=(libssl-dev)
have setpriv || packages+=(util-linux)
have node || packages+=(nodejs)
have npm || packages+=(npm)
postgres_found || packages+=(postgresql)
if [ "$what" = test ]; then
  have redis-server || packages+=(redis-server)
  have pgbouncer || [ -x /usr/sbin/pgbouncer ] || packages+=(pgbouncer)
  # The directory of the tests of LDAP logins, which start it themselves.
  [ -x /usr/sbin/slapd ] || packages+=(slapd)
  # The tests of packages do without these where nobody may install them.
  if [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }; then
    for name in lintian mmdebstrap zsh fish groff; do have "$name" || packages+=("$name"); done
    # For a PostgreSQL that speaks German.
    [ -e /usr/share/i18n/locales/de_DE ] || packages+=(locales)
  fi
  python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
  # A browser of 300 MB, only for the tests that need one.
  [ ! -d tests/contract/dashboard ] || have chromium || packages+=(chromium)
fi

geometry=()
log=$(mktemp)
trap 'rm -f "$log"' EXIT
updated=
install_packages() {
  local asroot=()
  if [ "$(id -u)" != 0 ]; then
    have sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; } ||
      fail "please install these as root: apt-get install --no-install-recommends $*"
    asroot=(sudo)
  fi
  have apt-get || fail "please install these with your system's package manager: $*"
  echo "install: apt-get install $*"
  # Services that a package starts must not inherit the lock.
  apt() {
    "${asroot[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 "$@" \
      </dev/null >"$log" 2>&1 9>&- || { cat "$log" >&2; fail "apt-get $* failed"; }
  }
  [ -n "$updated" ] || apt update
  updated=yes
  apt install --no-install-recommends "$@"
}
[ ${#packages[@]} -eq 0 ] || install_packages "${packages[@]}"
# npm parse-server's distances, on the PostgreSQL that the tests start. Where it cannot be had, the tests have a stand-in.
if [ "$what" = test ] && have apt-get && { [ "$(id -u)" = 0 ] || { have sudo && sudo -n true 2>/dev/null; }; }; then
  for dir in /usr/share/postgresql/*/extension; do
    number=${dir%/extension} number=${number##*/}
    [ -d "$dir" ] && [ ! -e "$dir/postgis.control" ] || continue
    apt-cache show "postgresql-$number-postgis-3" >/dev/null 2>&1 && geometry+=("postgresql-$number-postgis-3")
  done
  [ ${#geometry[@]} -eq 0 ] || install_packages "${geometry[@]}"
fi
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || fail "Node.js $major is too old; 20 or newer is needed."

# --- npm packages ------------------------------------------------------------------------------
# Cloud Code needs the Parse SDK, and the development server shows Parse Dashboard; everything else there is for tests.
stamp=node_modules/.parsimony
wanted=$(sha256sum package-lock.json | cut -c1-64)
installed=$(cat "$stamp" 2>/dev/null || true)
npm_ci() {
  echo "install: npm ci $*"
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error "$@"
}
case "$what" in
  run) [ -d node_modules/parse ] && [ -d node_modules/parse-dashboard ] || { npm_ci --omit=dev && echo "run $wanted" >"$stamp"; } ;;
  test) [ "$installed" = "test $wanted" ] || { npm_ci && echo "test $wanted" >"$stamp"; } ;;
esac

# --- Other versions of Node.js -----------------------------------------------------------------
# As npm packages; the one that is installed is used for everything else.
if [ "$what" = test ]; then
  case $(uname -m) in x86_64) kind=x64 ;; aarch64) kind=arm64 ;; *) kind= ;; esac
  for version in ${kind:+22.23.5 24.22.3}; do
    place=.nodes/$version
    [ ! -x "$place/bin/node" ] || continue
    echo "install: Node.js $version (into .nodes)"
    rm -rf "$place"
    mkdir -p "$place"
    archive=$(cd "$place" && npm pack --silent "node-linux-$kind@$version") || { rm -rf "$place"; fail "npm has no Node.js $version"; }
    tar -xzf "$place/$archive" -C "$place" --strip-components=1 package/bin/node
    rm "$place/$archive"
  done
fi

# --- Python packages ---------------------------------------------------------------------------
if [ "$what" = test ]; then
  wanted=$(sha256sum requirements-test.txt | cut -c1-64)
  # A virtual environment cannot be moved, so its place is part of the stamp.
  if [ "$(cat .venv/.parsimony 2>/dev/null)" != "$wanted $PWD" ]; then
    echo "install: pip install -r requirements-test.txt (into .venv)"
    python3 -m venv --clear .venv
    .venv/bin/pip install --quiet --disable-pip-version-check -r requirements-test.txt
    echo "$wanted $PWD" >.venv/.parsimony
  fi
fi
