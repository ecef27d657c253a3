// Limits of connections, which do not count for this machine: so its other address is another machine's.
import assert from 'node:assert/strict';
import net from 'node:net';
import os from 'node:os';
import { after, test } from 'node:test';
import { createDatabase, waitFor } from '../lib/postgres.js';
import { call, stage } from './calls.js';

const outer = Object.values(os.networkInterfaces()).flat().find(({ internal, family }) => !internal && family === 'IPv4')?.address;
const { attempt, postgres } = await stage();

test('httpLimits.maxConnectionsPerAddress: how many one address may have', { skip: !outer && 'no other address' }, async () => {
  const served = await Promise.all([{}, { maxConnectionsPerAddress: 2 }].map(async httpLimits => {
    const database = await createDatabase(postgres, 'options_limits');
    after(() => database.drop());
    const { port } = await attempt({ databaseURI: database.uri, httpLimits, host: '0.0.0.0' });
    const server = { url: `http://127.0.0.1:${port}/parse`, config: { appId: 'contractApp' } };
    await waitFor(async () => (await call(server, 'GET', 'health')).status === 200, { what: 'a server' });
    const sockets = [];
    const answers = [];
    // Each is answered before the next one comes, and stays open.
    for (let n = 0; n < 3; n++) {
      const socket = net.connect(port, outer);
      sockets.push(socket);
      socket.on('error', () => {});
      socket.write('GET /parse/health HTTP/1.1\r\nHost: a\r\n\r\n');
      answers.push(await new Promise(resolve => socket.once('data', data => resolve(Number(data.toString().split(' ')[1])))));
    }
    for (const socket of sockets) socket.destroy();
    return answers;
  }));
  assert.deepEqual(served, [[200, 200, 200], [200, 200, 503]]);
});
