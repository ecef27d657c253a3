// Prints what a server answers to the corpus, one JSON line per case: `node oracle/show.js oracle > answers.jsonl`.
// CONTRACT_GROUPS=prefix,prefix chooses groups.
import { startDatabase } from '../lib/database.js';
import { startServer } from '../lib/servers.js';
import { loadCorpus } from './corpus.js';
import { newContext, normalise, send } from './runner.js';

const kind = process.argv[2] ?? 'oracle';
const database = await startDatabase();
const servers = new Map();
for (const group of await loadCorpus()) {
  const name = group.config ?? 'base';
  if (!servers.has(name)) servers.set(name, await startServer(database, kind, name));
  const context = newContext(servers.get(name));
  for (const item of group.cases) {
    let answer;
    try {
      answer = normalise(context, item, await send(context, item));
    } catch (error) {
      answer = { failed: `${error.message} ${error.cause?.message ?? ''}` };
    }
    console.log(JSON.stringify({ id: `${group.name}/${item.id}`, ...answer }));
  }
}
for (const server of servers.values()) await server.stop();
await database.stop();
