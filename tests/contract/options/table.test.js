// Every option that docs/configuration.md calls effective is named by a test. Whether that test asserts anything is for its readers;
// that nobody forgot an option is for this one.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const self = fileURLToPath(import.meta.url);
const root = path.resolve(path.dirname(self), '../../..');

/** The texts of all tests: those of this folder's kind, and those beside what they test. What only reads the table says nothing. */
function texts() {
  const below = folder => fs.readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile()).map(entry => path.join(entry.parentPath ?? entry.path, entry.name)).filter(file => !file.includes('node_modules'));
  const outer = below('tests').filter(file => /\.(rs|js|cjs|mjs)$/.test(file) && file !== self);
  const inner = below('src').filter(file => /\/(tests\.rs|tests\/.*\.rs)$/.test(file) && !/\/src\/config\/tests/.test(file));
  return [...outer, ...inner].map(file => fs.readFileSync(file, 'utf8'));
}

/** The rows of the table: `{group, name, effect}`; the group is the option whose key this is, if any. */
function options() {
  const rows = [];
  let group;
  for (const line of fs.readFileSync(path.join(root, 'docs/configuration.md'), 'utf8').split('\n')) {
    if (line.startsWith('## ')) group = line === '## Options' ? undefined : line.slice(3).split('.').at(-1);
    const name = /^\| `([A-Za-z0-9_.]+)`/.exec(line)?.[1];
    // A bar within a cell is escaped.
    if (name) rows.push({ group, name: name.split('.').at(-1), effect: line.split(/(?<!\\)\|/).at(-2).trim() });
  }
  return rows;
}

test('each option that has an effect is named by a test, with the option whose key it is', () => {
  const rows = options();
  assert.ok(rows.length > 300, `${rows.length} options`);
  assert.deepEqual([...new Set(rows.map(({ effect }) => effect))].sort(), ['', '*accepted*', '*protects*']);
  const all = texts();
  const word = name => new RegExp(`\\b${name}\\b`);
  const isNamed = ({ group, name }) => all.some(text => word(name).test(text) && (!group || word(group).test(text)));
  const forgotten = rows.filter(row => row.effect === '' && !isNamed(row)).map(({ group, name }) => (group ? `${group}.${name}` : name));
  assert.deepEqual(forgotten, []);
});
