// Options of the MongoDB driver that say how a deployment is reached: which members, by which certificates and credentials, in
// which time. Most of these servers never come up; what they send is enough.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { withMongo } from '../lib/database.js';
import { waitFor } from '../lib/postgres.js';
import { asMaster, stage } from './calls.js';
import { BSON, Member, replicaSet } from './members.js';

const component = process.env.PARSIMONY_TEST_MONGO_URI;
const { server: start, attempt, home, file } = await stage();
const name = `options_${randomBytes(6).toString('hex')}`;
const members = [];
const member = async options => {
  const made = await Member.start({ upstream: component, ...options });
  members.push(made);
  return made;
};
after(async () => {
  await Promise.all(members.map(one => one.stop()));
  if (component) await withMongo(`${component}/${name}`, database => database.dropDatabase());
});

/** A start on a member of its own; what it said first. */
async function greeting(databaseOptions, { user = '', options = {}, ...more } = {}) {
  const [own] = await replicaSet(component, [options]);
  members.push(own);
  const databaseURI = `mongodb://${user}${own.address}/${name}`;
  own.started = await attempt({ databaseURI, databaseOptions: { serverSelectionTimeoutMS: 3000, ...databaseOptions } }, more);
  return own;
}
const first = (own, accepts) => waitFor(() => own.commands.find(accepts), { what: 'what was waited for', timeout: 8000 });

