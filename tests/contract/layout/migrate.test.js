// `migrate` leaves nothing behind without a word: what no class has is named.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { withMongo } from '../lib/database.js';
import { createDatabase, startPostgres, waitFor } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

const component = process.env.PARSIMONY_TEST_MONGO_URI;
const here = path.dirname(fileURLToPath(import.meta.url));
const program = process.env.PARSIMONY_BIN ?? path.resolve(here, '../../../target/debug/parsimony');
const { ObjectId } = createRequire(createRequire(import.meta.url).resolve('parse-server'))('mongodb');

test('what no class of a MongoDB database has is named', { skip: component ? false : 'PARSIMONY_TEST_MONGO_URI is not set' }, async () => {
  const uri = `${component}/migrate_${randomBytes(6).toString('hex')}`;
  const postgres = await startPostgres();
  const target = await createDatabase(postgres, 'migrate');
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-migrate-'));
  const run = (...more) => spawnSync(program, ['--appId', 'app', '--masterKey', 'key', '--dataDir', folder, 'migrate', ...more, uri, target.uri], { encoding: 'utf8' });
  try {
    await withMongo(uri, async database => {
      const at = new Date('2020-01-02T03:04:05.678Z');
      const times = { _created_at: at, _updated_at: at };
      await database.collection('_SCHEMA').insertOne({ _id: 'Game', objectId: 'string', createdAt: 'date', updatedAt: 'date', s: 'string', fans: 'relation<Game>' });
      await database.collection('Game').insertMany([
        { _id: 'plain', s: 'x', ...times, _rperm: ['*'], _wperm: [], _acl: { '*': { r: true } } },
        { _id: new ObjectId('0123456789abcdef01234567'), s: 'imported', ...times },
      ]);
      await database.collection('_Join:fans:Game').insertOne({ owningId: 'plain', relatedId: '0123456789abcdef01234567' });
    });
    const clean = run();
    assert.equal(clean.status, 0, clean.stdout + clean.stderr);
    await withMongo(uri, async database => {
      // More than one page, and before every text in the order of the server.
      await database.collection('Game').insertMany(Array.from({ length: 1100 }, (_, n) => ({ _id: n, s: 'numbered' })));
      await database.collection('Game').insertOne({ _id: 'strange', s: 'y', extra: 'text', _p_old: 'Game$plain' });
      await database.collection('Other').insertMany([{ a: 1 }, { a: 2 }]);
      await database.collection('_Join:gone:Game').insertOne({ owningId: 'plain', relatedId: 'strange' });
    });
    const { status, stdout, stderr } = run();
    assert.equal(status, 1, stdout + stderr);
    for (const line of [
      'key extra of Game, in strange first: no field of the class',
      'key _p_old of Game, in strange first: no field of the class',
      'collection Other, 2 documents: no class',
      'collection _Join:gone:Game, 1 documents: no class',
      'Game, 1100 documents: an _id that is neither a text nor an ObjectId',
    ]) assert.ok(stdout.split('\n').some(told => told.trim() === line), `${line}\n${stdout}`);
    assert.match(stdout, /Objects moved: 1, there before: 2/);
    assert.match(run('--dry-run').stdout, /key extra of Game/);
  } finally {
    await withMongo(uri, database => database.dropDatabase());
    await target.drop();
    await postgres.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  }
});

test('a class that is made anew while it is followed is the new one', { skip: component ? false : 'PARSIMONY_TEST_MONGO_URI is not set' }, async () => {
  const uri = `${component}/migrate_${randomBytes(6).toString('hex')}`;
  const postgres = await startPostgres();
  const target = await createDatabase(postgres, 'migrate');
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-migrate-'));
  const plain = { _id: 'Game', objectId: 'string', createdAt: 'date', updatedAt: 'date' };
  const at = new Date('2020-01-02T03:04:05.678Z');
  let following;
  try {
    await withMongo(uri, async database => {
      const locked = { class_permissions: { find: { 'role:admin': true }, get: {}, create: {}, update: {}, delete: {}, addField: {} } };
      await database.collection('_SCHEMA').insertOne({ ...plain, n: 'string', kept: 'string', _metadata: locked });
      await database.collection('Game').insertOne({ _id: 'a', _created_at: at, _updated_at: at, n: 'text', kept: 'x' });
    });
    let told = '';
    following = spawn(program, ['--appId', 'app', '--masterKey', 'key', '--dataDir', folder, 'migrate', '--follow', uri, target.uri]);
    for (const stream of [following.stdout, following.stderr]) stream.on('data', chunk => (told += chunk));
    const ended = new Promise(resolve => following.once('exit', resolve));
    await waitFor(() => told.includes('READY'), { what: `the migration to be ready: ${told}` });
    await withMongo(uri, async database => {
      await database.collection('_SCHEMA').replaceOne({ _id: 'Game' }, { ...plain, n: 'number', kept: 'string' });
      await database.collection('Game').updateOne({ _id: 'a' }, { $set: { n: 5 } });
    });
    following.kill('SIGUSR1');
    assert.equal(await ended, 0, told);
    const server = await startServer(null, 'parsimony', 'base', { databaseURI: target.uri });
    try {
      const headers = { 'X-Parse-Application-Id': server.config.appId };
      const found = await (await fetch(`${server.url}/classes/Game`, { headers })).json();
      assert.deepEqual(found.results?.map(({ n, kept }) => ({ n, kept })), [{ n: 5, kept: 'x' }], JSON.stringify(found));
    } finally {
      await server.stop();
    }
  } finally {
    following?.kill('SIGKILL');
    await withMongo(uri, database => database.dropDatabase());
    await target.drop();
    await postgres.stop();
    fs.rmSync(folder, { recursive: true, force: true });
  }
});
