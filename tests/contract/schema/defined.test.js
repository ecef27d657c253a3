// Option `schema` on both servers: each is started again and again on a database of its own, and what its classes,
// its log and its answers are then is compared.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { request } from '../lib/http.js';
import { createDatabase, provideGeometry, startPostgres, waitFor } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

const postgres = await startPostgres();
after(() => postgres.stop());

const KINDS = ['oracle', 'parsimony'];
/** Lines of a log that speak of migrations; `Completed` is not the end of the line there. */
const LINES = /(Running Migrations(?: Completed)?|Failed to run migrations: .*|The following (?:schemas|fields) .*|The field ".*|The list of schemas .*|classLevelPermissions not provided for .*\.)/g;

async function ask(server, method, target, body) {
  const answer = await request(server.url + target, {
    method,
    headers: {
      'X-Parse-Application-Id': server.config.appId, 'X-Parse-Master-Key': server.config.masterKey, 'Content-Type': 'application/json',
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return { status: answer.status, body: JSON.parse(answer.text) };
}

/** The classes by name, those of the system that only one server lists left out. */
async function classes(server) {
  const { body } = await ask(server, 'GET', '/schemas');
  const shown = body.results.filter(({ className }) => !className.startsWith('_') || ['_User', '_Role', '_Session'].includes(className));
  const sorted = shown.map(schema => [schema.className, schema]).sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [, schema] of sorted) {
    // What is false is left out here, as everywhere in the schema API.
    for (const field of Object.values(schema.fields)) if (field.required === false) delete field.required;
  }
  return Object.fromEntries(sorted);
}

const lines = log => (log.match(LINES) ?? []).map(line => line.trim()).sort();

/** Starts both with each of `schemas` in turn, and compares. `between` runs after each start. */
function compare(name, schemas, { between, script, prepare } = {}) {
  test(name, async () => {
    const seen = {};
    for (const kind of KINDS) {
      const database = await createDatabase(postgres, `defined_${kind}`);
      if (kind === 'oracle') await provideGeometry(database.uri);
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'defined-'));
      seen[kind] = [];
      try {
        if (prepare) {
          const server = await startServer(postgres, kind, 'base', { databaseURI: database.uri });
          await prepare(server);
          await server.stop();
        }
        for (const [at, schema] of schemas.entries()) {
          let file;
          if (script) {
            file = path.join(folder, `options-${at}.cjs`);
            fs.writeFileSync(file, script(path.join(folder, 'notes')));
          }
          const overrides = schema ? { schema } : {};
          const server = await startServer(postgres, kind, 'base', { databaseURI: database.uri, overrides, script: file });
          const state = { classes: await classes(server), between: between ? await between(server, at) : null };
          seen[kind].push({ ...state, lines: lines(server.log()) });
          await server.stop();
        }
        seen[kind].push(fs.existsSync(path.join(folder, 'notes')) ? fs.readFileSync(path.join(folder, 'notes'), 'utf8') : '');
      } finally {
        fs.rmSync(folder, { recursive: true, force: true });
        await database.drop();
      }
    }
    assert.deepEqual(seen.parsimony, seen.oracle);
  });
}

const everything = {
  className: 'Everything',
  fields: {
    text: { type: 'String', required: true },
    number: { type: 'Number', defaultValue: 7 },
    yes: { type: 'Boolean', required: true, defaultValue: false },
    at: { type: 'Date', defaultValue: '2024-02-29T10:11:12.000Z' },
    list: { type: 'Array' },
    map: { type: 'Object', defaultValue: { a: 1 } },
    place: { type: 'GeoPoint' },
    area: { type: 'Polygon' },
    file: { type: 'File' },
    raw: { type: 'Bytes' },
    owner: { type: 'Pointer', targetClass: '_User', required: true },
    fans: { type: 'Relation', targetClass: '_User' },
    objectId: { type: 'String' },
  },
  indexes: { by_number: { number: 1 }, by_both: { text: 1, number: -1 } },
  classLevelPermissions: {
    find: { requiresAuthentication: true }, get: { '*': true }, count: { '*': true }, create: { 'role:Admins': true }, update: {},
    delete: {}, addField: { '*': true }, protectedFields: { '*': ['number'] },
  },
};
const open = { find: { '*': true }, get: { '*': true }, count: { '*': true }, create: { '*': true }, update: { '*': true }, delete: { '*': true } };

describe('Option schema', () => {
  compare('makes classes, and a second start changes nothing', [
    { definitions: [everything, { className: 'Bare' }] },
    { definitions: [everything, { className: 'Bare' }] },
  ]);

  compare('adds fields, and keeps what is not asked to go', [
    { definitions: [{ className: 'Game', fields: { a: { type: 'String' }, b: { type: 'Number' } }, classLevelPermissions: open }] },
    {
      strict: true,
      definitions: [{ className: 'Game', fields: { b: { type: 'String' }, c: { type: 'Pointer', targetClass: '_Role' } }, classLevelPermissions: open }],
    },
    { strict: true, definitions: [{ className: 'Other', classLevelPermissions: open }] },
  ]);

  compare('removes and recreates fields where that is asked for, and rows stay', [
    { definitions: [{ className: 'Game', fields: { a: { type: 'String' }, b: { type: 'Number' }, r: { type: 'Relation', targetClass: '_User' } }, classLevelPermissions: open }] },
    {
      deleteExtraFields: true, recreateModifiedFields: true,
      definitions: [{ className: 'Game', fields: { b: { type: 'String', defaultValue: 'x' } }, classLevelPermissions: open }],
    },
  ], {
    async between(server, at) {
      if (at === 0) await ask(server, 'POST', '/classes/Game', { a: 'one', b: 2 });
      const { body } = await ask(server, 'GET', '/classes/Game');
      return body.results.map(({ a, b }) => ({ a, b }));
    },
  });

  compare('sets options of fields, and takes them back', [
    { definitions: [{ className: 'Game', fields: { a: { type: 'String' } }, classLevelPermissions: open }] },
    { definitions: [{ className: 'Game', fields: { a: { type: 'String', required: true, defaultValue: 'x' } }, classLevelPermissions: open }] },
    { definitions: [{ className: 'Game', fields: { a: { type: 'String' } }, classLevelPermissions: open }] },
  ]);

  const indexed = indexes => ({ className: 'Game', fields: { a: { type: 'String' }, b: { type: 'Number' } }, indexes, classLevelPermissions: open });
  compare('makes, changes and removes indexes', [
    { definitions: [indexed({ one: { a: 1 }, two: { b: 1 } })] },
    { definitions: [indexed({ one: { b: 1 }, three: { a: 1, b: 1 } })], keepUnknownIndexes: true },
    { definitions: [indexed({ one: { b: 1 } })] },
    { definitions: [indexed(undefined)] },
  ]);

  compare('closes what has no definition to new fields', [{ definitions: [{ className: 'Game', classLevelPermissions: open }] }], {
    async prepare(server) {
      await ask(server, 'POST', '/classes/Old', { x: 1 });
      await ask(server, 'POST', '/schemas/Set', { fields: { x: { type: 'String' } }, classLevelPermissions: { find: { '*': true }, addField: { '*': true } } });
    },
  });

  compare('changes the server\'s own classes', [
    {
      definitions: [
        { className: '_User', fields: { nick: { type: 'String', required: true, defaultValue: 'x' }, friend: { type: 'Pointer', targetClass: '_User' } }, classLevelPermissions: { ...open, protectedFields: { '*': ['nick'] } } },
        { className: '_Role', fields: { kind: { type: 'String' } }, classLevelPermissions: open },
      ],
    },
    { deleteExtraFields: true, strict: true, definitions: [{ className: '_User', fields: { other: { type: 'Number' }, username: { type: 'Number' } } }] },
    { deleteExtraFields: true, recreateModifiedFields: true, definitions: [{ className: '_User', fields: { other: { type: 'String' } }, indexes: { by_other: { other: 1 }, username_1: { username: 1 } }, classLevelPermissions: open }] },
    { definitions: [{ className: '_User' }] },
  ], {
    async between(server, at) {
      const made = await ask(server, 'POST', '/users', { username: `u${at}`, password: 'p', email: `u${at}@example.org` });
      const { body } = await ask(server, 'GET', '/users?order=username');
      return [made.status, body.results.map(user => Object.keys(user).sort())];
    },
  });

  compare('locks the schema API', [{ lockSchemas: true, definitions: [{ className: 'Game', classLevelPermissions: open }] }], {
    between: async server => [
      await ask(server, 'POST', '/schemas/New', { fields: {} }),
      await ask(server, 'PUT', '/schemas/Game', { fields: { x: { type: 'String' } } }),
      await ask(server, 'DELETE', '/schemas/Game'),
    ],
  });

  compare('says what is wrong with a definition, and starts all the same', [
    { definitions: [{ className: 'Game', fields: { a: { type: 'Nope' } } }, { className: 'Good', classLevelPermissions: open }] },
    { definitions: [{ className: 'Good', fields: { a: { type: 'Pointer' } }, classLevelPermissions: open }] },
    { definitions: [{ className: '1bad', classLevelPermissions: open }] },
    { definitions: [{ className: 'Good', classLevelPermissions: { find: { 'no user!': true } } }] },
    { definitions: [{ className: 'Good', indexes: { x: { nowhere: 1 } }, classLevelPermissions: open }] },
  ]);

  const callbacks = notes => `
    const fs = require('fs');
    const note = text => fs.appendFileSync(${JSON.stringify(notes)}, text + '\\n');
    const names = async () => (await Parse.Schema.all()).map(({ className }) => className).filter(name => !name.startsWith('_')).sort().join();
    module.exports = {
      cloud: () => { note('cloud'); },
      schema: {
        definitions: [{ className: 'Game', classLevelPermissions: { find: { '*': true } } }],
        beforeMigration: async () => { note('before'); },
        afterMigration: async () => { await new Promise(resolve => setTimeout(resolve, 20)); note('after'); },
      },
    };`;
  compare('calls back before and after, and loads Cloud Code then', [undefined], { script: callbacks });

  const throwing = which => notes => callbacks(notes).replace(`note('${which}')`, `throw new Error('Not ${which}.')`);
  compare('goes on when beforeMigration fails', [undefined], { script: throwing('before') });
  compare('goes on when afterMigration fails', [undefined], { script: throwing('after') });

  for (const kind of KINDS) {
    test(`two strict definitions of one class end ${kind}`, async () => {
      const schema = { strict: true, definitions: [{ className: 'Game' }, { className: 'Game' }] };
      await assert.rejects(
        startServer(postgres, kind, 'base', { overrides: { schema } }),
        /exit 1[^]*The list of schemas provided contains duplicated "className" {2}"Game","Game"/
      );
    });
  }
});

describe('Option schema on one server', () => {
  test('makes no class out of a definition without a name', async () => {
    const definitions = [{ fields: { a: { type: 'String' } } }, { className: null }, { className: 'Good', classLevelPermissions: open }];
    const server = await startServer(postgres, 'parsimony', 'base', { overrides: { schema: { definitions } } });
    try {
      const { body } = await ask(server, 'GET', '/schemas');
      const names = body.results.map(({ className }) => className).filter(name => !name.startsWith('_'));
      assert.deepEqual(names, ['Good']);
      assert.match(server.log(), /Failed to run migrations: Error while saving Schema for type undefined: Error: className must be a string\./);
    } finally {
      await server.stop();
    }
  });
});

describe('Option schema on several servers', () => {
  test('is carried out by one after the other, before any of them is healthy', async () => {
    const database = await createDatabase(postgres, 'defined_nodes');
    const fields = Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`f${n}`, { type: 'Number' }]));
    const definitions = ['One', 'Two', 'Three'].map(className => ({ className, fields, indexes: { [`${className}_f1`]: { f1: 1 } }, classLevelPermissions: open }));
    const start = () => startServer(postgres, 'parsimony', 'base', { databaseURI: database.uri, overrides: { schema: { definitions } } });
    const servers = await Promise.all([start(), start(), start()]);
    try {
      for (const server of servers) {
        const shown = await classes(server);
        for (const { className } of definitions) {
          assert.equal(Object.keys(shown[className].fields).length, 34);
          assert.ok(shown[className].indexes[`${className}_f1`]);
        }
        assert.deepEqual(lines(server.log()).filter(line => line.startsWith('Failed')), []);
      }
      // What one server changes later, the others see, locked or not.
      await ask(servers[0], 'PUT', '/schemas/One', { fields: { later: { type: 'String' } } });
      await waitFor(async () => (await classes(servers[2])).One.fields.later, { what: 'the change to arrive' });
    } finally {
      for (const server of servers) await server.stop();
      await database.drop();
    }
  });

  test('leaves indexes alone that the server made by itself', async () => {
    const database = await createDatabase(postgres, 'defined_own');
    const definition = { className: 'Game', fields: { a: { type: 'Number' } }, classLevelPermissions: open };
    const start = schema => startServer(postgres, 'parsimony', 'base', { databaseURI: database.uri, overrides: schema && { schema } });
    let server = await start();
    await ask(server, 'POST', '/schemas/Game', { fields: { a: { type: 'Number' } }, indexes: { parsimony_a: { a: 1 }, theirs: { a: 1 } } });
    await server.stop();
    server = await start({ definitions: [definition] });
    assert.deepEqual(Object.keys((await classes(server)).Game.indexes).sort(), ['_id_', 'parsimony_a']);
    await server.stop();
    await database.drop();
  });
});
