// Pushes through code of the application: an adapter of its own, Parse.Push in Cloud Code, afterSave of _PushStatus and
// live queries on it; Web Push as a browser reads it.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import Parse from 'parse/node';
import { connect } from '../lib/live-frames.js';
import { startPostgres, waitFor } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';
import { startServices } from './services.js';

const require = createRequire(import.meta.url);
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-push-'));
const services = await startServices();
process.env.SSL_CERT_FILE = services.caFile;
const postgres = await startPostgres();
const servers = [];
after(async () => {
  await Promise.all(servers.map(server => server.stop()));
  await postgres.stop();
  services.stop();
  fs.rmSync(folder, { recursive: true, force: true });
});

async function start(overrides, script) {
  const server = await startServer(postgres, 'parsimony', 'base', { overrides, script });
  servers.push(server);
  Parse.initialize(server.config.appId, undefined, server.config.masterKey);
  Parse.serverURL = server.url;
  return server;
}

const master = { useMasterKey: true };

async function install(more) {
  const installation = new Parse.Object('_Installation');
  return installation.save({ installationId: crypto.randomUUID(), deviceType: 'ios', appIdentifier: 'a', ...more }, master);
}

async function ended(id) {
  let status;
  await waitFor(async () => {
    status = await Parse.Push.getPushStatus(id, master);
    return status.get('status') === 'succeeded';
  }, { what: 'the push to be sent' });
  return status;
}

test('an adapter of the application, Parse.Push in Cloud Code, afterSave of the status', async () => {
  const file = path.join(folder, 'config.cjs');
  fs.writeFileSync(path.join(folder, 'main.cjs'), `
    Parse.Cloud.define('notify', async () => Parse.Push.send({ channels: ['a'], data: { alert: 'hi', 'alert-fr': 'salut' } }, { useMasterKey: true }));
    Parse.Cloud.beforePushSend(({ params }) => {
      if (params.data.alert === 'never') throw new Parse.Error(141, 'not this one');
      return { ...params, data: { ...params.data, added: 1 } };
    });
    Parse.Cloud.afterPushSend(async ({ params }) => {
      await new Parse.Object('Over').save({ push: params.pushStatus.objectId, sent: params.pushStatus.numSent }, { useMasterKey: true });
    });
    Parse.Cloud.afterSave('_PushStatus', async ({ object, original }) => {
      const note = new Parse.Object('Note');
      const told = [original ? original.get('status') : null, object.get('status'), object.existed(), object.get('numSent')];
      await note.save({ push: object.id, told }, { useMasterKey: true });
    });
  `);
  fs.writeFileSync(file, `
    const calls = [];
    const adapter = {
      getValidPushTypes: () => ['ios'],
      async send(body, installations, pushStatusId) {
        require('node:fs').appendFileSync(${JSON.stringify(path.join(folder, 'calls'))}, JSON.stringify({ body, installations, pushStatusId }) + '\\n');
        return installations.map(one => ({
          device: { deviceToken: one.deviceToken, deviceType: one.deviceType },
          transmitted: one.deviceToken !== 'dead',
          response: one.deviceToken === 'dead' ? { error: 'NotRegistered' } : undefined,
        }));
      },
    };
    module.exports = { push: { adapter }, cloud: ${JSON.stringify(path.join(folder, 'main.cjs'))} };
  `);
  const server = await start({
    allowClientClassCreation: true,
    liveQuery: { classNames: ['_PushStatus'] },
    liveQueryServerOptions: { keyPairs: { masterKey: 'contractMasterKey' } },
  }, file);
  const live = await connect(server, { masterKey: server.config.masterKey });
  assert.equal((await live.subscribe(1, '_PushStatus', {})).op, 'subscribed');
  await install({ channels: ['a'], deviceToken: 'one' });
  await install({ channels: ['a'], deviceToken: 'two', localeIdentifier: 'fr-FR' });
  const dead = await install({ channels: ['a'], deviceToken: 'dead' });
  await install({ channels: ['b'], deviceToken: 'other' });
  const id = await Parse.Cloud.run('notify');
  assert.match(id, /^[A-Za-z0-9]{10}$/);
  const status = await ended(id);
  assert.equal(status.get('numSent'), 2);
  assert.equal(status.get('numFailed'), 1);
  assert.deepEqual(status.get('sentPerType'), { ios: 2 });
  const calls = fs.readFileSync(path.join(folder, 'calls'), 'utf8').trim().split('\n').map(line => JSON.parse(line));
  const texts = Object.fromEntries(calls.flatMap(call => call.installations.map(one => [one.deviceToken, call.body.data.alert])));
  assert.deepEqual(texts, { one: 'hi', dead: 'hi', two: 'salut' });
  assert.ok(calls.every(call => call.body.data.added === 1));
  assert.ok(calls.every(call => call.body.channels[0] === 'a' && !('where' in call.body)));
  await waitFor(async () => (await new Parse.Query('Over').find(master)).length === 1, { what: 'afterPushSend' });
  assert.equal((await new Parse.Query('Over').first(master)).get('sent'), 2);
  await assert.rejects(Parse.Push.send({ where: {}, data: { alert: 'never' } }, master), { code: 141, message: 'not this one' });
  await assert.rejects(Parse.Cloud.run('@beforePushSend', {}), { code: 141 });
  assert.ok(calls.every(call => call.pushStatusId === id && call.installations.every(one => one.objectId && one.channels)));
  await dead.fetch(master);
  assert.equal(dead.get('deviceToken'), undefined);
  // As parse-server has it: what was sent is told while the push runs, its end by itself.
  const told = async () => (await new Parse.Query('Note').equalTo('push', id).find(master)).map(note => JSON.stringify(note.get('told')));
  await waitFor(async () => (await told()).length >= 4, { what: 'afterSave' });
  assert.deepEqual((await told()).sort(), [
    [null, 'pending', false, 0], ['pending', 'running', true, 0], ['running', 'running', true, 2], ['running', 'succeeded', true, 2],
  ].map(one => JSON.stringify(one)).sort());
  await live.until(frame => frame.object?.status === 'succeeded', 'the end of the push');
  const heard = live.frames.filter(frame => frame.object?.objectId === id).map(({ op, object, original }) => [op, original?.status, object.status]);
  assert.deepEqual(heard, [['create', undefined, 'pending'], ['update', 'pending', 'running'], ['update', 'running', 'succeeded']]);
  await live.close();
});

