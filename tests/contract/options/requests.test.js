// Options of single requests: limits of answers, aggregations, addresses of files, the page of GraphQL.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request } from '../lib/http.js';
import { waitFor } from '../lib/postgres.js';
import { asMaster, asked, call, stage } from './calls.js';

const secret = 'at least sixteen characters';
const { server: start } = await stage();
const [plain, changed] = await Promise.all([
  start({ privateFiles: { secret }, mountGraphQL: true, mountPlayground: true }),
  start({
    requestComplexity: { subqueryLimit: 1, masterResponseObjects: 4 }, query: { aggregationRawFieldNames: true, aggregationRawValues: true },
    fileKey: 'legacy', privateFiles: { secret, expiresAfter: 4 }, mountGraphQL: true, mountPlayground: true, playgroundPath: '/try',
    requestKeywordDenylist: [{ key: 'deniedKey', value: 5 }],
  }),
]);
const both = [plain, changed];

const pointer = objectId => ({ __type: 'Pointer', className: 'Inner', objectId });
for (const server of both) {
  for (let n = 0; n < 3; n++) {
    const { objectId } = (await asMaster(server, 'POST', 'classes/Inner', { n })).body;
    await asMaster(server, 'POST', 'classes/Outer', { n, inner: pointer(objectId) });
  }
}

test('requestComplexity.subqueryLimit: how many rows of a sub-query count', async () => {
  const where = { inner: { $inQuery: { className: 'Inner', where: {} } } };
  const found = async (server, ask) => (await ask(server, 'GET', asked('classes/Outer', { where }))).body.results.length;
  assert.deepEqual([await found(plain, call), await found(changed, call)], [3, 1]);
  // Not for the master key.
  assert.equal(await found(changed, asMaster), 3);
});

test('requestComplexity.masterResponseObjects: how many objects an answer may have', async () => {
  const answer = async (server, more) => {
    const { status, body } = await asMaster(server, 'GET', asked('classes/Outer', more));
    return [status, body.code ?? body.results.length];
  };
  // Included ones count, too.
  assert.deepEqual(await answer(plain, { include: 'inner' }), [200, 3]);
  assert.deepEqual(await answer(changed, {}), [200, 3]);
  assert.deepEqual(await answer(changed, { include: 'inner' }), [400, 102]);
  assert.equal((await call(changed, 'GET', asked('classes/Outer', { include: 'inner' }))).status, 200);
});

test('query.aggregationRawFieldNames and query.aggregationRawValues', async () => {
  const first = { pipeline: [{ $limit: 1 }] };
  const row = async (server, more = {}) => (await asMaster(server, 'GET', asked('aggregate/Outer', { ...first, ...more }))).body.results[0];
  const [ours, native] = await Promise.all(both.map(server => row(server)));
  assert.equal(typeof ours.objectId, 'string');
  assert.equal(ours.createdAt.$date, undefined);
  assert.equal(ours.inner.className, 'Inner');
  assert.equal(typeof native._id, 'string');
  assert.match(native._created_at.$date, /Z$/);
  assert.match(native._p_inner, /^Inner\$/);
  // A request comes before the option.
  assert.equal(typeof (await row(changed, { rawFieldNames: 'false', rawValues: 'false' })).objectId, 'string');
});

test('requestKeywordDenylist: a number is refused as a text, too', async () => {
  const create = async (server, deniedKey) => (await call(server, 'POST', 'classes/Denied', { o: { deniedKey } })).status;
  for (const value of [5, '5', '151']) assert.deepEqual([await create(plain, value), await create(changed, value)], [201, 400], `${value}`);
  for (const value of [6, '6', [5]]) assert.equal(await create(changed, value), 201, `${value}`);
});

test('fileKey: addresses of files that Parse.com stored', async () => {
  const url = async server => {
    const { objectId } = (await asMaster(server, 'POST', 'classes/Attached', { file: { __type: 'File', name: 'tfss-0-old.txt' } })).body;
    return (await asMaster(server, 'GET', `classes/Attached/${objectId}`)).body.file.url;
  };
  assert.equal(await url(plain), `${plain.url}/files/contractApp/tfss-0-old.txt`);
  assert.equal(await url(changed), 'http://files.parsetfss.com/legacy/tfss-0-old.txt');
});

test('privateFiles.expiresAfter: how long an address works', async () => {
  const [long, short] = await Promise.all(both.map(async server => {
    const answer = await request(`${server.url}/files/secret.txt`, {
      method: 'POST', body: 'secret',
      headers: { 'X-Parse-Application-Id': 'contractApp', 'X-Parse-File-Private': 'true', 'Content-Type': 'text/plain' },
    });
    assert.equal(answer.status, 201, answer.text);
    return JSON.parse(answer.text).url;
  }));
  const left = Number(new URL(long).searchParams.get('expires')) - Date.now() / 1000;
  assert.ok(left > 2600 && left <= 3600, `${left}`);
  const first = await request(short);
  assert.deepEqual([first.status, first.text], [200, 'secret']);
  await waitFor(async () => (await request(short)).status === 403, { what: 'the address to expire', every: 100, timeout: 10000 });
  assert.equal((await request(long)).status, 200);
});

test('playgroundPath: where the page of GraphQL is', async () => {
  const pages = server => Promise.all(['/playground', '/try'].map(at => request(`${new URL(server.url).origin}${at}`).then(({ status }) => status)));
  assert.deepEqual(await pages(plain), [200, 404]);
  assert.deepEqual(await pages(changed), [404, 200]);
});
