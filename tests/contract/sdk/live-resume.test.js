// Coming back after the connection broke: our own addition to the protocol. Clients that do not ask for it see none of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../lib/live-frames.js';
import { make, master, notOnOracle, server, uniqueClass } from '../lib/sdk.js';

const own = notOnOracle('an addition of ours');
const live = () => uniqueClass('Live');

test('a client that asks for nothing gets frames as ever', own, async () => {
  const name = live();
  const client = await connect(server);
  const subscribed = await client.subscribe(1, name, {});
  assert.deepEqual(Object.keys(subscribed).sort(), ['clientId', 'op', 'requestId']);
  await make(name, { n: 1 });
  assert.deepEqual(await client.events(1, 1), [['create', 1]]);
  const event = client.frames.find(frame => frame.op === 'create');
  assert.deepEqual(Object.keys(event).sort(), ['clientId', 'object', 'op', 'requestId']);
  await client.close();
});

for (const [how, options] of [
  ['the URL', id => ({ search: `?resumeAfter=${id}` })], ['connect', id => ({ resumeAfter: id })], ['subscribe', () => ({})],
]) {
  test(`what happened meanwhile follows the subscription, asked for in ${how}`, own, async () => {
    const name = live();
    const ask = id => (how === 'subscribe' ? { resumeAfter: id } : {});
    const first = await connect(server, options(''));
    const subscribed = await first.subscribe(1, name, { room: 'a' }, ask(''));
    assert.match(subscribed.eventId, /^\w+-\d+-\d+$/);
    assert.equal(subscribed.resumed, undefined);
    const object = await make(name, { room: 'a', n: 1 });
    const { eventId } = await first.until(frame => frame.op === 'create', 'the event');
    await first.close();

    await object.save({ n: 2 });
    const other = await make(name, { room: 'b', n: 3 });
    await make(name, { room: 'a', n: 4, ACL: {} }, master);
    await object.save({ room: 'b' });
    await other.save({ room: 'a' });
    await other.destroy();

    const second = await connect(server, options(eventId));
    const again = await second.subscribe(1, name, { room: 'a' }, ask(eventId));
    assert.equal(again.resumed, true);
    const missed = [['update', 2], ['leave', 2], ['enter', 3], ['delete', 3]];
    assert.deepEqual(await second.events(1, 4), missed);
    await make(name, { room: 'a', n: 5 });
    assert.deepEqual(await second.events(1, 5), [...missed, ['create', 5]]);
    const numbers = second.frames.filter(frame => frame.object).map(frame => Number(frame.eventId.split('-')[1]));
    assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b));
    await second.close();
  });
}

test('nothing was missed: nothing follows', own, async () => {
  const name = live();
  const first = await connect(server, { resumeAfter: '' });
  const { eventId } = await first.subscribe(1, name, {});
  await first.close();
  const second = await connect(server, { resumeAfter: eventId });
  assert.equal((await second.subscribe(1, name, {})).resumed, true);
  await make(name, { n: 1 });
  assert.deepEqual(await second.events(1, 1), [['create', 1]]);
  await second.close();
});

test('an id from elsewhere, or of a class that nobody listened to: the client is to ask anew', own, async () => {
  const client = await connect(server, { resumeAfter: 'elsewhere-5-1700000000000000' });
  assert.equal((await client.subscribe(1, live(), {})).resumed, false);
  assert.equal((await client.subscribe(2, live(), {}, { resumeAfter: 'nonsense' })).resumed, false);
  await client.close();
});

test('rights are those of now', own, async () => {
  const name = live();
  const first = await connect(server, { resumeAfter: '' });
  const { eventId } = await first.subscribe(1, name, {});
  await first.close();
  const object = await make(name, { n: 1 });
  const hidden = await make(name, { n: 2, ACL: { someone: { read: true } } }, master);
  await object.save({ n: 3 });
  const second = await connect(server, { resumeAfter: eventId });
  assert.equal((await second.subscribe(1, name, {})).resumed, true);
  assert.deepEqual(await second.events(1, 2), [['create', 1], ['update', 3]]);
  await hidden.destroy(master);
  await second.close();
});
