// The package `parsimony-server` in the place of `parse-server`: the same application on both, the same requests.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, describe, test } from 'node:test';
import WebSocket from 'ws';
import { createDatabase, startPostgres } from '../lib/postgres.js';
import { adapters, commonJs, modules, typescript, wrong } from './apps.js';
import { MASTER, ask, install, nodes, run } from './fixture.js';

const postgres = await startPostgres();
after(() => postgres.stop());

function both(files, body) {
  const apps = {};
  const databases = [];
  before(async () => {
    for (const kind of ['oracle', 'parsimony']) {
      const database = await createDatabase(postgres, `npm_${kind}`);
      apps[kind] = await run(install(kind, files), 'index.js', { DATABASE_URI: database.uri });
      databases.push(database);
    }
  });
  after(async () => {
    for (const app of Object.values(apps)) await app.stop();
    for (const database of databases) await database.drop();
  });
  body(apps);
}

async function same(apps, requests) {
  for (const [method, target, given] of requests) {
    const seen = {};
    for (const [kind, app] of Object.entries(apps)) seen[kind] = await ask(app, method, target, given);
    // The refusal of missing keys has no type there.
    if (seen.oracle.type === null) seen.parsimony.type = null;
    assert.deepEqual(seen.parsimony, seen.oracle, `${method} ${target}`);
  }
}

describe('CommonJS, cloud as a function, adapters as objects', () => {
  both(commonJs, apps => {
    test('routes of its own and of the server answer alike', async () => {
      await same(apps, [
        ['GET', '/before', {}],
        ['GET', '/parse/health', {}],
        ['GET', '/parse/own', {}],
        ['GET', '/parse/nowhere', {}],
        ['GET', '/parse/classes/Thing', { headers: {} }],
        ['POST', '/parse/classes/Thing', { body: { score: 1, text: 'ä€😀' } }],
        ['GET', '/parse/classes/Thing?order=-score', {}],
        ['GET', '/after', {}],
        ['POST', '/parse/classes/Thing', { body: '{"broken":', headers: { ...MASTER, 'Content-Type': 'application/json' } }],
        ['POST', '/parse/functions/add', { body: { a: 1, b: 2 } }],
        ['POST', '/parse/functions/late', { body: {} }],
        ['POST', '/parse/functions/fail', { body: {} }],
        ['POST', '/parse/functions/ip', { body: {}, headers: { ...MASTER, 'X-Forwarded-For': '203.0.113.9', 'X-Parsimony-Client': '203.0.113.8 http' } }],
        ['POST', '/parse/batch', { body: { requests: [{ method: 'POST', path: '/parse/classes/Thing', body: { n: 1 } }] } }],
        ['OPTIONS', '/parse/classes/Thing', {}],
      ]);
    });

    test('functions of options run in the application, with its state', async () => {
      await same(apps, [
        ['POST', '/parse/users', { body: { authData: { acme: { id: '1', secret: 'no' } } } }],
        ['POST', '/parse/users', { body: { authData: { acme: { id: '1', secret: 'yes' } } } }],
        ['POST', '/parse/users', { body: { username: 'ada', password: 'x' } }],
        ['POST', '/parse/users', { body: { username: 'ada', password: 'lovelace', email: 'ada@example.org' } }],
        ['POST', '/parse/requestPasswordReset', { body: { email: 'ada@example.org' } }],
      ]);
      const { body } = await ask(apps.parsimony, 'POST', '/parse/functions/state', { body: {} });
      assert.deepEqual(body.result, { mails: ['ada'], calls: 2 });
    });

    test('files go through unchanged, at any size', async () => {
      const bytes = Buffer.alloc(3 * 1024 * 1024, 'abc\0');
      for (const app of Object.values(apps)) {
        const saved = await fetch(`${app.url}/parse/files/big.txt`, { method: 'POST', headers: { ...MASTER, 'Content-Type': 'text/plain' }, body: bytes });
        const { url } = await saved.json();
        if (app === apps.oracle && saved.status !== 201) continue;
        const read = Buffer.from(await (await fetch(url)).arrayBuffer());
        assert.ok(read.equals(bytes), `${read.length} bytes`);
        const head = await fetch(url, { method: 'HEAD' });
        assert.equal(head.status, 200);
      }
    });

    test('live queries come over the same server', async () => {
      const socket = new WebSocket(apps.parsimony.url.replace('http', 'ws'));
      const heard = [];
      const until = op => new Promise((resolve, reject) => {
        const check = () => heard.some(message => message.op === op) && resolve(heard.find(message => message.op === op));
        socket.on('message', text => { heard.push(JSON.parse(text)); check(); });
        socket.once('error', reject);
        check();
      });
      await new Promise((resolve, reject) => { socket.once('open', resolve); socket.once('error', reject); });
      socket.send(JSON.stringify({ op: 'connect', applicationId: 'app', restAPIKey: 'rest' }));
      await until('connected');
      socket.send(JSON.stringify({ op: 'subscribe', requestId: 1, query: { className: 'Live', where: {} } }));
      await until('subscribed');
      await ask(apps.parsimony, 'POST', '/parse/classes/Live', { body: { n: 7 } });
      assert.equal((await until('create')).object.n, 7);
      socket.terminate();
    });

    test('a server that is killed comes back', async () => {
      const app = apps.parsimony;
      const children = execFileSync('ps', ['-o', 'pid=', '--ppid', String(app.child.pid)]).toString().split(/\s+/).filter(Boolean);
      assert.equal(children.length, 1);
      process.kill(Number(children[0]), 'SIGKILL');
      let answer;
      for (let attempt = 0; attempt < 200; attempt++) {
        answer = await ask(app, 'POST', '/parse/functions/add', { body: { a: 2, b: 2 } });
        if (answer.status === 200) break;
        assert.equal(answer.status, 503, JSON.stringify(answer));
        assert.equal(answer.body.code, 1);
        await new Promise(resolve => setTimeout(resolve, 50));
      }
      assert.deepEqual(answer.body, { result: 4 });
    });
  });
});

