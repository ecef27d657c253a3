// A MongoDB database that one server wrote is opened by the other, read, written to, and handed back.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { withMongo } from '../lib/database.js';
import { startServer, target } from '../lib/servers.js';
import { ask, call, carryOn, pointer, read, write } from './program.js';

const component = process.env.PARSIMONY_TEST_MONGO_URI;

async function withServer(kind, databaseURI, work) {
  const server = await startServer(null, kind, 'base', { databaseURI });
  try {
    return await work(server);
  } finally {
    await server.stop();
  }
}

/**
 * Order of rows written in one millisecond is nobody's promise. Each start writes down the indexes that it finds. The
 * stand-in does not know the operator with which parse-server asks for boxes.
 */
function comparable(answers) {
  return Object.fromEntries(Object.entries(answers).filter(([name]) => name !== 'by box').map(([name, { status, body }]) => {
    if (Array.isArray(body.results)) body.results.sort((a, b) => (JSON.stringify(a.objectId) < JSON.stringify(b.objectId) ? -1 : 1));
    delete body.indexes;
    return [name, { status, body }];
  }));
}

for (const [writer, reader] of [['oracle', target], [target, 'oracle']]) {
  describe(`on MongoDB ${writer} writes, ${reader} goes on, ${writer} takes it back`, { skip: component ? false : 'PARSIMONY_TEST_MONGO_URI is not set' }, () => {
    let uri;
    let made;
    let first;
    let between;
    before(() => {
      uri = `${component}/layout_${randomBytes(6).toString('hex')}`;
    });

    test('the writer fills the database', async () => {
      await withServer(writer, uri, async server => {
        made = await write(server);
        first = comparable(await read(server, made));
      });
      assert.equal(first['objects, master'].body.results.length, 5);
      assert.equal(first['objects, alice'].body.results.length, 3);
      assert.equal(first['objects, bob through a nested role'].body.results.length, 3);
    });

    test('the reader sees what the writer saw, and goes on writing', async () => {
      assert.ok(first, 'nothing was written');
      await withServer(reader, uri, async server => {
        const seen = comparable(await read(server, made));
        for (const name of Object.keys(first)) assert.deepEqual(seen[name], first[name], name);
        await carryOn(server, made);
        between = comparable(await read(server, made));
      });
    });

    test('the writer takes it back as the reader left it', async () => {
      assert.ok(between, 'nothing was read');
      await withServer(writer, uri, async server => {
        const seen = comparable(await read(server, made));
        for (const name of Object.keys(between)) assert.deepEqual(seen[name], between[name], name);
        await carryOn(server, made);
        assert.equal((await read(server, made)).config.body.params.greeting, `hello from ${writer}`);
      });
    });
  });
}

test('what other programs wrote beside the schema is shown', { skip: component ? false : 'PARSIMONY_TEST_MONGO_URI is not set' }, async () => {
  const seen = {};
  for (const kind of ['oracle', target]) {
    await withServer(kind, `${component}/layout_${randomBytes(6).toString('hex')}`, async server => {
      await call(server, 'POST', 'classes/Strange', { body: { s: 'x' } });
      const at = new Date('2020-01-02T03:04:05.678Z');
      await withMongo(server.databaseURI, database => database.collection('Strange').insertOne({
        _id: 'strange', _created_at: at, _updated_at: at, s: 'y', text: 'z', number: 5, no: false, list: [1, at], inside: { at, deep: { x: 1 } }, when: at,
        _p_nobody: 'Nowhere$x',
      }));
      // Times under their plain names, and a date inside of an object in an older form.
      await withMongo(server.databaseURI, database => database.collection('Strange').insertOne({
        _id: 'older', s: 'w', createdAt: at, updatedAt: at, inside: { old: { __type: 'Date', iso: at } },
      }));
      await call(server, 'POST', 'classes/Pointing', { body: { at: pointer('Strange', 'strange') } });
      const { objectId } = await call(server, 'POST', 'classes/Pointing', { body: { at: pointer('Strange', 'strange') } });
      await call(server, 'PUT', `classes/Pointing/${objectId}`, { body: { at: null } });
      const recipe = [
        { $match: { at: { $exists: true } } }, { $project: { id: { $substr: ['$_p_at', 'Strange$'.length, -1] } } },
        { $lookup: { from: 'Strange', localField: 'id', foreignField: '_id', as: 'found' } }, { $unwind: '$found' }, { $project: { _id: 0, text: '$found.text' } },
      ];
      const where = encodeURIComponent(JSON.stringify({ s: 'y' }));
      seen[kind] = {
        get: await ask(server, 'GET', 'classes/Strange/strange'),
        find: await ask(server, 'GET', `classes/Strange?where=${where}`),
        'master, again': await ask(server, 'GET', `classes/Strange?where=${where}`, { as: 'master' }),
        keys: await ask(server, 'GET', `classes/Strange?where=${where}&keys=text,inside.deep`),
        older: await ask(server, 'GET', 'classes/Strange/older'),
        pointing: Object.keys((await ask(server, 'GET', `classes/Pointing/${objectId}`)).body).sort(),
        joined: await ask(server, 'GET', `aggregate/Pointing?pipeline=${encodeURIComponent(JSON.stringify(recipe))}`, { as: 'master' }),
        others: (await ask(server, 'GET', 'classes/Strange?order=s&limit=1')).body.results.map(object => Object.keys(object).sort()),
      };
    });
  }
  assert.equal(seen.oracle.get.body.text, 'z');
  assert.equal(seen.oracle.keys.body.results[0].text, 'z');
  assert.deepEqual(seen.oracle.joined.body.results, [{ text: 'z' }]);
  assert.deepEqual(seen[target], seen.oracle);
});
