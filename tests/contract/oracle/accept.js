// Lists differences as known: `node oracle/accept.js rules.json`, where a rule is
// {"because": key, "reason": text (new keys only), "cases": [regular expressions on whole case ids], "expect"?: {...}}.
// What the server under test answers now is written down as what it is to answer ("expect" overrides it), so read the
// diff before committing it: a wrong answer must be mended, not listed.
import fs from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { startDatabase } from '../lib/database.js';
import { startServer, target } from '../lib/servers.js';
import { loadCorpus } from './corpus.js';
import { isCommon, saveKnown } from './known.js';
import { newContext, normalise, send } from './runner.js';

const rules = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'))
  .map(rule => ({ ...rule, patterns: rule.cases.map(pattern => new RegExp(`^${pattern}$`)) }));
const database = await startDatabase();
const pairs = new Map();
await saveKnown(async known => {
  for (const { because, reason } of rules) if (reason) known.reasons[because] = reason;
  for (const group of await loadCorpus()) {
    const chosen = item => rules.find(({ patterns }) => patterns.some(pattern => pattern.test(`${group.name}/${item.id}`)));
    if (!group.cases.some(chosen)) continue;
    const name = group.config ?? 'base';
    if (!pairs.has(name)) pairs.set(name, await Promise.all([startServer(database, 'oracle', name), startServer(database, target, name)]));
    const contexts = pairs.get(name).map(newContext);
    for (const item of group.cases) {
      const answers = [];
      for (const context of contexts) answers.push(normalise(context, item, await send(context, item)));
      const [peer, { headers, ...ours }] = answers;
      const rule = chosen(item);
      if (!rule || isDeepStrictEqual(answers[0], answers[1]) || isCommon(`${group.name}/${item.id}`, answers[1])) continue;
      const { headers: theirs, ...body } = peer;
      const parsimony = rule.expect ?? (isDeepStrictEqual(ours, body) ? { headers } : ours);
      known.cases[`${group.name}/${item.id}`] = { because: rule.because, parsimony };
      console.log(`${group.name}/${item.id}`);
    }
  }
});
for (const pair of pairs.values()) for (const server of pair) await server.stop();
await database.stop();
