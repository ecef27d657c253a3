// `Parse.Server` and `request.config`: every option that was given, the application's own ones too, and the defaults.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { request } from '../lib/http.js';
import { startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-options-'));
fs.writeFileSync(path.join(folder, 'main.js'), `
  const names = ['sessionLength', 'maxUploadSize', 'expireInactiveSessions', 'restAPIKey', 'javascriptKey', 'passwordPolicy', 'collectionPrefix',
    'allowClientClassCreation', 'defaultLimit', 'objectIdSize', 'revokeSessionOnPasswordReset', 'mountPath', 'appName'];
  const pick = options => names.map(name => [name, options[name]]);
  Parse.Cloud.define('config', ({ config }) => [pick(Parse.Server), pick(config)]);
  Parse.Cloud.define('own', ({ config }) => [config.passwordPolicy.validatorCallback('long enough'), Parse.Server.passwordPolicy.validatorCallback('short')]);
  Parse.Cloud.beforeSave('Thing', ({ config }) => { if (config.maxUploadSize !== '7mb') throw 'not told'; });
`);
fs.writeFileSync(path.join(folder, 'options.cjs'), `module.exports = {
  cloud: ${JSON.stringify(path.join(folder, 'main.js'))},
  sessionLength: 1234, maxUploadSize: '7mb', passwordPolicy: { validatorCallback: password => password.length > 6 },
};`);
const postgres = await startPostgres();
const servers = {};
before(async () => {
  for (const kind of ['oracle', 'parsimony']) servers[kind] = await startServer(postgres, kind, 'base', { script: path.join(folder, 'options.cjs') });
});
after(async () => {
  for (const server of Object.values(servers)) await server.stop();
  await postgres.stop();
  fs.rmSync(folder, { recursive: true, force: true });
});

// Of the last answer.
let status;

async function both(route, body) {
  const seen = {};
  for (const [kind, { url, config }] of Object.entries(servers)) {
    const answer = await request(`${url}/${route}`, {
      method: 'POST',
      headers: { 'X-Parse-Application-Id': config.appId, 'X-Parse-Master-Key': config.masterKey, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
    const { result } = JSON.parse(answer.text);
    seen[kind] = [answer.status, result];
  }
  assert.deepEqual(seen.parsimony, seen.oracle);
  [status] = seen.parsimony;
  return seen.parsimony[1];
}

test('what was given and the defaults', async () => {
  const [server, config] = (await both('functions/config', {})).map(Object.fromEntries);
  assert.deepEqual([server.sessionLength, config.maxUploadSize, server.expireInactiveSessions], [1234, '7mb', true]);
});

test('functions are functions', async () => {
  assert.deepEqual(await both('functions/own', {}), [true, false]);
});

test('triggers see the same', async () => {
  await both('classes/Thing', {});
  assert.equal(status, 201);
});
