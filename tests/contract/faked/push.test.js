// `POST /push` on both servers, the push services faked at the level of the machine: what each device is sent, and
// what `_PushStatus` and `_Installation` say afterwards, the services being well or ill.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, test } from 'node:test';
import { request } from '../lib/http.js';
import { startPostgres, waitFor } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';
import { corpus, differences, hex, installations, shown } from '../push/corpus.js';
import { keys } from '../push/services.js';
import { startOutside, unavailable } from './outside.js';

const kinds = (process.env.FAKED_SERVERS ?? 'parsimony,oracle').split(',');
const outside = unavailable ? null : await startOutside();
const postgres = unavailable ? null : await startPostgres();
const servers = {};
after(async () => {
  for (const server of Object.values(servers)) await server.stop();
  await postgres?.stop();
  outside?.stop();
});

const { p8, rsa } = unavailable ? {} : keys();
const account = { type: 'service_account', project_id: 'project', client_email: 'a@project.example', private_key: rsa, private_key_id: '1' };
const ecdh = crypto.createECDH('prime256v1');
ecdh.generateKeys();
const vapid = { subject: 'mailto:a@example.com', publicKey: ecdh.getPublicKey('base64url'), privateKey: ecdh.getPrivateKey('base64url').padStart(43, 'A') };
const apns = { token: { key: p8, keyId: 'ABC123DEFG', teamId: 'DEF123GHIJ' }, topic: 'com.example.app' };
const push = {
  ios: apns, tvos: apns, osx: { ...apns, useNativeAPNs: true }, watchos: { firebaseServiceAccount: account },
  // Firebase's library writes the scheme of HTTP/2 requests with its colon, which only Google reads.
  android: { firebaseServiceAccount: account, fcmEnableLegacyHttpTransport: true },
  expo: { accessToken: 'expo' }, web: { vapidDetails: vapid },
};

/** Answers of services that work. */
function well() {
  outside.reset();
  outside.on('https://oauth2.googleapis.com/token', { body: { access_token: 'token', expires_in: 3600, token_type: 'Bearer' } });
  for (const host of ['api.push.apple.com', 'api.sandbox.push.apple.com']) outside.on(host, { status: 200 });
  outside.on('https://fcm.googleapis.com/v1/projects/project/messages:send', { body: { name: 'projects/project/messages/1' } });
  outside.on('exp.host', ({ path, body }) => (path.endsWith('getReceipts') ? { body: { data: {} } } : { body: { data: body.map((_, n) => ({ status: 'ok', id: `t${n}` })) } }));
  outside.on('push.example', { status: 201 });
}

async function call(server, method, at, body) {
  const headers = { 'X-Parse-Application-Id': server.config.appId, 'X-Parse-Master-Key': server.config.masterKey, 'Content-Type': 'application/json' };
  const response = await request(`${server.url}/${at}`, { method, headers, body: body && JSON.stringify(body) });
  return { status: response.status, id: response.headers.get('x-parse-push-status-id'), json: JSON.parse(response.text) };
}

/** What a push did: the requests by device, the status row. */
async function send(server, item) {
  const start = outside.seen.length;
  const sent = await call(server, 'POST', 'push', structuredClone(item));
  if (sent.status !== 200) return { answer: { status: sent.status, json: sent.json } };
  let row;
  await waitFor(async () => {
    row = (await call(server, 'GET', `classes/_PushStatus/${sent.id}`)).json;
    return ['succeeded', 'failed', 'scheduled'].includes(row.status);
  }, { what: 'the push to be sent' });
  const { objectId, createdAt, updatedAt, pushTime, maybeRepeated, opened, ...rest } = row;
  const seen = outside.seen.slice(start).filter(({ path }) => path !== '/token')
    .map(({ host, path, all, raw }) => ({ host, path, headers: all, body: raw }));
  return { answer: { status: sent.status, json: sent.json }, row: rest, seen };
}

test('pushes through both servers', { skip: unavailable, timeout: 280000 }, async t => {
  for (const kind of kinds) {
    const server = servers[kind] = await startServer(postgres, kind, 'base', { overrides: { push, ...kind === 'parsimony' ? { outboundAllowedNetworks: ['127.0.0.0/8'] } : {} }, outside });
    for (const one of installations) {
      const made = await call(server, 'POST', 'classes/_Installation', one);
      assert.equal(made.status, 201, JSON.stringify(made.json));
    }
  }
  await t.test('a part of the corpus', async () => {
    const wrong = [];
    for (const item of corpus().filter((_, n) => n % 7 === 0)) {
      const body = { where: { installationId: { $exists: true } }, ...item };
      well();
      const got = {};
      for (const kind of kinds) got[kind] = await send(servers[kind], body);
      if (process.env.FAKED_SHOW) console.log(JSON.stringify(item), JSON.stringify(shown(got[kinds.at(-1)].seen ?? [])), JSON.stringify(got[kinds.at(-1)].row ?? got[kinds.at(-1)].answer));
      if (kinds.length < 2) continue;
      const [ours, theirs] = [shown(got.parsimony.seen ?? []), shown(got.oracle.seen ?? [])];
      for (const { deviceToken: token } of installations) {
        let expected = theirs[token] && structuredClone(theirs[token]);
        const same = () => {
          try {
            assert.deepEqual(ours[token] && { ...ours[token], at: 0 }, expected && { ...expected, at: 0 });
            return true;
          } catch {
            return false;
          }
        };
        const plain = { ...item, data: item.data };
        for (const [, mend] of differences) {
          if (same()) break;
          const mended = mend(plain, token, expected && structuredClone(expected), ours[token]);
          if (mended) expected = mended;
        }
        if (!same()) wrong.push(`${JSON.stringify(item)} ${token}\n   ours   ${JSON.stringify(ours[token])}\n   theirs ${JSON.stringify(theirs[token])}`);
      }
    }
    assert.deepEqual(wrong, []);
  });
});
