// requestContextMiddleware of a JavaScript configuration: what it does to requests and to Cloud Code.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { request } from '../lib/http.js';
import { startPostgres } from '../lib/postgres.js';
import { startServer, target } from '../lib/servers.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-middleware-'));
fs.writeFileSync(path.join(folder, 'options.cjs'), `
  exports.requestContextMiddleware = async (req, res, next) => {
    switch (req.headers['x-way']) {
      case 'answer': return res.status(418).set('X-Mine', 'yes').json({ teapot: true });
      case 'text': return res.send('plain');
      case 'status': return next(Object.assign(new Error('not here'), { status: 451 }));
      case 'throw': throw new Error('secret');
      case 'quiet': return next();
    }
    await new Promise(resolve => setImmediate(resolve));
    req.config.tenant = req.get('X-Tenant') || 'none';
    req.config.service = { name: () => 'service of ' + req.config.tenant, seen: [req.method, req.url, req.auth.isMaster, req.auth.user ? req.auth.user.get('username') : null] };
    next();
  };
`);
fs.writeFileSync(path.join(folder, 'main.js'), `
  const told = ({ config }) => ({ tenant: config.tenant, service: config.service && config.service.name(), seen: config.service && config.service.seen, appId: Boolean(config.appId) });
  Parse.Cloud.define('told', told);
  Parse.Cloud.beforeSave('Tenanted', request => { request.object.set('told', told(request)); });
  Parse.Cloud.afterSave('Tenanted', request => { request.object.set('after', request.config.tenant); });
`);
const postgres = await startPostgres();
const server = await startServer(postgres, target, 'base', {
  overrides: { cloud: path.join(folder, 'main.js'), mountGraphQL: true }, script: path.join(folder, 'options.cjs'),
});
after(async () => {
  await server.stop();
  await postgres.stop();
  fs.rmSync(folder, { recursive: true, force: true });
});

async function send(method, route, headers = {}, body = {}) {
  const answer = await request(`${server.url}/${route}`, {
    method,
    headers: { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'application/json', ...headers },
    body: method === 'GET' ? undefined : JSON.stringify(body),
  });
  const isJSON = (answer.headers.get('content-type') || '').includes('json');
  return { status: answer.status, headers: answer.headers, body: isJSON ? JSON.parse(answer.text) : answer.text };
}

test('code finds what was put on the config', async () => {
  const told = await send('POST', 'functions/told', { 'X-Tenant': 'a' });
  assert.deepEqual(told.body.result, {
    tenant: 'a', service: 'service of a', seen: ['POST', '/functions/told', false, null], appId: true,
  });
  const user = await send('POST', 'users', {}, { username: 'u', password: 'p' });
  const saved = await send('POST', 'classes/Tenanted', { 'X-Tenant': 'b', 'X-Parse-Session-Token': user.body.sessionToken });
  assert.equal(saved.status, 201);
  assert.deepEqual([saved.body.told.service, saved.body.told.seen[3], saved.body.after], ['service of b', 'u', 'b']);
  const master = await send('POST', 'functions/told', { 'X-Parse-Master-Key': server.config.masterKey });
  assert.deepEqual([master.body.result.tenant, master.body.result.seen[2]], ['none', true]);
  // Nothing is left for the next one.
  assert.deepEqual((await send('POST', 'functions/told', { 'X-Way': 'quiet' })).body.result, { appId: true });
});

test('it may answer itself', async () => {
  const answer = await send('GET', 'classes/Tenanted', { 'X-Way': 'answer' });
  assert.deepEqual([answer.status, answer.headers.get('x-mine'), answer.body], [418, 'yes', { teapot: true }]);
  const text = await send('GET', 'classes/Tenanted', { 'X-Way': 'text' });
  assert.deepEqual([text.status, text.body], [200, 'plain']);
});

test('it may refuse', async () => {
  const refused = await send('POST', 'classes/Tenanted', { 'X-Way': 'status' });
  assert.deepEqual([refused.status, refused.body], [451, { error: 'not here' }]);
  const count = await send('GET', 'classes/Tenanted?count=1&limit=0');
  assert.equal(count.body.count, 1);
});

test('it sees the requests of the GraphQL API', async () => {
  const ask = async (query, headers = {}) => {
    const answer = await request(server.url.replace(/\/parse$/, '/graphql'), {
      method: 'POST', headers: { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'application/json', ...headers }, body: JSON.stringify({ query }),
    });
    return { status: answer.status, body: JSON.parse(answer.text) };
  };
  const call = 'mutation { callCloudCode(input: { functionName: told }) { result } }';
  const told = await ask(call, { 'X-Tenant': 'g' });
  const { tenant, service, seen } = told.body.data.callCloudCode.result;
  assert.deepEqual([tenant, service, seen[0], seen[2]], ['g', 'service of g', 'POST', false]);
  assert.deepEqual((await ask(call, { 'X-Way': 'quiet' })).body.data.callCloudCode.result, { appId: true });
  assert.deepEqual(await ask('{ health }', { 'X-Way': 'answer' }), { status: 418, body: { teapot: true } });
  assert.deepEqual(await ask('{ health }', { 'X-Way': 'status' }), { status: 451, body: { error: 'not here' } });
  assert.deepEqual(await ask('{ health }'), { status: 200, body: { data: { health: true } } });
});

// Under Express 4 a rejected promise is nobody's; the request would hang.
test('what it throws is an internal error', { skip: target === 'oracle' }, async () => {
  const thrown = await send('GET', 'classes/Tenanted', { 'X-Way': 'throw' });
  assert.deepEqual([thrown.status, thrown.body], [500, { code: 1, message: 'Internal server error.' }]);
});
