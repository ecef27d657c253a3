#!/usr/bin/env bash
# The real components beside which the tests run, on free ports of the loopback interface, with data
# in a folder of their own. Several copies of the repository can do this at the same time.
#   scripts/test-env.sh start   starts them (first stopping what an earlier run left) and writes
#                               .test-env/env, to be read with `.`:
#     PARSIMONY_TEST_DATABASE_URI   PostgreSQL, superuser, fsync off
#     PARSIMONY_TEST_PGBOUNCER_URI  the same through PgBouncer in transaction mode
#     PARSIMONY_TEST_REDIS_URL      Redis
#     PARSIMONY_TEST_S3_ENDPOINT    S3 (moto); any credentials, make your own bucket
#     PARSIMONY_TEST_GCS_ENDPOINT   Google Cloud Storage (emulator), bucket parsimony-test, no sign-in
#     PARSIMONY_TEST_MONGO_URI      SecantusDB, which speaks MongoDB's protocol as a replica set of one
#     PARSIMONY_TEST_SMTP           host:port of a mail server that takes everything
#     PARSIMONY_TEST_SMTP_MAILDIR   the Maildir where it puts what it took
#   scripts/test-env.sh stop    stops them and removes their data
#   scripts/test-env.sh lend DIR   for tests started without `make test`: PostgreSQL alone, its URI in
#                               DIR/uri, until no process holds a lock on DIR/users any more
set -euo pipefail
cd "$(dirname "$0")/.."
# A lent PostgreSQL keeps its notes elsewhere.
state=${PARSIMONY_TEST_STATE:-$PWD/.test-env}

started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

stop() {
  [ -d "$state" ] || return 0
  local pid began name pids=()
  while read -r pid began name; do
    # A number that another program got since must not be hit.
    [ "$(started_at "$pid")" = "$began" ] || continue
    kill -s "$([ "$name" = postgres ] && echo INT || echo TERM)" "$pid" 2>/dev/null || true
    pids+=("$pid $began")
  done < <(cat "$state/pids" 2>/dev/null)
  local deadline=$((SECONDS + 20)) entry
  for entry in "${pids[@]}"; do
    read -r pid began <<<"$entry"
    while [ "$(started_at "$pid")" = "$began" ]; do
      [ $SECONDS -lt $deadline ] || { kill -9 "$pid" 2>/dev/null || true; break; }
      sleep 0.02
    done
  done
  local data
  data=$(cat "$state/data" 2>/dev/null || true)
  [ -z "$data" ] || rm -rf -- "$data"
  rm -rf -- "$state"
}

# launch NAME COMMAND…: in the background, apart from this terminal, remembered for stop.
launch() {
  local name=$1
  shift
  setsid "$@" >"$data/$name.log" 2>&1 </dev/null 9>&- &
  echo "$! $(started_at $!) $name" >>"$state/pids"
}

answers() {
  # PostgreSQL opens its port before it serves.
  [ "$1" != postgres ] || grep -q '^ready' "$data/pg/postmaster.pid" 2>/dev/null || return 1
  (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null
}

# await NAME PORT: until it takes connections.
await() {
  local deadline=$((SECONDS + 90))
  until answers "$1" "$2"; do
    [ $SECONDS -lt $deadline ] || { echo "test-env: $1 does not answer:" >&2; tail -20 "$data/$1.log" >&2; return 1; }
    sleep 0.05
  done
}

postgres_bin() {
  local dir named=${PARSIMONY_PG_BIN:-${PARSE_PG_BIN:-}}
  for dir in "$named" $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -Vr); do
    [ -n "$dir" ] && [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ] && { echo "$dir"; return; }
  done
  dirname "$(readlink -f "$(command -v initdb)")"
}

# free_ports N: that many different ones.
free_ports() {
  node -e '
    const servers = Array.from({ length: process.argv[1] }, () => require("net").createServer().listen(0, "127.0.0.1"));
    Promise.all(servers.map(server => new Promise(done => server.once("listening", done)))).then(() => {
      console.log(servers.map(server => server.address().port).join(" "));
      servers.forEach(server => server.close());
    });' "$1"
}

make_data() {
  mkdir -p "$state"
  data=$(mktemp -d "${TMPDIR:-/tmp}/parsimony-test.XXXXXX")
  echo "$data" >"$state/data"
  chmod 711 "$data"
}

# unprivileged PATH…: who runs what refuses root, as a command prefix in `as`; the paths become theirs.
unprivileged() {
  as=()
  [ "$(id -u)" = 0 ] || return 0
  local user=nobody
  id -u postgres >/dev/null 2>&1 && user=postgres
  as=(setpriv "--reuid=$(id -u $user)" "--regid=$(id -g $user)" --clear-groups)
  chown "$(id -u $user):$(id -g $user)" "$@"
}

