// Copies the npm packages that the server needs at run time out of node_modules into a folder: those that package.json
// names, in the versions of the lock file, with what they need. Of what Parse Dashboard names, most is for building
// its pages, which are built; only what its server asks for is taken.
//
//   node scripts/runtime-modules.mjs TARGET_FOLDER
import fs from 'node:fs';
import { isBuiltin } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const json = name => JSON.parse(fs.readFileSync(path.join(root, name), 'utf8'));

/** The packages that the program of the dashboard's server names. */
function asked(folder) {
  const names = new Set();
  for (const file of fs.readdirSync(folder, { recursive: true })) {
    if (!file.endsWith('.js') || file.startsWith('public')) continue;
    const text = fs.readFileSync(path.join(folder, file), 'utf8');
    for (const [, name] of text.matchAll(/(?:\b(?:require|import)\(|\bfrom )\s*['"]((?:@[\w.-]+\/)?[\w.-]+)(?:\/[^'"]*)?['"]/g)) {
      if (!isBuiltin(name)) names.add(name);
    }
  }
  return [...names];
}

/** Those packages: `place` in node_modules, `from` on the disk, the lock file's entry, and the places of what each needs. */
export function runtimePackages() {
  const { packages } = json('package-lock.json');
  // As Node looks a package up: inside, then beside, further and further up.
  const resolve = (from, name) => {
    for (let at = from; ; at = at.slice(0, Math.max(at.lastIndexOf('/node_modules/'), 0))) {
      const place = at === '' ? `node_modules/${name}` : `${at}/node_modules/${name}`;
      if (packages[place]) return place;
      if (at === '') return undefined;
    }
  };
  const { dependencies, optionalDependencies } = json('package.json');
  const found = new Map();
  const waiting = Object.keys({ ...dependencies, ...optionalDependencies }).map(name => resolve('', name)).filter(Boolean);
  const direct = [...waiting];
  while (waiting.length > 0) {
    const place = waiting.pop();
    if (found.has(place)) continue;
    const entry = packages[place];
    const from = path.join(root, place);
    if (!fs.existsSync(from)) {
      if (entry.optional) continue;
      throw new Error(`${place} is missing: run npm ci`);
    }
    const named = Object.keys({ ...entry.dependencies, ...entry.optionalDependencies });
    const wanted = place === 'node_modules/parse-dashboard' ? asked(path.join(from, 'Parse-Dashboard')).filter(name => named.includes(name)) : named;
    const needs = wanted.map(name => resolve(place, name)).filter(Boolean);
    found.set(place, { place: place.slice('node_modules/'.length), from, entry, needs });
    waiting.push(...needs);
  }
  // What is optional may be missing.
  const present = places => places.filter(place => found.has(place)).map(place => place.slice('node_modules/'.length));
  const all = [...found.values()].map(each => ({ ...each, needs: present(each.needs) }));
  return { packages: all.sort((a, b) => (a.place < b.place ? -1 : 1)), direct: present(direct) };
}

function copy(target) {
  for (const { place, from } of runtimePackages().packages) {
    fs.cpSync(from, path.join(target, place), {
      recursive: true,
      // Packages inside of a package are entries of their own.
      filter: file => path.basename(file) !== 'node_modules' || file === from,
    });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [target] = process.argv.slice(2);
  if (!target) {
    console.error('usage: runtime-modules.mjs TARGET_FOLDER');
    process.exit(2);
  }
  try {
    copy(target);
  } catch (error) {
    console.error(`runtime-modules: ${error.message}`);
    process.exit(1);
  }
}
