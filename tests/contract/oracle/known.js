// Reads and writes known-differences.json: `reasons` (key -> text) and `cases` (case id -> {because, parsimony}), where
// `parsimony` says what Parsimony answers instead: any of status, body, headers, labels, error, and code.
//
// On MongoDB, where both servers answer differently, known-differences-mongo.json is the list; what Parsimony answers
// there as it does on PostgreSQL needs no second entry. `varies` marks a difference that is not always one, because the
// test component answers parse-server now so, now so; what Parsimony answers is held to all the same.
import fs from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { isMongo } from '../lib/database.js';

const everywhere = new URL('known-differences.json', import.meta.url);
const file = isMongo ? new URL('known-differences-mongo.json', import.meta.url) : everywhere;
const read = from => JSON.parse(fs.readFileSync(from, 'utf8'));
const common = isMongo ? read(everywhere) : { cases: {} };

export function loadKnown() {
  return read(file);
}

/** Whether an answer on MongoDB is what is listed for PostgreSQL. */
export function isCommon(id, answer) {
  const listed = common.cases[id];
  return listed !== undefined && isDeepStrictEqual(spokenOf(answer, listed.parsimony), listed.parsimony);
}

/** Lets `change` alter the list, then writes it, one line to a case. */
export async function saveKnown(change) {
  const known = loadKnown();
  await change(known);
  // A reason that no case has any more is none.
  const used = new Set(Object.values(known.cases).map(({ because }) => because));
  for (const key of Object.keys(known.reasons)) if (!used.has(key)) delete known.reasons[key];
  const lines = object => Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `    ${JSON.stringify(key)}: ${JSON.stringify(value)}`).join(',\n');
  fs.writeFileSync(file, `{\n  "reasons": {\n${lines(known.reasons)}\n  },\n  "cases": {\n${lines(known.cases)}\n  }\n}\n`);
}

/** The part of an answer that a listed expectation speaks about. */
export function spokenOf(answer, expected) {
  return Object.fromEntries(Object.keys(expected).map(key => {
    if (key === 'code' && !('code' in answer)) return [key, answer.body?.code ?? null];
    return [key, answer[key]];
  }));
}
