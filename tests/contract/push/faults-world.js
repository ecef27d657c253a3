// What the fault tests of pushes share: servers on one database of their own, devices by the thousand, campaigns.
import assert from 'node:assert/strict';
import { pg, waitFor } from '../lib/postgres.js';
import { request } from '../lib/http.js';
import { startServer } from '../lib/servers.js';
import { createDatabase } from '../lib/database.js';
import { keys } from './services.js';

/** PUSH_FAULT_DEVICES=100000: the whole thing, by hand. */
export const many = Number(process.env.PUSH_FAULT_DEVICES ?? 2000);
/** Seconds that what is away stays away: PUSH_FAULT_OUTAGE=60 by hand. */
export const outage = Number(process.env.PUSH_FAULT_OUTAGE ?? 3);
/** Of a campaign, from its beginning to its end, however slow the machine is. */
export const patience = 90000 + many * 5 + outage * 3000;
/** Small batches, so that few devices are as many batches as many are with those of the default. */
const batchSize = many < 20000 ? 50 : 500;
/** Devices that a server has in hand at most: 16 batches, and 2,000 devices (docs/push.md, What is promised). */
export const IN_HAND = Math.min(2000, 16 * batchSize);
/** And so many batches. */
export const SLOTS = IN_HAND / batchSize;

const { p8, rsa } = keys();
const account = { type: 'service_account', project_id: 'project', client_email: 'a@project.example', private_key: rsa, private_key_id: '1' };
export const push = {
  ios: { token: { key: p8, keyId: 'ABC123DEFG', teamId: 'DEF123GHIJ' }, topic: 'com.example.app', production: true },
  android: { firebaseServiceAccount: account },
  queueOptions: { batchSize },
};

export const token = n => n.toString(16).padStart(64, '0');
/** Nothing but time passes: for outages, which last that long. */
export const pause = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));

export class World {
  nodes = [];

  /** A database of its own in `postgres`, and so many servers. */
  static async make(postgres, double, { nodes = 1, overrides = {}, environment = {} } = {}) {
    await double.reset();
    const world = new World();
    Object.assign(world, { postgres, double, overrides, environment });
    world.database = await createDatabase(postgres, 'parsimony', 'push_faults');
    for (let n = 0; n < nodes; n += 1) await world.start();
    // The class comes to be.
    await world.call('POST', 'classes/_Installation', { deviceType: 'embedded', installationId: 'none', appIdentifier: 'x', badge: 0, channels: [] });
    return world;
  }

  /** For the next test: without devices. `false` where a test that failed left something. */
  async renew() {
    const open = await this.sql("SELECT 1 FROM parsimony.push WHERE state IN ('active', 'recurring') LIMIT 1").catch(() => [1]);
    if (open.length > 0) return false;
    await this.double.reset();
    await this.sql(`DELETE FROM "_Installation" WHERE "installationId" <> 'none'`);
    return true;
  }

  /** One more server. */
  async start() {
    const node = await startServer(this.postgres, 'parsimony', 'base', {
      databaseURI: this.database.uri, overrides: { push, scheduledPush: true, ...this.overrides },
      outside: { environment: { ...this.double.environment, ...this.environment } },
    });
    this.nodes.push(node);
    return node;
  }

  /** The server is gone from one moment to the next. */
  async kill(node = this.nodes[0]) {
    await node.kill();
    this.nodes = this.nodes.filter(one => one !== node);
    await node.stop();
  }

  async stop() {
    // At once: what is still sent by a test that failed is of no use.
    for (const node of this.nodes) await node.kill();
    for (const node of this.nodes) await node.stop();
    await this.client?.end().catch(() => {});
    await this.database.drop();
  }

  async call(method, at, body, node = this.nodes[0]) {
    const headers = { 'X-Parse-Application-Id': node.config.appId, 'X-Parse-Master-Key': node.config.masterKey, 'Content-Type': 'application/json' };
    const response = await request(`${node.url}/${at}`, { method, headers, body: body && JSON.stringify(body) });
    const json = JSON.parse(response.text);
    assert.ok(response.status < 300, `${method} ${at}: ${response.text}`);
    return { id: response.headers.get('x-parse-push-status-id'), json };
  }

