// A MongoDB database that one server wrote is opened by the other, read, written to, and handed back.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { before, describe, test } from 'node:test';
import { startServer, target } from '../lib/servers.js';
import { carryOn, read, write } from './program.js';

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
