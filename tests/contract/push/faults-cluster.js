// A PostgreSQL of the test's own that can stand still, crash and come back.
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { freePort, query, waitFor } from '../lib/postgres.js';

function binaries() {
  const root = '/usr/lib/postgresql';
  const versions = fs.existsSync(root) ? fs.readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  const found = spawnSync('pg_config', ['--bindir'], { encoding: 'utf8' });
  const places = [...versions.map(version => path.join(root, version, 'bin')), ...(found.status === 0 ? [found.stdout.trim()] : [])];
  return places.find(place => fs.existsSync(path.join(place, 'initdb')));
}

/** Why there can be none, else false. */
export const noCluster = binaries() && fs.existsSync('/proc/self/stat') ? false : 'needs the programs of PostgreSQL, and /proc';

const hasPostgres = () => spawnSync('id', ['-u', 'postgres']).status === 0;

/** PostgreSQL refuses root: then the command runs as another user. */
function unprivileged(command, args) {
  if (process.getuid() !== 0) return [command, args];
  const user = hasPostgres() ? 'postgres' : 'nobody';
  const group = spawnSync('id', ['-gn', user], { encoding: 'utf8' }).stdout.trim();
  return ['setpriv', [`--reuid=${user}`, `--regid=${group}`, '--clear-groups', '--pdeathsig=INT', command, ...args]];
}

export class Cluster {
  /** `environment`: of PostgreSQL. */
  static async start({ environment = {} } = {}) {
    const cluster = new Cluster();
    cluster.environment = environment;
    cluster.home = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-push-faults-'));
    fs.chmodSync(cluster.home, 0o755);
    cluster.data = path.join(cluster.home, 'data');
    fs.mkdirSync(cluster.data, { mode: 0o700 });
    if (process.getuid() === 0) spawnSync('chown', [hasPostgres() ? 'postgres:' : 'nobody:', cluster.data]);
    const [init, args] = unprivileged(path.join(binaries(), 'initdb'), [
      '-D', cluster.data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync',
    ]);
    const made = spawnSync(init, args, { encoding: 'utf8', cwd: '/' });
    if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}`);
    cluster.port = await freePort();
    cluster.uri = `postgres://postgres@127.0.0.1:${cluster.port}/postgres`;
    cluster.abandon = () => {
      cluster.thaw();
      cluster.child?.kill('SIGQUIT');
      fs.rmSync(cluster.home, { recursive: true, force: true });
    };
    process.once('exit', cluster.abandon);
    await cluster.up();
    return cluster;
  }

  async up() {
    const log = fs.openSync(path.join(this.home, 'log'), 'a');
    // What is committed stays, whatever becomes of the processes: the machine itself does not die here.
    const [run, args] = unprivileged(path.join(binaries(), 'postgres'), [
      '-D', this.data, '-p', String(this.port), '-h', '127.0.0.1', '-c', 'unix_socket_directories=', '-c', 'fsync=off', '-c', 'max_connections=200',
    ]);
    this.child = spawn(run, args, { stdio: ['ignore', log, log], cwd: '/', env: { ...process.env, ...this.environment } });
    fs.closeSync(log);
    this.ended = new Promise(resolve => this.child.once('exit', resolve));
    await waitFor(() => query(this.uri, 'SELECT 1'), { what: 'PostgreSQL' });
  }

  /** The postmaster first, so that it starts nothing more. */
  #processes() {
    const { pid } = this.child;
    const children = fs.readdirSync('/proc').filter(name => /^\d+$/.test(name)).filter(name => {
      try {
        const stat = fs.readFileSync(`/proc/${name}/stat`, 'utf8');
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid;
      } catch {
        return false;
      }
    });
    return [pid, ...children.map(Number)];
  }

  #signal(signal, pids) {
    for (const pid of pids) {
      try {
        process.kill(pid, signal);
      } catch { /* it is gone already */ }
    }
  }

  /** It answers nothing, and refuses nothing. */
  freeze() {
    process.kill(this.child.pid, 'SIGSTOP');
    this.frozen = this.#processes();
    this.#signal('SIGSTOP', this.frozen);
  }

  thaw() {
    this.#signal('SIGCONT', (this.frozen ?? []).reverse());
    this.frozen = null;
  }

  /** All its processes end at once; what was not committed is lost. Connections are refused from then on. */
  async crash() {
    this.child.kill('SIGQUIT');
    await this.ended;
  }

  async stop() {
    this.thaw();
    this.child.kill('SIGINT');
    await this.ended;
    process.removeListener('exit', this.abandon);
    fs.rmSync(this.home, { recursive: true, force: true });
  }
}
