// The pages and cells that an administrator does not see every day: consoles, Polygon and Relation cells, rows out of the
// dashboard and back in; and that no page complains.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { testsOn } from '../lib/browser.js';
import { waitFor } from '../lib/postgres.js';
import { target } from '../lib/servers.js';
import { Person, people } from './dashboard.js';
import { browser, call, dashboard, server } from './stage.js';

const visitor = await Person.logIn(browser, dashboard, server, people.admin);
const { page } = visitor;
const test = testsOn(visitor);
const body = () => page.locator('body').innerText();

/** Every page that the menu leads to, and words that are on it. */
const PAGES = {
  'browser/_User': /username/,
  'browser/_Role': /roles/,
  'browser/_Session': /sessionToken/,
  views: /Use views to display aggregated data/,
  canvas: /Add Element/,
  agent: /No AI agent configuration found/,
  webhooks: /Webhooks/,
  'jobs/all': /works/,
  'jobs/scheduled': /Job/,
  'jobs/status': /Job Status/,
  'logs/info': /LOGS/,
  'logs/error': /LOGS/,
  config: /Config/,
  'api_console/rest': /Send a test query/,
  'api_console/graphql': /GraphiQL/,
  'api_console/js_console': /JS Console/,
  'push/new': /Choose your recipients/,
  'push/activity/all': /pushes/,
  'push/audiences': /audience/i,
  'settings/dashboard': /Dashboard Configuration/,
  'settings/general': /General/,
  'settings/keys': /Application ID/,
  'settings/security': /Secure master key/,
};

export function everywhere() {
  for (const [path, words] of Object.entries(PAGES)) {
    const noLog = target === 'oracle' && path.startsWith('logs') ? 'needs log files' : false;
    test(`${path} has nothing to complain of`, { skip: noLog }, async () => {
      await visitor.open(path);
      await waitFor(async () => words.test(await body()), { what: `${words} on ${path}` });
    });
  }

  test('a polygon is shown, and a relation is followed', async () => {
    const { objectId: fan } = await call('POST', 'users', { username: 'dora', password: 'secret' });
    const area = { __type: 'Polygon', coordinates: [[0, 0], [0, 1], [1, 1], [0, 0]] };
    await call('POST', 'schemas/Stadium', { className: 'Stadium', fields: {
      name: { type: 'String' }, area: { type: 'Polygon' }, fans: { type: 'Relation', targetClass: '_User' }, seats: { type: 'Number' },
    } });
    const pointer = { __type: 'Pointer', className: '_User', objectId: fan };
    const { objectId } = await call('POST', 'classes/Stadium', { name: 'Old Trafford', area, seats: 5, fans: { __op: 'AddRelation', objects: [pointer] } });
    await visitor.browse('Stadium', 1);
    assert.equal(await (await visitor.cell('area')).innerText(), '(0,0)(0,1)(1,1)(0,0)');
    // Written again by hand, with another corner.
    const changed = await visitor.edit('area', '[[0,0],[0,2],[2,2],[0,0]]');
    assert.equal(changed.status, 200);
    assert.deepEqual((await call('GET', `classes/Stadium/${objectId}`)).area.coordinates, [[0, 0], [0, 2], [2, 2], [0, 0]]);
    const related = page.waitForResponse(response => JSON.stringify(response.request().postDataJSON()?.where ?? {}).includes('$relatedTo'));
    await (await visitor.cell('fans')).locator('svg').last().click();
    assert.deepEqual((await (await related).json()).results.map(({ username }) => username), ['dora']);
    await visitor.rows(1);
  });

  test('rows go out as CSV and come back in', async () => {
    await call('POST', 'classes/Stadium', { name: 'Camp "Nou", the', seats: 9 });
    await visitor.browse('Stadium', 2);
    await visitor.words('Data').first().click();
    await visitor.words('Export all rows').last().click();
    await page.getByPlaceholder('export all').fill('export all');
    const [download] = await Promise.all([page.waitForEvent('download'), visitor.button('Export').click()]);
    const text = fs.readFileSync(await download.path(), 'utf8');
    assert.match(text.split('\n')[0], /objectId/);
    assert.match(text, /Old Trafford/);
    assert.match(text, /"Camp ""Nou"", the"/);

    await call('POST', 'schemas/Arena', { className: 'Arena', fields: { name: { type: 'String' }, seats: { type: 'Number' } } });
    await visitor.browse('Arena', 0);
    await visitor.words('Data').first().click();
    await visitor.words('Import').last().click();
    await page.getByText('Import into Arena').waitFor();
    await page.locator('input[type=file][accept=".json,.csv"]').setInputFiles({
      name: 'arenas.csv', mimeType: 'text/csv', buffer: Buffer.from('name,seats\n"Camp ""Nou"", the",9\nWembley,7\n'),
    });
    await visitor.button('Import').click();
    const rows = await waitFor(async () => {
      const { results } = await call('GET', 'classes/Arena?order=seats');
      return results.length === 2 && results;
    }, { what: 'the imported rows' });
    assert.deepEqual(rows.map(({ name, seats }) => [name, seats]), [['Wembley', 7], ['Camp "Nou", the', 9]]);
  });

  test('the JS console saves an object', async () => {
    await visitor.open('api_console/js_console');
    await page.getByText("new Parse.Object('MyClass')").first().waitFor();
    const saved = await visitor.sends(/\/classes\/MyClass$/, () => visitor.words('Run').first().click());
    assert.equal(saved.status, 201);
    assert.equal((await call('GET', `classes/MyClass/${saved.body.objectId}`)).myField, 'Hello World!');
  });

  test('the GraphQL console asks, and is answered', async () => {
    await visitor.open('api_console/graphql');
    const editor = page.locator('.graphiql-query-editor .CodeMirror, .query-editor .CodeMirror').first();
    await editor.waitFor();
    await editor.evaluate(element => element.CodeMirror.setValue('{ health }'));
    const answered = page.waitForResponse(response => response.url().endsWith('/graphql') && /\bhealth\b/.test(response.request().postData() ?? ''));
    await editor.click();
    await page.keyboard.press('Control+Enter');
    const answer = await answered;
    assert.equal(answer.status(), 200);
    assert.deepEqual((await answer.json()).data, { health: true });
    await page.getByText('"health": true').first().waitFor();
  });
}
