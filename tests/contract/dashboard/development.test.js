// A server without any configuration: its page, the link of its log, and what nobody else may do with either.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch, testsOn, watch } from '../lib/browser.js';
import { request } from '../lib/http.js';
import { freePort, waitFor } from '../lib/postgres.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../../..');
const binary = process.env.PARSIMONY_BIN ?? path.join(root, 'target', 'debug', 'parsimony');
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-development-'));
const port = await freePort();
const base = `http://localhost:${port}`;
const own = ([key]) => !key.startsWith('PARSE_') && !key.startsWith('PARSIMONY_') && key !== 'NODE_OPTIONS';
const environment = Object.fromEntries(Object.entries(process.env).filter(own));
const logFile = path.join(home, 'log');
const child = spawn(binary, [], {
  cwd: home,
  stdio: ['ignore', fs.openSync(logFile, 'w'), fs.openSync(logFile, 'a')],
  env: { ...environment, PORT: String(port), PARSIMONY_NODE_MODULES: path.join(root, 'node_modules'), PARSE_SERVER_LOGS_FOLDER: 'null', PARSE_SERVER_MOUNT_GRAPHQL: 'true' },
});
const ended = new Promise(resolve => child.once('exit', resolve));
const abandon = () => child.kill('SIGKILL');
process.once('exit', abandon);
// eslint-disable-next-line no-control-regex
const log = () => fs.readFileSync(logFile, 'utf8').replaceAll(/\x1b\[[0-9;]*m/g, '');
const links = () => log().match(/http:\/\/localhost:\d+\/dashboard\/\?signin=\w+/g) ?? [];
await waitFor(() => links().length > 0, { what: `the link in the log`, timeout: 120000 }).catch(error => {
  throw new Error(`${error.message}\n${log()}`);
});
const [, masterKey] = /masterKey is (\w+)/.exec(log());
const browser = await launch();
after(async () => {
  await browser.close();
  child.kill('SIGTERM');
  await ended;
  process.removeListener('exit', abandon);
  fs.rmSync(home, { recursive: true, force: true });
});

/** A browser of its own, which keeps to this machine. */
async function visitor() {
  const context = await browser.newContext({ viewport: { width: 1400, height: 760 } });
  const outside = [];
  await context.route(url => url.hostname !== 'localhost', route => {
    outside.push(route.request().url());
    return route.fulfill({ contentType: 'text/css', body: '' });
  });
  const page = await context.newPage();
  page.setDefaultTimeout(30000);
  return { page, outside, context, watch: watch(page, base) };
}

/** The process that runs the dashboard: whichever thread started it is its parent's. */
function hostProcess() {
  const children = task => fs.readFileSync(`/proc/${child.pid}/task/${task}/children`, 'utf8').trim().split(/\s+/);
  const all = fs.readdirSync(`/proc/${child.pid}/task`).flatMap(children).filter(Boolean).map(Number);
  const host = all.find(pid => fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('host.cjs'));
  assert.ok(host, 'the process of the dashboard');
  return host;
}

const html = { Accept: 'text/html' };
const guest = await visitor();
const developer = await visitor();

describe('the page', () => {
  testsOn(guest)('is there, needs nobody else, and tells no key', async () => {
    await guest.page.goto(`${base}/`);
    await guest.page.getByRole('heading', { name: 'Parsimony' }).waitFor();
    const text = await guest.page.content();
    assert.ok(!text.includes(masterKey));
    assert.deepEqual(guest.outside, []);
    assert.equal(await guest.page.locator('script').count(), 0);
    // Its own sheet of styles is allowed and loaded.
    assert.equal(await guest.page.locator('main').evaluate(main => getComputedStyle(main).maxWidth), '864px');
    if (process.env.CONTRACT_SCREENSHOTS) await guest.page.screenshot({ path: `${process.env.CONTRACT_SCREENSHOTS}/start.png` });
    await guest.page.getByText('Configuration', { exact: true }).click();
    await guest.page.getByText('PARSE_SERVER_APPLICATION_ID').first().waitFor();
  });

  test('its lines work as they are pasted', async () => {
    await guest.page.goto(`${base}/`);
    const [curl, sdk] = await guest.page.locator('pre').allInnerTexts();
    const run = (command, args, input) => new Promise((resolve, reject) => {
      const running = spawn(command, args, { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] });
      let out = '';
      running.stdout.on('data', data => { out += data; });
      running.once('error', reject);
      running.once('exit', code => (code === 0 ? resolve(out) : reject(new Error(`${command}: ${code} ${out}`))));
      running.stdin.end(input);
    });
    const said = await run('sh', ['-e'], curl.replaceAll('curl ', 'curl -sSf '));
    assert.match(said, /"objectId":"\w+"/);
    assert.match(said, /"results":\[.*"playerName":"Sean Plott"/);
    assert.match(await run(process.execPath, ['-'], sdk), /^\w+ Sean Plott 1337\n$/);
  });
});

describe('the dashboard', () => {
  test('lets nobody in without the link', async () => {
    const page = await request(`${base}/dashboard/apps`, { headers: html });
    assert.equal(page.status, 403);
    assert.match(page.text, /open the link that the server wrote to its log/);
    const config = await request(`${base}/dashboard/parse-dashboard-config.json`, {});
    assert.equal(config.status, 401);
    assert.ok(!config.text.includes(masterKey));
    const wrong = await request(`${base}/dashboard/?signin=${'x'.repeat(40)}`, { headers: html });
    assert.equal(wrong.status, 403);
  });

  test('is not opened from elsewhere, and the link is not used up by that', async () => {
    const [link] = links();
    for (const headers of [{ Host: 'evil.example' }, { 'X-Forwarded-For': '192.0.2.1' }, { 'X-Forwarded-Proto': 'https' }, { Host: `evil.example:${port}`, 'X-Forwarded-Proto': 'https' }]) {
      const answer = await request(link, { headers: { ...html, ...headers } });
      assert.equal(answer.status, 403, JSON.stringify(headers));
      assert.match(answer.text, /not encrypted/);
    }
  });

  testsOn(developer)('opens by the link, once', async () => {
    const { page } = developer;
    const [link] = links();
    await page.goto(link);
    await page.getByText('Server version: 9.10.0').waitFor();
    assert.ok(!page.url().includes('signin'));
    const again = await request(link, { headers: html });
    assert.equal(again.status, 403);
    assert.match(again.text, /was used/);
    // In the browser that is signed in it leads to the same place.
    await page.goto(link);
    await page.getByText('Server version: 9.10.0').waitFor();
  });

  testsOn(developer)('shows what was saved, and writes', async () => {
    const { page } = developer;
    await page.goto(`${base}/dashboard/apps/myAppId/browser/GameScore`);
    await page.getByText('Sean Plott').first().waitFor();
    if (process.env.CONTRACT_SCREENSHOTS) await page.screenshot({ path: `${process.env.CONTRACT_SCREENSHOTS}/dashboard.png` });
    await page.getByText('Create a class').first().click();
    await page.getByPlaceholder('Give it a good name...').fill('Made');
    const [made] = await Promise.all([
      page.waitForResponse(response => response.url().endsWith('/schemas/Made')),
      page.getByRole('button', { name: 'Create', exact: true }).last().click(),
    ]);
    assert.equal(made.status(), 200);
    // The page calls the server by the name under which the browser knows it.
    assert.ok(made.url().startsWith(`${base}/parse/`));
  });

  test('is started again when it dies, with a new link', async () => {
    const before = links().length;
    const host = hostProcess();
    process.kill(host, 'SIGKILL');
    await waitFor(() => links().length > before, { what: 'a new link', timeout: 60000 });
    // Sessions went with the process; the link is good for a new one.
    const fresh = await visitor();
    await fresh.page.goto(links().at(-1));
    await fresh.page.getByText('Server version: 9.10.0').waitFor();
    const metrics = await request(`${base}/metrics`, {});
    assert.match(metrics.text, /\nparsimony_dashboard_restarts_total 1\n/);
    assert.match(metrics.text, /\nparsimony_dashboard_up 1\n/);
    await fresh.context.close();
  });

  test('goes with the server', async () => {
    const host = hostProcess();
    child.kill('SIGTERM');
    assert.equal(await ended, 0);
    await waitFor(() => !fs.existsSync(`/proc/${host}`), { what: 'the end of its process' });
  });
});
