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
  const settled = waitFor(async () => {
    row = (await call(server, 'GET', `classes/_PushStatus/${sent.id}`)).json;
    return ['succeeded', 'failed', 'scheduled'].includes(row.status);
  }, { what: 'the push to be sent', timeout: server.kind === 'oracle' ? 3000 : 30000 });
  // There are pushes that parse-server never ends.
  await settled.catch(error => {
    if (server.kind !== 'oracle') throw error;
  });
  const { objectId, createdAt, updatedAt, pushTime, maybeRepeated, opened, ...rest } = row;
  const seen = outside.seen.slice(start).filter(({ path }) => path !== '/token')
    .map(({ host, path, all, raw }) => ({ host, path, headers: all, body: raw }));
  return { answer: { status: sent.status, json: sent.json }, row: rest, seen };
}

const own = crypto.createECDH('prime256v1');
own.generateKeys();
const subscription = JSON.stringify({ endpoint: 'https://push.example/s/1', keys: { p256dh: own.getPublicKey('base64url'), auth: crypto.randomBytes(16).toString('base64url') } });
const devices = [
  ...installations, { deviceType: 'web', deviceToken: subscription, installationId: 'web' },
  { deviceType: 'winrt', deviceToken: 'w1', installationId: 'winrt' },
].map((one, at) => ({ ...one, badge: at, channels: [at % 2 ? 'odd' : 'even'], localeIdentifier: ['de-AT', 'fr', 'en-US'][at % 3], timeZone: 'Europe/Vienna' }));

const apple = 'api.sandbox.push.apple.com';
const fcm = 'https://fcm.googleapis.com/v1/projects/project/messages:send';
const unregistered = { status: 404, body: { error: { code: 404, status: 'NOT_FOUND', message: 'Requested entity was not found.', details: [{ '@type': 'type.googleapis.com/google.firebase.fcm.v1.FcmError', errorCode: 'UNREGISTERED' }] } } };
const invalid = { status: 400, body: { error: { code: 400, status: 'INVALID_ARGUMENT', message: 'The registration token is not a valid FCM registration token', details: [{ '@type': 'type.googleapis.com/google.firebase.fcm.v1.FcmError', errorCode: 'INVALID_ARGUMENT' }] } } };
const data = { alert: 'hi' };
/** `[name, body, what services answer]`; without `where` and channels it goes to everybody. */
const cases = [
  ['everybody', { data }],
  ['a channel', { channels: ['odd'], data }],
  ['two channels', { channels: ['odd', 'even', 'none'], data }],
  ['a channel that is no list', { channels: 'odd', data }],
  ['one kind', { where: { deviceType: 'ios' }, data }],
  ['nobody', { where: { deviceType: 'nothing' }, data }],
  ['one token', { where: { deviceToken: hex(1) }, data }],
  ['no data', { bad: true, where: { deviceType: 'ios' } }],
  ['a badge', { data: { ...data, badge: 7 } }],
  ['a badge more', { data: { ...data, badge: 'Increment' } }],
  ['badges more', { data: { ...data, badge: { increment: 3 } } }],
  ['a badge as an operation', { data: { ...data, badge: { __op: 'Increment', amount: 2 } } }],
  ['local texts', { data: { ...data, 'alert-de': 'hallo', 'alert-fr': 'salut', title: 'T', 'title-de': 'Titel' } }],
  ['an end', { data, expiration_time: 4000000000 }],
  ['an end as a date', { data, expiration_time: '2096-10-02T07:06:40.000Z' }],
  ['an interval', { data, expiration_interval: 3600 }],
  ['an alert that is an object', { data: { alert: { title: 't', body: 'b' } } }],
  ['where and channels', { bad: true, where: {}, channels: ['odd'], data }],
  ['neither', { bad: true, data }],
  ['two ends', { data, expiration_time: 4000000000, expiration_interval: 5 }],
  ['an end that is none', { data, expiration_time: 'soon' }],
  ['an interval that is none', { data, expiration_interval: -5 }],
  ['a time that is none', { data, push_time: 'soon' }],
  ['Apple: BadDeviceToken', { data }, { [apple]: { status: 400, body: { reason: 'BadDeviceToken' } } }],
  ['Apple: Unregistered', { data }, { [apple]: { status: 410, body: { reason: 'Unregistered', timestamp: 1700000000000 } } }],
  ['Apple: InvalidProviderToken', { data }, { [apple]: { status: 403, body: { reason: 'InvalidProviderToken' } } }],
  ['Apple: PayloadTooLarge', { data }, { [apple]: { status: 413, body: { reason: 'PayloadTooLarge' } } }],
  ['FCM: UNREGISTERED', { data }, { [fcm]: unregistered }],
  ['FCM: INVALID_ARGUMENT', { data }, { [fcm]: invalid }],
  ['Expo: DeviceNotRegistered', { data }, { 'exp.host': ({ body }) => ({ body: { data: (body ?? []).map?.(() => ({ status: 'error', message: 'gone', details: { error: 'DeviceNotRegistered' } })) ?? {} } }) }],
  ['Web: 404', { data }, { 'push.example': { status: 404 } }],
  ['Web: 410', { data }, { 'push.example': { status: 410 } }],
  ['Web: 403', { data }, { 'push.example': { status: 403 } }],
];

