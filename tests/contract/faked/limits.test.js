// What the outside cannot do to Parsimony: keep it waiting, fill its memory, lead it elsewhere; and which protocols it
// speaks. Providers have fixed hosts, which may be anywhere; endpoints that clients choose may not.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import { after, test } from 'node:test';
import { request } from '../lib/http.js';
import { startPostgres, waitFor } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';
import { hex } from '../push/corpus.js';
import { keys } from '../push/services.js';
import { startOutside, unavailable } from './outside.js';
import { providers } from './providers.js';

const outside = unavailable ? null : await startOutside();
const postgres = unavailable ? null : await startPostgres();
const running = [];
after(async () => {
  for (const one of running) await one.stop();
  await postgres?.stop();
  outside?.stop();
});

const start = async (overrides, world = outside) => {
  const server = await startServer(postgres, 'parsimony', 'base', { overrides, outside: world });
  running.push(server);
  return server;
};

async function call(server, method, at, body, more = {}) {
  const headers = { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'application/json', ...more };
  const response = await request(`${server.url}/${at}`, { method, headers, body: body && JSON.stringify(body) });
  return { status: response.status, id: response.headers.get('x-parse-push-status-id'), json: JSON.parse(response.text) };
}
const asMaster = server => ({ 'X-Parse-Master-Key': server.config.masterKey });

for (const fault of ['hang', 'endless']) {
  test(`every provider's server: ${fault}`, { skip: unavailable, timeout: 120000 }, async () => {
    for (const mode of ['secure', 'insecure']) {
      const entries = providers.filter(entry => (entry.mode ?? 'secure') === mode);
      const auth = Object.fromEntries(entries.map(entry => [entry.provider, entry.settings]));
      const server = await start({ auth, enableInsecureAuthAdapters: true });
      outside.reset();
      for (const entry of entries) {
        const [first, ...rest] = Object.entries(entry.endpoints('u1'));
        for (const [url, reply] of rest) outside.on(url, reply);
        outside.on(first[0], fault);
      }
      const began = Date.now();
      const tried = await Promise.all(entries.map(async entry => {
        const { status, json } = await call(server, 'POST', 'users', { authData: { [entry.provider]: [entry.good('u1')].flat()[0] } });
        return { provider: entry.label ?? entry.provider, status, json, took: Date.now() - began };
      }));
      for (const one of tried) {
        // Classic forms of code flows do not ask the server that hangs.
        if (mode === 'insecure' && one.status === 201) continue;
        assert.ok(one.status >= 400 && one.status !== 500, JSON.stringify(one));
        assert.ok(one.took < 25000, JSON.stringify(one));
        if (fault === 'endless') assert.ok(one.took < 9000, JSON.stringify(one));
      }
      assert.ok(!server.log().includes('panic'));
      const resident = Number(/VmRSS:\s+(\d+)/.exec((await import('node:fs')).readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]);
      assert.ok(resident < 400 * 1024, `${resident} KiB`);
    }
  });
}

const account = { type: 'service_account', project_id: 'project', client_email: 'a@project.example', private_key: unavailable ? '' : keys().rsa, private_key_id: '1' };
const ecdh = crypto.createECDH('prime256v1');
ecdh.generateKeys();
const vapid = { subject: 'mailto:a@example.com', publicKey: ecdh.getPublicKey('base64url'), privateKey: Buffer.concat([Buffer.alloc(32), ecdh.getPrivateKey()]).subarray(-32).toString('base64url') };

function push() {
  return {
    ios: { token: { key: keys().p8, keyId: 'ABC123DEFG', teamId: 'DEF123GHIJ' }, topic: 'com.example.app', production: true },
    android: { firebaseServiceAccount: account }, expo: {}, web: { vapidDetails: vapid },
  };
}

function services(world) {
  world.reset();
  world.on('https://oauth2.googleapis.com/token', { body: { access_token: 'token', expires_in: 3600, token_type: 'Bearer' } });
  world.on('api.push.apple.com', { status: 200 });
  world.on('https://fcm.googleapis.com/v1/projects/project/messages:send', { body: { name: 'projects/project/messages/1' } });
  world.on('exp.host', ({ path, body }) => (path.endsWith('getReceipts') ? { body: { data: {} } } : { body: { data: body.map((_, n) => ({ status: 'ok', id: `t${n}` })) } }));
  world.on('push.example', { status: 201 });
}

const subscription = () => {
  const own = crypto.createECDH('prime256v1');
  own.generateKeys();
  return JSON.stringify({ endpoint: 'https://push.example/s/1', keys: { p256dh: own.getPublicKey('base64url'), auth: crypto.randomBytes(16).toString('base64url') } });
};
const devices = () => [
  { deviceType: 'ios', deviceToken: hex(1), appIdentifier: 'com.example.app', installationId: 'i1' },
  { deviceType: 'android', deviceToken: 'a1', installationId: 'i2' },
  { deviceType: 'android', pushType: 'expo', deviceToken: 'ExponentPushToken[1]', installationId: 'i3' },
  { deviceType: 'web', deviceToken: subscription(), installationId: 'i4' },
];

