// Parsimony beside npm parse-server: the same requests on copies of one database in one PostgreSQL server, in
// alternating rounds, all on loopback and bounded. See docs/benchmarks.md.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { countStatements, startCluster } from './lib/cluster.mjs';
import { prepare } from './lib/data.mjs';
import { liveScenarios, runLive } from './lib/live.mjs';
import { load, median, percentile } from './lib/load.mjs';
import { runPgbench } from './lib/pgbench.mjs';
import { backends, measureCpu, residentMegabytes, tree } from './lib/process.mjs';
import { beforeAndAfter, markdown, number, publish } from './lib/report.mjs';
import { scenarios } from './lib/scenarios.mjs';
import { beforeBinary, binary, floorBinary, kinds, peerVersion, startServer } from './lib/servers.mjs';

const HELP = `node bench/run.mjs [options]
  --quick          a fifth of the requests, one round
  --scale N        N times the requests (default 1)
  --rounds N       alternating rounds (default 3)
  --only a,b       these scenarios: ${[...scenarios, ...liveScenarios].map(each => each.name).join(', ')}
  --publish        write the tables to docs/benchmarks.md (default when everything is run)
  --no-publish     only print them
  --statements     also print the statements that were counted
PARSIMONY_BIN names the binary (default target/release/parsimony), FLOOR_BIN the floor program
(default bench/floor/target/release/floor; without it there are no figures for the floor).
BEFORE_BIN names an earlier build of Parsimony: then the two builds are compared with each other, and with nothing else.`;

function parse(args) {
  const options = { scale: 1, rounds: 3, only: null, publish: null, statements: false };
  for (let i = 0; i < args.length; i += 1) {
    const value = () => args[(i += 1)] ?? fail(`${args[i - 1]} needs a value`);
    switch (args[i]) {
      case '--quick': Object.assign(options, { scale: 0.2, rounds: 1 }); break;
      case '--scale': options.scale = Number(value()); break;
      case '--rounds': options.rounds = Number(value()); break;
      case '--only': options.only = new Set(value().split(',')); break;
      case '--publish': options.publish = true; break;
      case '--no-publish': options.publish = false; break;
      case '--statements': options.statements = true; break;
      case '--help': console.log(HELP); process.exit(0); break;
      default: fail(`unknown option ${args[i]}\n${HELP}`);
    }
  }
  const names = new Set([...scenarios, ...liveScenarios].map(each => each.name));
  for (const name of options.only ?? []) if (!names.has(name)) fail(`no scenario ${name}\n${HELP}`);
  if (!(options.scale > 0) || !(options.rounds >= 1)) fail('--scale and --rounds are positive numbers');
  return options;
}

function fail(text) {
  console.error(text);
  process.exit(2);
}

const say = text => console.error(`${new Date().toISOString().slice(11, 19)} ${text}`);

/** One measured run of `count` requests. */
async function measure(cluster, database, server, scenario, context, count, concurrency) {
  const cpu = measureCpu(() => tree(server.pid));
  const postgres = measureCpu(() => backends(cluster.pid, database));
  const { seconds, latencies } = await load({
    port: server.port, count, concurrency, check: scenario.check, request: i => scenario.request(i, context),
  });
  const perRequest = nanoseconds => nanoseconds / 1000 / count;
  return {
    cpu: perRequest(cpu()), postgres: perRequest(postgres()), rate: count / seconds,
    p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99),
  };
}

const medians = list => Object.fromEntries(Object.keys(list[0]).map(key => {
  const values = list.map(each => each[key]);
  return [key, values[0] !== null && typeof values[0] === 'object' ? medians(values) : median(values)];
}));

async function statementsOf(cluster, database, server, scenario, context, print) {
  // Heavy scenarios have few requests.
  const requests = Math.min(20, Math.ceil(scenario.count / 6));
  const found = await countStatements(cluster, database, () => load({
    port: server.port, count: requests, concurrency: 1, check: scenario.check, request: i => scenario.request(i, context),
  }));
  if (!found) return null;
  if (print) {
    for (const row of found) console.log(`  ${server.kind} ${scenario.name}: ${row.calls} × ${row.query.replace(/\s+/g, ' ').slice(0, 400)}`);
  }
  return found.reduce((sum, row) => sum + row.calls, 0) / requests;
}