/** Each makes of what parse-server did what it should have done. */
const statusDifferences = {
  'each device counts as its own kind': (one, theirs, ours) => {
    for (const key of ['sentPerType', 'failedPerType']) {
      const [mine, other] = [ours.row?.[key], theirs.row?.[key]];
      const apple = (mine?.ios ?? 0) + (mine?.osx ?? 0) + (mine?.tvos ?? 0);
      if (!other?.ios || other.ios !== apple) continue;
      delete other.ios;
      for (const kind of ['ios', 'osx', 'tvos']) if (mine[kind]) other[kind] = mine[kind];
    }
  },
  'devices that nobody can send to are counted': (one, theirs, ours) => {
    if (!theirs.row || ours.row?.failedPerType?.winrt !== 1) return;
    theirs.row.numFailed = (theirs.row.numFailed ?? 0) + 1;
    theirs.row.failedPerType = { ...theirs.row.failedPerType, winrt: 1 };
  },
  'a push whose badges are counted ends': ({ item }, theirs) => {
    if (!item.data?.badge || theirs.row?.status !== 'running') return;
    theirs.row.status = 'succeeded';
    delete theirs.row.count;
  },
  // It counts a batch as ended before it has noted how many there are, where the machine is busy.
  'a push ends however its counts come in': (one, theirs) => {
    if (theirs.row?.status !== 'running' || theirs.row.count !== -1) return;
    theirs.row.status = 'succeeded';
    delete theirs.row.count;
  },
  'badges may be counted by more than one': ({ name }, theirs, ours) => name === 'badges more' && theirs.answer.status === 500 && ours.row.status === 'succeeded' && ours,
  'FCM takes texts as headers of APNs': ({ item }, theirs, ours) => {
    if (!(item.expiration_time || item.expiration_interval) || theirs.row?.failedPerType?.watchos !== 1) return;
    delete theirs.row.failedPerType.watchos;
    if (Object.keys(theirs.row.failedPerType).length === 0) delete theirs.row.failedPerType;
    theirs.row.numFailed -= 1;
    if (theirs.row.numFailed === 0) delete theirs.row.numFailed;
    theirs.row.numSent += 1;
    theirs.row.sentPerType.watchos = 1;
    theirs.hosts['fcm.googleapis.com'] += 1;
    theirs.aps['apple-by-fcm'] = ours.aps['apple-by-fcm'];
  },
  'a failure is told': (one, theirs, ours) => {
    if (JSON.stringify(theirs.row?.errorMessage) === '{}' && ours.row.errorMessage?.code) theirs.row.errorMessage = ours.row.errorMessage;
  },
  'an interval begins when it is accepted': (one, theirs, ours) => {
    if (ours.row?.expiry && Math.abs((theirs.row?.expiry ?? 0) - ours.row.expiry) < 10000) theirs.row.expiry = ours.row.expiry;
  },
  'what a browser’s service refuses was not sent': ({ name }, theirs) => {
    if (!name.startsWith('Web: ') || theirs.row.sentPerType.web !== 1) return;
    delete theirs.row.sentPerType.web;
    theirs.row.numSent -= 1;
    theirs.row.numFailed += 1;
    theirs.row.failedPerType.web = 1;
  },
  'a push without data is sent': ({ name }, theirs, ours) => name === 'no data' && theirs.row.numSent === 0 && ours.row.numSent === 1 && ours,
};

test('pushes through both servers', { skip: unavailable, timeout: 280000 }, async t => {
  for (const kind of kinds) {
    const server = servers[kind] = await startServer(postgres, kind, 'base', { overrides: { push, ...kind === 'parsimony' ? { outboundAllowedNetworks: ['127.0.0.0/8'] } : {} }, outside });
    for (const one of devices) {
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
      const plainly = ({ seen = [] }) => shown(seen.filter(({ host }) => host !== 'push.example'));
      const [ours, theirs] = [plainly(got.parsimony), plainly(got.oracle)];
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
    assert.equal(wrong.length, 0, `\n${wrong.join('\n')}`);
  });
  await t.test('what the status says', async () => {
    const where = { installationId: { $exists: true } };
    const wrong = [];
    for (const [name, item, ill] of cases) {
      const body = item.channels || item.where || item.bad ? { ...item } : { where, ...item };
      delete body.bad;
      const got = {};
      for (const kind of kinds) {
        well();
        for (const [url, reply] of Object.entries(ill ?? {})) outside.on(url, reply);
        const { seen = [], ...rest } = await send(servers[kind], body);
        const hosts = {};
        for (const { host } of seen.filter(({ path }) => !path.endsWith('getReceipts'))) hosts[host] = (hosts[host] ?? 0) + 1;
        const badges = shown(seen.filter(({ host }) => host !== 'push.example'));
        const aps = Object.fromEntries(Object.entries(badges).map(([token, one]) => [token, one.json?.aps ?? one.json?.message?.apns?.payload?.aps]));
        got[kind] = JSON.parse(JSON.stringify({ ...rest, hosts, aps }));
        // What the service calls dead is away afterwards, but for parse-server.
        for (const [at, { deviceToken, installationId }] of devices.entries()) {
          const found = (await call(servers[kind], 'GET', `classes/_Installation?where=${encodeURIComponent(JSON.stringify({ installationId }))}`)).json.results[0];
          if (found.deviceToken !== deviceToken || found.badge !== at) await call(servers[kind], 'PUT', `classes/_Installation/${found.objectId}`, { deviceToken, badge: at });
        }
      }
      if (process.env.FAKED_SHOW) console.log(name, '|', JSON.stringify(got[kinds.at(-1)]));
      if (kinds.length < 2) continue;
      let { parsimony: ours, oracle: theirs } = got;
      for (const mend of Object.values(statusDifferences)) theirs = mend({ name, item, ill }, theirs, ours) || theirs;
      try {
        assert.deepEqual(ours, theirs);
      } catch {
        wrong.push(`${name}\n   ours   ${JSON.stringify(ours)}\n   theirs ${JSON.stringify(got.oracle)}`);
      }
    }
    assert.equal(wrong.length, 0, `\n${wrong.join('\n')}`);
  });
});
