// The dashboard with the read-only master key: everything can be read, nothing can be changed, whether the dashboard
// asks or somebody else with the same key.
import assert from 'node:assert/strict';
import { testsOn } from '../lib/browser.js';
import { request } from '../lib/http.js';
import { Person, people } from './dashboard.js';
import { browser, call, dashboard, server } from './stage.js';

const refused = /http: 40[03]|status of 40[03]|script: Permission denied/;
const reader = await Person.logIn(browser, dashboard, server, people.reader);
const { page } = reader;
const reads = testsOn(reader);
const writes = testsOn(reader, refused);
let objectId;
let user;
const unchanged = async () => assert.equal((await call('GET', `classes/Locked/${objectId}`)).title, 'as it was');

export function read() {
  reads('objects, users, sessions and configuration are shown', async () => {
    ({ objectId } = await call('POST', 'classes/Locked', { title: 'as it was', ACL: {} }));
    user = await call('POST', 'users', { username: 'carol', password: 'secret' });
    await call('PUT', 'config', { params: { secret: 'for masters' }, masterKeyOnly: { secret: true } });
    await reader.browse('Locked', 1);
    assert.equal(await (await reader.cell('title')).innerText(), 'as it was');
    await reader.browse('_User', (await call('GET', 'users')).results.length);
    await reader.browse('_Session', (await call('GET', 'sessions')).results.length);
    await reader.open('config');
    await page.getByText('for masters').waitFor();
    await reader.open('jobs/all');
    await page.getByText('works', { exact: true }).waitFor();
    await reader.open('webhooks');
    await page.getByText('Webhooks').first().waitFor();
  });

  writes('a cell is not changed', async () => {
    await reader.browse('Locked', 1);
    const answer = await reader.edit('title', 'changed');
    assert.ok(answer.status >= 400, `answered ${answer.status}`);
    await page.getByText(/Permission denied|unauthorized|read-only/i).first().waitFor();
    await unchanged();
  });

  writes('a row is not deleted', async () => {
    await reader.browse('Locked', 1);
    await reader.row().first().locator('input[type=checkbox]').click();
    await reader.menu('Edit', 'Delete this row');
    const answer = await reader.sends(/\/(batch|classes\/Locked\/.*)$/, () => reader.button('Delete').click());
    assert.ok(answer.status >= 400 || answer.body.every(item => item.error), JSON.stringify(answer.body));
    await unchanged();
  });

  writes('a class is not made', async () => {
    await reader.browse('Locked', 1);
    await page.getByText('Create a class').first().click();
    await page.getByPlaceholder('Give it a good name...').fill('Smuggled');
    const answer = await reader.sends(/\/schemas\/Smuggled$/, () => reader.button('Create').click());
    assert.ok(answer.status >= 400, `answered ${answer.status}`);
    assert.ok(!(await call('GET', 'schemas')).results.some(({ className }) => className === 'Smuggled'));
  });

  reads('no route writes with this key', async () => {
    const pointer = { __type: 'Pointer', className: 'Locked', objectId };
    const attempts = [
      ['POST', 'classes/Locked', { title: 'new' }],
      ['PUT', `classes/Locked/${objectId}`, { title: 'changed' }],
      ['DELETE', `classes/Locked/${objectId}`],
      ['POST', 'batch', { requests: [{ method: 'PUT', path: `/parse/classes/Locked/${objectId}`, body: { title: 'changed' } }] }],
      ['PUT', `users/${user.objectId}`, { password: 'stolen' }],
      ['DELETE', `users/${user.objectId}`],
      ['POST', 'roles', { name: 'made', ACL: {} }],
      ['POST', 'loginAs?userId=' + user.objectId],
      ['POST', 'schemas/Smuggled', { className: 'Smuggled' }],
      ['PUT', 'schemas/Locked', { fields: { more: { type: 'String' } } }],
      ['DELETE', 'schemas/Locked'],
      ['DELETE', 'purge/Locked'],
      ['PUT', 'config', { params: { secret: 'changed' } }],
      ['POST', 'hooks/functions', { functionName: 'smuggled', url: 'https://127.0.0.1:9/' }],
      ['POST', 'jobs/works', {}],
      ['POST', 'cloud_code/jobs', { job_schedule: { jobName: 'works' } }],
      ['POST', 'push_audiences', { name: 'all', query: '{}' }],
      ['POST', 'push', { where: {}, data: { alert: 'x' } }],
      ['POST', 'files/a.txt', 'text'],
      ['POST', 'classes/Other', { pointer }],
    ];
    const schemas = JSON.stringify((await call('GET', 'schemas')).results.map(({ className, fields }) => [className, Object.keys(fields)]).sort());
    for (const [method, route, body] of attempts) {
      const answer = await request(`${server.url}/${route}`, {
        method,
        headers: {
          'X-Parse-Application-Id': server.config.appId, 'X-Parse-Master-Key': server.config.readOnlyMasterKey,
          'Content-Type': route.startsWith('files') ? 'text/plain' : 'application/json',
        },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
      const items = route === 'batch' && answer.status === 200 ? JSON.parse(answer.text) : [];
      assert.ok(answer.status >= 400 || (items.length > 0 && items.every(item => item.error)), `${method} ${route}: ${answer.status} ${answer.text}`);
      assert.ok(answer.status < 500, `${method} ${route}: ${answer.status} ${answer.text}`);
    }
    await unchanged();
    assert.equal(JSON.stringify((await call('GET', 'schemas')).results.map(({ className, fields }) => [className, Object.keys(fields)]).sort()), schemas);
    assert.equal((await call('GET', 'config')).params.secret, 'for masters');
    assert.equal((await call('POST', 'login', { username: 'carol', password: 'secret' })).objectId, user.objectId);
  });
}
