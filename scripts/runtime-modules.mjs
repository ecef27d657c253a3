// Copies the npm packages that the server needs at run time (`dependencies` of package.json and what those need, as
// the lock file has them) out of node_modules into a folder.
//
//   node scripts/runtime-modules.mjs TARGET_FOLDER
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const [target] = process.argv.slice(2);
if (!target) {
  console.error('usage: runtime-modules.mjs TARGET_FOLDER');
  process.exit(2);
}
const { packages } = JSON.parse(fs.readFileSync(path.join(root, 'package-lock.json'), 'utf8'));
for (const [place, entry] of Object.entries(packages)) {
  if (!place.startsWith('node_modules/') || entry.dev || entry.devOptional) continue;
  const from = path.join(root, place);
  if (!fs.existsSync(from)) {
    if (entry.optional) continue;
    console.error(`runtime-modules: ${place} is missing: run npm ci`);
    process.exit(1);
  }
  fs.cpSync(from, path.join(target, place.slice('node_modules/'.length)), {
    recursive: true,
    // Packages inside of a package are entries of their own.
    filter: file => path.basename(file) !== 'node_modules' || file === from,
  });
}
