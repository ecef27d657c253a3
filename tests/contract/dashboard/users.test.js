// Users of the dashboard beside the plain ones: with a one-time password, with some applications, with some of them to read.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createRequire } from 'node:module';
import { after, describe, test } from 'node:test';
import { launch, watch } from '../lib/browser.js';
import { request } from '../lib/http.js';
import { startPostgres } from '../lib/postgres.js';
import { startServer, target } from '../lib/servers.js';
import { builtIn } from './dashboard.js';

const SECRET = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';

/** A one-time password of RFC 6238, as an authenticator shows it. */
function code(secret, { digits = 6, period = 30, algorithm = 'sha1', at = Date.now() } = {}) {
  const bits = [...secret].map(letter => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map(byte => Number.parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 1000 / period)));
  const hash = createHmac(algorithm, key).update(counter).digest();
  const number = hash.readUInt32BE(hash.at(-1) & 15) & 0x7fffffff;
  return String(number % 10 ** digits).padStart(digits, '0');
}

const parsimony = target === 'parsimony';
describe('users of the dashboard', { skip: !parsimony && 'the oracle has no dashboard of its own' }, () => {
  if (!parsimony) return;
  let postgres, server, dashboard, browser;
  const encrypted = text => createRequire(import.meta.url)('bcryptjs').hashSync(text, 4);

  test('there is a server', async () => {
    postgres = await startPostgres();
    const dashboardOptions = {
      useEncryptedPasswords: true,
      users: [
        { user: 'careful', pass: encrypted('careful secret'), mfa: SECRET },
        { user: 'precise', pass: encrypted('precise secret'), mfa: SECRET, mfaDigits: 8, mfaPeriod: 60, mfaAlgorithm: 'SHA256' },
        { user: 'own', pass: encrypted('own secret'), apps: [{ appId: 'contractApp' }] },
        { user: 'look', pass: encrypted('look secret'), apps: [{ appId: 'contractApp', readOnly: true }] },
        { user: 'none', pass: encrypted('none secret'), apps: [{ appId: 'nobody' }] },
      ],
      apps: [
        { appId: 'contractApp', appName: 'Contract' },
        { appId: 'elsewhere', appName: 'Elsewhere', serverURL: 'http://127.0.0.1:9/parse', masterKey: 'elsewhere master', readOnlyMasterKey: 'elsewhere reader' },
      ],
    };
    server = await startServer(postgres, target, 'base', { overrides: { dashboard: dashboardOptions } });
    [dashboard, browser] = await Promise.all([builtIn(server), launch()]);
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    await postgres?.stop();
  });

  /** A browser of somebody's own at the log-in page. */
  async function visitor() {
    const context = await browser.newContext({ viewport: { width: 1400, height: 760 } });
    await context.route(url => url.hostname !== '127.0.0.1', route => route.fulfill({ contentType: 'text/css', body: '' }));
    const page = await context.newPage();
    page.setDefaultTimeout(30000);
    await page.goto(`${dashboard.url}/login`);
    return { page, context, watch: watch(page, new URL(server.url).origin) };
  }

  async function submit(page, user, pass, otp) {
    await page.fill('input[name=username]', user);
    await page.fill('input[name=password]', pass);
    // The page sends a code that is complete by itself.
    const send = () => (otp === undefined ? page.click('[type=submit]') : page.fill('input[name=otpCode]', otp));
    await Promise.all([page.waitForEvent('load'), send()]);
  }

  /** What the dashboard tells this browser: the applications and their keys. */
  async function applications({ context }) {
    const answer = await context.request.get(`${dashboard.url}/parse-dashboard-config.json`);
    if (answer.status() !== 200) return answer.status();
    return (await answer.json()).apps.map(({ appId, masterKey }) => [appId, masterKey]).sort();
  }

  for (const [user, options] of [['careful', {}], ['precise', { digits: 8, period: 60, algorithm: 'sha256' }]]) {
    test(`${user}: the password alone opens nothing, nor does another code`, async () => {
      const somebody = await visitor();
      const { page } = somebody;
      await submit(page, user, `${user} secret`);
      await page.getByText('Please enter your one-time password.', { exact: true }).waitFor();
      assert.equal(await applications(somebody), 401);
      const right = code(SECRET, options);
      await submit(page, user, `${user} secret`, right.replace(/.$/, digit => String((Number(digit) + 5) % 10)));
      await page.getByText('Invalid one-time password.', { exact: true }).waitFor();
      assert.equal(await applications(somebody), 401);
      await submit(page, user, 'wrong', code(SECRET, options));
      await page.getByText('Invalid username or password', { exact: true }).waitFor();
      assert.equal(await applications(somebody), 401);
      await submit(page, user, `${user} secret`);
      await submit(page, user, `${user} secret`, code(SECRET, options));
      await page.getByText('Server version: 9.10.0').waitFor();
      const known = await applications(somebody);
      assert.deepEqual(known, [['contractApp', server.config.masterKey], ['elsewhere', 'elsewhere master']]);
      await somebody.context.close();
    });
  }

  test('some applications: no other is named, its keys least of all', async () => {
    const own = await visitor();
    await submit(own.page, 'own', 'own secret');
    await own.page.getByText('Server version: 9.10.0').waitFor();
    assert.deepEqual(await applications(own), [['contractApp', server.config.masterKey]]);
    assert.equal(await own.page.getByText('Elsewhere').count(), 0);
    assert.deepEqual(own.watch.take(), []);
    await own.context.close();

    const none = await visitor();
    await submit(none.page, 'none', 'none secret');
    await none.page.waitForURL(/\/apps/);
    assert.deepEqual(await applications(none), []);
    await none.context.close();
  });

  test('an application to read: its read-only key, with which nothing is written', async () => {
    const look = await visitor();
    await submit(look.page, 'look', 'look secret');
    await look.page.getByText('Server version: 9.10.0').waitFor();
    assert.deepEqual(await applications(look), [['contractApp', server.config.readOnlyMasterKey]]);
    const answer = await request(`${server.url}/classes/Made`, {
      method: 'POST', body: '{}',
      headers: { 'X-Parse-Application-Id': 'contractApp', 'X-Parse-Master-Key': server.config.readOnlyMasterKey, 'Content-Type': 'application/json' },
    });
    assert.equal(JSON.parse(answer.text).code, 119);
    await look.context.close();
  });
});
