// Subscriptions that come and go leave nothing behind.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { Socket } from '../lib/live.js';
import { startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

// By hand with 100000.
const CYCLES = Number(process.env.CONTRACT_CYCLES ?? 5_000);
const SOCKETS = 10;
const LOT = 50;

test(`${CYCLES} subscriptions are made and ended: memory stays`, { timeout: 280_000 }, async () => {
  const postgres = await startPostgres();
  const overrides = { liveQuery: { classNames: ['Live.*'] }, startLiveQueryServer: true };
  const server = await startServer(postgres, 'parsimony', 'base', { overrides });
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
    await postgres.stop();
  }
});
