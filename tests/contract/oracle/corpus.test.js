// Sends the corpus to npm parse-server and to the server under test, and compares answer by answer.
//
// A difference must be listed in known-differences.json with a reason and with what Parsimony answers instead; a
// listed difference that is none any more fails too (but where it is listed as one that varies). TARGET=oracle
// compares parse-server with itself, which proves the comparison, not the product.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { startDatabase } from '../lib/database.js';
import { startServer, target } from '../lib/servers.js';
import { loadCorpus } from './corpus.js';
import { isCommon, loadKnown, spokenOf } from './known.js';
import { newContext, normalise, send } from './runner.js';

const known = loadKnown();
const corpus = await loadCorpus();
const database = await startDatabase();
const pairs = new Map();

after(async () => {
  for (const pair of pairs.values()) await Promise.all(pair.map(server => server.stop()));
  await database.stop();
});

async function pairFor(name) {
  if (!pairs.has(name)) {
    pairs.set(name, await Promise.all([startServer(database, 'oracle', name), startServer(database, target, name)]));
  }
  return pairs.get(name);
}

function judge(id, peer, ours) {
  const listed = known.cases[id];
  if (!listed || target === 'oracle') {
    if (isCommon(id, ours)) return;
    assert.deepEqual(ours, peer);
    return;
  }
  assert.ok(known.reasons[listed.because], `${id} is listed without a reason`);
  // What a test component answers now so, now so, proves nothing about the peer.
  if (!listed.varies) assert.notDeepEqual(ours, peer, `${id} is listed as a difference but does not differ any more`);
  assert.deepEqual(spokenOf(ours, listed.parsimony), listed.parsimony);
}

const used = new Set();
for (const group of corpus) {
  describe(group.name, () => {
    let contexts;
    for (const item of group.cases) {
      test(item.id, async () => {
        contexts ??= (await pairFor(group.config ?? 'base')).map(newContext);
        const answers = [];
        for (const context of contexts) answers.push(normalise(context, item, await send(context, item)));
        used.add(`${group.name}/${item.id}`);
        judge(`${group.name}/${item.id}`, ...answers);
      });
    }
  });
}

test('every listed difference belongs to a case', { skip: Boolean(process.env.CONTRACT_GROUPS) }, () => {
  assert.deepEqual(Object.keys(known.cases).filter(id => !used.has(id)), []);
});
