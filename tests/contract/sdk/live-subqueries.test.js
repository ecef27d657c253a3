// Subscriptions that look at other objects. npm parse-server never matches these.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../lib/live-frames.js';
import { Parse, make, master, notOnOracle, server, uniqueClass } from '../lib/sdk.js';

const own = notOnOracle('its live queries do not match sub-queries');
const live = () => uniqueClass('Live');

/** Subscribes with what the SDK makes of a query. */
async function listen(client, requestId, query) {
  const answer = await client.subscribe(requestId, query.className, query.toJSON().where);
  assert.equal(answer.op, 'subscribed', JSON.stringify(answer));
}

test('$inQuery and $notInQuery, over every event', own, async () => {
  const [name, posts] = [live(), uniqueClass('Post')];
  const open = await make(posts, { open: true });
  const shut = await make(posts, { open: false });
  const client = await connect(server);
  const opened = new Parse.Query(posts).equalTo('open', true);
  await listen(client, 1, new Parse.Query(name).matchesQuery('post', opened).greaterThan('n', 0));
  await listen(client, 2, new Parse.Query(name).doesNotMatchQuery('post', opened));
  const object = await make(name, { n: 1, post: open });
  await make(name, { n: -1, post: open });
  await object.save({ n: 2 });
  await object.save({ post: shut });
  await object.save({ post: open, n: 3 });
  await object.destroy();
  const another = await make(name, { n: 9 });
  assert.deepEqual(await client.events(1, 5), [['create', 1], ['update', 2], ['leave', 2], ['enter', 3], ['delete', 3]]);
  assert.deepEqual(await client.eventsByObject(2, 3), { [object.id]: [['enter', 2], ['leave', 3]], [another.id]: [['create', 9]] });
  await client.close();
});

test('$select and $dontSelect', own, async () => {
  const [name, teams] = [live(), uniqueClass('Team')];
  await make(teams, { city: 'Rome', wins: 5 });
  await make(teams, { city: 'Oslo', wins: 1 });
  const client = await connect(server);
  const winners = new Parse.Query(teams).greaterThan('wins', 3);
  await listen(client, 1, new Parse.Query(name).matchesKeyInQuery('town', 'city', winners));
  await listen(client, 2, new Parse.Query(name).doesNotMatchKeyInQuery('town', 'city', winners));
  await make(name, { n: 1, town: 'Rome' });
  await make(name, { n: 2, town: 'Oslo' });
  assert.deepEqual(await client.events(1, 1), [['create', 1]]);
  assert.deepEqual(await client.events(2, 1), [['create', 2]]);
  await client.close();
});

test('$relatedTo', own, async () => {
  const [name, albums] = [live(), uniqueClass('Album')];
  const inside = await make(name, { n: 1 });
  const outside = await make(name, { n: 2 });
  const album = new Parse.Object(albums);
  album.relation('songs').add(inside);
  await album.save();
  const client = await connect(server);
  await listen(client, 1, album.relation('songs').query());
  await outside.save({ n: 3 });
  await inside.save({ n: 4 });
  assert.deepEqual(await client.events(1, 1), [['update', 4]]);
  await client.close();
});

test('a sub-query sees only what its audience may read', own, async () => {
  const [name, posts] = [live(), uniqueClass('Post')];
  const hidden = await make(posts, { open: true, ACL: {} }, master);
  const visible = await make(posts, { open: true });
  const client = await connect(server);
  await listen(client, 1, new Parse.Query(name).matchesQuery('post', new Parse.Query(posts).equalTo('open', true)));
  await make(name, { n: 1, post: hidden }, master);
  await make(name, { n: 2, post: visible });
  assert.deepEqual(await client.events(1, 1), [['create', 2]]);
  await client.close();
});
