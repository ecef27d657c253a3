// The same pushes sent by npm @parse/push-adapter and by Parsimony to the same services: each request is compared
// field by field. What differs is in `differences`, each with its reason.
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import path from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startPostgres, waitFor } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';
import { corpus, differences, installations, shown } from './corpus.js';
import { keys, startServices } from './services.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const services = await startServices();
const { p8, rsa } = keys();
const account = { type: 'service_account', project_id: 'project', client_email: 'a@project.example', private_key: rsa, private_key_id: '1' };
const apns = { token: { key: p8, keyId: 'ABC123DEFG', teamId: 'DEF123GHIJ' }, topic: 'com.example.app' };
const push = {
  ios: apns, tvos: apns, osx: { ...apns, useNativeAPNs: true }, watchos: { firebaseServiceAccount: account },
  android: { firebaseServiceAccount: account }, expo: { accessToken: 'expo' },
};
process.env.HTTPS_PROXY = services.proxy;
process.env.SSL_CERT_FILE = services.caFile;
const postgres = await startPostgres();
const server = await startServer(postgres, 'parsimony', 'base', { overrides: { push } });
const npm = fork(path.join(here, 'npm-sender.cjs'), {
  env: {
    ...process.env, SERVICES_PORT: services.port, NODE_EXTRA_CA_CERTS: services.caFile, PUSH_OPTIONS: JSON.stringify(push),
    FIREBASE_ACCOUNT: JSON.stringify(account), EXPO_BASE_URL: `https://127.0.0.1:${services.port}`, HTTPS_PROXY: '',
  },
  stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
});
const hear = () => new Promise(resolve => npm.once('message', resolve));
after(async () => {
  npm.kill();
  await server.stop();
  await postgres.stop();
  services.stop();
});

const headers = { 'X-Parse-Application-Id': server.config.appId, 'X-Parse-Master-Key': server.config.masterKey, 'Content-Type': 'application/json' };
const call = async (method, at, body) => {
  const response = await fetch(`${server.url}/${at}`, { method, headers, body: body && JSON.stringify(body) });
  return { response, json: await response.json() };
};

test('the corpus', { timeout: 280000 }, async () => {
  assert.deepEqual(await hear(), { ready: true });
  for (const installation of installations) {
    const { response, json } = await call('POST', 'classes/_Installation', installation);
    assert.equal(response.status, 201, JSON.stringify(json));
  }
  const items = corpus();
  assert.ok(items.length >= 150, `${items.length} pushes`);
  const reasons = {};
  const wrong = [];
  for (const [number, item] of items.entries()) {
    services.seen.length = 0;
    const body = structuredClone(item);
    if (body.expiration_time !== undefined) {
      body.expiration_time = typeof body.expiration_time === 'number' ? body.expiration_time * 1000 : Date.parse(body.expiration_time);
    }
    const answer = hear();
    npm.send({ body, installations });
    await answer;
    const theirs = shown(services.seen);
    services.seen.length = 0;
    const { response, json } = await call('POST', 'push', { where: { installationId: { $exists: true } }, ...structuredClone(item) });
    assert.equal(response.status, 200, JSON.stringify([item, json]));
    const id = response.headers.get('x-parse-push-status-id');
    await waitFor(async () => (await call('GET', `push_status/${id}`)).json.status === 'succeeded', { what: 'the push to be sent' });
    const ours = shown(services.seen);
    for (const { deviceToken: token } of installations) {
      let expected = theirs[token] && structuredClone(theirs[token]);
      const sent = ours[token];
      const used = [];
      const same = () => {
        try {
          assert.deepEqual(sent && { ...sent, host: 0, at: 0 }, expected && { ...expected, host: 0, at: 0 });
          return true;
        } catch {
          return false;
        }
      };
      for (const [reason, mend] of differences) {
        if (same()) break;
        const mended = mend(item, token, expected && structuredClone(expected), sent);
        if (mended) {
          expected = mended;
          used.push(reason);
        }
      }
      if (same()) for (const reason of used) reasons[reason] = (reasons[reason] ?? 0) + 1;
      else wrong.push({ number, token, item, ours: sent, theirs: theirs[token] });
    }
  }
  console.log(`${items.length} pushes to ${installations.length} devices; differences:`, reasons);
  assert.deepEqual(wrong.slice(0, 12).map(one => JSON.stringify(one)), [], `${wrong.length} requests differ`);
});
