// Passkeys in Chromium with its virtual authenticator: sign-up, login, linking, replays, cloned and foreign keys.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, test } from 'node:test';
import { launch } from '../lib/browser.js';
import { startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

const site = http.createServer((_, response) => {
  response.setHeader('Content-Type', 'text/html');
  response.end('<title>site</title>');
});
await new Promise(listening => site.listen(0, '127.0.0.1', listening));
const origin = `http://localhost:${site.address().port}`;
const postgres = await startPostgres();
const [server, browser] = await Promise.all([
  startServer(postgres, 'parsimony', 'base', { overrides: { auth: { webauthn: { rpId: 'localhost', origins: [origin] } } } }),
  launch(),
]);
after(async () => {
  await browser.close();
  await server.stop();
  await postgres.stop();
  site.close();
});

const page = await browser.newPage();
await page.goto(origin);
const devtools = await page.context().newCDPSession(page);
await devtools.send('WebAuthn.enable');
const { authenticatorId } = await devtools.send('WebAuthn.addVirtualAuthenticator', {
  options: {
    protocol: 'ctap2', ctap2Version: 'ctap2_1', transport: 'internal', hasResidentKey: true, hasUserVerification: true,
    isUserVerified: true, automaticPresenceSimulation: true,
  },
});

async function rest(method, path, body, headers = {}) {
  const answer = await fetch(`${server.url}${path}`, {
    method, body: JSON.stringify(body),
    headers: { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'application/json', ...headers },
  });
  return { status: answer.status, body: await answer.json() };
}
const session = token => ({ 'X-Parse-Session-Token': token });
const master = { 'X-Parse-Master-Key': server.config.masterKey };
async function challenge(data, headers) {
  const { status, body } = await rest('POST', '/challenge', { challengeData: { webauthn: data } }, headers);
  assert.equal(status, 200, JSON.stringify(body));
  return body.challengeData.webauthn;
}
const create = options => page.evaluate(async publicKey => {
  const given = PublicKeyCredential.parseCreationOptionsFromJSON(publicKey);
  return (await navigator.credentials.create({ publicKey: given })).toJSON();
}, options.publicKey);
const get = options => page.evaluate(async publicKey => {
  const given = PublicKeyCredential.parseRequestOptionsFromJSON(publicKey);
  return (await navigator.credentials.get({ publicKey: given })).toJSON();
}, options.publicKey);
const logIn = webauthn => rest('POST', '/users', { authData: { webauthn } });
const stored = async id => (await rest('GET', `/users/${id}`, undefined, master)).body.authData?.webauthn;
const refused = ({ status, body }, error = 'Invalid passkey.') => assert.deepEqual([status, body], [400, { code: 141, error }]);

let ann;
let registered;

test('a passkey signs up and logs in', async () => {
  const options = await challenge({ register: { name: 'ann' } });
  assert.equal(options.publicKey.authenticatorSelection.residentKey, 'required');
  registered = { state: options.state, registration: await create(options) };
  const made = await logIn(registered);
  assert.equal(made.status, 201, JSON.stringify(made.body));
  ann = made.body;
  const own = await rest('GET', '/users/me', undefined, session(ann.sessionToken));
  assert.deepEqual(own.body.authData.webauthn.credentials, [registered.registration.id]);
  assert.equal((await stored(ann.objectId)).credentials.length, 1);
  for (let turn = 0; turn < 2; turn++) {
    const asked = await challenge({});
    const answer = await logIn({ state: asked.state, assertion: await get(asked) });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    assert.equal(answer.body.objectId, ann.objectId);
    assert.ok(answer.body.sessionToken);
  }
});

test('answers count once, in their time, and for their challenge', async () => {
  refused(await logIn(registered));
  const asked = await challenge({});
  const answer = { state: asked.state, assertion: await get(asked) };
  const other = await challenge({});
  refused(await logIn({ ...answer, state: other.state }));
  refused(await logIn({ ...answer, state: `${answer.state.slice(0, -4)}AAAA` }), 'The passkey challenge is not valid or has expired.');
  refused(await logIn({ ...answer, state: registered.state }), 'The passkey challenge is not valid or has expired.');
  refused(await logIn({ assertion: answer.assertion }), 'The passkey challenge is not valid or has expired.');
  const tampered = structuredClone(answer);
  tampered.assertion.response.signature = `${tampered.assertion.response.signature.slice(0, -6)}AAAAAA`;
  refused(await logIn(tampered));
  refused(await logIn({ id: (await stored(ann.objectId)).id }));
  refused(await logIn({ ...answer, assertion: 1 }));
  // Many at once: one gets in.
  const all = await Promise.all(Array.from({ length: 6 }, () => logIn(answer)));
  assert.equal(all.filter(one => one.status === 200).length, 1, JSON.stringify(all));
  refused(await logIn(answer));
});

test('a user has several passkeys and takes one away', async () => {
  // The first authenticator has one of the account's already.
  await devtools.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId });
  const options = { protocol: 'ctap2', transport: 'usb', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
  const second = await devtools.send('WebAuthn.addVirtualAuthenticator', { options });
  const asked = await challenge({ register: true }, session(ann.sessionToken));
  assert.equal(asked.publicKey.excludeCredentials.length, 1);
  const webauthn = { state: asked.state, registration: await create(asked) };
  const path = `/users/${ann.objectId}`;
  const linked = await rest('PUT', path, { authData: { webauthn } }, session(ann.sessionToken));
  assert.equal(linked.status, 200, JSON.stringify(linked.body));
  assert.equal((await stored(ann.objectId)).credentials.length, 2);
  const login = await challenge({});
  const answer = await logIn({ state: login.state, assertion: await get(login) });
  assert.equal(answer.body.objectId, ann.objectId);
  const removed = await rest('PUT', path, { authData: { webauthn: { remove: registered.registration.id } } }, session(ann.sessionToken));
  assert.equal(removed.status, 200, JSON.stringify(removed.body));
  const own = await rest('GET', '/users/me', undefined, session(ann.sessionToken));
  assert.deepEqual(own.body.authData.webauthn.credentials, [webauthn.registration.id]);
  // A copy of the authenticator, whose counter is behind.
  const { credentials } = await devtools.send('WebAuthn.getCredentials', { authenticatorId: second.authenticatorId });
  await devtools.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId: second.authenticatorId });
  const copy = await devtools.send('WebAuthn.addVirtualAuthenticator', { options });
  await devtools.send('WebAuthn.addCredential', { authenticatorId: copy.authenticatorId, credential: { ...credentials[0], signCount: 0 } });
  const late = await challenge({});
  refused(await logIn({ state: late.state, assertion: await get(late) }));
});

test('no token of a ceremony stands in the log', () => {
  assert.ok(!server.log().includes(registered.state));
  assert.ok(!server.log().includes(registered.registration.response.attestationObject));
});
