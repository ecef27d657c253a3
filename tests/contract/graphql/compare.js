// Runs the corpus against both servers and prints what differs: node compare.js [group…]
import { startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';
import { known } from './known-differences.js';
import { run } from './runner.js';

const names = process.argv.slice(2).filter(arg => !arg.startsWith('-'));
const groups = names.length ? names : ['queries', 'invalid', 'mutations', 'schema'];
const postgres = await startPostgres();
let total = 0;
let different = 0;
for (const name of groups) {
  const { default: group } = await import(`./corpus/${name}.js`);
  const overrides = { mountGraphQL: true, requestComplexity: { graphQLDepth: -1, graphQLFields: -1 }, ...group.overrides };
  const servers = await Promise.all(['oracle', 'parsimony'].map(kind => startServer(postgres, kind, group.config ?? 'base', { overrides })));
  const [theirs, ours] = [await run(servers[0], group), await run(servers[1], group)];
  for (const id of Object.keys(theirs)) {
    total += 1;
    const [a, b] = [JSON.stringify(theirs[id]), JSON.stringify(ours[id])];
    if (a === b || (known[name] ?? []).includes(id)) continue;
    different += 1;
    if (theirs[id].sdl && ours[id].sdl) {
      const lines = [theirs[id].sdl.split('\n'), ours[id].sdl.split('\n')];
      const sets = lines.map(all => new Set(all));
      console.log(`--- ${name}: ${id}: lines ${lines[0].length} ${lines[1].length}`);
      console.log(lines[0].filter(line => !sets[1].has(line)).slice(0, 25).map(line => `  npm  ${line}`).join('\n'));
      console.log(lines[1].filter(line => !sets[0].has(line)).slice(0, 25).map(line => `  ours ${line}`).join('\n'));
      continue;
    }
    console.log(`--- ${name}: ${id}\n  npm  ${a.slice(0, 700)}\n  ours ${b.slice(0, 700)}`);
  }
  await Promise.all(servers.map(server => server.stop()));
}
console.log(`${total} answers, ${different} differ`);
await postgres.stop?.();
process.exit(0);