describe('adapters as objects', () => {
  both(adapters, apps => {
    const file = { headers: { ...MASTER, 'Content-Type': 'text/plain' } };

    test('files, pushes and events go through them', async () => {
      const text = 'kept by an object';
      const seen = {};
      for (const [kind, app] of Object.entries(apps)) {
        const saved = await fetch(`${app.url}/parse/files/note.txt`, { method: 'POST', headers: file.headers, body: text });
        const { name, url } = await saved.json();
        const read = await fetch(url);
        const removed = await fetch(`${app.url}/parse/files/${name}`, { method: 'DELETE', headers: MASTER });
        const again = await fetch(`${app.url}/parse/files/${name}`, { method: 'DELETE', headers: MASTER });
        seen[kind] = [saved.status, name.replace(/^[0-9a-f]{32}_/, ''), url.endsWith(`/files/app/${name}`), read.status, await read.text(),
          removed.status, again.status, (await again.json()).code, (await fetch(url)).status];
      }
      assert.deepEqual(seen.parsimony, seen.oracle);
      assert.equal(seen.parsimony[4], text);
      await same(apps, [
        ['POST', '/parse/installations', { body: { deviceType: 'ios', deviceToken: 'abc' } }],
        ['POST', '/parse/push', { headers: MASTER, body: { where: { deviceType: 'ios' }, data: { alert: 'Hello' } } }],
        ['POST', '/parse/events/AppOpened', { body: {} }],
        ['POST', '/parse/events/Bought', { body: { dimensions: { what: 'hat' } } }],
      ]);
      const sent = async app => (await ask(app, 'POST', '/parse/functions/seen', { body: {} })).body.result;
      for (const app of Object.values(apps)) {
        const until = Date.now() + 20000;
        while ((await sent(app)).pushes.length === 0) {
          assert.ok(Date.now() < until, 'the push is sent');
          await new Promise(resolve => setTimeout(resolve, 50));
        }
      }
      assert.deepEqual(await sent(apps.parsimony), await sent(apps.oracle));
    });

    test('the logger hears what code says, and what the server says', async () => {
      for (const app of Object.values(apps)) {
        await ask(app, 'POST', '/parse/functions/say', { body: { word: 'hello' } });
        const logged = async text => (await ask(app, 'POST', '/parse/functions/logged', { body: { text } })).body.result;
        const until = Date.now() + 20000;
        while ((await logged('said')).length === 0 || (await logged('Ran cloud function say')).length === 0) {
          assert.ok(Date.now() < until, 'the lines come');
          await new Promise(resolve => setTimeout(resolve, 50));
        }
        assert.deepEqual(await logged('said'), [['info', 'said']]);
        assert.equal((await logged('Ran cloud function say'))[0][0], 'info');
      }
      // What has no effect is told there, too, and nothing on the terminal.
      const { body } = await ask(apps.parsimony, 'POST', '/parse/functions/logged', { body: { text: 'The option cacheAdapter has no effect: ' } });
      assert.deepEqual(body.result.map(([level]) => level), ['warn']);
      assert.equal(apps.parsimony.output(), 'up\n');
    });
  });

  test('an adapter of the package that is extended runs as it is extended', async () => {
    const database = await createDatabase(postgres, 'npm_loud');
    const seen = {};
    for (const kind of ['oracle', 'parsimony']) {
      const app = await run(install(kind, adapters), 'index.js', { DATABASE_URI: database.uri, LOUD: '1' });
      const saved = await fetch(`${app.url}/parse/files/note.txt`, { method: 'POST', headers: { ...MASTER, 'Content-Type': 'text/plain' }, body: 'loud' });
      const { name, url } = await saved.json();
      const onDisk = fs.readFileSync(path.join(app.folder, 'files', name));
      seen[kind] = [saved.status, await (await fetch(url)).text(), onDisk.length,
        (await ask(app, 'POST', '/parse/functions/seen', { body: {} })).body.result.files];
      await app.stop();
    }
    await database.drop();
    assert.deepEqual(seen.parsimony, seen.oracle);
    assert.deepEqual(seen.parsimony.slice(1), ['loud', 4 + 32, ['create note.txt', 'read note.txt']]);
  });
});

