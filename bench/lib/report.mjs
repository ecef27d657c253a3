// Turns results into Markdown and puts them between the marks of docs/benchmarks.md; prose around them stays.
import fs from 'node:fs';
import os from 'node:os';
import { execFileSync } from 'node:child_process';

export function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  if (value >= 100) return Math.round(value).toLocaleString('en');
  return value >= 10 ? value.toFixed(0) : value.toFixed(1);
}

const ratio = value => (Number.isFinite(value) ? `${value >= 20 ? value.toFixed(0) : value.toFixed(1)}×` : '–');
const table = (head, body) => [
  `| ${head.join(' | ')} |`, `|${head.map((_, i) => (i === 0 ? '---' : '---:')).join('|')}|`,
  ...body.map(cells => `| ${cells.join(' | ')} |`),
].join('\n');

function verdict(entry) {
  const { peer, ours } = entry.sides;
  if (!entry.goal || !peer?.cpu || !ours?.cpu) return ['–', '–'];
  return [`${entry.goal}×`, peer.cpu / ours.cpu >= entry.goal ? 'yes' : 'no'];
}

function failures(results) {
  const lines = results.entries.flatMap(entry => Object.entries(entry.failed).map(
    ([kind, why]) => `* ${entry.title}, ${{ peer: 'parse-server', before: 'the earlier build', ours: 'Parsimony', floor: 'the floor program' }[kind]}: ${why.replace(/\s+/g, ' ').slice(0, 300)}`,
  ));
  return lines.length ? `### Failed\n\n${lines.join('\n')}\n` : '';
}

export function markdown(results) {
  const cell = (entry, kind, key) => (entry.failed[kind] ? 'failed' : number(entry.sides[kind]?.[key]));
  const against = (entry, key) => ratio(entry.sides.peer?.[key] / entry.sides.ours?.[key]);
  const entries = results.entries.filter(entry => entry.kind !== 'idle');
  const idle = results.entries.filter(entry => entry.kind === 'idle');
  const cpu = table(
    ['scenario', 'parse-server µs', 'Parsimony µs', 'cheaper', 'goal', 'reached', 'floor µs', 'Parsimony / floor'],
    entries.map(entry => [
      entry.title, cell(entry, 'peer', 'cpu'), cell(entry, 'ours', 'cpu'), against(entry, 'cpu'), ...verdict(entry),
      cell(entry, 'floor', 'cpu'), ratio(entry.sides.ours?.cpu / entry.sides.floor?.cpu),
    ]),
  );
  const database = table(
    ['scenario', 'parse-server µs', 'Parsimony µs', 'floor µs', 'pgbench µs', 'Parsimony / pgbench', 'statements: parse-server', 'Parsimony'],
    entries.filter(entry => entry.group !== 'live').map(entry => [
      entry.title, cell(entry, 'peer', 'postgres'), cell(entry, 'ours', 'postgres'), cell(entry, 'floor', 'postgres'), number(entry.pgbench?.postgres),
      ratio(entry.sides.ours?.postgres / entry.pgbench?.postgres), cell(entry, 'peer', 'statements'), cell(entry, 'ours', 'statements'),
    ]),
  );
  const time = table(
    ['scenario', 'parse-server req/s', 'Parsimony req/s', 'floor req/s', 'parse-server p50 / p99 ms', 'Parsimony p50 / p99 ms'],
    entries.map(entry => [
      `${entry.title} (c=${entry.concurrency})`, cell(entry, 'peer', 'rate'), cell(entry, 'ours', 'rate'), cell(entry, 'floor', 'rate'),
      ...['peer', 'ours'].map(kind => `${cell(entry, kind, 'p50')} / ${cell(entry, kind, 'p99')}`),
    ]),
  );
  const alone = table(
    ['scenario', 'parse-server µs', 'Parsimony µs', 'cheaper', 'parse-server p50 / p99 ms', 'Parsimony p50 / p99 ms'],
    entries.filter(entry => entry.sides.peer?.one || entry.sides.ours?.one).map(entry => {
      const side = kind => entry.sides[kind]?.one ?? {};
      return [
        entry.title, number(side('peer').cpu), number(side('ours').cpu), ratio(side('peer').cpu / side('ours').cpu),
        ...['peer', 'ours'].map(kind => `${number(side(kind).p50)} / ${number(side(kind).p99)}`),
      ];
    }),
  );
  const process = table(['', 'parse-server', 'Parsimony', 'floor'], [
    ...Object.entries(results.servers).flatMap(([group, sides]) => [
      [`start to healthy, ${group}, ms`, number(sides.peer?.coldStart), number(sides.ours?.coldStart), number(sides.floor?.coldStart)],
      [`memory idle, ${group}, MB`, number(sides.peer?.idle), number(sides.ours?.idle), number(sides.floor?.idle)],
      [`memory after load, ${group}, MB`, number(sides.peer?.loaded), number(sides.ours?.loaded), number(sides.floor?.loaded)],
    ]),
    ...idle.flatMap(entry => [
      [`${entry.title}, KiB each`, cell(entry, 'peer', 'perConnection'), cell(entry, 'ours', 'perConnection')],
      ['connections opened and subscribed per second', cell(entry, 'peer', 'connectRate'), cell(entry, 'ours', 'connectRate')],
    ]),
  ]);
  return `${machine(results)}

### CPU of the server's process tree, per request

${cpu}

Concurrency 32 unless the last table says otherwise; medians of ${results.rounds} alternating rounds.

### At concurrency 1

${alone}

### PostgreSQL: CPU of the backends per request, and statements

${database}

### Start and memory (whole process tree)

${process}

### Requests per second and latency

${time}

${failures(results)}`;
}

