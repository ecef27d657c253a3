// Options of the dashboard that a server serves: what its pages, its cookies and its process show of them.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import fs from 'node:fs';
import { test } from 'node:test';
import { request } from '../lib/http.js';
import { waitFor } from '../lib/postgres.js';
import { stage } from './calls.js';

const { server: start, file, home } = await stage();
// The smallest picture there is.
file('icons/own.png', Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==', 'base64'));
const SECRET = 'a secret of sixty-four letters, or nearly so, or not at all';
const users = [{ user: 'admin', pass: 'admin secret' }];
const apps = [{ appId: 'contractApp', appName: 'Contract', iconName: 'own.png' }];
const [plain, changed] = await Promise.all([{}, {
  path: '/board', trustProxy: true, agent: { models: [{ name: 'a model', provider: 'openai', model: 'm', apiKey: 'k' }] },
  cookieSessionSecret: SECRET, cookieSessionMaxAge: 3_600_000, iconsFolder: `${home}/icons`, enableResourceCache: true, memoryLimit: 128,
}].map(async options => {
  const server = await start({ dashboard: { users, apps, ...options } });
  const url = `${new URL(server.url).origin}${options.path ?? '/dashboard'}`;
  await waitFor(async () => (await fetch(`${url}/login`)).ok, { what: 'the dashboard', timeout: 60000 });
  return { server, url };
}));
const both = [plain, changed];

/** The cookie of a session that the log-in page begins: `{value, attributes}`. */
async function cookie({ url }) {
  const { headers } = await request(`${url}/login`);
  const [value, ...attributes] = headers.get('set-cookie')[0].split('; ');
  return { value: decodeURIComponent(value.replace(/^parse_dash=/, '')), attributes };
}

test('cookieSessionSecret: what signs the cookies', async () => {
  const [isSigned, theirs] = await Promise.all([changed, plain].map(async dashboard => {
    const [, id, signature] = /^s:(.*?)\.(.*)$/.exec((await cookie(dashboard)).value);
    return signature === createHmac('sha256', SECRET).update(id).digest('base64').replace(/=+$/, '');
  }));
  assert.deepEqual([isSigned, theirs], [true, false]);
});

test('cookieSessionMaxAge: how long they last', async () => {
  const expiry = async dashboard => (await cookie(dashboard)).attributes.find(attribute => attribute.startsWith('Expires='))?.slice('Expires='.length);
  assert.equal(await expiry(plain), undefined);
  const left = Date.parse(await expiry(changed)) - Date.now();
  assert.ok(left > 3_500_000 && left <= 3_600_000, `${left}`);
});

test('iconsFolder: pictures of applications', async () => {
  const [none, icon] = await Promise.all(both.map(({ url }) => request(`${url}/appicons/own.png`)));
  assert.notEqual(none.headers.get('content-type'), 'image/png');
  assert.deepEqual([icon.status, icon.headers.get('content-type')], [200, 'image/png']);
});

/** The cookie of somebody who logged in. */
async function entered({ url }) {
  const before = await request(`${url}/login`);
  const cookies = answer => answer.headers.get('set-cookie')?.map(one => one.split(';')[0]).join('; ');
  const _csrf = JSON.parse(/<script id="csrf"[^>]*>(.*?)<\/script>/.exec(before.text)[1]);
  const answer = await request(`${url}/login`, {
    method: 'POST', headers: { Cookie: cookies(before), 'Content-Type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ username: 'admin', password: 'admin secret', _csrf }).toString(),
  });
  assert.match(answer.headers.get('location') ?? '', /apps$/, answer.text);
  return { Cookie: cookies(answer) };
}

test('path: where it is', async () => {
  const status = (server, at) => request(`${new URL(server.url).origin}/${at}/login`).then(({ status }) => status);
  const statuses = await Promise.all(both.map(({ server }) => Promise.all(['dashboard', 'board'].map(at => status(server, at)))));
  assert.deepEqual(statuses, [[200, 404], [404, 200]]);
});

test('trustProxy and agent: what the page is told of its server', async () => {
  const ask = async (dashboard, more) => request(`${dashboard.url}/parse-dashboard-config.json`, { headers: { ...await entered(dashboard), ...more } });
  const told = async (dashboard, more) => JSON.parse((await ask(dashboard, more)).text);
  const proxied = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'board.example' };
  // Nobody believes them: this looks like somebody elsewhere without TLS, who must not see keys.
  assert.equal((await ask(plain, proxied)).status, 403);
  const [bare, behind] = [await told(plain), await told(changed, proxied)];
  assert.deepEqual([bare, behind].map(({ apps }) => apps[0].serverURL), [plain.server.url, 'https://board.example/parse']);
  assert.deepEqual([bare, behind].map(({ agent }) => agent?.models[0].name), [undefined, 'a model']);
});

test('enableResourceCache: what the page is told of its cache', async () => {
  const told = async dashboard => {
    const page = await request(`${dashboard.url}/apps`, { headers: { ...await entered(dashboard), Accept: 'text/html' } });
    return /PARSE_DASHBOARD_ENABLE_RESOURCE_CACHE = (\w+)/.exec(page.text)?.[1];
  };
  assert.deepEqual(await Promise.all(both.map(told)), ['false', 'true']);
});

test('memoryLimit: the heap of its process', { skip: !fs.existsSync('/proc/self/task') && 'no /proc' }, () => {
  const arguments_ = ({ server: { pid } }) => {
    // Whichever thread started it is its parent's.
    const children = task => fs.readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim().split(/\s+/);
    const all = fs.readdirSync(`/proc/${pid}/task`).flatMap(children).filter(Boolean);
    return all.map(one => fs.readFileSync(`/proc/${one}/cmdline`, 'utf8')).find(line => line.includes('host.cjs')).split('\0');
  };
  assert.ok(arguments_(plain).includes('--max-old-space-size=256'));
  assert.ok(arguments_(changed).includes('--max-old-space-size=128'));
});
