// Options of the dashboard that a server serves: what its pages, its cookies and its process show of them.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import fs from 'node:fs';
import { test } from 'node:test';
import { builtIn } from '../dashboard/dashboard.js';
import { request } from '../lib/http.js';
import { stage } from './calls.js';

const { server: start, file, home } = await stage();
// The smallest picture there is.
file('icons/own.png', Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==', 'base64'));
const SECRET = 'a secret of sixty-four letters, or nearly so, or not at all';
const users = [{ user: 'admin', pass: 'admin secret' }];
const apps = [{ appId: 'contractApp', appName: 'Contract', iconName: 'own.png' }];
const [plain, changed] = await Promise.all([{}, {
  cookieSessionSecret: SECRET, cookieSessionMaxAge: 3_600_000, iconsFolder: `${home}/icons`, enableResourceCache: true, memoryLimit: 128,
}].map(async options => {
  const server = await start({ dashboard: { users, apps, ...options } });
  return { server, ...await builtIn(server) };
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

test('enableResourceCache: what the page is told', async () => {
  const told = async ({ url }) => {
    const before = await request(`${url}/login`);
    const cookies = answer => answer.headers.get('set-cookie')?.map(one => one.split(';')[0]).join('; ');
    const _csrf = JSON.parse(/<script id="csrf"[^>]*>(.*?)<\/script>/.exec(before.text)[1]);
    const entered = await request(`${url}/login`, {
      method: 'POST', headers: { Cookie: cookies(before), 'Content-Type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ username: 'admin', password: 'admin secret', _csrf }).toString(),
    });
    assert.match(entered.headers.get('location') ?? '', /apps$/, entered.text);
    const page = await request(`${url}/apps`, { headers: { Cookie: cookies(entered), Accept: 'text/html' } });
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
