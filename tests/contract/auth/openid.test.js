// The generic OpenID Connect provider against npm oidc-provider: discovery, keys, a code with PKCE.
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import http from 'node:http';
import { after, test } from 'node:test';
import Provider from 'oidc-provider';
import { startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';

const redirect = 'http://127.0.0.1/cb';
const listener = http.createServer();
await new Promise(listening => listener.listen(0, '127.0.0.1', listening));
const issuer = `http://localhost:${listener.address().port}`;
const client = { redirect_uris: [redirect], response_types: ['code'], grant_types: ['authorization_code'] };
const provider = new Provider(issuer, {
  clients: [
    { ...client, client_id: 'public', token_endpoint_auth_method: 'none' },
    { ...client, client_id: 'secret', client_secret: 'hush:1' },
  ],
  cookies: { keys: ['k'] },
  features: { devInteractions: { enabled: true } },
});
listener.on('request', provider.callback());
const postgres = await startPostgres();
const server = await startServer(postgres, 'parsimony', 'base', {
  overrides: {
    auth: { acme: { oidc: { issuer, clientId: 'public' } }, corp: { oidc: { issuer, clientId: 'secret', clientSecret: 'hush:1' } } },
  },
});
after(async () => {
  await server.stop();
  await postgres.stop();
  listener.closeAllConnections();
  listener.close();
});

/** What a browser does until the provider sends it back with a code. */
async function authorize(clientId, login, verifier, nonce) {
  const jar = new Map();
  const challenge = crypto.createHash('sha256').update(verifier).digest('base64url');
  const query = { client_id: clientId, redirect_uri: redirect, response_type: 'code', scope: 'openid', code_challenge: challenge, code_challenge_method: 'S256', nonce };
  let url = `${issuer}/auth?${new URLSearchParams(query)}`;
  let body;
  for (let step = 0; step < 20; step++) {
    const answer = await fetch(url, {
      method: body ? 'POST' : 'GET', body, redirect: 'manual',
      headers: { Cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; ') },
    });
    for (const cookie of answer.headers.getSetCookie()) {
      const [name, ...value] = cookie.split(';')[0].split('=');
      jar.set(name, value.join('='));
    }
    const location = answer.headers.get('location');
    if (location?.startsWith(redirect)) {
      const code = new URL(location).searchParams.get('code');
      assert.ok(code, location);
      return code;
    }
    if (location) {
      url = new URL(location, url).toString();
      body = undefined;
      continue;
    }
    const page = await answer.text();
    const prompt = /name="prompt" value="(\w+)"/.exec(page)?.[1];
    assert.ok(prompt, `${answer.status} ${page.slice(0, 2000)}`);
    url = new URL(/action="([^"]+)"/.exec(page)[1], url).toString();
    body = new URLSearchParams({ prompt, login, password: 'x' });
  }
  throw new Error('no code');
}

async function logIn(name, data) {
  const answer = await fetch(`${server.url}/users`, {
    method: 'POST', body: JSON.stringify({ authData: { [name]: data } }),
    headers: { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'application/json' },
  });
  return { status: answer.status, body: await answer.json() };
}

for (const [name, clientId] of [['acme', 'public'], ['corp', 'secret']]) {
  test(`${clientId} client: a code is exchanged once`, async () => {
    const verifier = crypto.randomBytes(32).toString('base64url');
    const data = { code: await authorize(clientId, 'ann', verifier, 'n1'), redirect_uri: redirect, code_verifier: verifier, nonce: 'n1' };
    const made = await logIn(name, data);
    assert.equal(made.status, 201, JSON.stringify(made.body));
    const again = await logIn(name, data);
    assert.deepEqual([again.status, again.body.code], [404, 101], JSON.stringify(again.body));
    const next = { ...data, code: await authorize(clientId, 'ann', verifier, 'n2'), nonce: 'n2' };
    const back = await logIn(name, next);
    assert.deepEqual([back.status, back.body.objectId], [200, made.body.objectId], JSON.stringify(back.body));
    assert.deepEqual(back.body.authData, { [name]: { id: 'ann' } });
  });

  test(`${clientId} client: another verifier, another nonce`, async () => {
    const verifier = crypto.randomBytes(32).toString('base64url');
    const code = async () => ({ code: await authorize(clientId, 'eve', verifier, 'n'), redirect_uri: redirect, code_verifier: verifier });
    const wrong = [{ ...await code(), code_verifier: `${verifier}x` }, { ...await code(), nonce: 'm' }, { ...await code(), id: 'ann' }];
    for (const data of wrong) {
      const answer = await logIn(name, data);
      assert.deepEqual([answer.status, answer.body.code], [404, 101], JSON.stringify(answer.body));
    }
  });
}
