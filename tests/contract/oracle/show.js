// Prints what a server answers to the corpus, one JSON line per case: `node oracle/show.js oracle > answers.jsonl`.
// CONTRACT_GROUPS=prefix,prefix chooses groups.
import { startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';
import { loadCorpus } from './corpus.js';
import { newContext, normalise, send } from './runner.js';

const kind = process.argv[2] ?? 'oracle';
const postgres = await startPostgres();
const servers = new Map();
for (const group of await loadCorpus()) {
  const name = group.config ?? 'base';
  if (!servers.has(name)) servers.set(name, await startServer(postgres, kind, name));
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
await postgres.stop();