async function sent(server, body) {
  const made = await call(server, 'POST', 'push', body, asMaster(server));
  assert.equal(made.status, 200, JSON.stringify(made.json));
  let row;
  await waitFor(async () => {
    row = (await call(server, 'GET', `push_status/${made.id}`, undefined, asMaster(server))).json;
    return row.status === 'succeeded';
  }, { what: 'the push to be sent' });
  return row;
}

for (const opened of [false, true]) {
  test(`fixed hosts on loopback, endpoints of clients ${opened ? 'too, where they are opened' : 'never'}`, { skip: unavailable, timeout: 60000 }, async () => {
    const server = await start({ push: push(), ...opened ? { outboundAllowedNetworks: ['127.0.0.0/8'] } : {} });
    services(outside);
    for (const one of devices()) assert.equal((await call(server, 'POST', 'classes/_Installation', one, asMaster(server))).status, 201);
    const row = await sent(server, { where: {}, data: { alert: 'hi' } });
    const at = host => outside.seen.filter(one => one.host === host);
    assert.deepEqual(row.sentPerType, { android: 2, ios: 1, ...opened ? { web: 1 } : {} });
    assert.deepEqual(row.failedPerType, opened ? undefined : { web: 1 });
    assert.deepEqual(at('api.push.apple.com').map(one => [one.version, one.method, one.path]), [['2.0', 'POST', `/3/device/${hex(1)}`]]);
    assert.deepEqual(at('fcm.googleapis.com').map(one => [one.version, one.headers.authorization]), [['2.0', 'Bearer token']]);
    assert.equal(at('exp.host').length, 1);
    assert.equal(at('push.example').length, opened ? 1 : 0);
  });
}

test('topics of FCM and channels of APNs', { skip: unavailable, timeout: 60000 }, async () => {
  const server = await start({ push: push() });
  services(outside);
  const data = { alert: 'hi', title: 'news' };
  assert.equal((await sent(server, { broadcast: { topic: '/topics/news' }, data })).numSent, 1);
  assert.equal((await sent(server, { broadcast: { condition: "'a' in topics" }, data, rawPayload: { notification: { title: 'x' }, topic: 'other', token: 't' } })).numSent, 1);
  const messages = outside.seen.filter(one => one.host === 'fcm.googleapis.com').map(one => one.body.message);
  assert.equal(messages[0].topic, 'news');
  assert.deepEqual(messages[0].apns.payload, { aps: { alert: { body: 'hi', title: 'news' } } });
  assert.deepEqual(JSON.parse(messages[0].android.data.data), data);
  assert.deepEqual(messages[1], { notification: { title: 'x' }, condition: "'a' in topics" });
  const aps = { event: 'update', timestamp: 1, 'content-state': { score: 1 } };
  const channel = { channel: 'dHN0LXNyY2gtY2hubA==', app: 'com.example.app' };
  const row = await sent(server, { broadcast: channel, data: { aps }, priority: 5 });
  assert.deepEqual([row.numSent, row.sentPerType, JSON.parse(row.query)], [1, { ios: 1 }, { $broadcast: channel }]);
  const { path, all, body, version } = outside.seen.find(one => one.path.startsWith('/4/'));
  const headers = Object.fromEntries(Object.entries(all).filter(([name]) => name.startsWith('apns-')));
  assert.deepEqual([version, path, body ?? JSON.parse('{}')], ['2.0', '/4/broadcasts/apps/com.example.app', JSON.stringify({ aps })]);
  assert.deepEqual(headers, { 'apns-channel-id': 'dHN0LXNyY2gtY2hubA==', 'apns-expiration': '0', 'apns-priority': '5', 'apns-push-type': 'liveactivity' });
  // Refusals, and tries again.
  let tries = 0;
  outside.on('https://fcm.googleapis.com/v1/projects/project/messages:send', () => (++tries < 2 ? { status: 503, body: { error: { status: 'UNAVAILABLE' } } } : { body: {} }));
  assert.equal((await sent(server, { broadcast: { topic: 'news' }, data })).numSent, 1);
  outside.on('https://fcm.googleapis.com/v1/projects/project/messages:send', { status: 400, body: { error: { status: 'INVALID_ARGUMENT' } } });
  const failed = await sent(server, { broadcast: { topic: 'news' }, data });
  assert.deepEqual([failed.numSent, failed.numFailed, failed.failedPerType], [0, 1, { android: 1 }]);
  for (const wrong of [
    { broadcast: { topic: 'a b' } }, { broadcast: 'news' }, { broadcast: { topic: 'a' }, where: {} }, { broadcast: { topic: 'a' }, channels: ['c'] },
    { broadcast: { topic: 'a' }, data: { badge: 'Increment' } }, { broadcast: { channel: 'a', app: 'com.example.foreign' } }, { broadcast: { channel: 'a', app: '../1' } },
  ]) {
    const { status, json } = await call(server, 'POST', 'push', { data, ...wrong }, asMaster(server));
    assert.deepEqual([status, json.code], [400, 115], JSON.stringify([wrong, json]));
  }
});