// Methods of parse-server's classes that only parse-server itself calls.
const INTERNAL = {
  ParseGraphQLServer: ['applyRequestContextMiddleware'],
  PushWorker: ['run', 'sendToAdapter'],
  default: ['applyRequestContextMiddleware', 'promiseRouter'],
};

describe('the names of the package', () => {
  test('RedisCacheAdapter is a cache in Redis for an application that has the package redis', { skip: !process.env.PARSIMONY_TEST_REDIS_URL && 'PARSIMONY_TEST_REDIS_URL is not set' }, () => {
    const script = `
      const { RedisCacheAdapter } = require('parse-server');
      (async () => {
        const url = new URL(process.env.PARSIMONY_TEST_REDIS_URL);
        url.pathname = '/14';
        const cache = new RedisCacheAdapter({ url: url.href }, 20000);
        await cache.connect();
        await cache.clear();
        await cache.put('a', { b: [1, 'ä'] });
        await cache.put('none', 1, 0);
        await cache.put('short', 1, 1);
        await cache.put('long', 2, Infinity);
        await cache.del('nothing');
        await new Promise(resolve => setTimeout(resolve, 20));
        const seen = [await cache.get('a'), await cache.get('none'), await cache.get('short'), await cache.get('long'), (await cache.getAllKeys()).sort()];
        await cache.del('a');
        seen.push(await cache.get('a'));
        await cache.clear();
        seen.push(await cache.getAllKeys());
        console.log('SEEN' + JSON.stringify(seen));
        await cache.handleShutdown();
        process.exit(0);
      })();`;
    const seen = {};
    for (const kind of ['oracle', 'parsimony']) {
      const folder = install(kind, { 'cache.js': script });
      const modules = fileURLToPath(new URL('../../../node_modules', import.meta.url));
      if (kind === 'parsimony') {
        for (const name of ['redis', '@redis', 'cluster-key-slot']) {
          if (fs.existsSync(path.join(modules, name))) fs.symlinkSync(path.join(modules, name), path.join(folder, 'node_modules', name));
        }
      }
      seen[kind] = /^SEEN(.*)$/m.exec(execFileSync(process.execPath, ['cache.js'], { cwd: folder, encoding: 'utf8' }))[1];
      fs.rmSync(folder, { recursive: true, force: true });
    }
    assert.equal(seen.parsimony, seen.oracle);
    assert.equal(seen.parsimony, JSON.stringify([{ b: [1, 'ä'] }, null, null, 2, ['a', 'long'], null, []]));
  });

  test('whatever parse-server exports is there', () => {
    const script = `
      const methods = (prototype, found = []) => prototype && prototype !== Object.prototype
        ? methods(Object.getPrototypeOf(prototype), [...found, ...Object.getOwnPropertyNames(prototype)]) : found;
      const shape = exported => Object.fromEntries(Object.entries(exported).sort().map(([name, value]) => [name, {
        statics: Object.getOwnPropertyNames(value).filter(key => !/^(_|length|name|prototype|arguments|caller)/.test(key)).sort(),
        methods: methods(value.prototype).filter(key => !/^_/.test(key)).sort(),
      }]));
      console.log('SHAPE' + JSON.stringify(shape(require('parse-server'))));
      process.exit(0);`;
    const shapes = {};
    for (const kind of ['oracle', 'parsimony']) {
      const folder = install(kind, { 'shape.js': script });
      const said = execFileSync(process.execPath, ['shape.js'], { cwd: folder, encoding: 'utf8' });
      shapes[kind] = JSON.parse(/^SHAPE(.*)$/m.exec(said)[1]);
      fs.rmSync(folder, { recursive: true, force: true });
    }
    for (const [name, { statics, methods }] of Object.entries(shapes.oracle)) {
      const own = shapes.parsimony[name];
      assert.ok(own, name);
      const has = new Set([...own.statics, ...own.methods]);
      // What only a server in this process can have, or is made of Express' own parts.
      const internal = INTERNAL[name] || [];
      assert.deepEqual([...statics, ...methods].filter(key => !has.has(key) && !internal.includes(key)), [], name);
    }
  });
});


