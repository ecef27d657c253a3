// Copies the npm packages that the server needs at run time (`dependencies` of package.json and what those need, as
// the lock file has them) out of node_modules into a folder.
//
//   node scripts/runtime-modules.mjs TARGET_FOLDER
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');

/** Those packages: `place` in node_modules, `from` on the disk, and the lock file's entry. */
export function runtimePackages() {
  const { packages } = JSON.parse(fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8'));
  const found = [];
  for (const [place, entry] of Object.entries(packages)) {
    if (!place.startsWith('node_modules/') || entry.dev || entry.devOptional) continue;
    const from = path.join(root, place);
    if (!fs.existsSync(from)) {
      if (entry.optional) continue;
      throw new Error(`${place} is missing: run npm ci`);
    }
    found.push({ place: place.slice('node_modules/'.length), from, entry });
  }
  return found;
}

function copy(target) {
  for (const { place, from } of runtimePackages()) {
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
