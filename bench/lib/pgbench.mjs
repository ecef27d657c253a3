// The least that a statement costs PostgreSQL: the same SQL under `pgbench -M prepared`.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { childrenCpu } from './process.mjs';

const CLIENTS = 8;

/** Backend CPU µs per transaction and transactions per second; `null` without pgbench. */
export function runPgbench(cluster, script, count) {
  if (!cluster.pgbench) return null;
  const file = path.join(os.tmpdir(), `bench-pgbench-${process.pid}.sql`);
  fs.writeFileSync(file, script.replace(/\s*\n(?!$)(?=SELECT|INSERT)/, '\n'));
  const run = transactions => {
    // Ended backends are added to their postmaster, so the connections' own cost is subtracted below.
    const before = childrenCpu(cluster.pid);
    const done = spawnSync(cluster.pgbench, [
      '-n', '-M', 'prepared', '-c', String(CLIENTS), '-j', '1', '-t', String(transactions), '-f', file,
      '-h', '127.0.0.1', '-p', String(cluster.port), '-U', 'bench', 'bench_pgbench',
    ], { encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`pgbench: ${done.stderr}`);
    return { cpu: childrenCpu(cluster.pid) - before, tps: Number(/tps = ([\d.]+)/.exec(done.stdout)?.[1]) };
  };
  try {
    const connections = run(1).cpu;
    const each = Math.ceil(count / CLIENTS);
    const { cpu, tps } = run(each);
    return { postgres: Math.max(0, cpu - connections) / 1000 / (each * CLIENTS), rate: tps };
  } finally {
    fs.rmSync(file, { force: true });
  }
}
