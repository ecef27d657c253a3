// The whole corpus: every module in corpus/ exports `groups`.
import fs from 'node:fs';
import path from 'node:path';
import { isMongo } from '../lib/database.js';
import { fileURLToPath } from 'node:url';

const folder = path.join(path.dirname(fileURLToPath(import.meta.url)), 'corpus');

/** `only: 'postgres'` on a group or a case: what the MongoDB server of the tests has not (text indexes, secondaries). */
const here = ({ only }) => !(isMongo && only === 'postgres');

/** All groups, checked for ids that are used twice. */
export async function loadCorpus() {
  const groups = [];
  for (const file of fs.readdirSync(folder).filter(name => name.endsWith('.js')).sort()) {
    groups.push(...(await import(path.join(folder, file))).groups.filter(here));
  }
  for (const group of groups) group.cases = group.cases.filter(here);
  const seen = new Set();
  for (const group of groups) {
    for (const item of group.cases) {
      const id = `${group.name}/${item.id}`;
      if (seen.has(id)) throw new Error(`the corpus has two cases ${id}`);
      seen.add(id);
    }
  }
  const only = process.env.CONTRACT_GROUPS?.split(',');
  return only ? groups.filter(group => only.some(prefix => group.name.startsWith(prefix))) : groups;
}