  /** A statement on a connection that stays, and is made anew where the database was away. */
  async sql(text, values) {
    if (!this.client) {
      const client = new pg.Client({ connectionString: this.database.uri });
      client.on('error', () => (this.client = null));
      await client.connect();
      this.client = client;
    }
    return (await this.client.query(text, values)).rows;
  }

  /** Devices `from` to `from + count - 1`, half of them Android where `mixed` says so. */
  async install(count, { from = 1, mixed = false } = {}) {
    await this.sql(`INSERT INTO "_Installation" ("objectId", "createdAt", "updatedAt", "installationId", "deviceType", "deviceToken", "appIdentifier")
      SELECT substr(md5(n::text), 1, 10), now(), now(), 'i' || n, CASE WHEN $3 AND n % 2 = 0 THEN 'android' ELSE 'ios' END, lpad(to_hex(n), 64, '0'), 'com.example.app'
      FROM generate_series($2::bigint, $2::bigint + $1::bigint - 1) AS n`, [count, from, mixed]);
    await this.sql('ANALYZE "_Installation"');
  }

  /** Accepts a push; the id of its status. */
  async send(more = {}) {
    const { id } = await this.call('POST', 'push', { where: { installationId: { $ne: 'none' } }, data: { alert: 'hi' }, ...more });
    return id;
  }

  /** So many devices were reached. */
  reached(count, timeout = patience) {
    return waitFor(() => this.double.reached >= count, { what: `${count} devices to be reached`, timeout, every: 2 });
  }

  async status(id, node) {
    return (await this.call('GET', `classes/_PushStatus/${id}`, undefined, node)).json;
  }

  async report(id) {
    return (await this.call('GET', `push_status/${id}/report`)).json;
  }

  /** The status when the push is over. */
  async ended(id, { timeout = patience } = {}) {
    let status;
    try {
      await waitFor(async () => {
        status = await this.status(id);
        return status.status === 'succeeded';
      }, { what: `push ${id} to be over`, timeout, every: 50 });
    } catch (error) {
      const work = await this.sql("SELECT id, state, run_at, now(), lease_until, attempts, holder, left(payload::text, 60) AS payload FROM parsimony.work WHERE queue = 'push:' || $1 AND state IN ('waiting', 'running')", [id]).catch(() => []);
      throw new Error(`${error.message}: reached ${this.double.reached}, ${JSON.stringify(status)}, ${JSON.stringify(work)}\n${this.nodes.map(node => node.log().slice(-1500)).join('\n')}`);
    }
    // Nothing of it is left, and nothing comes after.
    const [{ open, state, left }] = await this.sql(`SELECT open, state, (SELECT count(*)::int FROM parsimony.work WHERE queue = 'push:' || $1 AND state IN ('waiting', 'running')) AS left
      FROM parsimony.push WHERE id = $1`, [id]);
    assert.deepEqual({ open, state, left }, { open: 0, state: 'ended', left: 0 });
    return status;
  }

  /** The devices of these numbers, each of them, and nobody else: `repeats` at most (none, unless it is said). */
  checkLedger(numbers, most = 0) {
    const expected = new Set([...numbers].map(token));
    const missing = [...expected].filter(one => !this.double.ledger.has(one));
    const strange = [...this.double.ledger.keys()].filter(one => !expected.has(one));
    assert.deepEqual({ missing: missing.length, strange: strange.length }, { missing: 0, strange: 0 }, `${missing.slice(0, 3)} ${strange.slice(0, 3)}`);
    assert.ok(this.double.repeats <= most, `${this.double.repeats} repeats, ${most} at most`);
  }
}

/** The same servers for test after test, as long as tests leave them in order: `{get(), stop()}`. */
export function shared(postgres, double, settings) {
  let world = null;
  return {
    async get() {
      if (world && !(await world.renew())) await this.stop();
      world ??= await World.make(postgres, double, settings);
      return world;
    },
    async stop() {
      await world?.stop();
      world = null;
    },
  };
}

/** 1 … count */
export const upTo = (count, from = 1) => Array.from({ length: count }, (_, n) => from + n);
