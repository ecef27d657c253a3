// What an administrator does all day.
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { testsOn } from '../lib/browser.js';
import { waitFor } from '../lib/postgres.js';
import { target } from '../lib/servers.js';
import { Person, people } from './dashboard.js';
import { browser, call, dashboard, server } from './stage.js';

const admin = await Person.logIn(browser, dashboard, server, people.admin);
const { page } = admin;
const only = async className => (await call('GET', `classes/${className}`)).results[0];

// The protected fields dialog of this dashboard trips over itself when it is closed, whatever the server.
const test = testsOn(admin, /toggleActive/);

export function administer() {
  describe('classes', () => {
    test('a class is made', async () => {
      await admin.browse('_User', 0);
      await page.getByText('Create a class').first().click();
      await page.getByPlaceholder('Give it a good name...').fill('Match');
      const made = await admin.sends(/\/schemas\/Match$/, () => admin.button('Create').click());
      assert.equal(made.status, 200);
      await page.waitForURL(/browser\/Match/);
      assert.deepEqual((await admin.columns()).slice(1, 5), ['objectId', 'createdAt', 'updatedAt', 'ACL']);
    });

    test('columns of every type are added', async () => {
      const types = { title: 'String', score: 'Number', playedAt: 'Date', shot: 'File', previous: 'Pointer', fans: 'Relation' };
      const name = page.getByPlaceholder('Give it a good name...');
      for (const [column, type] of Object.entries(types)) {
        await name.waitFor({ state: 'detached' });
        await page.getByRole('button', { name: 'Add a new column' }).click();
        await name.fill(column);
        if (type !== 'String') {
          await admin.words('String').last().click();
          await admin.words(type).last().click();
        }
        const added = await admin.sends(/\/schemas\/Match$/, () => admin.button('Add').click(), 'PUT');
        assert.equal(added.body.fields[column].type, type);
      }
      // The rest as a program would.
      const others = { won: 'Boolean', tags: 'Array', extra: 'Object', place: 'GeoPoint', area: 'Polygon' };
      await call('PUT', 'schemas/Match', { fields: Object.fromEntries(Object.entries(others).map(([key, type]) => [key, { type }])) });
      Object.assign(types, others);
      const { fields } = await call('GET', 'schemas/Match');
      assert.deepEqual(Object.fromEntries(Object.keys(types).map(key => [key, fields[key].type])), types);
    });

    test('a row is added and its cells are edited', async () => {
      await admin.browse('Match', 0);
      await admin.words('Add Row').click();
      const made = await admin.sends(/\/classes\/Match$/, () => admin.button('Add').click());
      assert.equal(made.status, 201);
      const id = made.body.objectId;
      await waitFor(async () => await (await admin.cell('objectId')).innerText() === id, { what: 'the id in its cell' });

      await admin.edit('title', 'Chess & <b>"Go"</b>');
      await admin.edit('score', '41.5');
      await admin.edit('tags', '["a",1,null]');
      await admin.edit('extra', '{"k":{"n":1}}');
      await admin.edit('playedAt', '2024-02-29T12:00:00.000Z');
      await page.keyboard.press('Escape');
      await admin.edit('previous', id);
      const won = await admin.cell('won');
      await won.dblclick();
      await admin.table.getByText('True', { exact: true }).click();
      await admin.sends(/\/classes\/Match\//, () => page.keyboard.press('Enter'), 'PUT');
      const place = await admin.cell('place');
      await place.dblclick();
      const inputs = admin.table.locator('input:not([type=checkbox])');
      await inputs.nth(0).fill('40.5');
      await inputs.nth(1).fill('-30.25');
      await admin.sends(/\/classes\/Match\//, () => inputs.nth(1).press('Enter'), 'PUT');

      const { fields } = await call('GET', 'schemas/Match');
      const { createdAt, updatedAt, fans, ACL, ...stored } = await only('Match');
      assert.deepEqual(stored, {
        objectId: id,
        title: 'Chess & <b>"Go"</b>',
        score: 41.5,
        won: true,
        tags: ['a', 1, null],
        extra: { k: { n: 1 } },
        playedAt: { __type: 'Date', iso: '2024-02-29T12:00:00.000Z' },
        previous: { __type: 'Pointer', className: fields.previous.targetClass, objectId: id },
        place: { __type: 'GeoPoint', latitude: 40.5, longitude: -30.25 },
      });

      await admin.browse('Match', 1);
      const shown = column => admin.cell(column).then(cell => cell.innerText());
      assert.equal(await shown('title'), 'Chess & <b>"Go"</b>');
      assert.equal(await shown('won'), 'True');
      assert.equal(await shown('tags'), '["a",1,null]');
      assert.equal(await shown('place'), '(40.5, -30.25)');
      assert.match(await shown('previous'), new RegExp(id));
    });

    test('a file goes into its cell and comes back', async () => {
      const cell = await admin.cell('shot');
      await cell.dblclick();
      const uploaded = await admin.sends(/\/files\//, () => page.locator('input[type=file]').setInputFiles({
        name: 'shot.txt', mimeType: 'text/plain', buffer: Buffer.from('a shot'),
      }));
      assert.equal(uploaded.status, 201);
      const shot = await waitFor(async () => (await only('Match')).shot, { what: 'the file in its row' });
      assert.equal(shot.name, uploaded.body.name);
      const text = await page.evaluate(url => fetch(url).then(answer => answer.text()), shot.url);
      assert.equal(text, 'a shot');
    });

    test('rows are found by a filter', async () => {
      await call('POST', 'classes/Match', { title: 'Draughts', score: 3 });
      const filters = JSON.stringify([{ class: 'Match', field: 'score', constraint: 'gt', compareTo: 40 }]);
      await admin.browse('Match', 1, { query: `?filters=${encodeURIComponent(filters)}` });
      assert.match(await (await admin.cell('title')).innerText(), /Chess/);
      await admin.browse('Match', 2);
      // The dialog offers that some field exists.
      await admin.words('Filter').first().click();
      const found = await admin.sends(/\/classes\/Match$/, () => admin.button('Apply').click(), 'GET');
      assert.match(JSON.stringify(found.sent.where), /\$exists/);
      await admin.rows(found.body.results.length);
    });

    test('rows are sorted by a column and one is deleted', async () => {
      await admin.browse('Match', 2);
      const [sorted] = await Promise.all([
        page.waitForResponse(response => /score/.test(response.request().postDataJSON()?.order)),
        admin.table.getByText('score', { exact: true }).click(),
      ]);
      const scores = (await sorted.json()).results.map(({ score }) => score);
      assert.deepEqual(scores, sorted.request().postDataJSON().order === 'score' ? [3, 41.5] : [41.5, 3]);
      const first = scores[0] === 3 ? 'Draughts' : 'Chess';
      await waitFor(async () => (await (await admin.cell('title')).innerText()).startsWith(first), { what: 'the sorted table' });
      await admin.row().first().locator('input[type=checkbox]').click();
      await admin.menu('Edit', 'Delete this row');
      const answer = await admin.sends(/\/(batch|classes\/Match\/.*)$/, () => admin.button('Delete').click());
      assert.equal(answer.status, 200);
      await admin.rows(1);
      assert.ok(!(await only('Match')).title.startsWith(first));
    });
  });

  describe('permissions', () => {
    let alice;
    test('class permissions', async () => {
      alice = (await call('POST', 'users', { username: 'alice', password: 'secret' })).objectId;
      await call('POST', 'roles', { name: 'editors', ACL: { '*': { read: true } } });
      await admin.browse('Match', 1);
      await admin.menu('Security', 'Class Level Permissions');
      await admin.tick('Public', 'Write');
      const entry = page.getByPlaceholder('Role, User, or Pointer');
      for (const name of ['editors', 'alice']) {
        await entry.pressSequentially(name);
        await Promise.all([page.waitForResponse(/\/classes\/_User$/), page.waitForResponse(/\/classes\/_Role$/), entry.press('Enter')]);
        await page.getByText(name === 'alice' ? 'username: alice' : 'role:', { exact: false }).last().waitFor();
      }
      const saved = await admin.sends(/\/schemas\/Match$/, () => admin.button('Save CLP').click(), 'PUT');
      assert.equal(saved.status, 200);
      const { classLevelPermissions } = await call('GET', 'schemas/Match');
      assert.deepEqual(classLevelPermissions.create, { 'role:editors': true, [alice]: true });
      assert.deepEqual(classLevelPermissions.find, { '*': true, 'role:editors': true, [alice]: true });
    });

    test('protected fields', async () => {
      await admin.browse('Match', 1);
      await admin.menu('Security', 'Protected Fields');
      await admin.words('All fields allowed. Click to protect.').click();
      await page.locator('div').filter({ hasText: /^scoreNumber$/ }).last().click();
      await admin.words('Edit Protected Fields').click();
      const saved = await admin.sends(/\/schemas\/Match$/, () => admin.button('Save').click(), 'PUT');
      assert.equal(saved.status, 200);
      const { classLevelPermissions } = await call('GET', 'schemas/Match');
      assert.deepEqual(classLevelPermissions.protectedFields, { '*': ['score'] });
      assert.deepEqual(classLevelPermissions.create, { 'role:editors': true, [alice]: true });
    });

    test('the ACL of an object', async () => {
      await admin.browse('Match', 1);
      const cell = await admin.cell('ACL');
      await cell.dblclick();
      await admin.words('Edit Access Control List (ACL)').waitFor();
      await admin.tick('Public', 'Write');
      const entry = page.getByPlaceholder(/User/);
      await entry.pressSequentially('alice');
      await Promise.all([page.waitForResponse(/\/classes\/_User$/), entry.press('Enter')]);
      await page.getByText('username: alice').last().waitFor();
      const saved = await admin.sends(/\/classes\/Match\//, () => admin.button('Save ACL').click(), 'PUT');
      assert.equal(saved.status, 200);
      assert.deepEqual((await only('Match')).ACL, { '*': { read: true }, [alice]: { read: true, write: true } });
    });

    test('users and roles are shown and edited', async () => {
      await admin.browse('_User', 1);
      assert.equal(await (await admin.cell('username')).innerText(), 'alice');
      await admin.edit('email', 'alice@example.com');
      assert.equal((await call('GET', `users/${alice}`)).email, 'alice@example.com');
      await admin.edit('password', 'another secret');
      const login = await call('POST', 'login', { username: 'alice', password: 'another secret' });
      assert.equal(login.objectId, alice);
      await admin.browse('_Role', 1);
      assert.equal(await (await admin.cell('name')).innerText(), 'editors');
      const sessions = await call('GET', 'sessions');
      await admin.browse('_Session', sessions.results.length);
    });
  });

  describe('the other pages', () => {
    test('config: a parameter is made, changed and deleted', async () => {
      await admin.open('config');
      await page.getByText('Create your first parameter').click();
      await page.getByPlaceholder('New parameter').fill('greeting');
      await page.locator('textarea').last().fill('hello');
      await admin.words('Yes').last().click();
      await admin.sends(/\/config$/, () => admin.button('Create').click(), 'PUT');
      assert.deepEqual(await call('GET', 'config'), { params: { greeting: 'hello' }, masterKeyOnly: { greeting: true } });
      await page.getByPlaceholder('New parameter').waitFor({ state: 'detached' });
      await admin.words('greeting').first().click();
      await page.locator('textarea').last().fill('hello again');
      await admin.sends(/\/config$/, () => admin.button('Save').click(), 'PUT');
      assert.deepEqual(await call('GET', 'config'), { params: { greeting: 'hello again' }, masterKeyOnly: { greeting: true } });
    });

    test('jobs: run one, see how it went', async () => {
      await admin.open('jobs/all');
      const started = await admin.sends(/\/jobs$/, async () => {
        await page.locator('tr', { hasText: 'works' }).getByText('Run').click();
        await admin.button('Run').click();
      }, 'POST');
      assert.equal(started.status, 200);
      await waitFor(async () => (await only('_JobStatus'))?.status === 'succeeded', { what: 'the job to end' });
      await admin.open('jobs/status');
      await page.locator('tr', { hasText: 'works' }).getByText(/succeeded/i).waitFor();
      const scheduled = await call('POST', 'cloud_code/jobs', { job_schedule: { jobName: 'works', description: 'nightly', params: '{}' } });
      assert.ok(scheduled.objectId);
      await admin.open('jobs/scheduled');
      await page.getByText('nightly').waitFor();
    });

    test('webhooks', async () => {
      await admin.open('webhooks');
      await page.getByText('Create a Webhook').first().click();
      await page.getByPlaceholder('MyWebhook').fill('hooked');
      await page.locator('input[value="https://"]').fill('https://127.0.0.1:9/hook');
      const made = await admin.sends(/\/hooks\/functions$/, () => admin.button('Create').click(), 'POST');
      assert.deepEqual(made.body, { functionName: 'hooked', url: 'https://127.0.0.1:9/hook' });
      await page.getByText('https://127.0.0.1:9/hook').waitFor();
    });

    const noLog = target === 'oracle' ? 'needs log files' : false;
    test('logs', { skip: noLog }, async () => {
      await admin.open('logs/info');
      await page.getByText(/serves contractApp/).waitFor();
      await admin.open('logs/error');
      await page.getByText('No logs in the last 30 days').waitFor();
    });

    test('the REST console', async () => {
      await admin.open('api_console/rest');
      await page.getByPlaceholder('classes/_User').fill('classes/Match');
      const answer = await admin.sends(/\/classes\/Match/, () => page.getByText('Send Query').click());
      // Without the master key: what was protected stays out.
      assert.deepEqual(answer.body.results.map(row => 'score' in row), [false]);
      await page.getByText('"results"').waitFor();
    });

    test('the security report', async () => {
      await admin.open('settings/security');
      for (const title of ['Secure database password', 'Secure master key', 'LiveQuery regex timeout enabled']) {
        await page.getByText(title).waitFor();
      }
      await admin.words('Client class creation disabled').locator('..').getByText('❌').waitFor();
    });

    test('push: audiences', async () => {
      const query = JSON.stringify({ deviceType: 'ios' });
      await call('POST', 'push_audiences', { name: 'Phones', query });
      await admin.open('push/audiences');
      await page.getByText('Phones').waitFor();
      await admin.open('push/new');
      await page.getByText('Phones').waitFor();
    });

    test('settings', async () => {
      await admin.open('settings/keys');
      await page.getByText('contractApp').first().waitFor();
      await admin.open('settings/dashboard');
      await page.getByText('Dashboard Configuration').first().waitFor();
    });

    test('a class is emptied and dropped', async () => {
      await admin.browse('Match', 1);
      await admin.menu('Edit', 'Delete all rows');
      await page.locator('input[type=text]').last().fill('delete all');
      await admin.sends(/\/purge\/Match$/, () => admin.button('Delete').click());
      await admin.rows(0);
      await admin.menu('Edit', 'Delete this class');
      await page.locator('input[type=text]').last().fill('Match');
      await admin.sends(/\/schemas\/Match$/, () => admin.button('Delete').click(), 'DELETE');
      const classes = await waitFor(async () => (await call('GET', 'schemas')).results, { what: 'the schemas' });
      assert.ok(!classes.some(({ className }) => className === 'Match'));
    });
  });
}
