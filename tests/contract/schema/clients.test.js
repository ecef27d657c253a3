// What the command line makes out of classes: plans against a file, types that compile with the SDK, a description
// of the API that a validator accepts and a generated client works by.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Validator } from '@seriousme/openapi-schema-validator';
import createClient from 'openapi-fetch';
import openapiTS, { astToString } from 'openapi-typescript';
import ts from 'typescript';
import { request } from '../lib/http.js';
import { startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const postgres = await startPostgres();
after(() => postgres.stop());
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'clients-'));
after(() => fs.rmSync(folder, { recursive: true, force: true }));
const inFolder = name => path.join(folder, name);

const cloud = inFolder('main.js');
fs.writeFileSync(cloud, "Parse.Cloud.define('hello', () => 'hi'); Parse.Cloud.define('a.b/c d', request => request.params);");

let server;
let master;
before(async () => {
  server = await startServer(postgres, 'parsimony', 'base', { overrides: { cloud, openApi: 'public' } });
  master = { 'X-Parse-Application-Id': server.config.appId, 'X-Parse-Master-Key': server.config.masterKey, 'Content-Type': 'application/json' };
  await schema('POST', 'Game', {
    fields: {
      title: { type: 'String', required: true }, score: { type: 'Number' }, at: { type: 'Date' }, owner: { type: 'Pointer', targetClass: '_User' },
      next: { type: 'Pointer', targetClass: 'Game' }, fans: { type: 'Relation', targetClass: '_User' }, place: { type: 'GeoPoint' },
      tags: { type: 'Array' }, extra: { type: 'Object' }, icon: { type: 'File' }, area: { type: 'Polygon' }, raw: { type: 'Bytes' },
    },
    indexes: { by_score: { score: 1 } },
  });
});
after(() => server.stop());

async function schema(method, className, body) {
  const answer = await request(`${server.url}/schemas/${className}`, { method, headers: master, body: JSON.stringify(body) });
  assert.equal(answer.status, 200, answer.text);
}

/** The program beside the server; `{code, out}`. */
async function parsimony(...args) {
  const options = ['--appName', server.config.appName, '--appId', server.config.appId, '--masterKey', server.config.masterKey, '--databaseURI', server.databaseURI, '--cloud', cloud,
    '--serverURL', server.url, '--publicServerURL', server.url];
  const binary = process.env.PARSIMONY_BIN ?? path.join(root, 'target/debug/parsimony');
  try {
    const { stdout } = await promisify(execFile)(binary, [...options, ...args], { cwd: folder });
    return { code: 0, out: stdout };
  } catch (error) {
    if (typeof error.code !== 'number') throw error;
    return { code: error.code, out: error.stdout + error.stderr };
  }
}

