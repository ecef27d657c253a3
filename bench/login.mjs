// Logins by an identity token whose key is known: Parsimony beside npm parse-server, both with provider google, whose
// keys a TLS server of this process publishes. Needs root, for an /etc/hosts of the servers' own.
//
//   node bench/login.mjs [logins=2000]      PARSIMONY_BIN: the binary (default target/release/parsimony)
import { execFileSync } from 'node:child_process';
import os from 'node:os';
import pg from 'pg';
import { jwk, sign } from '../tests/contract/faked/tokens.js';
import { startOutside, unavailable } from '../tests/contract/faked/outside.js';
import { startCluster } from './lib/cluster.mjs';
import { encode, load, median, percentile } from './lib/load.mjs';
import { measureCpu, tree } from './lib/process.mjs';
import { keys, kinds, rest, startServer } from './lib/servers.mjs';

if (unavailable) {
  console.error(unavailable);
  process.exit(2);
}
const count = Number(process.argv[2] ?? 2000);
const ROUNDS = 3;
const USERS = 100;
const CLIENT = 'client.apps.example';
const now = Math.floor(Date.now() / 1000);
const token = (user, n) => sign({ iss: 'https://accounts.google.com', aud: CLIENT, sub: user, jti: String(n), iat: now - 5, exp: now + 3600 });
const authData = n => {
  const user = `1000${n % USERS}`;
  return { google: { id: user, id_token: token(user, n) } };
};
const headers = { 'X-Parse-Application-Id': keys.appId, 'X-Parse-REST-API-Key': keys.restAPIKey };
// Every login has a token of its own; signing them is not what is measured.
const requests = Array.from({ length: count }, (_, n) => encode({ method: 'POST', path: '/parse/users', headers, body: { authData: authData(n) } }));

const outside = await startOutside();
// Google says how long its keys are good for.
outside.on('https://www.googleapis.com/oauth2/v3/certs', {
  headers: { 'cache-control': 'public, max-age=19800' }, body: { keys: [jwk('k1')] },
});
const cluster = await startCluster();
const admin = new pg.Client(cluster.uri('postgres'));
await admin.connect();
const servers = {};
try {
  for (const kind of kinds) {
    await admin.query(`CREATE DATABASE login_${kind}`);
    servers[kind] = await startServer(kind, cluster.uri(`login_${kind}`), 'whole', {
      prefix: outside.prefix, variables: outside.environment, more: { auth: { google: { clientId: CLIENT } } },
    });
    for (let n = 0; n < USERS; n += 1) await rest(servers[kind], 'POST', '/users', { authData: authData(n) });
  }
  const one = async kind => {
    const cpu = measureCpu(() => tree(servers[kind].pid));
    const { latencies } = await load({
      port: servers[kind].port, count, concurrency: 16, request: n => requests[n],
      check: answer => {
        if (answer.status !== 200 || !answer.body.includes('"sessionToken"')) throw new Error(`${answer.status} ${answer.body}`);
      },
    });
    return { cpu: cpu() / 1000 / count, p99: percentile(latencies, 0.99) };
  };
  for (const kind of kinds) await one(kind);
  const runs = Object.fromEntries(kinds.map(kind => [kind, []]));
  const asked = outside.seen.length;
  console.log(`load average ${os.loadavg()[0]}, ${execFileSync('nproc').toString().trim()} processors`);
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const kind of round % 2 ? [...kinds].reverse() : kinds) runs[kind].push(await one(kind));
  }
  const cost = Object.fromEntries(kinds.map(kind => [kind, median(runs[kind].map(run => run.cpu))]));
  for (const kind of kinds) {
    console.log(`${kind}: ${cost[kind].toFixed(0)} µs server CPU per login, p99 ${median(runs[kind].map(run => run.p99)).toFixed(1)} ms`);
  }
  console.log(`${(cost[kinds[0]] / cost[kinds[1]]).toFixed(1)} times; keys asked for meanwhile: ${outside.seen.length - asked}`);
} finally {
  for (const server of Object.values(servers)) await server.stop();
  await admin.end();
  await cluster.stop();
  outside.stop();
}
process.exit(0);
