// Where tokens of login providers and keys of push services must not turn up: the log at its most talkative, live
// events, calls of webhooks, answers to other users.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, test } from 'node:test';
import WebSocket from 'ws';
import { request } from '../lib/http.js';
import { startPostgres, waitFor } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';
import { startOutside, unavailable } from './outside.js';
import { faults, providers } from './providers.js';

const outside = unavailable ? null : await startOutside();
const postgres = unavailable ? null : await startPostgres();
const hooked = [];
let answered = body => body.object;
const hooks = http.createServer((incoming, response) => {
  const chunks = [];
  incoming.on('data', chunk => chunks.push(chunk));
  incoming.on('end', () => {
    const body = JSON.parse(Buffer.concat(chunks));
    hooked.push(body);
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ success: body.triggerName === 'beforeSave' ? answered(body) : body.objects ?? null }));
  });
});
await new Promise(resolve => hooks.listen(0, '127.0.0.1', resolve));
const servers = [];
after(async () => {
  for (const server of servers) await server.stop();
  await postgres?.stop();
  outside?.stop();
  hooks.closeAllConnections();
  hooks.close();
});

async function call(server, method, at, body, more = {}) {
  const headers = { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'application/json', ...more };
  const response = await request(`${server.url}/${at}`, { method, headers, body: body && JSON.stringify(body) });
  return { status: response.status, json: JSON.parse(response.text) };
}

/** The same with a mark in each text that nobody else may see. */
function marked(value, marks) {
  if (Array.isArray(value)) return value.map(one => marked(one, marks));
  if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, ['id', 'publicKeyUrl', 'redirect_uri', 'redirectUri', 'roles', 'groups', 'expiration_date', 'timestamp'].includes(key) ? one : marked(one, marks)]));
  if (typeof value !== 'string') return value;
  // A signed token is a mark by itself.
  const made = value.includes('.') || value.length > 60 ? value : `${value}-mark${marks.length}`;
  marks.push(made.length > 60 ? made.slice(-40) : made);
  return made;
}

test('the whole log', { skip: unavailable, timeout: 200000 }, async () => {
  for (const mode of ['secure', 'insecure']) {
    const entries = providers.filter(entry => (entry.mode ?? 'secure') === mode);
    const marks = ['of-the-app-mark'];
    const settings = entry => Object.fromEntries(Object.entries(entry.settings).map(([key, value]) => {
      if (!['clientSecret', 'appSecret', 'consumer_secret', 'api_key', 'authorizationHeader'].includes(key)) return [key, value];
      marks.push(`${value}-setting`);
      return [key, `${value}-setting`];
    }));
    const auth = Object.fromEntries(entries.map(entry => [entry.provider, settings(entry)]));
    const server = await startServer(postgres, 'parsimony', 'base', { overrides: { auth, enableInsecureAuthAdapters: true, verbose: true, logLevel: 'silly' }, outside });
    servers.push(server);
    let logged = 0;
    for (const [at, entry] of entries.entries()) {
      const id = `u${at + 10}`;
      const good = entry.endpoints(id);
      const urls = Object.keys(good);
      // Well, and with each of its servers ill in each way.
      for (const [url, reply] of [[null], ...urls.flatMap(url => Object.values(faults).map(reply => [url, reply]))]) {
        outside.reset();
        for (const [known, answer] of Object.entries(good)) {
          const isToken = answer.body?.access_token !== undefined;
          outside.on(known, isToken ? { ...answer, body: { ...answer.body, access_token: 'of-the-app-mark' } } : answer);
        }
        if (url) outside.on(url, reply);
        const data = marked([entry.good(id)].flat()[0], marks);
        const { json } = await call(server, 'POST', 'users', { authData: { [entry.provider]: data } });
        if (!json.sessionToken) continue;
        logged++;
        const session = { 'X-Parse-Session-Token': json.sessionToken };
        marks.push(json.sessionToken);
        await call(server, 'GET', 'users/me', undefined, session);
        await call(server, 'PUT', `users/${json.objectId}`, { authData: { [entry.provider]: data } }, session);
      }
    }
    assert.ok(logged > 5, `${logged} logins`);
    const log = server.log();
    assert.ok(log.includes('authData'), 'requests are logged');
    const found = [...new Set(marks)].filter(mark => log.includes(mark));
    assert.deepEqual(found.map(mark => `${mark}: ${log.split('\n').find(line => line.includes(mark)).slice(0, 400)}`), []);
  }
});

