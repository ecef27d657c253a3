// Live queries as GraphQL subscriptions, driven by the npm package graphql-ws; and the page to try the API.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { GraphQLClient } from 'graphql-request';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { startPostgres, waitFor } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

describe('subscriptions', () => {
  let postgres;
  let server;
  let master;
  let anybody;
  const open = [];
  const pointer = (className, objectId) => ({ __type: 'Pointer', className, objectId });

  before(async () => {
    postgres = await startPostgres();
    server = await startServer(postgres, 'parsimony', 'base', {
      overrides: {
        mountGraphQL: true, graphQLSubscriptions: true, mountPlayground: true, liveQuery: { classNames: ['Live.*', 'Guarded'] }, startLiveQueryServer: true,
        protectedFields: { LiveNote: { '*': ['secret'] } }, requestComplexity: { graphQLDepth: 6, graphQLFields: 20 },
      },
    });
    const uri = server.url.replace(/\/parse$/, '/graphql');
    const headers = { 'X-Parse-Application-Id': server.config.appId };
    anybody = new GraphQLClient(uri, { headers });
    master = new GraphQLClient(uri, { headers: { ...headers, 'X-Parse-Master-Key': server.config.masterKey } });
    await rest('POST', '/schemas/LiveAuthor', { className: 'LiveAuthor', fields: { name: { type: 'String' } } });
    await rest('POST', '/schemas/LiveNote', {
      className: 'LiveNote',
      fields: { text: { type: 'String' }, n: { type: 'Number' }, secret: { type: 'String' }, author: { type: 'Pointer', targetClass: 'LiveAuthor' }, authors: { type: 'Relation', targetClass: 'LiveAuthor' }, place: { type: 'GeoPoint' } },
    });
    await rest('POST', '/schemas/Quiet', { className: 'Quiet', fields: { text: { type: 'String' } } });
    await rest('POST', '/schemas/Guarded', { className: 'Guarded', fields: { text: { type: 'String' } }, classLevelPermissions: { find: {}, get: {}, create: { '*': true } } });
  });
  after(async () => {
    await Promise.all(open.map(client => client.dispose()));
    await server.stop();
    await postgres.stop?.();
  });

  async function rest(method, path, body) {
    const headers = { 'Content-Type': 'application/json', 'X-Parse-Application-Id': server.config.appId, 'X-Parse-Master-Key': server.config.masterKey };
    const answer = await fetch(server.url + path, { method, headers, body: JSON.stringify(body) });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
    return answer.json();
  }

  const address = () => server.url.replace(/^http/, 'ws').replace(/\/parse$/, '/graphql');

  function connect(keys = {}) {
    const connectionParams = { 'X-Parse-Application-Id': server.config.appId, ...keys };
    const client = createClient({ url: address(), webSocketImpl: WebSocket, connectionParams, retryAttempts: 0 });
    open.push(client);
    return client;
  }

  /** What a subscription hears. */
  function listen(client, query, variables) {
    const heard = [];
    const state = { heard, ended: null };
    state.stop = client.subscribe({ query, variables }, {
      next: result => heard.push(result),
      error: error => { state.ended = error; },
      complete: () => { state.ended ??= 'complete'; },
    });
    return state;
  }

  /** Of a socket spoken to by hand: messages in order. */
  async function socket(protocol = 'graphql-transport-ws') {
    const ws = new WebSocket(address(), protocol);
    const messages = [];
    const closed = new Promise(resolve => ws.once('close', (code, reason) => resolve([code, String(reason)])));
    ws.on('message', data => messages.push(JSON.parse(data)));
    await new Promise((resolve, reject) => { ws.once('open', resolve); ws.once('error', reject); });
    const say = message => ws.send(typeof message === 'string' ? message : JSON.stringify(message));
    const hear = count => waitFor(() => messages.length >= count, { what: `${count} messages` }).then(() => messages);
    return { say, hear, closed, ws };
  }

  test('events with what they select', async () => {
    const { objectId: author } = await rest('POST', '/classes/LiveAuthor', { name: 'Ann' });
    const { ws, say, hear } = await socket();
    say({ type: 'connection_init', payload: { 'X-Parse-Application-Id': server.config.appId } });
    say({ type: 'subscribe', id: 'one', payload: { query: 'subscription S($n: Float) { note: liveNote(where: { n: { greaterThan: $n } }) { event node { id objectId text n secret author { name } authors { count } place { latitude } __typename } } }', variables: { n: 1 } } });
    say({ type: 'ping', payload: { a: 1 } });
    assert.deepEqual((await hear(2)).slice(0, 2), [{ type: 'connection_ack' }, { type: 'pong', payload: { a: 1 } }]);
    const body = { text: 'first', n: 2, secret: 's', author: pointer('LiveAuthor', author), authors: { __op: 'AddRelation', objects: [pointer('LiveAuthor', author)] }, place: { __type: 'GeoPoint', latitude: 1, longitude: 2 } };
    const { objectId } = await rest('POST', '/classes/LiveNote', body);
    // What it selects of other objects is read when the event is told: before the note is deleted.
    await hear(3);
    await rest('POST', '/classes/LiveNote', { text: 'other', n: 1 });
    await rest('PUT', `/classes/LiveNote/${objectId}`, { text: 'changed' });
    await rest('PUT', `/classes/LiveNote/${objectId}`, { n: 0 });
    await rest('PUT', `/classes/LiveNote/${objectId}`, { n: 5 });
    await rest('DELETE', `/classes/LiveNote/${objectId}`);
    const events = (await hear(7)).slice(2).map(({ id, type, payload }) => {
      assert.deepEqual([id, type, payload.errors], ['one', 'next', undefined]);
      return payload.data.note;
    });
    assert.deepEqual(events.map(({ event, node }) => [event, node.text, node.n]), [
      ['create', 'first', 2], ['update', 'changed', 2], ['leave', 'changed', 0], ['enter', 'changed', 5], ['delete', 'changed', 5],
    ]);
    const [{ node }] = events;
    assert.deepEqual(node, {
      id: Buffer.from(`LiveNote:${objectId}`).toString('base64'), objectId, text: 'first', n: 2, secret: null, author: { name: 'Ann' }, authors: { count: 1 }, place: { latitude: 1 }, __typename: 'LiveNote',
    });
    say({ type: 'complete', id: 'one' });
    say({ type: 'ping' });
    await hear(8);
    await rest('POST', '/classes/LiveNote', { text: 'unheard', n: 9 });
    say({ type: 'subscribe', id: 'one', payload: { query: 'subscription { liveNote { event node { text } } }' } });
    say({ type: 'ping' });
    await hear(9);
    await rest('POST', '/classes/LiveNote', { text: 'heard', n: 9 });
    assert.deepEqual((await hear(10))[9], { id: 'one', type: 'next', payload: { data: { liveNote: { event: 'create', node: { text: 'heard' } } } } });
    ws.close();
  });

  test('graphql-ws as a client, with the rights of its session', async () => {
    const user = async username => {
      const { signUp } = await anybody.request('mutation M($name: String!) { signUp(input: { fields: { username: $name, password: "pw" } }) { viewer { sessionToken user { objectId } } } }', { name: username });
      return { sessionToken: signUp.viewer.sessionToken, objectId: signUp.viewer.user.objectId };
    };
    const [ann, bob] = [await user('ann'), await user('bob')];
    const query = 'subscription Q { liveNote(where: { text: { matchesRegex: "^for " } }) { event node { text } } }';
    const all = [connect({ 'X-Parse-Session-Token': ann.sessionToken }), connect({ headers: { 'X-Parse-Session-Token': bob.sessionToken } }), connect()];
    const states = all.map(client => listen(client, query));
    // Until each hears what everybody may hear.
    let made = 0;
    await waitFor(async () => {
      made += 1;
      await rest('POST', '/classes/LiveNote', { text: `for all ${made}` });
      return states.every(({ heard }) => heard.length > 0);
    }, { what: 'all subscriptions', every: 100 });
    for (const { objectId, username } of [{ ...ann, username: 'ann' }, { ...bob, username: 'bob' }]) {
      await rest('POST', '/classes/LiveNote', { text: `for ${username}`, ACL: { [objectId]: { read: true } } });
    }
    await rest('POST', '/classes/LiveNote', { text: 'for all at last' });
    await Promise.all(states.map(state => waitFor(() => state.heard.some(({ data }) => data.liveNote.node.text === 'for all at last'), { what: 'the last' })));
    const own = states.map(({ heard }) => heard.map(({ data }) => data.liveNote.node.text).filter(text => !text.startsWith('for all')));
    assert.deepEqual(own, [['for ann'], ['for bob'], []]);
    states.forEach(({ stop }) => stop());
  });

  test('documents that are refused', async () => {
    const refused = async (query, variables) => {
      const state = listen(connect(), query, variables);
      await waitFor(() => state.ended, { what: `the end of ${query}` });
      return state.ended.map?.(({ message, extensions }) => [message, extensions.code]) ?? state.ended;
    };
    assert.deepEqual(await refused('subscription {'), [['Syntax Error: Expected Name, found <EOF>.', 'GRAPHQL_PARSE_FAILED']]);
    assert.deepEqual(await refused('subscription { nothing }'), [['Cannot query field "nothing".', 'GRAPHQL_VALIDATION_FAILED']]);
    // Only classes of live queries are offered.
    assert.deepEqual(await refused('subscription { quiet { event } }'), [['Cannot query field "quiet".', 'GRAPHQL_VALIDATION_FAILED']]);
    assert.deepEqual(await refused('subscription { liveNote { event } liveAuthor { event } }'), [['Anonymous Subscription must select only one top level field.', 'GRAPHQL_VALIDATION_FAILED']]);
    assert.deepEqual(await refused('{ health }'), [['Only subscriptions are served over WebSockets', 'BAD_REQUEST']]);
    assert.deepEqual(await refused('subscription { a: liveNote { event node { ...A } } } fragment A on LiveNote { author { a: id b: id c: id d: id e: id f: id g: id h: id i: id j: id k: id l: id m: id n: id o: id p: id q: id r: id } }'), [['Number of GraphQL fields (22) exceeds maximum allowed (20)', 'INTERNAL_SERVER_ERROR']]);
    const [[message, code]] = await refused('subscription Q($n: Float!) { liveNote(where: { n: { equalTo: $n } }) { event } }');
    assert.deepEqual([message, code], ['Variable "$n" of required type "Float!" was not provided.', 'BAD_USER_INPUT']);
    assert.deepEqual((await refused('subscription { liveNote(where: { secret: { equalTo: "s" } }) { event } }'))[0][1], 119);
    assert.deepEqual((await refused('subscription { guarded { event node { text } } }'))[0][1], 119);
    const introspection = (await refused('subscription { __schema { queryType { name } } }')).map(([text]) => text);
    assert.deepEqual(introspection, ['Anonymous Subscription must not select an introspection top level field.', 'Cannot query field "__schema".']);
    // Over HTTP they have no answer.
    await assert.rejects(anybody.request('subscription { liveNote { event } }'), error => {
      assert.deepEqual([error.response.status, error.response.errors[0].message], [400, 'Subscriptions are served over WebSockets']);
      return true;
    });
  });

  test('the protocol', async () => {
    const init = { type: 'connection_init', payload: { applicationId: server.config.appId } };
    const closes = async (...messages) => {
      const { say, closed } = await socket();
      messages.forEach(say);
      return closed;
    };
    const note = { query: 'subscription { liveNote { event } }' };
    assert.deepEqual(await closes({ type: 'subscribe', id: '1', payload: note }), [4401, 'Unauthorized']);
    assert.deepEqual(await closes(init, init), [4429, 'Too many initialisation requests']);
    assert.deepEqual(await closes({ type: 'connection_init' }), [4403, 'Forbidden']);
    assert.deepEqual(await closes({ type: 'connection_init', payload: { applicationId: 'other' } }), [4403, 'Forbidden']);
    const subscribe = { type: 'subscribe', id: 'x', payload: note };
    assert.deepEqual(await closes(init, subscribe, subscribe), [4409, 'Subscriber for x already exists']);
    for (const bad of ['no JSON', '[]', '{}', { type: 'nothing' }, { ...subscribe, id: 1 }, { ...subscribe, id: '' }, { ...subscribe, payload: {} }, { ...subscribe, payload: { query: 1 } }]) {
      assert.deepEqual(await closes(init, bad), [4400, 'Invalid message received'], JSON.stringify(bad));
    }
    const { say, hear, ws } = await socket();
    say(init);
    say({ type: 'complete', id: 'never' });
    say({ type: 'ping' });
    assert.deepEqual(await hear(2), [{ type: 'connection_ack' }, { type: 'pong' }]);
    ws.close();
    // The protocol of live queries is spoken at the same path, as ever.
    const live = new WebSocket(address());
    const answer = new Promise(resolve => live.once('message', data => resolve(JSON.parse(data))));
    await new Promise(resolve => live.once('open', resolve));
    live.send(JSON.stringify({ op: 'connect', applicationId: server.config.appId }));
    assert.equal((await answer).op, 'connected');
    live.close();
  });

  test('the schema tells of them where they are on', async () => {
    const { __schema } = await master.request('{ __schema { subscriptionType { name fields { name } } } }');
    assert.deepEqual(__schema.subscriptionType, { name: 'Subscription', fields: [{ name: 'guarded' }, { name: 'liveAuthor' }, { name: 'liveNote' }] });
  });

  test('the page to try the API', async () => {
    const answer = await fetch(server.url.replace(/\/parse$/, '/playground'));
    const page = await answer.text();
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get('content-security-policy'), /default-src 'none'/);
    assert.match(page, /"applicationId":"contractApp"/);
    assert.doesNotMatch(page, /https?:\/\//);
    assert.ok(!page.includes(server.config.masterKey));
  });
});
