// The GraphQL API beside npm parse-server's: the corpus sent to both, answers compared, schemas as sorted text.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';
import { isKnown, named } from './known-differences.js';
import { groups, overrides, run } from './runner.js';

describe('beside npm parse-server', { concurrency: 3 }, () => {
  let postgres;
  before(async () => { postgres = await startPostgres(); });
  after(async () => { await postgres.stop?.(); });

  for (const name of groups) {
    test(name, async () => {
      const { default: group } = await import(`./corpus/${name}.js`);
      const options = { overrides: { ...overrides, ...group.overrides } };
      const servers = await Promise.all(['oracle', 'parsimony'].map(kind => startServer(postgres, kind, group.config ?? 'base', options)));
      try {
        const [theirs, ours] = await Promise.all(servers.map(server => run(server, group)));
        const ids = Object.keys(theirs);
        assert.equal(ids.length, group.cases.length, 'ids are unique');
        const different = ids.filter(id => JSON.stringify(theirs[id]) !== JSON.stringify(ours[id]));
        const unlisted = different.filter(id => !isKnown(name, id, theirs[id]));
        assert.deepEqual(unlisted.map(id => ({ id, theirs: theirs[id], ours: ours[id] })), []);
        assert.deepEqual(named(name).filter(id => !different.includes(id)), [], 'listed, but alike');
        // Whatever they do: nobody's mistake is an internal error here.
        const inside = ids.filter(id => ours[id].status >= 500 && theirs[id].status < 500);
        assert.deepEqual(inside, []);
      } finally {
        await Promise.all(servers.map(server => server.stop()));
      }
    });
  }
});