describe('parsimony schema', () => {
  const file = inFolder('schema.json');
  const edit = change => {
    const content = JSON.parse(fs.readFileSync(file, 'utf8'));
    change(content, content.definitions.find(({ className }) => className === 'Game'));
    fs.writeFileSync(file, JSON.stringify(content));
  };

  test('what is pulled differs in nothing', async () => {
    assert.equal((await parsimony('schema', 'pull', '--file', file)).code, 0);
    const pulled = JSON.parse(fs.readFileSync(file, 'utf8')).definitions.find(({ className }) => className === 'Game');
    assert.deepEqual(pulled.fields.title, { type: 'String', required: true });
    assert.deepEqual(pulled.indexes, { by_score: { score: 1 } });
    const diff = await parsimony('schema', 'diff', '--file', file);
    assert.deepEqual([diff.code, diff.out], [0, 'Nothing differs.\n']);
    assert.equal((await parsimony('schema', 'plan', '--file', file)).out, 'Nothing is to be done.\n');
  });

  test('a plan shows each statement and what it locks, and apply makes them', async () => {
    edit((content, game) => {
      game.fields.level = { type: 'Number' };
      game.fields.crew = { type: 'Relation', targetClass: '_User' };
      game.indexes.by_level = { level: 1 };
      content.definitions.push({ className: 'Fresh', fields: { x: { type: 'String' } } });
    });
    const diff = await parsimony('schema', 'diff', '--file', file);
    assert.equal(diff.code, 1);
    assert.match(diff.out, /~ Game\n {2}\+ level \{"type":"Number"\}/);
    const { out } = await parsimony('schema', 'plan', '--file', file);
    for (const part of [
      'ALTER TABLE public."Game" ADD COLUMN IF NOT EXISTS "level" double precision;\n--   locks the table for a moment, rewrites nothing',
      'CREATE TABLE IF NOT EXISTS public."_Join:crew:Game"',
      'CREATE INDEX CONCURRENTLY IF NOT EXISTS "by_level" ON public."Game" USING btree ("level");\n--   reads the table, locks out nobody',
      'CREATE TABLE IF NOT EXISTS public."Fresh" (',
    ]) assert.ok(out.includes(part), out);
    assert.equal((await parsimony('schema', 'apply', '--file', file)).code, 0);
    assert.equal((await parsimony('schema', 'diff', '--file', file)).code, 0);
    const shown = await request(`${server.url}/schemas/Game`, { headers: master });
    assert.deepEqual(JSON.parse(shown.text).fields.level, { type: 'Number' });
  });

  test('data is lost only when that is said', async () => {
    const row = await request(`${server.url}/classes/Game`, { method: 'POST', headers: master, body: '{"title":"a","score":1}' });
    assert.equal(row.status, 201, row.text);
    edit((content, game) => {
      content.deleteExtraFields = true;
      delete game.fields.level;
    });
    const plan = await parsimony('schema', 'plan', '--file', file);
    assert.match(plan.out, /DROP COLUMN IF EXISTS "level";\n-- {3}locks the table for a moment, rewrites nothing; DATA IS LOST/);
    assert.match(plan.out, /1 objects lose level/);
    const refused = await parsimony('schema', 'apply', '--file', file);
    assert.equal(refused.code, 1);
    assert.match(refused.out, /Data would be lost: give --yes\./);
    const done = await parsimony('schema', 'apply', '--yes', '--file', file);
    assert.deepEqual([done.code, done.out], [0, 'Game: done\n']);
    const shown = await request(`${server.url}/schemas/Game`, { headers: master });
    assert.equal(JSON.parse(shown.text).fields.level, undefined);
  });

  test('what is no file of classes is refused in one line', async () => {
    fs.writeFileSync(inFolder('bad.json'), '{"definitions": 1}');
    const { code, out } = await parsimony('schema', 'diff', '--file', inFolder('bad.json'));
    assert.equal(code, 1);
    assert.match(out, /^ERROR: .*bad\.json: Parse Server option schema\.definitions must be an array\.\n$/);
    assert.match((await parsimony('schema', 'diff')).out, /ERROR: There is nothing to hold the classes against/);
  });
});

