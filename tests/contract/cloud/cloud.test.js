// Cloud Code through the real SDK: the sample app answers alike on both servers.
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { randomBytes } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { Parse, master, notes, rest, server } from './app.js';
import { request } from '../lib/http.js';
import { target } from '../lib/servers.js';

const unique = label => `${label}${randomBytes(6).toString('hex')}`;
const signUp = async (attributes = {}) => {
  const user = new Parse.User();
  await user.signUp({ username: unique('user'), password: 'secret!', ...attributes });
  return user;
};
const as = user => ({ sessionToken: user.getSessionToken() });

async function fails(promise, code, message) {
  const error = await promise.then(value => assert.fail(`answered ${JSON.stringify(value)}`), thrown => thrown);
  assert.deepEqual([error.code, error.message], [code, message]);
}

describe('functions', () => {
  test('parameters and results keep their types', async () => {
    assert.deepEqual(await Parse.Cloud.run('echo', { a: [1, 'x', null], b: { c: true } }), { a: [1, 'x', null], b: { c: true } });
    const date = { __type: 'Date', iso: '2024-01-01T00:00:00.000Z' };
    const pointer = { __type: 'Pointer', className: 'Game', objectId: 'abc' };
    const types = await rest('POST', 'functions/types', { body: { date, pointer, list: [{ at: date }] } });
    assert.deepEqual(types.body.result, { date: true, pointer: 'Game', nested: true });
    const results = await Parse.Cloud.run('results');
    assert.ok(results.saved instanceof Parse.Object && results.list[0].id === results.saved.id);
    assert.equal(results.saved.get('at').getTime(), 0);
    assert.equal(results.at.getTime(), 0);
    assert.equal(results.geo.latitude, 10);
    assert.equal(results.none, null);
    assert.deepEqual((await rest('POST', 'functions/undefined', { body: {} })).body, {});
  });

  test('forms: files have a name without a path and a type without parameters', async () => {
    const part = (head, body) => `--XX\r\nContent-Disposition: form-data; ${head}\r\n\r\n${body}\r\n`;
    const send = async body => {
      const headers = { 'X-Parse-Application-Id': server.config.appId, 'Content-Type': 'multipart/form-data; boundary=XX' };
      const answer = await request(`${server.url}/functions/form`, { method: 'POST', headers, body });
      return JSON.parse(answer.text);
    };
    const { result } = await send(`${part('name="text"', 'one')}${part('name="bare"; filename="a.bin"', 'two')}` +
      `${part('name="path"; filename="../d/b.png"\r\nContent-Type: Image/PNG; q=1', 'three')}--XX--\r\n`);
    assert.deepEqual(result, {
      text: 'one', bare: { filename: 'a.bin', contentType: 'text/plain', data: 'two' },
      path: { filename: 'b.png', contentType: 'image/png', data: 'three' },
    });
    assert.deepEqual(await send(part('name="text"', 'cut off').slice(0, -4)), {
      code: 107, error: 'Invalid multipart request: Unexpected end of multipart data',
    });
  });

  const copies = target === 'oracle' ? 'depends on which copy npm puts where' : false;
  test('parse/node is the instance of the global', { skip: copies }, async () => {
    assert.equal(await Parse.Cloud.run('sameInstance'), true);
  });

  test('npm packages work, and requests to other servers', async () => {
    const other = http.createServer((request, response) => {
      response.setHeader('Content-Type', 'application/json');
      response.end('{"from":"outside"}');
    });
    await new Promise(resolve => other.listen(0, '127.0.0.1', resolve));
    after(() => other.close());
    const url = `http://127.0.0.1:${other.address().port}/`;
    assert.deepEqual(await Parse.Cloud.run('libraries', { url }), {
      grouped: { odd: 2, even: 2 }, day: '2024-02-29T12:00:00.000Z', fetched: { from: 'outside' },
    });
    // The server itself, by HTTP, while it waits for the function.
    const health = await Parse.Cloud.run('libraries', { url: `${server.url}/health` });
    assert.deepEqual(health.fetched, { status: 'ok' });
  });

  test('a login in a function makes a session', async () => {
    const username = unique('there');
    await signUp({ username });
    const { token, me, current } = await Parse.Cloud.run('logInThere', { username, password: 'secret!' });
    assert.deepEqual([me, current], [username, null]);
    const seen = await rest('GET', 'sessions/me', { headers: { 'X-Parse-Session-Token': token } });
    assert.deepEqual([seen.body.createdWith.action, seen.body.installationId], ['login', undefined]);
  });

  test('requests tell who called', async () => {
    const user = await signUp();
    const { body } = await rest('POST', 'functions/who', {
      body: {},
      headers: {
        'X-Parse-Session-Token': user.getSessionToken(), 'X-Parse-Installation-Id': 'inst', 'X-Custom': 'yes',
        'X-Parse-Cloud-Context': '{"trace":7}',
      },
    });
    assert.deepEqual(body.result, {
      user: user.get('username'), token: true, master: false, isReadOnly: false, installationId: 'inst',
      functionName: 'who', ip: 'string', header: 'yes', context: { trace: 7 }, log: 'function',
    });
    assert.equal((await Parse.Cloud.run('who', {}, master)).master, true);
  });

  test('whatever is thrown has its code and text', async () => {
    const cases = {
      parse: [101, 'not there'], custom: [4711, 'own code'], string: [141, 'a text'], error: [141, 'an error'],
      type: [141, 'a type error'], object: [141, 'an object'], nothing: [141, 'Script failed.'],
    };
    for (const [what, [code, message]] of Object.entries(cases)) {
      await fails(Parse.Cloud.run('throw', { what }), code, message);
      await fails(Parse.Cloud.run('reject', { what }), code, message);
    }
    await fails(Parse.Cloud.run('absent'), 141, 'Invalid function: "absent"');
    assert.equal((await rest('POST', 'functions/throw', { body: { what: 'parse' } })).status, 404);
    assert.equal((await rest('POST', 'functions/throw', { body: { what: 'string' } })).status, 400);
    await fails(Parse.Cloud.run('failingQuery'), 105, 'Invalid key name: $bad.key');
  });

  test('two-parameter handlers set status and headers', async () => {
    const answer = await rest('POST', 'functions/express', { body: { status: 201, header: 'h', value: { a: 1 } } });
    assert.deepEqual([answer.status, answer.headers.get('x-answer'), answer.body], [201, 'h', { result: { a: 1 } }]);
    const error = await rest('POST', 'functions/express', { body: { status: 418, error: 'no' } });
    assert.deepEqual([error.status, error.body], [400, { code: 141, error: 'no' }]);
  });

  test('a status without a body has none, and the connection goes on', async () => {
    const { port, hostname } = new URL(server.url);
    for (const status of [204, 205, 304]) {
      const socket = net.connect(Number(port), hostname);
      let text = '';
      socket.on('data', chunk => { text += chunk; });
      const send = (name, body) => socket.write(`POST /parse/functions/${name} HTTP/1.1\r\nHost: x\r\n` +
        `X-Parse-Application-Id: ${server.config.appId}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      const until = async mark => {
        for (let attempt = 0; attempt < 200 && !text.includes(mark); attempt += 1) await new Promise(resolve => setTimeout(resolve, 20));
      };
      send('express', JSON.stringify({ status, value: 'hidden' }));
      await until('\r\n\r\n');
      send('echo', '{"next":1}');
      await until('{"next":1}');
      socket.destroy();
      const [first, second, body, ...rest] = text.split('\r\n\r\n');
      assert.match(first, new RegExp(`^HTTP/1\\.1 ${status} `));
      assert.match(second, /^HTTP\/1\.1 200 /, text);
      assert.deepEqual([body, rest], ['{"result":{"next":1}}', []]);
    }
  });

  test('headers may have several values', async () => {
    const answer = await rest('POST', 'functions/express', { body: { header: ['a=1', 'b=2'], value: 1 } });
    assert.equal(answer.headers.get('x-answer'), 'a=1, b=2');
  });

  test('SDK calls inherit nothing', async () => {
    const user = await signUp();
    const secret = new Parse.Object('Private', { a: 1 });
    secret.setACL(new Parse.ACL(user));
    await secret.save(null, as(user));
    assert.deepEqual(await Parse.Cloud.run('rights', {}, as(user)), { anonymous: 0, master: 1, session: 1 });
    assert.deepEqual(await Parse.Cloud.run('rights', {}, master), { anonymous: 0, master: 1, session: null });
  });

  test('requests of the SDK find every route', async () => {
    const send = (method, path, data) => Parse.Cloud.run('controller', { method, path, data });
    assert.deepEqual(await send('GET', '/health', {}), { status: 'ok' });
    for (const mount of ['', new URL(server.url).pathname]) {
      const requests = [1, 2].map(n => ({ method: 'POST', path: `${mount}/classes/Batched`, body: { n } }));
      const answers = await send('POST', 'batch', { requests });
      assert.deepEqual(answers.map(answer => typeof answer.success.objectId), ['string', 'string']);
    }
  });

  test('options are told from the beginning', async () => {
    const { appId, appName, publicServerURL, serverURL } = server.config;
    const expected = [appId, appName, publicServerURL, serverURL];
    assert.deepEqual(await Parse.Cloud.run('options'), [expected, expected]);
  });

  test('batches, nested functions, config and schema work from code', async () => {
    assert.deepEqual(await Parse.Cloud.run('saveAll', { count: 45 }), [45, true]);
    assert.deepEqual(await Parse.Cloud.run('outer', { n: 4 }), [true, 4]);
    assert.deepEqual(await Parse.Cloud.run('config'), [1, true, 2]);
    assert.equal(await Parse.Cloud.run('schema'), 'String');
  });
});

describe('validators', () => {
  test('refuse with 142 and their text', async () => {
    const user = await signUp();
    const role = new Parse.Role(unique('editorless'), new Parse.ACL());
    await role.save(null, master);
    const no = (name, params, options, text) => fails(Parse.Cloud.run(name, params, options), 142, text);
    await no('v-user', {}, {}, 'Validation failed. Please login to continue.');
    await no('v-master', {}, as(user), 'Validation failed. Master key is required to complete this request.');
    await no('v-any', {}, as(user), 'Validation failed. User does not match the required roles.');
    await no('v-all', {}, as(user), 'Validation failed. User does not match all the required roles.');
    await no('v-keys', {}, as(user), 'Validation failed. Please set data for phone on your account.');
    await no('v-fields', { a: 1 }, {}, 'Validation failed. Please specify data for b.');
    await no('v-types', {}, {}, 'Validation failed. Please specify data for n.');
    await no('v-types', { n: 'x' }, {}, 'Validation failed. Invalid type for n. Expected: number');
    await no('v-types', { n: 3 }, {}, 'Validation failed. Invalid option for n. Expected: 1, 2');
    await no('v-types', { n: 1, list: [1, 2, 3] }, {}, 'list too long');
    await no('v-function', {}, {}, 'validator says no');
    await no('v-strict', {}, master, 'Validation failed. Please login to continue.');
    assert.deepEqual(await Parse.Cloud.run('v-types', { n: 2 }), { n: 2, s: 'fallback' });
    assert.deepEqual(await Parse.Cloud.run('v-fields', {}, master), {});
  });

  test('roles count', async () => {
    const user = await signUp();
    for (const name of ['editor', 'owner']) {
      const role = new Parse.Role(name, new Parse.ACL());
      role.getUsers().add(user);
      await role.save(null, master);
    }
    assert.deepEqual(await Parse.Cloud.run('v-any', { a: 1 }, as(user)), { a: 1 });
    assert.deepEqual(await Parse.Cloud.run('v-all', { a: 1 }, as(user)), { a: 1 });
  });

  test('look at objects before a trigger', async () => {
    await fails(new Parse.Object('Validated').save(), 142, 'Validation failed. Please specify data for title.');
    const saved = await new Parse.Object('Validated', { title: 't', state: 'final' }).save();
    const stored = await new Parse.Query('Validated').get(saved.id);
    assert.deepEqual([stored.get('state'), stored.get('handled')], ['draft', true]);
    await saved.save({ state: 'final' });
    assert.equal((await new Parse.Query('Validated').get(saved.id)).get('state'), 'draft');
    const skipped = await new Parse.Object('Validated', { title: 't' }).save(null, master);
    assert.equal(skipped.get('handled'), undefined);
  });
});

describe('save and delete triggers', () => {
  test('beforeSave changes and refuses', async () => {
    const game = await new Parse.Object('Game', { score: 4, double: true }).save();
    assert.deepEqual([game.get('score'), game.get('checked'), game.get('saves'), game.has('double')], [8, true, 1, false]);
    const stored = await new Parse.Query('Game').get(game.id);
    assert.deepEqual([stored.get('score'), stored.get('checked'), stored.get('saves'), stored.has('double')], [8, true, 1, false]);
    await fails(new Parse.Object('Game', { forbidden: true }).save(), 4000, 'forbidden by trigger');
    await fails(game.save({ crash: 1 }), 141, 'crash by trigger');
    assert.equal((await new Parse.Query('Game').get(game.id)).has('crash'), false);
    const user = await signUp();
    assert.equal((await new Parse.Object('Game', { askUser: 1 }).save(null, as(user))).get('savedBy'), user.id);
    assert.equal((await new Parse.Object('Game', { askUser: 1 }).save(null, master)).get('savedBy'), 'master');
  });

  test('increments stay atomic through a trigger', async () => {
    const game = await new Parse.Object('Game', { score: 0 }).save();
    await Promise.all([...Array(10)].map(() => {
      const handle = Parse.Object.fromJSON({ className: 'Game', objectId: game.id });
      handle.increment('score');
      return handle.save();
    }));
    assert.equal((await new Parse.Query('Game').get(game.id)).get('score'), 10);
  });

  test('answers carry what triggers changed, and only that', async () => {
    const created = await rest('POST', 'classes/Game', { body: { score: 1, extra: 1 } });
    assert.equal(created.status, 201);
    assert.deepEqual(
      Object.keys(created.body).sort(),
      ['checked', 'createdAt', 'fromAfterSave', 'objectId', 'saves'].concat([]).sort(),
    );
    const replaced = await rest('POST', 'classes/Game', { body: { replace: 1 } });
    assert.deepEqual(replaced.body, { replaced: true });
    const failed = await rest('POST', 'classes/Game', { body: { failAfter: 1 } });
    assert.equal(failed.status, 201);
  });

  test('context and original reach afterSave', async () => {
    const tell = unique('tell');
    const game = await new Parse.Object('Game', { score: 1, tell }).save(null, { context: { mine: 1 } });
    await game.save({ score: 2 });
    const [first, second] = await notes('afterSave', tell, 2);
    assert.deepEqual(first, {
      key: tell, context: { mine: 1, fromBeforeSave: [true, ['score', 'tell'], null] }, existed: false, score: 1, before: null,
    });
    assert.deepEqual(second, {
      key: tell, context: { fromBeforeSave: [false, ['score'], 1] }, existed: true, score: 2, before: 1,
    });
  });

  test('delete triggers refuse and follow', async () => {
    const kept = await new Parse.Object('Game', { keep: 1 }).save();
    await fails(kept.destroy(), 4001, 'kept by trigger');
    assert.ok(await new Parse.Query('Game').get(kept.id));
    const tell = unique('tell');
    const game = await new Parse.Object('Game', { tell }).save();
    await game.destroy();
    assert.deepEqual(await notes('afterDelete', tell), [{ key: tell, same: true }]);
  });

  test('triggers save objects with triggers', async () => {
    const root = unique('root');
    await new Parse.Object('Chain', { left: 4, root }).save();
    const chain = await notes('chain', root, 4);
    assert.deepEqual(chain.map(entry => entry.left).sort(), [0, 1, 2, 3]);
  });

  test('endless nesting ends', { skip: target === 'oracle' ? 'parse-server runs until its stack or memory ends' : false }, async () => {
    await fails(new Parse.Object('Endless').save(), 141, 'Cloud Code calls are nested too deeply (limit 32).');
  });

  test('batches run triggers item by item', async () => {
    const good = new Parse.Object('Game', { score: 1 });
    const bad = new Parse.Object('Game', { forbidden: true });
    const { body } = await rest('POST', 'batch', {
      body: { requests: [good, bad].map(object => ({ method: 'POST', path: '/parse/classes/Game', body: object.attributes })) },
    });
    assert.ok(body[0].success.objectId);
    assert.deepEqual(body[1], { error: { code: 4000, error: 'forbidden by trigger' } });
  });
});

describe('find triggers', () => {
  test('beforeFind narrows, replaces and answers', async () => {
    await Parse.Object.saveAll([1, 2, 3].map(n => new Parse.Object('Filtered', { n, owner: n < 3 ? 'a' : 'b' })));
    const find = (where, options) => {
      const query = new Parse.Query('Filtered').ascending('n');
      for (const [key, value] of Object.entries(where)) query.equalTo(key, value);
      return query.find(options);
    };
    assert.deepEqual((await find({})).map(o => o.get('n')), [1, 2]);
    assert.equal(await new Parse.Query('Filtered').count(), 2);
    assert.deepEqual((await find({}, master)).map(o => o.get('n')), [1, 2, 3]);
    assert.ok((await find({})).every(o => o.get('seen')));
    assert.deepEqual((await find({ answer: 'query' })).map(o => o.get('n')), [2, 1]);
    assert.deepEqual((await find({ answer: 'unsaved' })).map(o => o.get('made')), ['by trigger']);
    assert.deepEqual(await find({ answer: 'none' }), []);
    await fails(find({ refuse: true }), 141, 'query refused');
    assert.deepEqual((await find({ describe: true })).map(o => [o.get('count'), o.get('isGet')]), [[false, false]]);
  });

  test('beforeFind may skip the one object of a get', async () => {
    const { id } = await new Parse.Object('Skipped', { n: 1 }).save();
    assert.equal((await new Parse.Query('Skipped').find()).length, 1);
    // The SDK's own get is a find.
    const { status, body } = await rest('GET', `classes/Skipped/${id}`);
    assert.deepEqual([status, body.code], [404, 101]);
  });

  test('afterFind changes results, of gets and includes too', async () => {
    const masked = await new Parse.Object('Masked', { secret: 1, open: 2 }).save();
    const found = await new Parse.Query('Masked').get(masked.id);
    assert.deepEqual([found.has('secret'), found.get('open')], [false, 2]);
    const holder = await new Parse.Object('Holder', { masked }).save();
    const included = await new Parse.Query('Holder').include('masked').get(holder.id);
    assert.equal(included.get('masked').get('open'), 2);
    assert.equal(included.get('masked').has('secret'), false);
  });
});

describe('users, files, configuration', () => {
  test('user triggers', async () => {
    const user = await signUp();
    assert.equal(user.get('level'), 1);
    await fails(signUp({ username: 'refused' }), 141, 'user refused');
    const username = user.get('username');
    // By REST: another login of the same installation would end the session.
    const logIn = () => rest('POST', 'login', { body: { username, password: 'secret!' } });
    assert.equal((await logIn()).status, 200);
    assert.deepEqual((await notes('afterLogin', username))[0].key, username);
    await user.save({ banned: true }, as(user));
    assert.deepEqual((await logIn()).body, { code: 4100, error: 'banned' });
    await rest('POST', 'logout', { headers: { 'X-Parse-Session-Token': user.getSessionToken() }, body: {} });
    assert.deepEqual(await notes('afterLogout', user.id), [{ key: user.id, token: true }]);
  });

  test('file triggers', { skip: target === 'oracle' ? 'its default file store needs MongoDB' : false }, async () => {
    const base64 = Buffer.from('hello').toString('base64');
    await fails(new Parse.File('refused.txt', { base64 }).save(), 130, 'file refused');
    const replaced = await new Parse.File('replaced.txt', { base64 }).save();
    assert.match(replaced.name(), /other\.txt$/);
    const kept = await new Parse.File('kept.txt', { base64 }).save();
    assert.match(kept.name(), /kept\.txt$/);
  });

  test('config triggers', async () => {
    await Parse.Config.save({ level: 2 });
    await fails(Parse.Config.save({ level: 1 }), 141, 'config goes up only');
    assert.equal((await Parse.Config.get()).get('level'), 2);
  });
});

describe('jobs', () => {
  test('run and report', async () => {
    const finished = async id => {
      for (let attempt = 0; attempt < 100; attempt += 1) {
        const status = await Parse.Cloud.getJobStatus(id);
        if (status.get('status') !== 'running') return [status.get('status'), status.get('message')];
        await new Promise(resolve => setTimeout(resolve, 50));
      }
      throw new Error('the job goes on and on');
    };
    assert.deepEqual(await finished(await Parse.Cloud.startJob('works', { n: 3 })), ['succeeded', 'done 3 after half way']);
    assert.deepEqual(await finished(await Parse.Cloud.startJob('fails', {})), ['failed', 'job failed']);
    assert.deepEqual(await finished(await Parse.Cloud.startJob('silent', {})), ['succeeded', undefined]);
    assert.deepEqual(await finished(await Parse.Cloud.startJob('talks', {})), ['succeeded', 'last']);
    await fails(Parse.Cloud.startJob('absent', {}), 141, 'Invalid job.');
    const { jobs } = await Parse.Cloud.getJobsData();
    assert.deepEqual(jobs.sort(), ['fails', 'silent', 'talks', 'works']);
  });
});

describe('sub-queries', () => {
  test('beforeFind of the class that is asked within', async () => {
    const holder = unique('Holder');
    for (const open of [true, false]) {
      const asked = await new Parse.Object('AskedWithin', { open }).save();
      await new Parse.Object(holder, { asked, open }).save();
    }
    const inner = new Parse.Query('AskedWithin');
    const found = await new Parse.Query(holder).matchesQuery('asked', inner).find();
    assert.deepEqual(found.map(object => object.get('open')), [true]);
    const others = await new Parse.Query(holder).doesNotMatchQuery('asked', inner).find();
    assert.deepEqual(others.map(object => object.get('open')), [false]);
    assert.equal(await new Parse.Query(holder).matchesQuery('asked', inner).count(), 1);
    await fails(new Parse.Query(holder).matchesQuery('asked', new Parse.Query('AskedWithin').equalTo('secret', 1)).find(), 4712, 'not to be asked');
  });
});