/** All rounds of one scenario on all servers that can answer it. */
async function compare(cluster, data, servers, scenario, options) {
  const concurrency = scenario.concurrency ?? 32;
  const entry = { ...scenario, concurrency, sides: {}, failed: {} };
  const sides = scenario.floor && servers.floor ? [...kinds, 'floor'] : kinds;
  const each = make => Object.fromEntries(sides.map(kind => [kind, make()]));
  const rounds = each(() => []);
  const ones = each(() => []);
  const contexts = each(() => ({ token: data.token }));
  const count = Math.max(concurrency, Math.round(scenario.count * options.scale / options.rounds));
  const single = Math.max(4, Math.round(count / 4));
  const attempt = async (kind, work) => {
    if (entry.failed[kind]) return;
    try {
      await work(servers[kind], data.databases[kind], contexts[kind]);
    } catch (error) {
      entry.failed[kind] = error.message;
      say(`${scenario.name}: ${kind} failed: ${error.message.slice(0, 300)}`);
    }
  };
  for (const kind of sides) {
    await attempt(kind, async (server, database, context) => {
      await scenario.before?.(server, context);
      // Connections, plans and the peer's just-in-time compiler.
      const warm = Math.max(Math.min(count, 800), Math.round(Math.min(800, scenario.count / 4)));
      await load({ port: server.port, count: warm, concurrency, check: scenario.check, request: i => scenario.request(i, context) });
      entry.sides[kind] = { statements: await statementsOf(cluster, database, server, scenario, context, options.statements) };
    });
  }
  for (let round = 0; round < options.rounds; round += 1) {
    for (const kind of round % 2 ? [...sides].reverse() : sides) {
      await attempt(kind, async (server, database, context) => {
        rounds[kind].push(await measure(cluster, database, server, scenario, context, count, concurrency));
        ones[kind].push(await measure(cluster, database, server, scenario, context, single, 1));
      });
    }
  }
  for (const kind of sides) {
    if (!entry.failed[kind]) Object.assign(entry.sides[kind], medians(rounds[kind]), { one: medians(ones[kind]) });
  }
  try {
    if (scenario.pgbench && !beforeBinary) entry.pgbench = runPgbench(cluster, scenario.pgbench, count * 2);
  } catch (error) {
    say(`${scenario.name}: no pgbench: ${error.message}`);
  }
  return entry;
}

async function compareLive(servers, scenario, options) {
  const entry = { ...scenario, concurrency: 1, sides: {}, failed: {} };
  const rounds = Object.fromEntries(kinds.map(kind => [kind, []]));
  for (let round = 0; round < options.rounds; round += 1) {
    for (const kind of round % 2 ? [...kinds].reverse() : kinds) {
      if (entry.failed[kind] || (scenario.only && scenario.only !== kind)) continue;
      // Memory that a first round made the server keep would serve the second.
      if (scenario.kind === 'idle' && round > 0) continue;
      try {
        rounds[kind].push(await runLive(servers[kind], scenario, options.scale));
      } catch (error) {
        entry.failed[kind] = error.message;
        say(`${scenario.name}: ${kind} failed: ${error.message.slice(0, 300)}`);
      }
    }
  }
  for (const kind of kinds) if (rounds[kind].length && !entry.failed[kind]) entry.sides[kind] = medians(rounds[kind]);
  return entry;
}

const options = parse(process.argv.slice(2));
const wanted = [...scenarios, ...liveScenarios].filter(scenario => !options.only || options.only.has(scenario.name));
if (beforeBinary && !fs.existsSync(beforeBinary)) fail(`${beforeBinary} is missing`);
if (!fs.existsSync(binary)) fail(`${binary} is missing: cargo build --release, or run \`make bench\``);
const results = {
  entries: [], servers: {}, peerVersion, rounds: options.rounds, scale: options.scale, loadBefore: os.loadavg()[0],
  build: binary.includes(`${path.sep}debug${path.sep}`) ? 'DEBUG (figures mean nothing)' : 'release', commit: process.env.BENCH_COMMIT,
};
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(130));

say('starting PostgreSQL, making the data');
const cluster = await startCluster();
try {
  results.postgres = cluster.version;
  const data = await prepare(cluster);
  results.geometry = data.geometry === 'postgis' ? 'PostGIS' : 'a stand-in for PostGIS, which is not installed';
  for (const group of new Set(wanted.map(scenario => scenario.group))) {
    const servers = {};
    const sides = (results.servers[group] = {});
    try {
      const started = wanted.some(each => each.group === group && each.floor) && !beforeBinary && fs.existsSync(floorBinary) ? [...kinds, 'floor'] : kinds;
      for (const kind of started) {
        // The first start brings the schema up to date; the second is the one that counts.
        await (await startServer(kind, cluster.uri(data.databases[kind]), group)).stop();
        servers[kind] = await startServer(kind, cluster.uri(data.databases[kind]), group);
        sides[kind] = { coldStart: servers[kind].coldStart };
      }
      await new Promise(resolve => setTimeout(resolve, 1000));
      for (const kind of started) sides[kind].idle = residentMegabytes(tree(servers[kind].pid));
      for (const scenario of wanted.filter(each => each.group === group)) {
        const entry = group === 'live'
          ? await compareLive(servers, scenario, options)
          : await compare(cluster, data, servers, scenario, options);
        results.entries.push(entry);
        const { ours, floor } = entry.sides;
        const peer = entry.sides[kinds[0]];
        say(`${scenario.name}: CPU ${number(peer?.cpu)} against ${number(ours?.cpu)} µs (floor ${number(floor?.cpu)}), `
          + `PostgreSQL ${number(peer?.postgres)} against ${number(ours?.postgres)} µs (pgbench ${number(entry.pgbench?.postgres)}), `
          + `statements ${number(peer?.statements)} against ${number(ours?.statements)}`);
      }
      for (const kind of started) sides[kind].loaded = residentMegabytes(tree(servers[kind].pid));
    } finally {
      for (const server of Object.values(servers)) await server.stop();
    }
  }
} finally {
  await cluster.stop();
}
const text = beforeBinary ? beforeAndAfter(results) : markdown(results);
console.log(text);
if (options.publish ?? !options.only) {
  publish(fileURLToPath(new URL('../docs/benchmarks.md', import.meta.url)), text, beforeBinary ? 'before and after' : 'measured');
}
process.exit(0);
