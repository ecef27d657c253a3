// The GraphQL API beside npm parse-server's: the corpus sent to both, answers compared, schemas as sorted text; and
// real clients from npm against the binary.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { GraphQLClient, gql } from 'graphql-request';
import { startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';
import { known } from './known-differences.js';
import { run } from './runner.js';

const groups = ['queries', 'invalid', 'mutations', 'schema'];

describe('beside npm parse-server', () => {
  let postgres;
  before(async () => { postgres = await startPostgres(); });
  after(async () => { await postgres.stop?.(); });

  for (const name of groups) {
    test(name, async () => {
      const { default: group } = await import(`./corpus/${name}.js`);
      const overrides = { mountGraphQL: true, requestComplexity: { graphQLDepth: -1, graphQLFields: -1 } };
      const servers = await Promise.all(['oracle', 'parsimony'].map(kind => startServer(postgres, kind, 'base', { overrides })));
      try {
        const [theirs, ours] = await Promise.all(servers.map(server => run(server, group)));
        const different = Object.keys(theirs).filter(id => JSON.stringify(theirs[id]) !== JSON.stringify(ours[id]));
        assert.deepEqual(different.filter(id => !(known[name] ?? []).includes(id)), []);
        // The list only shrinks.
        assert.deepEqual((known[name] ?? []).filter(id => !different.includes(id)), []);
      } finally {
        await Promise.all(servers.map(server => server.stop()));
      }
    });
  }
});

describe('clients', () => {
  let postgres;
  let server;
  before(async () => {
    postgres = await startPostgres();
    server = await startServer(postgres, 'parsimony', 'base', { overrides: { mountGraphQL: true } });
  });
  after(async () => {
    await server.stop();
    await postgres.stop?.();
  });

  test('graphql-request', async () => {
    const headers = { 'X-Parse-Application-Id': server.config.appId, 'X-Parse-Master-Key': server.config.masterKey };
    const client = new GraphQLClient(server.url.replace(/\/parse$/, '/graphql'), { headers });
    await client.request(gql`mutation { createClass(input: { name: "Note", schemaFields: { addStrings: [{ name: "text" }] } }) { class { name } } }`);
    const made = await client.request(gql`mutation M($text: String!) { createNote(input: { fields: { text: $text } }) { note { id text } } }`, { text: 'hello' });
    assert.equal(made.createNote.note.text, 'hello');
    const found = await client.request(gql`query Q($id: ID!) { note(id: $id) { text } notes { count } }`, { id: made.createNote.note.id });
    assert.deepEqual(found, { note: { text: 'hello' }, notes: { count: 1 } });
    await assert.rejects(client.request(gql`{ nothing }`), /Cannot query field/);
  });
});