test('FCM behind something that does not speak HTTP/2', { skip: unavailable, timeout: 60000 }, async () => {
  const old = await startOutside({ protocols: ['http/1.1'] });
  try {
    for (const more of [{}, { fcmEnableLegacyHttpTransport: true }]) {
      const server = await start({ push: { android: { firebaseServiceAccount: account, ...more } } }, old);
      services(old);
      for (let n = 0; n < 150; n++) await call(server, 'POST', 'classes/_Installation', { deviceType: 'android', deviceToken: `a${n}`, installationId: `i${n}` }, asMaster(server));
      const row = await sent(server, { where: {}, data: { alert: 'hi' } });
      assert.equal(row.numSent, 150, JSON.stringify(row));
      assert.deepEqual([...new Set(old.seen.map(one => one.version))], ['1.1']);
    }
  } finally {
    old.stop();
  }
});

test('a certificate that is trusted itself, and could issue others', { skip: unavailable, timeout: 60000 }, async () => {
  const own = await startOutside({ selfSigned: true });
  const foreign = await startOutside({ selfSigned: true });
  try {
    const data = { authData: { facebook: { id: 'f1', access_token: 'a token' } } };
    const well = one => {
      one.on('https://graph.facebook.com/app', { body: { id: 'a2' } });
      one.on('https://graph.facebook.com/me', { body: { id: 'f1' } });
    };
    well(own);
    well(foreign);
    const server = await start({ auth: { facebook: { appIds: ['a2'] } } }, own);
    const made = await call(server, 'POST', 'users', data);
    assert.equal(made.status, 201, JSON.stringify(made.json));
    // Another one of the same making is nobody's.
    const world = { ...foreign, environment: { ...foreign.environment, SSL_CERT_FILE: own.caFile } };
    const misled = await start({ auth: { facebook: { appIds: ['a2'] } } }, world);
    assert.deepEqual((await call(misled, 'POST', 'users', data)).json.code, 101);
    assert.equal(foreign.seen.length, 0);
  } finally {
    own.stop();
    foreign.stop();
  }
});

test('a crowd waits for a provider that takes its time', { skip: unavailable, timeout: 60000 }, async () => {
  const server = await start({ auth: { meetup: { enableInsecureAuth: true } } });
  outside.reset();
  // Nobody is answered before as many wait as are let through at a time.
  let release;
  const released = new Promise(resolve => (release = resolve));
  let waiting = 0;
  outside.on('https://api.meetup.com/2/member/self', async ({ headers }) => {
    if (++waiting >= 64) release();
    await released;
    return { body: { id: headers.authorization.split(' ')[1] } };
  });
  const users = Array.from({ length: 150 }, (_, n) => `m${n}`);
  const made = await Promise.all(users.map(id => call(server, 'POST', 'users', { authData: { meetup: { id, access_token: id } } })));
  assert.deepEqual([...new Set(made.map(({ status }) => status))], [201], JSON.stringify(made.find(({ status }) => status !== 201)));
});

test('sessions whose provider wants to be asked again', { skip: unavailable, timeout: 60000 }, async () => {
  const server = await start({ auth: { facebook: { appIds: ['a2'], revalidateAfter: 3 } }, extendSessionOnUse: true, sessionLength: 3600 });
  outside.reset();
  outside.on('https://graph.facebook.com/app', { body: { id: 'a2' } });
  outside.on('https://graph.facebook.com/me', { body: { id: 'f1' } });
  const data = { authData: { facebook: { id: 'f1', access_token: 'a token' } } };
  const made = await call(server, 'POST', 'users', data);
  assert.equal(made.status, 201, JSON.stringify(made.json));
  const as = token => ({ 'X-Parse-Session-Token': token });
  const copy = await call(server, 'POST', 'sessions', {}, as(made.json.sessionToken));
  assert.equal(copy.status, 201, JSON.stringify(copy.json));
  const password = await call(server, 'POST', 'users', { username: 'ann', password: 'p' });
  const me = async token => (await call(server, 'GET', 'users/me', undefined, as(token))).json;
  const both = [made.json.sessionToken, copy.json.sessionToken];
  for (const token of both) assert.equal((await me(token)).objectId, made.json.objectId);
  for (const token of both) {
    await waitFor(async () => (await me(token)).code === 209, { what: 'the session to end', every: 200 });
  }
  assert.equal((await me(password.json.sessionToken)).objectId, password.json.objectId);
  const again = await call(server, 'POST', 'users', data);
  assert.equal((await me(again.json.sessionToken)).objectId, made.json.objectId);
  outside.on('https://graph.facebook.com/me', { status: 400, body: { error: { message: 'revoked' } } });
  const revoked = await call(server, 'POST', 'users', data);
  assert.deepEqual([revoked.status, revoked.json.code], [404, 101]);
});
