// Assembles the npm package in a folder: what `packaging/npm` has, the program of the Cloud Code host, which it shares
// with the server, the licence and, where one is named, the server's binary.
//
//   node scripts/npm-package.mjs TARGET_FOLDER [BINARY]
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const [target, binary] = process.argv.slice(2);
if (!target) {
  console.error('usage: npm-package.mjs TARGET_FOLDER [BINARY]');
  process.exit(2);
}
fs.mkdirSync(target, { recursive: true });
fs.cpSync(path.join(root, 'packaging/npm'), target, { recursive: true });
fs.cpSync(path.join(root, 'src/cloud/node/host'), path.join(target, 'host'), { recursive: true });
fs.copyFileSync(path.join(root, 'LICENSE'), path.join(target, 'LICENSE'));
if (binary) {
  const folder = path.join(target, 'bin', `${process.platform}-${process.arch}`);
  fs.mkdirSync(folder, { recursive: true });
  fs.copyFileSync(binary, path.join(folder, 'parsimony'));
  fs.chmodSync(path.join(folder, 'parsimony'), 0o755);
}
