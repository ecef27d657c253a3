// Runs the corpus against both servers and prints what differs: node compare.js [group…]. CONTRACT_SDL names a folder
// for schemas that differ.
import fs from 'node:fs';
import { startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';
import { isKnown } from './known-differences.js';
import { groups as all, overrides, run } from './runner.js';

const names = process.argv.slice(2).filter(arg => !arg.startsWith('-'));
const groups = names.length ? names : all;
const postgres = await startPostgres();
let total = 0;
let different = 0;
for (const name of groups) {
  const { default: group } = await import(`./corpus/${name}.js`);
  const servers = await Promise.all(['oracle', 'parsimony'].map(kind => startServer(postgres, kind, group.config ?? 'base', { overrides: { ...overrides, ...group.overrides } })));
  const [theirs, ours] = [await run(servers[0], group), await run(servers[1], group)];
  for (const id of Object.keys(theirs)) {
    total += 1;
    const [a, b] = [JSON.stringify(theirs[id]), JSON.stringify(ours[id])];
    if (a === b || isKnown(name, id, theirs[id])) continue;
    different += 1;
    if (theirs[id].sdl && ours[id].sdl) {
      const lines = [theirs[id].sdl.split('\n'), ours[id].sdl.split('\n')];
      const sets = lines.map(all => new Set(all));
      if (process.env.CONTRACT_SDL) {
        fs.writeFileSync(`${process.env.CONTRACT_SDL}/${id}-npm.graphql`, theirs[id].sdl);
        fs.writeFileSync(`${process.env.CONTRACT_SDL}/${id}-ours.graphql`, ours[id].sdl);
      }
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
