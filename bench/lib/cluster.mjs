// A private PostgreSQL server for one run, tuned so that figures repeat: no parallel workers and no autovacuum, whose
// CPU would land outside the backends that are looked at. Durability is left on.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { freePort, query, waitFor } from '../../tests/contract/lib/postgres.js';

const SETTINGS = {
  max_connections: 200, shared_buffers: '256MB', max_wal_size: '2GB', jit: 'off', autovacuum: 'off',
  max_parallel_workers_per_gather: 0, unix_socket_directories: '', listen_addresses: '127.0.0.1',
};

function binaries() {
  const named = process.env.PARSIMONY_PG_BIN ?? process.env.PARSE_PG_BIN;
  const root = '/usr/lib/postgresql';
  const versions = fs.existsSync(root) ? fs.readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  const places = [named, ...versions.map(version => path.join(root, version, 'bin')), ...(process.env.PATH ?? '').split(':')];
  const found = places.find(dir => dir && fs.existsSync(path.join(dir, 'initdb')) && fs.existsSync(path.join(dir, 'postgres')));
  if (!found) throw new Error('no PostgreSQL server binaries found: install postgresql');
  return found;
}

/** PostgreSQL refuses root: then the command runs as another user. */
function unprivileged(command, args) {
  if (process.getuid() !== 0) return [command, args];
  const user = spawnSync('id', ['-u', 'postgres']).status === 0 ? 'postgres' : 'nobody';
  const group = spawnSync('id', ['-gn', user], { encoding: 'utf8' }).stdout.trim();
  return ['setpriv', [`--reuid=${user}`, `--regid=${group}`, '--clear-groups', '--pdeathsig=INT', command, ...args]];
}

function must(command, args, what) {
  const done = spawnSync(command, args, { encoding: 'utf8', cwd: '/' });
  if (done.status !== 0) throw new Error(`${what} failed: ${done.stderr || done.error}`);
  return done.stdout;
}

/** Starts the cluster: `{uri(name), port, pid, statements, pgbench(args), version, stop()}`. */
export async function startCluster() {
  const bin = binaries();
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'parsimony-bench-'));
  fs.chmodSync(home, 0o755);
  const data = path.join(home, 'data');
  fs.mkdirSync(data, { mode: 0o700 });
  if (process.getuid() === 0) {
    const user = spawnSync('id', ['-u', 'postgres']).status === 0 ? 'postgres' : 'nobody';
    must('chown', [`${user}:`, data], 'chown');
  }
  must(...unprivileged(path.join(bin, 'initdb'), [
    '-D', data, '-U', 'bench', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync',
  ]), 'initdb');
  const port = await freePort();
  const uri = name => `postgres://bench@127.0.0.1:${port}/${name}`;
  const logFile = path.join(home, 'log');
  let child;
  let ended;
  const start = async preload => {
    const settings = { ...SETTINGS, port, ...preload };
    const [run, args] = unprivileged(path.join(bin, 'postgres'), [
      '-D', data, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    ]);
    const log = fs.openSync(logFile, 'w');
    child = spawn(run, args, { stdio: ['ignore', log, log], cwd: '/' });
    fs.closeSync(log);
    let over = false;
    ended = new Promise(resolve => child.once('exit', () => resolve((over = true))));
    await waitFor(async () => {
      if (over) throw Object.assign(new Error(`postgres ended: ${fs.readFileSync(logFile, 'utf8')}`), { fatal: true });
      return query(uri('postgres'), 'SELECT 1');
    }, { what: 'PostgreSQL' });
  };
  const abandon = () => {
    child?.kill('SIGQUIT');
    fs.rmSync(home, { recursive: true, force: true });
  };
  process.once('exit', abandon);
  // Statements are counted in a pass of their own: counting costs the backends some CPU.
  let statements = true;
  try {
    await start({ shared_preload_libraries: 'pg_stat_statements' });
    await query(uri('postgres'), 'CREATE EXTENSION pg_stat_statements');
    // Not on the command line, which could not be changed while it runs.
    await query(uri('postgres'), "ALTER SYSTEM SET pg_stat_statements.track = 'none'");
    await query(uri('postgres'), 'SELECT pg_reload_conf()');
  } catch {
    statements = false;
    await ended;
    await start({});
  }
  return {
    uri,
    port,
    statements,
    get pid() { return child.pid; },
    version: must(path.join(bin, 'postgres'), ['--version'], 'postgres --version').trim(),
    /** Path of pgbench, null when it is not installed. */
    pgbench: fs.existsSync(path.join(bin, 'pgbench')) ? path.join(bin, 'pgbench') : null,
    async stop() {
      child.kill('SIGINT');
      await ended;
      process.removeListener('exit', abandon);
      fs.rmSync(home, { recursive: true, force: true });
    },
  };
}

/** Counts the statements that `work` causes in `database`; null where they cannot be counted. */
export async function countStatements(cluster, database, work) {
  if (!cluster.statements) return null;
  const admin = cluster.uri('postgres');
  const track = async what => {
    await query(admin, `ALTER SYSTEM SET pg_stat_statements.track = '${what}'`);
    await query(admin, 'SELECT pg_reload_conf()');
    // A signal, so backends see it a moment later.
    await new Promise(resolve => setTimeout(resolve, 200));
  };
  await track('top');
  try {
    await query(admin, 'SELECT pg_stat_statements_reset()');
    await work();
    const { rows } = await query(admin, `
      SELECT s.query, s.calls::float8 AS calls, s.rows::float8 AS rows, s.total_exec_time AS ms
      FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid WHERE d.datname = $1 ORDER BY calls DESC`, [database]);
    return rows;
  } finally {
    await track('none');
  }
}
