// Pushes to many installations: Parsimony's server beside the sender of npm @parse/push-adapter alone, both to one
// APNs double on loopback (a Node process of its own). See docs/push.md.
//
//   node bench/push.mjs [devices=100000]      PARSIMONY_BIN: the binary (default target/release/parsimony)
import { fork, spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { startCluster } from './lib/cluster.mjs';
import { measureCpu, residentMegabytes, tree } from './lib/process.mjs';
import { keys, startServices } from '../tests/contract/push/services.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const devices = Number(process.argv[2] ?? 100000);
const pause = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));

if (process.env.BENCH_DOUBLE) {
  // The double: counts, and says when the first request came.
  const seen = { count: 0, first: 0 };
  const services = await startServices(() => {
    seen.first ||= Date.now();
    seen.count += 1;
    return undefined;
  });
  services.seen.push = () => 0;
  process.on('message', () => {
    process.send({ ...seen });
    Object.assign(seen, { count: 0, first: 0 });
  });
  process.send({ port: services.port, proxy: services.proxy, caFile: services.caFile });
} else {
  const double = fork(fileURLToPath(import.meta.url), { env: { ...process.env, BENCH_DOUBLE: '1' } });
  const hear = child => new Promise(resolve => child.once('message', resolve));
  const { port, proxy, caFile } = await hear(double);
  const seen = async () => {
    const answer = hear(double);
    double.send('seen');
    return answer;
  };
  const { p8, rsa } = keys();
  const push = { ios: { token: { key: p8, keyId: 'ABC123DEFG', teamId: 'DEF123GHIJ' }, topic: 'com.example.app' } };
  const cluster = await startCluster();
  const admin = new pg.Client(cluster.uri('postgres'));
  await admin.connect();
  await admin.query('CREATE DATABASE push');
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-push-'));
  const listener = net.createServer().listen(0, '127.0.0.1');
  await new Promise(resolve => listener.once('listening', resolve));
  const at = listener.address().port;
  await new Promise(resolve => listener.close(resolve));
  const file = path.join(home, 'config.json');
  fs.writeFileSync(file, JSON.stringify({
    appId: 'bench', masterKey: 'master', databaseURI: cluster.uri('push'), host: '127.0.0.1', port: at, logsFolder: null,
    serverURL: `http://127.0.0.1:${at}/parse`, allowClientClassCreation: true, verifyServerUrl: false, push,
  }));
  const binary = process.env.PARSIMONY_BIN ?? path.join(here, '../target/release/parsimony');
  const server = spawn(binary, [file], {
    cwd: home, stdio: 'ignore', env: { PATH: process.env.PATH, HTTPS_PROXY: proxy, SSL_CERT_FILE: caFile },
  });
  const headers = { 'X-Parse-Application-Id': 'bench', 'X-Parse-Master-Key': 'master', 'Content-Type': 'application/json' };
  const call = async (method, where, body) => {
    const response = await fetch(`http://127.0.0.1:${at}/parse/${where}`, { method, headers, body: body && JSON.stringify(body) });
    return { response, json: await response.json() };
  };
  for (;;) {
    try {
      if ((await call('GET', 'health')).json.status === 'ok') break;
    } catch { /* not yet */ }
    await pause(50);
  }
  await call('POST', 'classes/_Installation', { deviceType: 'embedded', installationId: 'none' });
  const client = new pg.Client(cluster.uri('push'));
  await client.connect();
  await client.query(`INSERT INTO "_Installation" ("objectId", "createdAt", "updatedAt", "installationId", "deviceType", "deviceToken", "appIdentifier")
    SELECT substr(md5(n::text), 1, 10), now(), now(), 'i' || n, 'ios', lpad(to_hex(n), 64, '0'), 'com.example.app'
    FROM generate_series(1, $1::bigint) AS n ON CONFLICT DO NOTHING`, [devices]);
  await client.query('ANALYZE "_Installation"');
  const { rows: [{ count }] } = await client.query('SELECT count(*)::int AS count FROM "_Installation" WHERE "deviceToken" IS NOT NULL');
  // Warm: the connection, the statements.
  await call('POST', 'push', { where: { installationId: 'i1' }, data: { alert: 'warm' } });
  await pause(1000);
  await seen();
  const before = residentMegabytes([server.pid]);
  const cpu = measureCpu(() => tree(server.pid));
  const began = Date.now();
  const { response } = await call('POST', 'push', { where: { deviceType: 'ios' }, data: { alert: 'hello' } });
  const id = response.headers.get('x-parse-push-status-id');
  let most = before;
  for (;;) {
    const { json } = await call('GET', `push_status/${id}`);
    most = Math.max(most, residentMegabytes([server.pid]));
    if (json.status === 'succeeded') break;
    await pause(50);
  }
  const seconds = (Date.now() - began) / 1000;
  const used = cpu() / 1000 / count;
  const { first, count: requests } = await seen();
  console.log(`Parsimony: ${count} devices, ${requests} requests, ${Math.round(count / seconds)} devices/s, ${used.toFixed(1)} µs server CPU per device, `
    + `first device after ${first - began} ms, memory ${before.toFixed(0)} MB + ${(most - before).toFixed(0)} MB`);
  server.kill();
  // The peer's sender alone, without its database work, in its batches of 100.
  const npm = fork(path.join(here, '../tests/contract/push/npm-sender.cjs'), {
    env: {
      ...process.env, SERVICES_PORT: port, NODE_EXTRA_CA_CERTS: caFile, PUSH_OPTIONS: JSON.stringify(push),
      FIREBASE_ACCOUNT: JSON.stringify({ project_id: 'p', client_email: 'a@p.example', private_key: rsa }),
    },
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  await hear(npm);
  const sample = Math.min(devices, 20000);
  const theirCpu = measureCpu(() => tree(npm.pid));
  const theyBegan = Date.now();
  for (let n = 0; n < sample; n += 100) {
    const installations = Array.from({ length: 100 }, (_, k) => ({
      deviceType: 'ios', appIdentifier: 'com.example.app', deviceToken: (n + k).toString(16).padStart(64, '0'),
    }));
    const answer = hear(npm);
    npm.send({ body: { data: { alert: 'hello' } }, installations });
    await answer;
  }
  const theirs = (Date.now() - theyBegan) / 1000;
  console.log(`npm @parse/push-adapter, its sender alone: ${Math.round(sample / theirs)} devices/s, ${(theirCpu() / 1000 / sample).toFixed(1)} µs CPU per device`);
  npm.kill();
  await client.end();
  await admin.end();
  await cluster.stop();
  double.kill();
  fs.rmSync(home, { recursive: true, force: true });
  process.exit(0);
}
