// A server that is killed under its subscribers: the unmodified SDK comes back to the next one by itself.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import Parse from 'parse/node';
import { rest } from '../lib/live.js';
import { startDatabase } from '../lib/database.js';
import { freePort, waitFor } from '../lib/postgres.js';
import { startServer, target } from '../lib/servers.js';

const SUBSCRIBERS = Number(process.env.CONTRACT_SUBSCRIBERS ?? 1000);

test(`${SUBSCRIBERS} subscribers of a server that is killed`, { timeout: 180_000 }, async () => {
  const database = await startDatabase();
  const port = await freePort();
  const first = await startServer(database, target, 'base', { port });
  after(async () => {
    await first.stop();
    await database.stop();
  });
  Parse.initialize(first.config.appId);
  Parse.serverURL = first.url;
  const className = 'Live_restart';
  await rest(first, 'POST', `/schemas/${className}`, { className });
  const heard = [];
  const clients = [];
  for (let index = 0; index < SUBSCRIBERS; index += 1) {
    const client = new Parse.LiveQueryClient({ applicationId: first.config.appId, serverURL: `ws://127.0.0.1:${port}/` });
    // An error without a listener would end this process.
    client.on('error', () => {});
    client.open();
    clients.push(client);
    const subscription = client.subscribe(new Parse.Query(className).equalTo('room', index % 5));
    subscription.on('create', object => heard.push([index, object.get('n')]));
    subscription.on('error', () => {});
    await subscription.subscribePromise;
  }
  const tell = async (server, n) => {
    for (let room = 0; room < 5; room += 1) await rest(server, 'POST', `/classes/${className}`, { room, n });
  };
  await tell(first, 1);
  await waitFor(() => heard.length === SUBSCRIBERS, { what: 'the first event' });
  await first.kill();
  const second = await startServer(database, target, 'base', { port, databaseURI: first.databaseURI });
  try {
    await waitFor(async () => {
      await tell(second, 2);
      return new Set(heard.filter(([, n]) => n === 2).map(([index]) => index)).size === SUBSCRIBERS;
    }, { timeout: 120_000, every: 500, what: 'everybody to be back' });
    // Each is there once: one event, one call.
    await tell(second, 3);
    await tell(second, 4);
    const times = wanted => heard.filter(([, n]) => n === wanted).length;
    await waitFor(() => times(4) === SUBSCRIBERS, { what: 'the last event' });
    assert.equal(times(3), SUBSCRIBERS);
  } finally {
    for (const client of clients) client.close();
    await second.stop();
  }
});