describe('other versions of Node.js', () => {
  const others = nodes();
  test('there are some', { skip: others.length === 0 && 'none is installed: scripts/install.sh test' }, () => {});
  for (const [version, node] of others) {
    test(`Node.js ${version}`, async () => {
      const database = await createDatabase(postgres, 'npm_node');
      for (const [shape, target, result] of [[commonJs, 'add', 3], [modules, 'where', 'module']]) {
        const app = await run(install('parsimony', shape), 'index.js', { DATABASE_URI: database.uri }, node);
        assert.equal(execFileSync(node, ['-p', 'process.versions.node'], { encoding: 'utf8' }).trim(), version);
        assert.equal((await ask(app, 'POST', '/parse/classes/Thing', { body: { score: 1 } })).status, 201);
        assert.deepEqual((await ask(app, 'POST', `/parse/functions/${target}`, { body: { a: 1, b: 2 } })).body, { result });
        assert.equal(await app.stop(), 0);
      }
      await database.drop();
    });
  }
});

describe('ES modules, cloud as a path, a body parser in front, two mounts', () => {
  both(modules, apps => {
    test('answers are the same at both mounts', async () => {
      for (const mount of ['/parse', '/api/v1']) {
        await same(apps, [
          ['POST', `${mount}/functions/where`, { body: {} }],
          ['POST', `${mount}/functions/heads`, { body: {}, headers: MASTER }],
          ['POST', `${mount}/functions/heads`, { body: {}, headers: { ...MASTER, 'X-Front': 'yes' } }],
          ['GET', `${mount}/schemas`, { headers: { ...MASTER, 'X-Front': 'yes' } }],
          ['POST', `${mount}/classes/Thing`, { body: { a: [1, { b: null }] } }],
          ['GET', `${mount}/classes/Log`, { headers: MASTER }],
          ['GET', `${mount}/classes/Thing?where=${encodeURIComponent('{"a":{"$exists":true}}')}`, {}],
        ]);
      }
    });
  });
});

describe('TypeScript, GraphQL, two servers in one process', () => {
  let app;
  const databases = [];
  before(async () => {
    const folder = install('parsimony', typescript);
    const tsc = fileURLToPath(new URL('../../../node_modules/typescript/bin/tsc', import.meta.url));
    execFileSync(process.execPath, [tsc, '-p', folder], { stdio: 'pipe' });
    for (const label of ['npm_one', 'npm_two']) databases.push(await createDatabase(postgres, label));
    const [one, two] = databases.map(database => database.uri);
    app = await run(folder, path.join('dist', 'index.js'), { DATABASE_URI: one, SECOND_URI: two });
  });
  after(async () => {
    await app?.stop();
    for (const database of databases) await database.drop();
  });

  test('each has its own Cloud Code and its own data', async () => {
    const second = { 'X-Parse-Application-Id': 'second', 'X-Parse-REST-API-Key': 'rest' };
    for (const [mount, headers, name] of [['/parse', undefined, 'first'], ['/second', second, 'second']]) {
      await ask(app, 'POST', `${mount}/classes/Only`, { body: { name }, headers });
      const { body } = await ask(app, 'POST', `${mount}/functions/who`, { body: {}, headers });
      assert.deepEqual(body, { result: { name, stored: [name] } });
    }
    assert.equal((await ask(app, 'GET', '/parse/classes/Only', { headers: second })).status, 403);
  });

  test('GraphQL is where the application mounts it', async () => {
    const { status, body } = await ask(app, 'POST', '/graphql', { body: { query: '{ health }' } });
    assert.deepEqual([status, body], [200, { data: { health: true } }]);
  });
});

describe('a start that fails', () => {
  const folders = () => fs.readdirSync(os.tmpdir()).filter(name => /^parsimony-\w{6}$/.test(name)).sort();

  for (const [what, env, text] of [
    ['a database that is not there', { DATABASE_URI: 'postgres://nobody@127.0.0.1:9/none' }, /FAILED .*(database|PostgreSQL)/i],
    ['a wrong option', { DATABASE_URI: 'postgres://nobody@127.0.0.1:9/none', EXTRA: '{"sessionLength":"long"}' }, /FAILED .*sessionLength/i],
    ['a loggerAdapter that cannot log', { DATABASE_URI: 'x', LOGGER: '1' }, /FAILED The option loggerAdapter cannot be used/],
    ['a foreign databaseAdapter', { DATABASE_URI: 'x', ADAPTER: '1' }, /FAILED The option databaseAdapter cannot be used/],
  ]) {
    test(`${what} rejects start and leaves nothing behind`, async () => {
      const known = folders();
      const folder = install('parsimony', wrong);
      const failure = await run(folder, 'index.js', env).then(app => app.stop().then(() => 'it started'), error => error.message);
      assert.match(failure, text);
      assert.match(failure, /^ended with 3/);
      assert.deepEqual(folders().filter(name => !known.includes(name)), []);
    });
  }
});
