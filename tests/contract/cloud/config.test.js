// Triggers of Parse.Config: what they are shown, and what their errors do.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { request } from '../lib/http.js';
import { startPostgres } from '../lib/postgres.js';
import { startServer, target } from '../lib/servers.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-config-'));
fs.writeFileSync(path.join(folder, 'main.js'), `
  const seen = [];
  Parse.Cloud.define('seen', () => seen.splice(0));
  const watch = ({ object, original, triggerName }) => {
    seen.push([triggerName, object.attributes, original ? original.attributes : 'nothing']);
    if (object.get('refuse') === triggerName) throw new Parse.Error(400, 'refused by ' + triggerName);
    if (object.get('silent') === triggerName) throw null;
  };
  Parse.Cloud.beforeSave(Parse.Config, watch);
  Parse.Cloud.afterSave(Parse.Config, watch);
`);
const postgres = await startPostgres();
const server = await startServer(postgres, target, 'base', { overrides: { cloud: path.join(folder, 'main.js') } });
after(async () => {
  await server.stop();
  await postgres.stop();
  fs.rmSync(folder, { recursive: true, force: true });
});

async function send(method, route, body) {
  const answer = await request(`${server.url}/${route}`, {
    method,
    headers: {
      'X-Parse-Application-Id': server.config.appId, 'X-Parse-Master-Key': server.config.masterKey,
      'Content-Type': 'application/json',
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return { status: answer.status, body: JSON.parse(answer.text) };
}
const save = params => send('PUT', 'config', { params });
const seen = async () => (await send('POST', 'functions/seen', {})).body.result;

test('the first configuration has no original', async () => {
  assert.deepEqual(await save({ a: 1, b: 2 }), { status: 200, body: { result: true } });
  assert.deepEqual(await seen(), [['beforeSave', { a: 1, b: 2 }, 'nothing'], ['afterSave', { a: 1, b: 2 }, 'nothing']]);
});

test('afterSave sees all that is stored', async () => {
  await save({ a: 3 });
  assert.deepEqual(await seen(), [['beforeSave', { a: 3 }, { a: 1, b: 2 }], ['afterSave', { a: 3, b: 2 }, { a: 1, b: 2 }]]);
  await save({ b: { __op: 'Delete' } });
  assert.deepEqual((await seen())[1], ['afterSave', { a: 3 }, { a: 3, b: 2 }]);
});

test('errors of both come back', async () => {
  for (const trigger of ['beforeSave', 'afterSave']) {
    assert.deepEqual(await save({ refuse: trigger }), { status: 400, body: { code: 400, error: `refused by ${trigger}` } });
    assert.deepEqual(await save({ refuse: 'none', silent: trigger }), {
      status: 400, body: { code: 141, error: 'Script failed. Unknown error.' },
    });
    const { body } = await send('GET', 'config');
    assert.equal(body.params.silent, trigger === 'beforeSave' ? undefined : trigger);
  }
});
