// Subscriptions that come and go leave nothing behind.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { Socket } from '../lib/live.js';
import { startDatabase } from '../lib/database.js';
import { startServer } from '../lib/servers.js';

// By hand with 100000.
const CYCLES = Number(process.env.CONTRACT_CYCLES ?? 5_000);
const SOCKETS = 10;
const LOT = 50;

test(`${CYCLES} subscriptions are made and ended: memory stays`, { timeout: 280_000 }, async () => {
  const database = await startDatabase();
  const overrides = { liveQuery: { classNames: ['Live.*'] }, startLiveQueryServer: true };
  const server = await startServer(database, 'parsimony', 'base', { overrides });
  const kilobytes = () => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]);
  try {
    const sockets = await Promise.all(Array.from({ length: SOCKETS }, () => Socket.connect(server)));
    let made = 0;
    const run = count => Promise.all(sockets.map(async socket => {
      for (let done = 0; done < count / SOCKETS; done += LOT) {
        for (let requestId = 0; requestId < LOT; requestId += 1) {
          made += 1;
          const query = { className: `Live${made % 7}`, where: { topic: made, n: { $gt: made } }, keys: ['n'] };
          socket.say({ op: 'subscribe', requestId, query });
          socket.say({ op: 'unsubscribe', requestId });
        }
        const answers = await socket.hear(2 * LOT);
        assert.ok(answers.every(({ op }) => op === 'subscribed' || op === 'unsubscribed'), JSON.stringify(answers[0]));
      }
    }));
    await run(2000);
    const before = kilobytes();
    await run(CYCLES);
    const grown = kilobytes() - before;
    // Half a kilobyte that stays of each would be this much.
    assert.ok(grown < Math.max(CYCLES / 5, 2500), `${grown} KiB more`);
    for (const socket of sockets) socket.close();
  } finally {
    await server.stop();
    await database.stop();
  }
});

test('classes that clients invent, ended or left, leave nothing behind', { timeout: 280_000 }, async () => {
  const database = await startDatabase();
  const overrides = { liveQuery: { classNames: ['Live.*'] }, startLiveQueryServer: true };
  const server = await startServer(database, 'parsimony', 'base', { overrides });
  const kilobytes = () => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]);
  const count = Math.min(CYCLES, 5_000);
  let made = 0;
  const run = async rounds => {
    for (let done = 0; done < rounds; done += LOT) {
      const socket = await Socket.connect(server);
      for (let requestId = 0; requestId < LOT; requestId += 1) {
        made += 1;
        const where = requestId % 5 === 4 ? { a: { $regex: '[' } } : {};
        socket.say({ op: 'subscribe', requestId, query: { className: `LiveInvented${made}`, where } });
        if (requestId % 5 === 0) socket.say({ op: 'unsubscribe', requestId });
      }
      await socket.hear(LOT + LOT / 5);
      // The rest ends with the connection.
      socket.close();
    }
  };
  try {
    await run(2000);
    const before = kilobytes();
    await run(count);
    const grown = kilobytes() - before;
    // A kilobyte that stays of each would be this much.
    assert.ok(grown < count, `${grown} KiB more`);
  } finally {
    await server.stop();
    await database.stop();
  }
});
