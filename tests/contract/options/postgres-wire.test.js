// Options of the PostgreSQL connections that only show in what is sent: read between the server and its database.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, test } from 'node:test';
import { createDatabase, pg, query, waitFor } from '../lib/postgres.js';
import { asMaster, stage } from './calls.js';

const { server: start, postgres } = await stage();
const FINDS = 12;

/** Hands everything on to the database of a URI: `{uri, prepared, texts}`: what is prepared, and all that is said. */
async function between(uri) {
  const target = new URL(uri);
  const [prepared, texts, sockets] = [[], [], new Set()];
  const listener = net.createServer(client => {
    const database = net.connect(Number(target.port), target.hostname);
    for (const [from, to] of [[client, database], [database, client]]) {
      sockets.add(from);
      from.on('error', () => {});
      from.on('close', () => to.destroy());
      from.pipe(to);
    }
    let rest = Buffer.alloc(0);
    // The first message has no type.
    let begun = false;
    client.on('data', chunk => {
      rest = Buffer.concat([rest, chunk]);
      for (;;) {
        const at = begun ? 1 : 0;
        if (rest.length < at + 4 || rest.length < at + rest.readInt32BE(at)) return;
        const end = at + rest.readInt32BE(at);
        const body = rest.toString('latin1', at + 4, end).split('\0');
        const type = begun && String.fromCharCode(rest[0]);
        if (type === 'P') {
          prepared.push(body[1]);
          texts.push(body[1]);
        } else if (type === 'Q') {
          texts.push(body[0]);
        }
        begun = true;
        rest = rest.subarray(end);
      }
    });
  });
  await new Promise(resolve => listener.listen(0, '127.0.0.1', resolve));
  after(() => {
    for (const socket of sockets) socket.destroy();
    listener.close();
  });
  const through = new URL(uri);
  through.host = `127.0.0.1:${listener.address().port}`;
  return { uri: through.toString(), prepared, texts };
}

test('preparedStatements and databaseListenURI: what poolers cannot carry, and where it goes', async () => {
  const [plain, changed] = await Promise.all([false, true].map(async isPooled => {
    const database = await createDatabase(postgres, 'options_wire');
    after(() => database.drop());
    const wire = await between(database.uri);
    const own = isPooled ? { databaseListenURI: database.uri, databaseOptions: { preparedStatements: false } } : {};
    const server = await start(own, { databaseURI: wire.uri });
    assert.equal((await asMaster(server, 'POST', 'classes/Said', { n: 1 })).status, 201);
    for (let n = 0; n < FINDS; n++) assert.equal((await asMaster(server, 'GET', 'classes/Said')).body.results.length, 1);
    const listening = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'`;
    const listens = () => query(database.uri, listening).then(({ rowCount }) => rowCount > 0);
    await waitFor(listens, { what: 'somebody who listens' });
    const has = words => wire.texts.some(text => text.includes(words));
    const finds = wire.prepared.filter(text => /^SELECT .*"Said"/.test(text)).length;
    return { finds, ofSessions: has('SET parsimony.server'), ofTransactions: has('SET LOCAL statement_timeout'), listens: has('LISTEN') };
  }));
  // What is prepared stays for the next one, or is gone with its transaction.
  assert.ok(plain.finds > 0 && plain.finds < FINDS, `${plain.finds}`);
  assert.deepEqual(plain, { finds: plain.finds, ofSessions: true, ofTransactions: false, listens: true });
  assert.deepEqual(changed, { finds: FINDS, ofSessions: false, ofTransactions: true, listens: false });
});

test('statementTimeout and maxTimeMS: what the database is told', async () => {
  const told = async databaseOptions => {
    const database = await createDatabase(postgres, 'options_timeout');
    after(() => database.drop());
    const server = await start({ databaseOptions }, { databaseURI: database.uri });
    const waiting = `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    assert.equal((await asMaster(server, 'POST', 'classes/Said', { n: 1 })).status, 201);
    const client = new pg.Client({ connectionString: database.uri });
    await client.connect();
    await client.query('BEGIN; LOCK TABLE "Said"');
    const began = Date.now();
    const asking = asMaster(server, 'GET', 'classes/Said').then(({ status }) => ({ status, took: Date.now() - began }));
    await waitFor(() => query(database.uri, waiting).then(({ rowCount }) => rowCount > 0), { what: 'somebody who waits' });
    const first = databaseOptions ? await asking : undefined;
    await client.end();
    return first ?? asking;
  };
  const [plain, short, shorter] = await Promise.all([undefined, { statementTimeout: 1200 }, { maxTimeMS: 1200 }].map(told));
  assert.equal(plain.status, 200);
  for (const { status, took } of [short, shorter]) assert.ok(status >= 400 && took < 15_000, `${status} ${took}`);
});
