// A PostgreSQL server for the suites, and databases on it.
//
// PARSIMONY_TEST_DATABASE_URI names an existing server (any database on it, with the right to create others).
// Without it a private cluster is started in a temporary folder and removed afterwards.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { randomBytes } from 'node:crypto';

const fromServer = createRequire(createRequire(import.meta.url).resolve('parse-server'));
const fromDriver = createRequire(fromServer.resolve('pg-promise'));
export const pg = fromDriver('pg');

/** A TCP port on loopback that nobody listens on at this moment. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** Polls `check` until it answers something truthy; errors count as "not yet". */
export async function waitFor(check, { timeout = 30000, every = 20, what = 'condition' } = {}) {
  const end = Date.now() + timeout;
  let last;
  for (;;) {
    try {
      const value = await check();
      if (value) return value;
    } catch (error) {
      if (error.fatal) throw error;
      last = error;
    }
    if (Date.now() > end) throw new Error(`timed out waiting for ${what}${last ? `: ${last.message}` : ''}`);
    await new Promise(resolve => setTimeout(resolve, every));
  }
}

function binaries() {
  const found = spawnSync('pg_config', ['--bindir'], { encoding: 'utf8' });
  const candidates = [];
  const root = '/usr/lib/postgresql';
  if (fs.existsSync(root)) {
    for (const version of fs.readdirSync(root).sort((a, b) => Number(b) - Number(a))) {
      candidates.push(path.join(root, version, 'bin'));
    }
  }
  if (found.status === 0) candidates.push(found.stdout.trim());
  const bin = candidates.find(dir => fs.existsSync(path.join(dir, 'initdb')));
  if (!bin) throw new Error('no PostgreSQL server binaries found: install postgresql, or set PARSIMONY_TEST_DATABASE_URI');
  return bin;
}

/** PostgreSQL refuses to run as root, so a root test run lends the cluster to another user. */
function asOrdinaryUser(command, args) {
  if (process.getuid() !== 0) return [command, args];
  const user = spawnSync('id', ['-u', 'postgres']).status === 0 ? 'postgres' : 'nobody';
  const group = spawnSync('id', ['-gn', user], { encoding: 'utf8' }).stdout.trim();
  const drop = [`--reuid=${user}`, `--regid=${group}`, '--clear-groups', '--pdeathsig=INT', command, ...args];
  return ['setpriv', drop];
}

async function startCluster() {
  const bin = binaries();
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'parsimony-contract-'));
  fs.chmodSync(home, 0o755);
  const data = path.join(home, 'data');
  fs.mkdirSync(data, { mode: 0o700 });
  if (process.getuid() === 0) {
    const owner = spawnSync('id', ['-u', 'postgres'], { encoding: 'utf8' });
    const user = owner.status === 0 ? 'postgres' : 'nobody';
    spawnSync('chown', [`${user}:`, data]);
  }
  const [init, initArgs] = asOrdinaryUser(path.join(bin, 'initdb'), [
    '-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync',
  ]);
  const made = spawnSync(init, initArgs, { encoding: 'utf8', cwd: '/' });
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`);
  const port = await freePort();
  const log = fs.openSync(path.join(home, 'log'), 'w');
  const [run, runArgs] = asOrdinaryUser(path.join(bin, 'postgres'), [
    '-D', data, '-p', String(port), '-h', '127.0.0.1', '-c', 'unix_socket_directories=', '-c', 'fsync=off',
    '-c', 'synchronous_commit=off', '-c', 'full_page_writes=off', '-c', 'max_connections=300',
  ]);
  const child = spawn(run, runArgs, { stdio: ['ignore', log, log], cwd: '/' });
  const abandon = () => {
    child.kill('SIGQUIT');
    fs.rmSync(home, { recursive: true, force: true });
  };
  process.once('exit', abandon);
  const uri = `postgres://postgres@127.0.0.1:${port}/postgres`;
  await waitFor(() => query(uri, 'SELECT 1'), { what: 'PostgreSQL' });
  const ended = new Promise(resolve => child.once('exit', resolve));
  return {
    uri,
    async stop() {
      child.kill('SIGINT');
      await ended;
      process.removeListener('exit', abandon);
      fs.rmSync(home, { recursive: true, force: true });
    },
  };
}

/** The PostgreSQL server of this run: `{uri, stop}`. */
export async function startPostgres() {
  const given = process.env.PARSIMONY_TEST_DATABASE_URI;
  if (given) return { uri: given, stop: async () => {} };
  return startCluster();
}

/** One statement on one short connection. */
export async function query(uri, text, values) {
  const client = new pg.Client({ connectionString: uri });
  await client.connect();
  try {
    return await client.query(text, values);
  } finally {
    await client.end();
  }
}

/** A fresh database: `{uri, name, drop}`. */
export async function createDatabase(server, label) {
  const name = `contract_${label}_${randomBytes(5).toString('hex')}`;
  await query(server.uri, `CREATE DATABASE "${name}"`);
  const url = new URL(server.uri);
  url.pathname = `/${name}`;
  return {
    name,
    uri: url.toString(),
    drop: () => query(server.uri, `DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`),
  };
}

/**
 * parse-server's distance queries call PostGIS' `ST_DistanceSphere`. Where the extension cannot be installed, the
 * same function on PostgreSQL's own `point` gives the peer everything it needs to be compared with.
 */
export async function provideGeometry(uri) {
  const available = await query(uri, "SELECT 1 FROM pg_available_extensions WHERE name = 'postgis'");
  if (available.rowCount > 0) {
    await query(uri, 'CREATE EXTENSION IF NOT EXISTS postgis');
    return 'postgis';
  }
  await query(uri, `
    CREATE DOMAIN geometry AS point;
    CREATE FUNCTION ST_DistanceSphere(a geometry, b geometry) RETURNS float8 LANGUAGE sql IMMUTABLE STRICT AS $$
      SELECT 2 * 6371008.7714 * asin(sqrt(least(1.0,
        power(sin(radians(((b::point)[1] - (a::point)[1]) / 2)), 2)
        + cos(radians((a::point)[1])) * cos(radians((b::point)[1]))
        * power(sin(radians(((b::point)[0] - (a::point)[0]) / 2)), 2))))
    $$`);
  return 'stand-in';
}
