// A key such as `list.99999999` names a place far behind the end of an array: nothing writes out what is missing in between.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { postgresOnly, startDatabase } from '../lib/database.js';
import { request } from '../lib/http.js';
import { startServer } from '../lib/servers.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-places-'));
fs.writeFileSync(path.join(folder, 'main.js'), `
  Parse.Cloud.beforeSave('Watched', ({ object }) => { object.get('list'); });
  Parse.Cloud.afterSave('Watched', ({ object }) => { object.get('list'); });
  Parse.Cloud.define('host', () => process.pid);
`);
const database = await startDatabase();
const server = await startServer(database, 'parsimony', 'base', { overrides: { cloud: path.join(folder, 'main.js') } });
after(async () => {
  await server.stop();
  await database.stop();
  fs.rmSync(folder, { recursive: true, force: true });
});

async function rest(method, target, body) {
  const answer = await request(`${server.url}${target}`, {
    method,
    headers: { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'application/json' },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return { status: answer.status, ...JSON.parse(answer.text) };
}

for (const className of ['Plain', 'Watched']) {
  test(`places in lists of ${className}`, postgresOnly, async () => {
    const host = await rest('POST', '/functions/host', {});
    const { objectId } = await rest('POST', `/classes/${className}`, { list: [1], inner: { list: [1] } });
    const target = `/classes/${className}/${objectId}`;
    for (const place of [1002, 40000, 999999, 9999999, 20000000, 4294967294, 99999999999999]) {
      for (const key of [`list.${place}`, `inner.list.${place}`]) {
        for (const value of [1, { __op: 'Increment', amount: 1 }, { __op: 'Add', objects: [1] }]) {
          const refused = await rest('PUT', target, { [key]: value });
          assert.deepEqual([refused.status, refused.code], [400, 116], `${key} ${JSON.stringify(refused)}`);
        }
      }
    }
    const stored = await rest('GET', target);
    assert.deepEqual([stored.list, stored.inner], [[1], { list: [1] }]);
    assert.equal((await rest('PUT', target, { 'list.3': 4, 'inner.list.1': 2 })).status, 200);
    const written = await rest('GET', target);
    assert.deepEqual([written.list, written.inner], [[1, null, null, 4], { list: [1, 2] }]);
    // Keys of objects are names, however long.
    assert.equal((await rest('PUT', target, { 'inner.20261130': 1 })).status, 200);
    assert.equal((await rest('GET', target)).inner['20261130'], 1);
    assert.deepEqual(await rest('POST', '/functions/host', {}), host);
  });
}

test('parts of dotted keys', async () => {
  const { objectId } = await rest('POST', '/classes/Plain', { inner: {} });
  const keys = (count, parts) => Array.from({ length: count }, (_, n) => ['inner', ...Array(parts - 1).fill(`k${n}`)].join('.'));
  const write = names => rest('PUT', `/classes/Plain/${objectId}`, Object.fromEntries(names.map(name => [name, 1])));
  const refused = await write(keys(45, 90));
  assert.deepEqual([refused.status, refused.code], [400, 107], JSON.stringify(refused));
  assert.equal((await write(keys(400, 3))).status, 200);
});
