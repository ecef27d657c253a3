// The real Parse Dashboard, in a server or beside it, and a person who uses it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { watch } from '../lib/browser.js';
import { request } from '../lib/http.js';
import { freePort, waitFor } from '../lib/postgres.js';

const command = createRequire(import.meta.url).resolve('parse-dashboard/bin/parse-dashboard');

export const people = {
  admin: { user: 'admin', pass: 'admin secret' },
  reader: { user: 'reader', pass: 'reader secret', readOnly: true },
};

/** The dashboard that a server serves itself: `{url, stop}`. */
export async function builtIn(server) {
  const url = `${new URL(server.url).origin}/dashboard`;
  await waitFor(async () => (await fetch(`${url}/login`)).ok, { what: 'the dashboard', timeout: 60000 });
  return { url, stop: async () => {} };
}

/** A dashboard of its own for one server: `{url, stop}`. */
export async function startDashboard(server) {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'contract-dashboard-'));
  const port = await freePort();
  const { appId, masterKey, readOnlyMasterKey } = server.config;
  const config = path.join(home, 'config.json');
  fs.writeFileSync(config, JSON.stringify({
    apps: [{ serverURL: server.url, appId, masterKey, readOnlyMasterKey, appName: 'Contract', enableSecurityChecks: true, graphQLServerURL: server.url.replace(/parse$/, 'graphql') }],
    users: Object.values(people),
  }));
  const log = fs.openSync(path.join(home, 'log'), 'w');
  const child = spawn(process.execPath, [command, '--config', config, '--port', String(port), '--host', '127.0.0.1'], {
    // It asks npm's registry for newer versions of itself, which no test should.
    stdio: ['ignore', log, log], cwd: home, env: { ...process.env, npm_config_registry: 'http://127.0.0.1:9/' },
  });
  const abandon = () => child.kill('SIGKILL');
  process.once('exit', abandon);
  const ended = new Promise(resolve => child.once('exit', resolve));
  const url = `http://127.0.0.1:${port}`;
  await waitFor(async () => (await fetch(`${url}/login`)).ok, { what: 'the dashboard', timeout: 60000 });
  return {
    url,
    async stop() {
      child.kill('SIGKILL');
      await ended;
      process.removeListener('exit', abandon);
      fs.rmSync(home, { recursive: true, force: true });
    },
  };
}

/** A call with the master key: the body of its answer. */
export async function asMaster(server, method, route, body) {
  const answer = await request(`${server.url}/${route}`, {
    method,
    headers: {
      'X-Parse-Application-Id': server.config.appId, 'X-Parse-Master-Key': server.config.masterKey, 'Content-Type': 'application/json',
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  assert.ok(answer.status < 300, `${method} ${route}: ${answer.status} ${answer.text}`);
  return JSON.parse(answer.text);
}

/** Somebody at the dashboard. What is on the screen is found by its words: the dashboard's class names change. */
export class Person {
  constructor(page, dashboard, server) {
    this.page = page;
    this.dashboard = dashboard;
    this.server = server;
    this.watch = watch(page, new URL(server.url).origin);
    this.table = page.locator('#browser-table');
  }

  /** A browser tab in which this person is logged in. */
  static async logIn(browser, dashboard, server, { user, pass }) {
    const context = await browser.newContext({ viewport: { width: 2300, height: 700 } });
    // The dashboard's fonts come from elsewhere.
    await context.route(url => url.hostname !== '127.0.0.1', route => route.fulfill({ contentType: 'text/css', body: '' }));
    const page = await context.newPage();
    page.setDefaultTimeout(30000);
    const person = new Person(page, dashboard, server);
    await page.goto(dashboard.url);
    await page.fill('input[name=username]', user);
    await page.fill('input[name=password]', pass);
    await page.click('[type=submit]');
    await page.getByText('Server version: 9.10.0').waitFor();
    await page.getByText('Contract', { exact: true }).first().click();
    await page.getByText('App Settings', { exact: true }).waitFor();
    return person;
  }

  async open(section) {
    await this.page.goto(`${this.dashboard.url}/apps/Contract/${section}`);
    await this.page.getByText('App Settings', { exact: true }).waitFor();
  }

  /** Opens a class, which fetches its rows, and waits for the table with `count` of them. */
  async browse(className, count, { query = '' } = {}) {
    await Promise.all([
      this.page.waitForResponse(response => response.url().endsWith(`/classes/${className}`)
        && response.request().postDataJSON()?.limit > 0),
      this.open(`browser/${className}${query}`),
    ]);
    await this.rows(count);
  }

  async rows(count) {
    await waitFor(async () => await this.row().count() === count, { what: `${count} rows` });
  }

  row() {
    return this.table.locator('div:has(> span > input[type=checkbox])');
  }

  columns() {
    return this.table.locator('> div').first().locator('> div')
      .evaluateAll(headers => headers.map(header => header.querySelector('[draggable] > div')?.textContent ?? ''));
  }

  async cell(column, row = 0) {
    const index = await waitFor(async () => {
      const at = (await this.columns()).indexOf(column);
      return at > 0 && at;
    }, { what: `a column ${column}` });
    return this.row().nth(row).locator('> span').nth(index);
  }

  button(name) {
    return this.page.getByRole('button', { name, exact: true }).last();
  }

  words(text) {
    return this.page.getByText(text, { exact: true });
  }

  /** Does something, and answers what the server said to the request it led to. */
  async sends(pattern, action, method) {
    const [response] = await Promise.all([
      this.page.waitForResponse(response => {
        const body = response.request().postDataJSON() ?? {};
        const { pathname, search } = new URL(response.url());
        const sent = body._method ?? response.request().method();
        return response.url().startsWith(this.server.url) && pattern.test(pathname + search) && (!method || sent === method)
          && response.request().method() !== 'OPTIONS';
      }),
      action(),
    ]);
    return { status: response.status(), body: await response.json().catch(() => null), sent: response.request().postDataJSON() };
  }

  /** Opens the editor of a cell, types into it and commits. */
  async edit(column, text, row = 0) {
    const cell = await this.cell(column, row);
    return this.sends(/\/classes\//, async () => {
      await cell.dblclick();
      const editor = this.table.locator('textarea, input:not([type=checkbox])').first();
      await editor.fill(text);
      await editor.press('Enter');
    }, 'PUT');
  }

  /** A tick in one of the permission dialogs. */
  tick(row, what) {
    return this.words(row).last().locator('..').getByText(what, { exact: true }).click();
  }

  menu(name, entry) {
    return this.words(name).first().click().then(() => this.words(entry).last().click());
  }
}
