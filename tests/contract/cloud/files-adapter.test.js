// File adapters of the application's own, in every form, on either server.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import Parse from 'parse/node';
import { startPostgres, waitFor } from '../lib/postgres.js';
import { startServer, target } from '../lib/servers.js';

const app = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', 'files-app');
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-files-'));
const postgres = await startPostgres();
const servers = [];
after(async () => {
  await Promise.all(servers.map(server => server.stop()));
  await postgres.stop();
  fs.rmSync(folder, { recursive: true, force: true });
});
const ours = { skip: target === 'oracle' ? 'not on parse-server' : false };

async function start(filesAdapter, overrides = {}, script = undefined) {
  const server = await startServer(postgres, target, 'base', { overrides: { filesAdapter, ...overrides }, script });
  servers.push(server);
  const headers = { 'X-Parse-Application-Id': server.config.appId };
  const master = { ...headers, 'X-Parse-Master-Key': server.config.masterKey };
  const call = async (method, at, { body, as = headers, ...more } = {}) => {
    const text = body !== undefined && !(body instanceof Uint8Array) && typeof body !== 'string';
    const response = await fetch(at.startsWith('http') ? at : `${server.url}/${at}`, {
      method, body: text ? JSON.stringify(body) : body,
      headers: { ...as, ...(text ? { 'Content-Type': 'application/json' } : {}), ...more },
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    const json = response.headers.get('content-type')?.includes('json') ? JSON.parse(bytes) : undefined;
    return { status: response.status, headers: response.headers, bytes, json };
  };
  return { ...server, call, master };
}

const pattern = Buffer.from(Array.from({ length: 1_500_000 }, (_, i) => (i * 31 + (i >> 8)) & 255));

describe('a class with options', async () => {
  const server = await start({ class: path.join(app, 'memory.cjs') });
  const { call, master } = server;

  test('contents, metadata, tags and types reach it', async () => {
    const body = {
      _ApplicationId: server.config.appId, base64: Buffer.from('hello').toString('base64'), _ContentType: 'text/plain',
      fileData: { metadata: { a: '1' }, tags: { b: '2' } },
    };
    const saved = await call('POST', 'files/hello', { body: JSON.stringify(body), as: {} });
    assert.equal(saved.status, 201);
    assert.match(saved.json.name, /^[0-9a-f]{32}_hello\.txt$/);
    assert.equal(saved.json.url, `${server.url}/files/${server.config.appId}/${saved.json.name}`);
    const got = await call('GET', saved.json.url);
    assert.deepEqual([got.status, got.bytes.toString()], [200, 'hello']);
    const metadata = await call('GET', `files/${server.config.appId}/metadata/${saved.json.name}`);
    assert.deepEqual(metadata.json, { metadata: { of: saved.json.name, a: '1' } });
    const diary = (await call('GET', `files/${server.config.appId}/diary.json`)).json;
    assert.deepEqual(diary.at(-1), ['create', saved.json.name, true, 'text/plain', { metadata: { a: '1' }, tags: { b: '2' } }]);
  });

  test('large contents come back whole', async () => {
    const saved = await call('POST', 'files/large.bin', { body: pattern });
    assert.ok((await call('GET', saved.json.url)).bytes.equals(pattern));
  });

  test('names are judged by it', async () => {
    const refused = await call('POST', 'files/bad.txt', { body: 'x' });
    assert.deepEqual([refused.status, refused.json], [400, { code: 122, error: 'Bad file name.' }]);
    // parse-server's own rules do not hold then.
    assert.equal((await call('POST', `files/${encodeURIComponent('übel.txt')}`, { body: 'x' })).status, 201);
  });

  test('errors are those of Parse', async () => {
    const full = await call('POST', 'files/refuse.txt', { body: 'x' });
    assert.deepEqual([full.status, full.json], [400, { code: 130, error: 'the disk is full' }]);
    const chosen = await call('POST', 'files/forbid.txt', { body: 'x' });
    assert.deepEqual([chosen.status, chosen.json], [400, { code: 119, error: 'not for you' }]);
    const missing = await call('GET', `files/${server.config.appId}/nowhere.txt`);
    assert.deepEqual([missing.status, missing.bytes.toString()], [404, 'File not found.']);
    const gone = await call('DELETE', 'files/nowhere.txt', { as: master });
    assert.deepEqual([gone.status, gone.json.code], [400, 153]);
    if (target !== 'oracle') assert.equal(gone.json.error, 'Could not delete file.');
  });

  test('removal', async () => {
    const saved = await call('POST', 'files/gone.txt', { body: 'x' });
    assert.equal((await call('DELETE', `files/${saved.json.name}`, { as: master })).status, 200);
    assert.equal((await call('GET', saved.json.url)).status, 404);
  });

  test('ranges of an adapter that has none', ours, async () => {
    const saved = await call('POST', 'files/range.bin', { body: pattern });
    const part = await call('GET', saved.json.url, { Range: 'bytes=299990-700009' });
    assert.equal(part.status, 206);
    assert.equal(part.headers.get('content-range'), `bytes 299990-700009/${pattern.length}`);
    assert.ok(part.bytes.equals(pattern.subarray(299990, 700010)));
  });
});

describe('addresses of its own', async () => {
  const server = await start({
    module: path.join(app, 'memory.cjs'), options: { cdn: 'https://cdn.example.com' },
  });
  const { call } = server;

  test('stand in answers, objects and included objects', async () => {
    const saved = (await call('POST', 'files/a b.txt', { body: 'x' })).json;
    const url = `https://cdn.example.com/${server.config.appId}/${encodeURIComponent(saved.name)}`;
    assert.equal(saved.url, url);
    const file = { __type: 'File', name: saved.name };
    const inner = (await call('POST', 'classes/Inner', { body: { file } })).json;
    const pointer = { __type: 'Pointer', className: 'Inner', objectId: inner.objectId };
    const outer = (await call('POST', 'classes/Outer', { body: { file, inner: pointer, list: [pointer] } })).json;
    const found = (await call('GET', `classes/Outer/${outer.objectId}?include=inner,list`)).json;
    assert.deepEqual([found.file.url, found.inner.file.url, found.list[0].file.url], [url, url, url]);
    const all = (await call('GET', 'classes/Outer')).json.results;
    assert.deepEqual(all[0].file, { ...file, url });
  });
});

// parse-server on Node.js 20 loads no ES modules as adapters.
describe('an adapter that streams', ours, async () => {
  if (ours.skip) return;
  const home = path.join(folder, 'streamed');
  const server = await start({ module: path.join(app, 'streaming.mjs'), options: { folder: home } }, { cloudWorkers: 2 });
  const { call } = server;

  test('both ways, parts included', async () => {
    const saved = await call('POST', 'files/large.bin', { body: pattern, 'X-Parse-Upload-Mode': 'stream' });
    assert.equal(saved.status, 201);
    assert.ok((await call('GET', saved.json.url)).bytes.equals(pattern));
    const part = await call('GET', saved.json.url, { Range: 'bytes=500000-1499998' });
    assert.equal(part.status, 206);
    assert.ok(part.bytes.equals(pattern.subarray(500_000, 1_499_999)));
    const end = await call('GET', saved.json.url, { Range: 'bytes=-5' });
    assert.ok(end.bytes.equals(pattern.subarray(-5)));
  });

  test('an upload broken off leaves nothing', async () => {
    const before = fs.readdirSync(home);
    const request = http.request(`${server.url}/files/broken.bin`, {
      method: 'POST', headers: { 'X-Parse-Application-Id': server.config.appId, 'X-Parse-Upload-Mode': 'stream' },
    });
    request.on('error', () => {});
    request.write(pattern);
    await waitFor(async () => fs.readdirSync(home).some(name => name.includes('broken')), { what: 'the part to come' });
    request.destroy();
    await waitFor(async () => !fs.readdirSync(home).some(name => name.includes('broken')), { what: 'the part to go' });
    assert.deepEqual(fs.readdirSync(home), before);
  });
});

describe("the npm adapter by a path of the app's own", async () => {
  const own = path.join(folder, 'own-adapter.cjs');
  const npm = fileURLToPath(import.meta.resolve('@parse/fs-files-adapter'));
  fs.writeFileSync(own, `module.exports = require(${JSON.stringify(npm)});`);
  const server = await start({ module: own, options: { filesSubDirectory: 'own', encryptionKey: 'secret' } });
  const { call, master } = server;

  test('works', async () => {
    const saved = await call('POST', 'files/n.txt', { body: 'by npm' });
    assert.equal(saved.status, 201);
    assert.equal((await call('GET', saved.json.url)).bytes.toString(), 'by npm');
    assert.equal((await call('DELETE', `files/${saved.json.name}`, { as: master })).status, 200);
    assert.equal((await call('GET', saved.json.url)).status, 404);
  });
});

describe('an object in a configuration of JavaScript', async () => {
  const { call } = await start(undefined, {}, path.join(app, 'object.cjs'));

  test('works', async () => {
    const saved = await call('POST', 'files/o.txt', { body: 'object' });
    assert.equal(saved.status, 201);
    assert.equal((await call('GET', saved.json.url)).bytes.toString(), 'object');
  });
});

const s3 = process.env.PARSIMONY_TEST_S3_ENDPOINT;
// Variables of the program's own do not reach the servers.
process.env.CONTRACT_S3_ENDPOINT = s3 ?? '';
describe('functions as options of the S3 adapter', { skip: s3 ? ours.skip : 'there is no S3 here' }, async () => {
  if (!s3 || ours.skip) return;
  const { call } = await start(undefined, { preserveFileName: true }, path.join(app, 's3.cjs'));

  test('generateKey, validateFilename, baseUrl', async () => {
    const refused = await call('POST', 'files/wrong.txt', { body: 'x' });
    assert.deepEqual([refused.status, refused.json], [400, { code: 122, error: 'Not this one.' }]);
    const thrown = await call('POST', 'files/coded.txt', { body: 'x' });
    assert.deepEqual([thrown.status, thrown.json], [400, { code: 122, error: 'Coded.' }]);
    const saved = (await call('POST', 'files/right.txt', { body: 'x' })).json;
    assert.match(saved.name, /^key-\d+-right\.txt$/);
    assert.equal(saved.url, `https://cdn.example.com/contractApp/pre/${saved.name}`);
    const object = (await call('POST', 'classes/OnS3', { body: { file: { __type: 'File', name: saved.name } } })).json;
    assert.equal((await call('GET', `classes/OnS3/${object.objectId}`)).json.file.url, saved.url);
    assert.equal((await call('GET', `files/contractApp/${saved.name}`)).bytes.toString(), 'x');
  });
});

describe('private files through the SDK', ours, async () => {
  if (ours.skip) return;
  const { call, ...server } = await start(undefined, { privateFiles: { secret: 'sixteen characters' } });
  Parse.initialize(server.config.appId);
  Parse.serverURL = server.url;

  test('are saved, referred to and read without a word about signatures', async () => {
    const file = new Parse.File('secret.txt', [104, 105], 'text/plain', { private: true });
    await file.save();
    assert.match(file.name(), /^private-/);
    assert.equal((await call('GET', file.url().split('?')[0])).status, 403);
    const saved = await new Parse.Object('Vault').save({ file, deep: { list: [file] } });
    Parse.Object._clearAllState();
    const found = await new Parse.Query('Vault').get(saved.id);
    for (const each of [found.get('file'), found.get('deep').list[0]]) {
      assert.equal((await call('GET', each.url())).bytes.toString(), 'hi');
    }
    // What was read can be written again, elsewhere too.
    await found.save({ deep: found.get('deep') });
    await new Parse.Object('Copy').save({ file: found.get('file') });
    const forged = Parse.File.fromJSON({ __type: 'File', name: file.name(), url: file.url().split('?')[0] });
    await assert.rejects(new Parse.Object('Copy').save({ file: forged }), { code: 119, message: 'This file is private.' });
  });
});