/** Two builds of Parsimony side by side. */
export function beforeAndAfter(results) {
  const percent = (after, before) => {
    const change = (after / before - 1) * 100;
    return Number.isFinite(change) ? `${change >= 0 ? '+' : '−'}${Math.abs(change).toFixed(1)} %` : '–';
  };
  const both = (entry, key) => ['before', 'ours'].map(kind => (entry.failed[kind] ? 'failed' : number(entry.sides[kind]?.[key])));
  const row = entry => {
    const { before, ours } = entry.sides;
    return [
      entry.title, ...both(entry, 'cpu'), percent(ours?.cpu, before?.cpu),
      ...both(entry, 'postgres'), percent(ours?.postgres, before?.postgres), both(entry, 'p99').join(' / '),
    ];
  };
  const cpu = table(
    ['scenario', 'before µs', 'after µs', 'change', 'PostgreSQL before µs', 'after µs', 'change', 'p99 before / after ms'],
    results.entries.filter(entry => entry.kind !== 'idle').map(row),
  );
  const process = table(['', 'before', 'after'], [
    ...Object.entries(results.servers).flatMap(([group, { before, ours }]) => [
      [`start to healthy, ${group}, ms`, number(before?.coldStart), number(ours?.coldStart)],
      [`memory idle, ${group}, MB`, number(before?.idle), number(ours?.idle)],
      [`memory after load, ${group}, MB`, number(before?.loaded), number(ours?.loaded)],
    ]),
    ...results.entries.filter(entry => entry.kind === 'idle').map(
      entry => [`${entry.title}, KiB each`, ...both(entry, 'perConnection')],
    ),
  ]);
  return `${machine(results)}
* medians of ${results.rounds} alternating rounds; CPU of the server's process tree and of PostgreSQL's backends, per request

${cpu}

${process}

${failures(results)}`;
}

function git(...args) {
  try {
    return execFileSync('git', args, { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

function machine(results) {
  const changed = git('status', '--porcelain', '--', 'src', 'Cargo.toml', 'Cargo.lock') ? ' with changes' : '';
  const [load] = os.loadavg();
  return [
    `* date: ${new Date().toISOString().slice(0, 16).replace('T', ' ')} UTC; commit ${results.commit ?? git('rev-parse', '--short=12', 'HEAD')}${changed}`,
    `* machine: ${os.cpus().length} × ${os.cpus()[0]?.model.trim()}, ${Math.round(os.totalmem() / 2 ** 30)} GB, Linux ${os.release()}`,
    `* load average of the machine: ${results.loadBefore.toFixed(1)} before, ${load.toFixed(1)} after`,
    `* parse-server ${results.peerVersion} on Node ${process.versions.node}; ${results.postgres}; distances for parse-server: ${results.geometry}`,
    `* binary: ${results.build} build; scale ${results.scale}`,
  ].join('\n');
}

/** Replaces what an earlier run put between the marks of that name in `file`. */
export function publish(file, text, name) {
  const old = fs.readFileSync(file, 'utf8');
  const begin = `<!-- ${name}: begin -->`;
  const from = old.indexOf(begin);
  const to = old.indexOf(`<!-- ${name}: end -->`);
  if (from < 0 || to < from) throw new Error(`${file} has no marks for the results`);
  fs.writeFileSync(file, `${old.slice(0, from + begin.length)}\n${text.trimEnd()}\n${old.slice(to)}`);
}
