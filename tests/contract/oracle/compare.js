// Prints, one block per case, where the server under test departs from npm parse-server and from the list of known
// differences: `CONTRACT_GROUPS=objects,batch node oracle/compare.js`. For people; corpus.test.js is the judge.
import { isDeepStrictEqual } from 'node:util';
import { startDatabase } from '../lib/database.js';
import { startServer, target } from '../lib/servers.js';
import { loadCorpus } from './corpus.js';
import { isCommon, loadKnown, spokenOf } from './known.js';
import { newContext, normalise, send } from './runner.js';

const known = loadKnown();
const database = await startDatabase();
const pairs = new Map();

function brief(answer) {
  return JSON.stringify(answer).slice(0, 600);
}

/** Only what differs, so that long equal bodies do not hide it. */
function parts(peer, ours) {
  const plain = value => value !== null && typeof value === 'object' && !Array.isArray(value);
  if (!plain(peer) || !plain(ours)) return [peer, ours];
  const keys = [...new Set([...Object.keys(peer), ...Object.keys(ours)])].filter(key => !isDeepStrictEqual(peer[key], ours[key]));
  const shown = keys.length > 1 ? keys.filter(key => key !== 'headers') : keys;
  const pairs = shown.map(key => [key, parts(peer[key], ours[key])]);
  return [0, 1].map(side => Object.fromEntries(pairs.map(([key, both]) => [key, both[side]])));
}

for (const group of await loadCorpus()) {
  const name = group.config ?? 'base';
  if (!pairs.has(name)) pairs.set(name, await Promise.all([startServer(database, 'oracle', name), startServer(database, target, name)]));
  const contexts = pairs.get(name).map(newContext);
  for (const item of group.cases) {
    const id = `${group.name}/${item.id}`;
    const [peer, ours] = await Promise.all(contexts.map(async context => {
      try {
        return normalise(context, item, await send(context, item));
      } catch (error) {
        return { failed: error.message };
      }
    }));
    const listed = known.cases[id];
    if (listed ? isDeepStrictEqual(spokenOf(ours, listed.parsimony), listed.parsimony) : isDeepStrictEqual(ours, peer) || isCommon(id, ours)) {
      if (listed && isDeepStrictEqual(ours, peer)) console.log(`${id}\n   listed, but no difference any more`);
      continue;
    }
    const [left, right] = parts(listed ? listed.parsimony : peer, listed ? spokenOf(ours, listed.parsimony) : ours);
    console.log(`${id}\n   ${listed ? 'listed' : 'oracle'} ${brief(left)}\n   ours   ${brief(right)}`);
  }
}
for (const pair of pairs.values()) for (const server of pair) await server.stop();
await database.stop();
