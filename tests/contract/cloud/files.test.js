// Triggers of files, and what becomes of files that say little about themselves: alike on both servers.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { request } from '../lib/http.js';
import { startPostgres } from '../lib/postgres.js';
import { startServer, target } from '../lib/servers.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-file-triggers-'));
fs.writeFileSync(path.join(folder, 'main.js'), `
  Parse.Cloud.beforeSave(Parse.File, ({ file }) => {
    if (file.name() === 'emptied.txt') return new Parse.File('emptied.txt', { base64: '' }, 'text/plain');
  });
  Parse.Cloud.define('saves', async () => {
    const base64 = Buffer.from('made by code').toString('base64');
    const file = new Parse.File('made.txt', { base64 }, 'text/plain');
    await file.save({ useMasterKey: true });
    const object = new Parse.Object('Holder', { file: new Parse.File('held.txt', { base64 }, 'text/plain') });
    await object.save();
    return [file.url(), object.get('file').url()];
  });
  Parse.Cloud.define('takes', () => 'taken');
  Parse.Cloud.job('takes', () => 'taken');
  Parse.Cloud.afterFind(Parse.File, request => {
    const name = request.file.name();
    if (name.endsWith('returned.txt')) {
      const file = new Parse.File('other.txt', { base64: Buffer.from('other').toString('base64') });
      return { file, forceDownload: true, responseHeaders: { 'X-Returned': 'yes' } };
    }
    if (name.endsWith('assigned.txt')) {
      request.forceDownload = true;
      request.responseHeaders['X-Assigned'] = 'yes';
    }
  });
`);
const postgres = await startPostgres();
const plain = await startServer(postgres, target, 'files');
const watched = await startServer(postgres, target, 'files', {
  overrides: {
    cloud: path.join(folder, 'main.js'), fileUpload: { enableForPublic: true, allowedFileUrlDomains: ['files.example', '127.0.0.1'] },
  },
});
after(async () => {
  await plain.stop();
  await watched.stop();
  await postgres.stop();
  fs.rmSync(folder, { recursive: true, force: true });
});

async function upload(server, name, body, type) {
  const headers = { 'X-Parse-Application-Id': server.config.appId, ...(type === undefined ? {} : { 'Content-Type': type }) };
  const answer = await request(`${server.url}/files/${name}`, { method: 'POST', headers, body });
  assert.equal(answer.status, 201, answer.text);
  return JSON.parse(answer.text);
}
const download = async ({ url }) => {
  const { status, headers, text } = await request(url);
  return { status, text, type: headers.get('content-type'), disposition: headers.get('content-disposition'), headers };
};

test('a file without an extension and a type is a text', async () => {
  for (const server of [plain, watched]) {
    for (const type of [undefined, '']) {
      const saved = await upload(server, 'bare', 'content', type);
      assert.match(saved.name, /^[0-9a-f]{32}_bare\.txt$/);
      const { text, type: served } = await download(saved);
      assert.deepEqual([text, served], ['content', 'text/plain; charset=utf-8']);
    }
  }
});

test('a beforeSave may leave nothing of the content', async () => {
  const { status, text } = await download(await upload(watched, 'emptied.txt', 'content', 'text/plain'));
  assert.deepEqual([status, text], [200, '']);
});

test('an afterFind returns or assigns how a file is sent', async () => {
  const returned = await download(await upload(watched, 'returned.txt', 'content', 'text/plain'));
  assert.deepEqual([returned.text, returned.disposition, returned.headers.get('x-returned')], ['other', 'attachment;filename=other.txt', 'yes']);
  const assigned = await download(await upload(watched, 'assigned.txt', 'content', 'text/plain'));
  assert.match(assigned.disposition, /^attachment;filename=[0-9a-f]{32}_assigned\.txt$/);
  assert.deepEqual([assigned.text, assigned.headers.get('x-assigned')], ['content', 'yes']);
});

test('code saves files, alone and with an object', async () => {
  const answer = await request(`${watched.url}/functions/saves`, {
    method: 'POST', headers: { 'X-Parse-Application-Id': watched.config.appId, 'Content-Type': 'application/json' }, body: '{}',
  });
  const { result } = JSON.parse(answer.text);
  assert.match(result[0], /_made\.txt$/);
  assert.match(result[1], /_held\.txt$/);
  for (const url of result) assert.equal((await download({ url })).text, 'made by code');
});

test('functions and jobs take files of allowed hosts only', async () => {
  const call = async (route, url) => {
    const { config } = watched;
    const answer = await request(`${watched.url}/${route}/takes`, {
      method: 'POST',
      headers: {
        'X-Parse-Application-Id': config.appId, 'X-Parse-Master-Key': config.masterKey, 'Content-Type': 'application/json',
      },
      body: JSON.stringify({ list: [{ file: { __type: 'File', name: 'a.txt', url } }] }),
    });
    return [answer.status, JSON.parse(answer.text)];
  };
  for (const route of ['functions', 'jobs']) {
    assert.equal((await call(route, 'https://files.example/a.txt'))[0], 200);
    assert.deepEqual(await call(route, 'https://other.example/a.txt'), [
      400, { code: 130, error: "File URL domain 'other.example' is not allowed." },
    ]);
  }
});
