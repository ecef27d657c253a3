// Indexes over fields that a class does not have.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { query } from '../lib/postgres.js';
import { asMaster, stage } from './calls.js';

const { server: start } = await stage();
const both = await Promise.all([start({}), start({ databaseOptions: { disableIndexFieldValidation: true } })]);

test('disableIndexFieldValidation: indexes of columns that the schema does not name', async () => {
  const answers = await Promise.all(both.map(async server => {
    await asMaster(server, 'POST', 'schemas/Place', { className: 'Place', fields: { name: { type: 'String' } } });
    await query(server.databaseURI, 'ALTER TABLE "Place" ADD COLUMN "elsewhere" text');
    return asMaster(server, 'PUT', 'schemas/Place', { indexes: { own: { elsewhere: 1 } } });
  }));
  assert.deepEqual([answers[0].status, answers[0].body.error], [400, 'Field elsewhere does not exist, cannot add index.']);
  assert.equal(answers[1].status, 200, answers[1].text);
  const made = server => query(server.databaseURI, `SELECT 1 FROM pg_indexes WHERE indexname = 'own'`).then(({ rowCount }) => rowCount);
  assert.deepEqual(await Promise.all(both.map(made)), [0, 1]);
  // A column that is nowhere: written down only.
  const nowhere = await asMaster(both[1], 'PUT', 'schemas/Place', { indexes: { never: { nowhere: 1 } } });
  assert.equal(nowhere.status, 200, nowhere.text);
  assert.deepEqual(nowhere.body.indexes.never, { nowhere: 1 });
});
