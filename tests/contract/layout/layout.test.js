// A database that one server wrote is opened by the other, read, written to, and handed back.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createDatabase, provideGeometry, query, startPostgres } from '../lib/postgres.js';
import { startServer, target } from '../lib/servers.js';
import { carryOn, read, write } from './program.js';

let postgres;
before(async () => {
  postgres = await startPostgres();
});
after(() => postgres.stop());

async function withServer(kind, databaseURI, work) {
  const server = await startServer(postgres, kind, 'base', { databaseURI });
  try {
    return await work(server);
  } finally {
    await server.stop();
  }
}

async function freshDatabase(label) {
  const database = await createDatabase(postgres, label);
  await provideGeometry(database.uri);
  return database;
}

/** Order of keys, and of rows written in one millisecond, is nobody's promise. */
function comparable(answers) {
  return Object.fromEntries(Object.entries(answers).map(([name, { status, body }]) => {
    if (Array.isArray(body.results)) body.results.sort((a, b) => (JSON.stringify(a.objectId) < JSON.stringify(b.objectId) ? -1 : 1));
    return [name, { status, body }];
  }));
}

for (const [writer, reader] of [['oracle', target], [target, 'oracle']]) {
  describe(`${writer} writes, ${reader} goes on, ${writer} takes it back`, () => {
    let database;
    let made;
    let before_;
    let between;
    before(async () => {
      database = await freshDatabase('layout');
    });
    after(() => database.drop());

    test('the writer fills the database', async () => {
      await withServer(writer, database.uri, async server => {
        made = await write(server);
        before_ = comparable(await read(server, made));
      });
      assert.equal(before_['objects, master'].body.results.length, 5);
      assert.equal(before_['objects, nobody'].body.results.length, 2);
      assert.equal(before_['objects, alice'].body.results.length, 3);
      assert.equal(before_['objects, bob through a nested role'].body.results.length, 3);
    });

    test('the reader sees what the writer saw, and goes on writing', async () => {
      assert.ok(before_, 'nothing was written');
      await withServer(reader, database.uri, async server => {
        const seen = comparable(await read(server, made));
        for (const name of Object.keys(before_)) assert.deepEqual(seen[name], before_[name], name);
        await carryOn(server, made);
        between = comparable(await read(server, made));
      });
    });

    test('the writer takes it back as the reader left it', async () => {
      assert.ok(between, 'nothing was read');
      await withServer(writer, database.uri, async server => {
        const seen = comparable(await read(server, made));
        for (const name of Object.keys(between)) assert.deepEqual(seen[name], between[name], name);
        await carryOn(server, made);
        assert.equal((await read(server, made)).config.body.params.greeting, `hello from ${writer}`);
      });
    });
  });
}

async function columns(uri) {
  const { rows } = await query(uri, `SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
    WHERE table_schema = 'public' ORDER BY 1, 2`);
  const tables = {};
  for (const row of rows) (tables[row.table_name] ??= {})[row.column_name] = `${row.data_type}${row.is_nullable === 'NO' ? ' not null' : ''}`;
  return tables;
}

async function schemaRows(uri) {
  const { rows } = await query(uri, 'SELECT "className", schema, "isParseClass" FROM "_SCHEMA" ORDER BY 1');
  return Object.fromEntries(rows.map(row => [row.className, row]));
}

async function indexes(uri) {
  const { rows } = await query(uri, "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2");
  return Object.fromEntries(rows.map(row => [`${row.tablename}.${row.indexname}`, row.indexdef]));
}

test('both write the same tables, schema rows and indexes', async () => {
  const seen = {};
  for (const kind of ['oracle', target]) {
    const database = await freshDatabase('tables');
    await withServer(kind, database.uri, async server => write(server));
    seen[kind === 'oracle' && seen.oracle ? 'again' : kind] = {
      columns: await columns(database.uri), schemas: await schemaRows(database.uri), indexes: await indexes(database.uri),
    };
    await database.drop();
  }
  const [peer, ours] = Object.values(seen);
  assert.deepEqual(ours.schemas, peer.schemas);
  // What a push came to has two more counters here.
  for (const column of ['maybeRepeated', 'opened']) {
    assert.equal(ours.columns._PushStatus[column], 'double precision');
    delete ours.columns._PushStatus[column];
  }
  for (const table of Object.keys(peer.columns)) assert.deepEqual(ours.columns[table], peer.columns[table], table);
  for (const [name, definition] of Object.entries(peer.indexes)) {
    if (/_pkey$|_uniq/.test(name)) continue;
    assert.equal(ours.indexes[name], definition, `index ${name}`);
  }
  const extra = Object.keys(ours.columns).filter(table => !(table in peer.columns));
  assert.deepEqual(extra, [], 'tables that parse-server does not know are ours alone and belong elsewhere');
});

test('the tables are what an existing database has', async () => {
  const database = await freshDatabase('types');
  await withServer(target, database.uri, async server => write(server));
  const layout = (await columns(database.uri)).Layout;
  const expected = {
    objectId: 'text not null', createdAt: 'timestamp with time zone', updatedAt: 'timestamp with time zone', _rperm: 'ARRAY', _wperm: 'ARRAY',
    s: 'text', n: 'double precision', b: 'boolean', d: 'timestamp with time zone', o: 'jsonb', a: 'jsonb', g: 'point', poly: 'polygon', y: 'jsonb',
    f: 'text', p: 'text',
  };
  for (const [column, type] of Object.entries(expected)) assert.equal(layout[column], type, column);
  const { rows: [row] } = await query(database.uri, `SELECT g[0] AS longitude, g[1] AS latitude, f, p, y, o->'at' AS at, _rperm FROM "Layout" WHERE label = 'all'`);
  assert.deepEqual([row.longitude, row.latitude, row.f, row._rperm], [-30.25, 40.5, 'layout.txt', null]);
  assert.equal(row.at.__type, 'Pointer');
  const { rows: [closed] } = await query(database.uri, `SELECT _rperm, _wperm FROM "Layout" WHERE label = 'nobody'`);
  assert.deepEqual(closed, { _rperm: [], _wperm: [] });
  const { rows: [join] } = await query(database.uri, 'SELECT "relatedId", "owningId" FROM "_Join:kids:LayoutParent"');
  assert.equal(join.relatedId.length, 10);
  await database.drop();
});