describe('on MongoDB', { skip: component ? false : 'PARSIMONY_TEST_MONGO_URI is not set' }, () => {
  if (!component) return;

  test('directConnection and replicaSet: whether the others are looked for, and of which set', async () => {
    const set = await replicaSet(component, [{}, {}]);
    members.push(...set);
    const [primary, other] = set;
    const on = (appName, more) => ({ databaseURI: `mongodb://${other.address}/${name}`, databaseOptions: { appName, ...more } });
    const servers = await Promise.all([on('seeking', { replicaSet: 'secantus' }), on('direct', { directConnection: true })]
      .map(({ databaseURI, databaseOptions }) => start({ databaseOptions }, { databaseURI })));
    for (const server of servers) assert.equal((await asMaster(server, 'GET', 'classes/Some')).status, 200);
    assert.ok(primary.sent('seeking').length > 0);
    assert.deepEqual(primary.handshakes('direct'), []);
    assert.ok(other.sent('direct', 'find').length > 0);
    // Of another set none will do.
    const { databaseURI, databaseOptions } = on('strange', { replicaSet: 'another', serverSelectionTimeoutMS: 500 });
    const strange = await attempt({ databaseURI, databaseOptions });
    await waitFor(() => /database/i.test(strange.log()) && other.handshakes('strange').length > 0, { what: 'a refusal' });
    await waitFor(() => /cannot be used|not be reached|unavailable|timeout/i.test(strange.log()), { what: `a refusal, not ${strange.log()}` });
    assert.deepEqual([...primary.sent('strange'), ...other.sent('strange')], []);
  });

  test('loadBalanced: what is behind the address is not looked for', async () => {
    const serviceId = randomBytes(12);
    const describe = (answer, command) => (command.loadBalanced ? { ...answer, serviceId: new BSON.ObjectId(serviceId) } : answer);
    const balancer = await member({ describe });
    const databaseURI = `mongodb://${balancer.address}/${name}`;
    const server = await start({ databaseOptions: { appName: 'balanced', loadBalanced: true } }, { databaseURI });
    assert.equal((await asMaster(server, 'GET', 'classes/Some')).status, 200);
    const greetings = balancer.greetings('balanced');
    assert.ok(greetings.some(({ document }) => document.loadBalanced));
    // Nobody watches it: each connection greets once, and commands follow.
    assert.ok(greetings.every(({ document }) => document.maxAwaitTimeMS === undefined));
  });

  test('authSource, authMechanism and authMechanismProperties: how a user is introduced', async () => {
    const user = 'ann:secret@';
    const greeted = async options => (await first(await greeting(options, { user }), ({ document }) => document.speculativeAuthenticate)).document;
    const [plain, elsewhere, old] = await Promise.all([{}, { authSource: 'elsewhere' }, { authMechanism: 'SCRAM-SHA-1' }].map(greeted));
    const of = ({ speculativeAuthenticate: { db, mechanism } }) => [db, mechanism];
    assert.deepEqual(of(plain), [name, 'SCRAM-SHA-256']);
    assert.deepEqual(of(elsewhere), ['elsewhere', 'SCRAM-SHA-256']);
    assert.deepEqual(of(old), [name, 'SCRAM-SHA-1']);
    // Who says how the password is checked does not ask.
    assert.deepEqual([plain, old].map(({ saslSupportedMechs }) => saslSupportedMechs !== undefined), [true, false]);
    // A token from a file, but only where it is said that there is one.
    const token = file('token', 'a.token.of-ours');
    const [without, withProperties] = await Promise.all([{}, { authMechanismProperties: 'ENVIRONMENT:k8s' }].map(options => greeting(
      { authMechanism: 'MONGODB-OIDC', ...options }, { environment: { AZURE_FEDERATED_TOKEN_FILE: token } },
    )));
    const { document } = await first(withProperties, ({ document }) => document.saslStart);
    assert.match(document.payload.toString('latin1'), /a\.token\.of-ours/);
    await without.started.ended;
    assert.match(without.started.log(), /no callback or mechanism properties provided/);
    assert.ok(!without.commands.some(({ document }) => document.saslStart));
  });

  test('connectTimeoutMS: how long a silent member is listened to', async () => {
    const [patient, hasty] = await Promise.all([{}, { connectTimeoutMS: 400 }].map(options => greeting(options, { options: { isSilent: true } })));
    await waitFor(() => patient.connections.length > 0, { what: 'a connection' });
    await waitFor(() => hasty.connections.some(({ closed }) => closed !== null), { what: 'a connection that is given up' });
    const { opened, closed } = hasty.connections.find(({ closed }) => closed !== null);
    assert.ok(closed - opened < 5000, `${closed - opened}`);
    assert.equal(patient.connections[0].closed, null);
  });

  test('ssl, tls and tls…: whose certificates are accepted, and which is shown', async () => {
    const openssl = (...args) => execFileSync('openssl', args, { stdio: 'ignore' });
    const at = name => path.join(home, name);
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    openssl('req', '-x509', ...key, '-keyout', at('ca.key'), '-out', at('ca.pem'), '-subj', '/CN=A test CA', '-days', '2');
    for (const who of ['server', 'client']) {
      openssl('req', ...key, '-keyout', at(`${who}.key`), '-out', at(`${who}.csr`), '-subj', `/CN=${who}`);
      file(`${who}.ext`, 'subjectAltName=IP:127.0.0.1');
      const authority = ['-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial'];
      openssl('x509', '-req', '-in', at(`${who}.csr`), ...authority, '-out', at(`${who}.pem`), '-days', '2', '-extfile', at(`${who}.ext`));
    }
    const both = file('client-both.pem', fs.readFileSync(at('client.pem'), 'utf8') + fs.readFileSync(at('client.key'), 'utf8'));
    const secure = { cert: fs.readFileSync(at('server.pem')), key: fs.readFileSync(at('server.key')), requestCert: true, rejectUnauthorized: false };
    const [plain, none, trusting, any, insecure, named, older] = await Promise.all([
      {}, { tls: true }, { tls: true, tlsCAFile: at('ca.pem') }, { tls: true, tlsAllowInvalidCertificates: true }, { tls: true, tlsInsecure: true },
      { tls: true, tlsCAFile: at('ca.pem'), tlsCertificateKeyFile: both }, { ssl: true, tlsCAFile: at('ca.pem') },
    ].map(options => greeting(options, { options: { secure } })));
    for (const own of [trusting, any, insecure, named, older]) await first(own, ({ document }) => document.client);
    for (const own of [plain, none]) {
      await waitFor(() => own.refusals.length > 0, { what: 'a refusal' });
      assert.deepEqual(own.commands, []);
    }
    assert.deepEqual([trusting, named].map(own => own.connections[0].certificate?.subject?.CN), [undefined, 'client']);
  });
});