/** What tsc --strict says of files in the folder, whose modules are those of the repository. */
function compile(names) {
  const link = inFolder('node_modules');
  if (!fs.existsSync(link)) fs.symlinkSync(path.join(root, 'node_modules'), link);
  const program = ts.createProgram(names.map(inFolder), {
    strict: true, noEmit: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: [], lib: ['lib.es2022.d.ts', 'lib.dom.d.ts'], skipLibCheck: true, esModuleInterop: true,
  });
  return ts.getPreEmitDiagnostics(program).map(({ messageText, file, start }) => {
    const at = file ? `${path.basename(file.fileName)}:${file.getLineAndCharacterOfPosition(start ?? 0).line + 1}` : '';
    return `${at} ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
  });
}

describe('parsimony types', () => {
  test('TypeScript compiles with the SDK, and tells right from wrong', async () => {
    const { code, out } = await parsimony('types', '--lang', 'ts', '--out', inFolder('classes.ts'));
    assert.equal(code, 0, out);
    fs.writeFileSync(inFolder('uses.ts'), `
import Parse from 'parse';
import type { GeoPoint } from 'parse';
import type { CloudFunction, Game, ParseClasses, User } from './classes.js';

export async function play() {
  const query = new Parse.Query<Game>('Game').equalTo('title', 'Go').include('owner');
  const game = await query.first();
  if (!game) return;
  const title: string = game.get('title');
  const score: number | undefined = game.get('score');
  const at: Date | undefined = game.get('at');
  const owner: User | undefined = game.get('owner');
  const name: string | undefined = owner?.get('username');
  const next: Game | undefined = game.get('next');
  const place: GeoPoint | undefined = game.get('place');
  game.set('score', 5);
  const fans: User[] = await game.relation<User, 'fans'>('fans').query().find();
  const call: CloudFunction = 'hello';
  await Parse.Cloud.run(call);
  const other: ParseClasses['Game'] = game;
  // @ts-expect-error There is no such field.
  game.get('nowhere');
  // @ts-expect-error It is a number.
  game.set('score', 'five');
  // @ts-expect-error There is no such function.
  const wrong: CloudFunction = 'bye';
  return [title, score, at, name, next, place, fans, other, wrong];
}
`);
    assert.deepEqual(compile(['uses.ts', 'classes.ts']), []);
  });

  for (const [language, part] of [
    ['swift', 'struct Game: ParseObject {'], ['kotlin', 'class Game : ParseObject() {'], ['dart', 'class Game extends ParseObject'],
    ['csharp', 'public class Game : ParseObject'],
  ]) {
    test(`${language} is written`, async () => {
      const { code, out } = await parsimony('types', '--lang', language);
      assert.equal(code, 0, out);
      assert.ok(out.includes(part) && out.includes('a.b/c d'), out);
    });
  }
});

describe('classes that are called as something else already', () => {
  // Words of languages, types that the files themselves mean, and names that are made out of other classes' names.
  const names = [
    'Date', 'Record', 'Parse', 'Attributes', 'ParseClasses', 'CloudFunction', 'ParseObject_', 'class', 'default', 'string', 'any', 'String', 'Map', 'List', 'Object', 'File',
    'ParseDate', 'ParseObject', 'Order', 'OrderInput', 'OrderUpdate', 'OrderAttributes', 'User',
  ];
  let odd;
  const beside = (...args) => promisify(execFile)(process.env.PARSIMONY_BIN ?? path.join(root, 'target/debug/parsimony'), [
    '--appId', odd.config.appId, '--masterKey', odd.config.masterKey, '--databaseURI', odd.databaseURI, '--serverURL', odd.url, ...args,
  ], { cwd: folder });
  before(async () => {
    odd = await startServer(postgres, 'parsimony', 'base');
    for (const className of names) {
      const fields = {
        text: { type: 'String', required: true }, at: { type: 'Date' }, map: { type: 'Object' }, list: { type: 'Array' }, file: { type: 'File' }, tableName: { type: 'String' }, keyFoo: { type: 'String' }, foo: { type: 'String' },
        itself: { type: 'Pointer', targetClass: className }, user: { type: 'Pointer', targetClass: '_User' }, many: { type: 'Relation', targetClass: className },
      };
      const answer = await request(`${odd.url}/schemas/${className}`, { method: 'POST', headers: master, body: JSON.stringify({ fields }) });
      assert.equal(answer.status, 200, answer.text);
    }
  });
  after(() => odd.stop());

  test('TypeScript compiles, and each class has its type', async () => {
    await beside('types', '--lang', 'ts', '--out', inFolder('odd.ts'));
    fs.writeFileSync(inFolder('oddUses.ts'), `
import type { ParseClasses } from './odd.js';
export const read = (order: ParseClasses['Order'], update: ParseClasses['OrderAttributes']) => {
  const at: Date | undefined = order.get('at');
  const map: Record<string, unknown> | undefined = update.get('map');
  const same: ParseClasses['Date'] | undefined = ({} as ParseClasses['Date']).get('itself');
  // @ts-expect-error It is a text.
  const wrong: number | undefined = order.get('text');
  return [at, map, same, wrong];
};
`);
    assert.deepEqual(compile(['odd.ts', 'oddUses.ts']), []);
    const known = fs.readFileSync(inFolder('odd.ts'), 'utf8');
    for (const name of names) assert.match(known, new RegExp(`^  ${name}: \\w+;$`, 'm'));
  });

  test('the other languages declare each name once, and none of their own', async () => {
    for (const [language, pattern, own] of [
      ['swift', /^struct (\w+):/gm, ['Date', 'String', 'class', 'default', 'ParseObject']], ['kotlin', /^class (\w+) :/gm, ['Date', 'String', 'Map', 'List', 'class', 'ParseObject']],
      ['dart', /^class (\w+) extends/gm, ['String', 'Map', 'List', 'class', 'default', 'ParseObject']], ['csharp', /^public class (\w+) :/gm, ['string', 'class', 'default', 'Parse', 'ParseObject', 'ParseClasses']],
    ]) {
      const { stdout } = await beside('types', '--lang', language);
      const declared = [...stdout.matchAll(pattern)].map(([, name]) => name);
      assert.equal(new Set(declared).size, declared.length, language);
      assert.deepEqual(own.filter(name => declared.includes(name)), [], language);
      assert.ok(declared.length >= names.length, language);
      if (language === 'dart') {
        const members = stdout.slice(stdout.indexOf('class Order '), stdout.indexOf('class OrderAttributes ')).matchAll(/(?:static const String|get) (\w+)/g);
        const called = [...members].map(([, name]) => name).filter(name => name !== 'clone');
        assert.equal(new Set(called).size, called.length, called.join());
      }
    }
  });

  test('the description has a schema and operations for each', async () => {
    const { stdout } = await beside('openapi');
    const document = JSON.parse(stdout);
    const validated = await new Validator().validate(document);
    assert.deepEqual(validated.errors ?? [], []);
    const ids = Object.values(document.paths).flatMap(path => Object.values(path)).map(({ operationId }) => operationId).filter(Boolean);
    assert.deepEqual(ids.filter((id, at) => ids.indexOf(id) !== at), []);
    const shown = new Set();
    for (const name of names) {
      const found = document.paths[`/classes/${name}`].get.responses['200'].content['application/json'].schema.properties.results.items.$ref.split('/').pop();
      assert.ok(document.components.schemas[found].properties.objectId, name);
      assert.deepEqual(document.components.schemas[`${found}Input`].required, ['text'], name);
      shown.add(found);
    }
    assert.equal(shown.size, names.length);
    assert.deepEqual(document.components.schemas.ParseDate.properties.__type, { const: 'Date' });
  });
});

describe('openapi.json', () => {
  const fetched = async (headers = {}) => request(`${server.url}/openapi.json`, { headers });

  test('is valid, and the same by HTTP and from the command line', async () => {
    const answer = await fetched();
    assert.equal(answer.status, 200, answer.text);
    const document = JSON.parse(answer.text);
    assert.deepEqual(JSON.parse((await fetched(master)).text), document);
    const { code } = await parsimony('openapi', '--out', inFolder('openapi.json'));
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(fs.readFileSync(inFolder('openapi.json'), 'utf8')), document);
    const validated = await new Validator().validate(document);
    assert.deepEqual(validated.errors ?? [], []);
    assert.equal(validated.valid, true);
    assert.deepEqual(document.components.schemas.GameInput.required, ['title']);
    assert.ok(document.paths['/functions/a.b%2Fc%20d'].post);
    assert.ok(document.paths['/schemas/{className}'].put.security);
  });

  test('is for the master key alone, unless the option says otherwise', async () => {
    const closed = await startServer(postgres, 'parsimony', 'base');
    const ask = headers => request(`${closed.url}/openapi.json`, { headers });
    assert.equal((await ask({})).status, 403);
    assert.equal((await ask({ 'X-Parse-Application-Id': closed.config.appId })).status, 403);
    assert.equal((await ask(master)).status, 200);
    await closed.stop();
  });

  test('a client made out of it creates, reads, changes and deletes', async () => {
    const ast = await openapiTS(JSON.parse((await fetched()).text));
    fs.writeFileSync(inFolder('api.ts'), astToString(ast));
    fs.writeFileSync(inFolder('calls.ts'), `
import createClient from 'openapi-fetch';
import type { paths } from './api.js';
export async function calls(client: ReturnType<typeof createClient<paths>>) {
  const made = await client.POST('/classes/Game', { body: { title: 'Go', at: { __type: 'Date', iso: '2024-01-01T00:00:00.000Z' } } });
  const objectId: string = made.data!.objectId;
  const found = await client.GET('/classes/Game', { params: { query: { where: JSON.stringify({ title: 'Go' }), limit: 1 } } });
  const title: string | undefined = found.data!.results[0]!.title;
  await client.PUT('/classes/Game/{objectId}', { params: { path: { objectId } }, body: { score: { __op: 'Increment', amount: 2 } } });
  // @ts-expect-error A title is required.
  await client.POST('/classes/Game', { body: { score: 1 } });
  return title;
}
`);
    assert.deepEqual(compile(['calls.ts', 'api.ts']), []);
    const client = createClient({ baseUrl: server.url, headers: { 'X-Parse-Application-Id': server.config.appId } });
    const made = await client.POST('/classes/Game', { body: { title: 'Go', score: 1 } });
    assert.equal(made.response.status, 201);
    const params = { path: { objectId: made.data.objectId } };
    await client.PUT('/classes/Game/{objectId}', { params, body: { score: { __op: 'Increment', amount: 2 } } });
    const read = await client.GET('/classes/Game/{objectId}', { params });
    assert.equal(read.data.score, 3);
    const found = await client.GET('/classes/Game', { params: { query: { where: JSON.stringify({ title: 'Go' }), count: 1 } } });
    assert.deepEqual([found.data.count, found.data.results.length], [1, 1]);
    assert.equal((await client.DELETE('/classes/Game/{objectId}', { params })).response.status, 200);
    const gone = await client.GET('/classes/Game/{objectId}', { params });
    assert.deepEqual([gone.response.status, gone.error], [404, { code: 101, error: 'Object not found.' }]);
    const called = await client.POST('/functions/hello', { body: {} });
    assert.equal(called.data.result, 'hi');
  });
});