start_postgres() {
  local port=$1 bin
  mkdir -m 700 "$data/pg"
  unprivileged "$data/pg"
  bin=$(postgres_bin)
  # A database that speaks German, where the machine has the words: nothing may depend on English ones.
  local tongue=()
  mkdir -m 755 "$data/locale"
  if localedef -i de_DE -f UTF-8 "$data/locale/de_DE.UTF-8" 2>/dev/null; then
    export LOCPATH=$data/locale
    tongue=(-c lc_messages=de_DE.UTF-8)
  fi
  (cd "$data/pg" && "${as[@]}" "$bin/initdb" -D "$data/pg" -U tester -A trust -E UTF8 \
    --locale=C --lc-ctype=C.UTF-8 --no-sync --no-instructions >"$data/initdb.log" 2>&1) ||
    { cat "$data/initdb.log" >&2; return 1; }
  launch postgres "${as[@]}" "$bin/postgres" -D "$data/pg" -h 127.0.0.1 -p "$port" -k "" \
    -c fsync=off -c full_page_writes=off -c max_connections=400 -c shared_buffers=128MB \
    -c max_wal_size=2GB -c wal_level=minimal -c max_wal_senders=0 -c jit=off -c log_min_messages=log \
    "${tongue[@]}" -c log_checkpoints=off -c autovacuum_naptime=5min \
    -c shared_preload_libraries=pg_stat_statements -c pg_stat_statements.track_utility=off \
    -c pg_stat_statements.max=50000
  unset LOCPATH
}

start_pgbouncer() {
  local port=$1 pg=$2
  cat >"$data/pgbouncer.ini" <<INI
[databases]
* = host=127.0.0.1 port=$pg user=tester
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 1000
default_pool_size = 20
INI
  unprivileged "$data/pgbouncer.ini"
  launch pgbouncer "${as[@]}" "$(PATH=$PATH:/usr/sbin command -v pgbouncer)" "$data/pgbouncer.ini"
}

start() {
  stop
  make_data
  local pg redis s3 gcs smtp pgbouncer mongo
  read -r pg redis s3 gcs smtp pgbouncer mongo < <(free_ports 7)
  start_postgres "$pg"
  start_pgbouncer "$pgbouncer" "$pg"
  launch redis redis-server --port "$redis" --bind 127.0.0.1 --save "" --appendonly no --dir "$data"
  launch s3 .venv/bin/moto_server -H 127.0.0.1 -p "$s3"
  launch gcs .venv/bin/gcp-storage-emulator start --host=127.0.0.1 "--port=$gcs" --in-memory \
    --default-bucket=parsimony-test
  launch smtp .venv/bin/python -m aiosmtpd -n -l "127.0.0.1:$smtp" -c aiosmtpd.handlers.Mailbox "$data/mail"
  # It reads a configuration from where it is started.
  mkdir "$data/mongo"
  (
    python=$PWD/.venv/bin/secantusd-py
    cd "$data/mongo"
    launch mongo "$python" --host 127.0.0.1 --port "$mongo" --storage-path "$data/mongo/db" --log-level WARNING
  )
  cat >"$state/env" <<ENV
export PARSIMONY_TEST_DATABASE_URI=postgres://tester@127.0.0.1:$pg/postgres
export PARSIMONY_TEST_PGBOUNCER_URI=postgres://tester@127.0.0.1:$pgbouncer/postgres
export PARSIMONY_TEST_REDIS_URL=redis://127.0.0.1:$redis
export PARSIMONY_TEST_S3_ENDPOINT=http://127.0.0.1:$s3
export PARSIMONY_TEST_GCS_ENDPOINT=http://127.0.0.1:$gcs
export PARSIMONY_TEST_MONGO_URI=mongodb://127.0.0.1:$mongo
export PARSIMONY_TEST_SMTP=127.0.0.1:$smtp
export PARSIMONY_TEST_SMTP_MAILDIR=$data/mail
ENV
  await postgres "$pg" && await pgbouncer "$pgbouncer" && await redis "$redis" && await s3 "$s3" && await gcs "$gcs" && await smtp "$smtp" && await mongo "$mongo"
}

lend() {
  local dir=$1 port
  rm -f "$dir/uri"
  stop
  make_data
  port=$(free_ports 1)
  start_postgres "$port"
  await postgres "$port" || return 1
  setsid scripts/test-env.sh watch "$dir" >/dev/null 2>&1 </dev/null &
  echo "postgres://tester@127.0.0.1:$port/postgres" >"$dir/uri"
}

# Ends a lent PostgreSQL once nobody uses it; who comes meanwhile waits for the lock, then lends anew.
watch() {
  until flock -n "$1/users" scripts/test-env.sh stop-lent "$1"; do sleep 2; done
}

case "${1:-}" in
  start) start || { stop; exit 1; } ;;
  stop) stop ;;
  lend) export PARSIMONY_TEST_STATE=$2/state; state=$2/state; lend "$2" || { stop; exit 1; } ;;
  watch) watch "$2" ;;
  stop-lent) rm -f "$2/uri"; stop ;;
  *) echo "usage: scripts/test-env.sh start|stop|lend DIR" >&2; exit 2 ;;
esac