test('a browser can read its push', async () => {
  const webpush = require('web-push');
  const ece = require('http_ece');
  const vapid = webpush.generateVAPIDKeys();
  const browser = crypto.createECDH('prime256v1');
  browser.generateKeys();
  const auth = crypto.randomBytes(16).toString('base64url');
  const subscription = {
    endpoint: `https://127.0.0.1:${services.port}/push/abc`, expirationTime: null,
    keys: { p256dh: browser.getPublicKey('base64url'), auth },
  };
  await start({
    push: { web: { vapidDetails: { subject: 'mailto:push@example.com', ...vapid } } }, outboundAllowedNetworks: ['127.0.0.0/8'],
  });
  await install({ deviceType: 'web', deviceToken: JSON.stringify(subscription) });
  const data = { alert: 'ünï', title: 't', nested: { a: [1] } };
  const id = await Parse.Push.send({ where: new Parse.Query(Parse.Installation).equalTo('deviceType', 'web'), data }, master);
  assert.equal((await ended(id)).get('numSent'), 1);
  const seen = services.seen.find(one => one.path === '/push/abc');
  const clear = ece.decrypt(seen.body, { version: 'aes128gcm', privateKey: browser, authSecret: auth });
  assert.deepEqual(JSON.parse(clear), data);
  const [, token, key] = seen.headers.authorization.match(/^vapid t=([^,]+), k=(.+)$/);
  assert.equal(key, vapid.publicKey);
  const [header, claims, signature] = token.split('.');
  const { aud, sub, exp } = JSON.parse(Buffer.from(claims, 'base64url'));
  assert.deepEqual({ aud, sub }, { aud: `https://127.0.0.1:${services.port}`, sub: 'mailto:push@example.com' });
  assert.ok(exp > Date.now() / 1000 && exp < Date.now() / 1000 + 24 * 3600);
  const point = Buffer.from(key, 'base64url');
  const publicKey = crypto.createPublicKey({
    format: 'jwk', key: { kty: 'EC', crv: 'P-256', x: point.subarray(1, 33).toString('base64url'), y: point.subarray(33).toString('base64url') },
  });
  assert.ok(crypto.verify('sha256', Buffer.from(`${header}.${claims}`), { key: publicKey, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url')));
});
