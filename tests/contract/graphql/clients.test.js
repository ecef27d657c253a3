// Real clients from npm against the binary: graphql-request, Apollo Client with uploads.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ApolloClient, InMemoryCache, gql } from '@apollo/client/core/index.js';
import createUploadLink from 'apollo-upload-client/createUploadLink.mjs';
import { GraphQLClient } from 'graphql-request';
import { startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

describe('clients', () => {
  let postgres;
  let server;
  let uri;
  let headers;
  before(async () => {
    postgres = await startPostgres();
    server = await startServer(postgres, 'parsimony', 'files', { overrides: { mountGraphQL: true } });
    uri = server.url.replace(/\/parse$/, '/graphql');
    headers = { 'X-Parse-Application-Id': server.config.appId };
    const master = new GraphQLClient(uri, { headers: { ...headers, 'X-Parse-Master-Key': server.config.masterKey } });
    await master.request(gql`mutation {
      createClass(input: { name: "Note", schemaFields: { addStrings: [{ name: "text" }], addFiles: [{ name: "file" }], addPointers: [{ name: "about", targetClassName: "Note" }] } }) { class { name } }
    }`);
  });
  after(async () => {
    await server.stop();
    await postgres.stop?.();
  });

  test('graphql-request', async () => {
    const client = new GraphQLClient(uri, { headers });
    const made = await client.request(gql`mutation M($text: String!) { createNote(input: { fields: { text: $text } }) { note { id text } } }`, { text: 'hello' });
    assert.equal(made.createNote.note.text, 'hello');
    const found = await client.request(gql`query Q($id: ID!) { note(id: $id) { text } notes { count } }`, { id: made.createNote.note.id });
    assert.deepEqual(found, { note: { text: 'hello' }, notes: { count: 1 } });
    await assert.rejects(client.request(gql`{ nothing }`), error => {
      assert.equal(error.response.status, 400);
      assert.equal(error.response.errors[0].extensions.code, 'GRAPHQL_VALIDATION_FAILED');
      return true;
    });
    await assert.rejects(client.request(gql`{ note(id: "nothing123") { text } }`), error => {
      assert.equal(error.response.status, 200);
      assert.equal(error.response.errors[0].extensions.code, 101);
      return true;
    });
    await assert.rejects(client.batchRequests([{ document: gql`{ health }` }, { document: gql`{ health }` }]), error => {
      assert.equal(error.response.status, 400);
      return true;
    });
  });

  test('Apollo Client', async () => {
    const link = createUploadLink({ uri, headers });
    const client = new ApolloClient({ link, cache: new InMemoryCache() });
    const made = await client.mutate({
      mutation: gql`mutation M($fields: CreateNoteFieldsInput) { createNote(input: { fields: $fields, clientMutationId: "a" }) { clientMutationId note { id text about { id text } } } }`,
      variables: { fields: { text: 'apollo', about: { createAndLink: { text: 'within' } } } },
    });
    const { note } = made.data.createNote;
    assert.deepEqual([note.text, note.about.text], ['apollo', 'within']);
    const READ = gql`query Q($id: ID!) { note(id: $id) { id text about { id text } } }`;
    const read = () => client.query({ query: READ, variables: { id: note.id }, fetchPolicy: 'network-only' });
    assert.equal((await read()).data.note.text, 'apollo');
    // Its cache knows the object by type and global id.
    await client.mutate({ mutation: gql`mutation M($id: ID!) { updateNote(input: { id: $id, fields: { text: "changed" } }) { note { id text } } }`, variables: { id: note.id } });
    const cached = await client.query({ query: READ, variables: { id: note.id }, fetchPolicy: 'cache-only' });
    assert.equal(cached.data.note.text, 'changed');
    await assert.rejects(client.query({ query: gql`query { note(id: "nothing123") { id } }` }), error => {
      assert.equal(error.graphQLErrors[0].extensions.code, 101);
      return true;
    });
  });

  test('uploads of Apollo Client', async () => {
    const client = new ApolloClient({ link: createUploadLink({ uri, headers }), cache: new InMemoryCache() });
    const upload = new File(['a text of a file'], 'note.txt', { type: 'text/plain' });
    const { data } = await client.mutate({ mutation: gql`mutation U($upload: Upload!) { createFile(input: { upload: $upload }) { fileInfo { name url } } }`, variables: { upload } });
    assert.match(data.createFile.fileInfo.name, /_note\.txt$/);
    assert.equal(await (await fetch(data.createFile.fileInfo.url)).text(), 'a text of a file');
    const made = await client.mutate({
      mutation: gql`mutation M($fields: CreateNoteFieldsInput) { createNote(input: { fields: $fields }) { note { id file { name url } } } }`,
      variables: { fields: { text: 'with a file', file: { upload } } },
    });
    assert.equal(await (await fetch(made.data.createNote.note.file.url)).text(), 'a text of a file');
    const large = new File(['x'.repeat(30_000)], 'large.txt', { type: 'text/plain' });
    await assert.rejects(client.mutate({ mutation: gql`mutation U($upload: Upload!) { createFile(input: { upload: $upload }) { fileInfo { name } } }`, variables: { upload: large } }));
  });
});