test('live events and webhooks', { skip: unavailable, timeout: 60000 }, async () => {
  const token = 'facebook-token-mark';
  const server = await startServer(postgres, 'parsimony', 'base', {
    overrides: { auth: { facebook: { appIds: ['a2'] } }, liveQuery: { classNames: ['_User'] }, webhookKey: 'k' }, outside,
  });
  servers.push(server);
  const asMaster = { 'X-Parse-Master-Key': server.config.masterKey };
  outside.reset();
  outside.on('https://graph.facebook.com/app', { body: { id: 'a2' } });
  outside.on('https://graph.facebook.com/me', { body: { id: 'f1' } });
  const url = `http://127.0.0.1:${hooks.address().port}/hook`;
  for (const triggerName of ['beforeSave', 'afterSave', 'beforeLogin', 'afterLogin', 'afterFind']) {
    const made = await call(server, 'POST', 'hooks/triggers', { className: '_User', triggerName, url }, asMaster);
    assert.equal(made.status, 200, JSON.stringify(made.json));
  }
  const data = { facebook: { id: 'f1', access_token: token } };
  const made = await call(server, 'POST', 'users', { authData: data });
  assert.equal(made.status, 201, JSON.stringify(made.json));
  const session = { 'X-Parse-Session-Token': made.json.sessionToken };
  const stored = async () => (await call(server, 'GET', `users/${made.json.objectId}`, undefined, asMaster)).json;
  assert.deepEqual((await stored()).authData, data, 'a hook that answers what it was shown changes nothing');

  const socket = new WebSocket(server.url.replace('http', 'ws'));
  const frames = [];
  socket.on('message', frame => frames.push(JSON.parse(frame)));
  await new Promise(resolve => socket.once('open', resolve));
  socket.send(JSON.stringify({ op: 'connect', applicationId: server.config.appId, sessionToken: made.json.sessionToken }));
  await waitFor(() => frames.some(frame => frame.op === 'connected'), { what: 'a connection' });
  socket.send(JSON.stringify({ op: 'subscribe', requestId: 1, query: { className: '_User', where: {} }, sessionToken: made.json.sessionToken }));
  await waitFor(() => frames.some(frame => frame.op === 'subscribed'), { what: 'a subscription' });
  assert.equal((await call(server, 'PUT', `users/${made.json.objectId}`, { nick: 'x' }, session)).status, 200);
  await waitFor(() => frames.some(frame => frame.op === 'update'), { what: 'an event' });
  socket.close();
  const event = frames.find(frame => frame.op === 'update');
  assert.deepEqual(event.object.authData, { facebook: { id: 'f1' } });
  assert.ok(!JSON.stringify(frames).includes(token));
  assert.deepEqual((await stored()).authData, data);

  // Another login, with another token.
  const again = { facebook: { id: 'f1', access_token: `${token}-2` } };
  assert.equal((await call(server, 'POST', 'users', { authData: again })).status, 200);
  assert.deepEqual((await stored()).authData, again);
  // What a hook means to change is changed.
  answered = body => ({ ...body.object, nick: 'by the hook' });
  assert.equal((await call(server, 'PUT', `users/${made.json.objectId}`, { other: 1 }, session)).status, 200);
  const row = await stored();
  assert.deepEqual([row.nick, row.authData], ['by the hook', again]);
  assert.ok(hooked.length >= 5, `${hooked.length} calls`);
  assert.ok(hooked.some(body => body.object?.authData?.facebook?.id === 'f1'));
  const told = hooked.filter(body => JSON.stringify({ ...body, headers: undefined }).includes(token));
  assert.deepEqual(told, []);
});
