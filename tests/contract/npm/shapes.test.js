// How applications reach the package, and how they start and stop servers: names, paths, restarts, the environment.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { createDatabase, startPostgres } from '../lib/postgres.js';
import { options } from './apps.js';
import { ask, freePort, install, run } from './fixture.js';

const postgres = await startPostgres();
after(() => postgres.stop());

const kinds = ['oracle', 'parsimony'];

/** What `program` prints after `SEEN`, on either package. */
function printed(program, file) {
  const seen = {};
  for (const kind of kinds) {
    const folder = install(kind, { [file]: program });
    const said = execFileSync(process.execPath, [file], { cwd: folder, encoding: 'utf8' });
    seen[kind] = JSON.parse(/^SEEN(.*)$/m.exec(said)[1]);
    fs.rmSync(folder, { recursive: true, force: true });
  }
  return seen;
}

/** Runs an application that ends by itself, on a database of its own each. */
async function toTheEnd(files, env = {}, look = () => undefined) {
  const seen = {};
  for (const kind of kinds) {
    const database = await createDatabase(postgres, `npm_${kind}`);
    const folder = install(kind, files);
    const ended = spawnSync(process.execPath, ['index.js'], {
      cwd: folder, encoding: 'utf8', timeout: 120000,
      env: { ...process.env, TESTING: '1', PARSIMONY_BIN: process.env.PARSIMONY_BIN || path.resolve('target/debug/parsimony'), PORT: String(await freePort()), DATABASE_URI: database.uri, ...env },
    });
    seen[kind] = { status: ended.status, lines: ended.stdout.split('\n').filter(line => line.startsWith('SEEN')), looked: look(folder, ended) };
    if (seen[kind].lines.length === 0) seen[kind].output = ended.stdout + ended.stderr;
    fs.rmSync(folder, { recursive: true, force: true });
    await database.drop();
  }
  return seen;
}

describe('names and paths', () => {
  test('import finds what require finds, and the whole as the default', () => {
    const seen = printed(`
      import whole, { ParseServer, ParseGraphQLServer, FileSystemAdapter, S3Adapter, TestUtils } from 'parse-server';
      import * as all from 'parse-server';
      const { ParseServer: again } = whole;
      console.log('SEEN' + JSON.stringify([typeof whole, typeof whole.default, again === ParseServer, typeof ParseGraphQLServer,
        typeof FileSystemAdapter, typeof S3Adapter, typeof TestUtils, typeof all.AuthAdapter, typeof all.default.ParseServer]));
      process.exit(0);`, 'index.mjs');
    assert.deepEqual(seen.parsimony, seen.oracle);
  });

  // Modules of parse-server that applications and their adapters load by their paths.
  const PATHS = ['Adapters/Analytics/AnalyticsAdapter', 'Adapters/Auth/AuthAdapter', 'Adapters/Cache/CacheAdapter',
    'Adapters/Cache/InMemoryCacheAdapter', 'Adapters/Cache/LRUCache', 'Adapters/Cache/NullCacheAdapter', 'Adapters/Cache/RedisCacheAdapter',
    'Adapters/Email/MailAdapter', 'Adapters/Files/FilesAdapter', 'Adapters/Files/GridFSBucketAdapter', 'Adapters/Logger/LoggerAdapter',
    'Adapters/Push/PushAdapter', 'Adapters/Storage/Mongo/MongoStorageAdapter', 'Adapters/Storage/Postgres/PostgresStorageAdapter', 'Config',
    'GraphQL/ParseGraphQLServer', 'LiveQuery/ParseLiveQueryServer', 'Options', 'ParseServer', 'Push/PushWorker', 'SchemaMigrations/Migrations',
    'Security/Check', 'Security/CheckGroup', 'TestUtils', 'cache', 'cryptoUtils', 'index', 'logger'];

  test('modules that are loaded by their paths export the same names', () => {
    const seen = printed(`
      const shape = value => typeof value === 'function' ? 'function' : Object.getOwnPropertyNames(value).filter(name => name !== '__esModule').sort();
      console.log('SEEN' + JSON.stringify(${JSON.stringify(PATHS)}.map(name => [name, shape(require('parse-server/lib/' + name))])));
      process.exit(0);`, 'index.js');
    for (const [at, [name, names]] of seen.oracle.entries()) {
      const own = seen.parsimony[at][1];
      if (names === 'function') assert.equal(own, 'function', name);
      else assert.deepEqual(names.filter(key => !own.includes(key)), [], name);
    }
  });

  test('checks, adapters that name a database, and Config are of use', async () => {
    const app = await run(install('parsimony', { 'index.js': `
      const express = require('express');
      const Config = require('parse-server/lib/Config');
      const CheckGroup = require('parse-server/lib/Security/CheckGroup');
      const { Check } = require('parse-server/lib/Security/Check');
      const { PostgresStorageAdapter } = require('parse-server/lib/Adapters/Storage/Postgres/PostgresStorageAdapter');
      const { ParseServer } = require('parse-server');
      class Mine extends CheckGroup {
        setName() { return 'Mine'; }
        setChecks() { return [new Check({ title: 'a', warning: 'w', solution: 's', check: () => { throw 'no'; } }), new Check({ title: 'b', warning: 'w', solution: 's', check: () => {} })]; }
      }
      (async () => {
        const { databaseURI, ...others } = ${options} security: { enableCheck: true, checkGroups: [Mine] } };
        const server = new ParseServer({ ...others, databaseAdapter: new PostgresStorageAdapter({ uri: databaseURI }), cloud: Parse => {
          Parse.Cloud.define('config', () => {
            const config = Config.get(Parse.applicationId, 'http://x/parse/');
            let reason;
            try { config.database.find(); } catch (error) { reason = error.message; }
            return [config.appId, config.mount, config.masterKey, config.generateSessionExpiresAt() > new Date(), Config.get('other') === undefined, reason];
          });
        } });
        await server.start();
        const app = express();
        app.use('/parse', server.app);
        const listener = app.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('up'));
        process.on('SIGTERM', async () => { server.server = listener; await server.handleShutdown(); process.exit(0); });
      })();` }), 'index.js', { DATABASE_URI: (await createDatabase(postgres, 'npm_paths')).uri });
    const { body } = await ask(app, 'POST', '/parse/functions/config', { body: {} });
    assert.deepEqual(body.result, ['app', 'http://x/parse', 'master', true, true,
      'Config has no database: the server is a program of its own. Use the SDK with the master key instead.']);
    const { body: { report } } = await ask(app, 'GET', '/parse/security', { headers: { 'X-Parse-Application-Id': 'app', 'X-Parse-Master-Key': 'master' } });
    assert.deepEqual(report.groups.map(({ name, checks }) => [name, checks.map(({ title, state }) => [title, state])]), [['Mine', [['a', 'fail'], ['b', 'success']]]]);
    assert.equal(await app.stop(), 0);
  });

  test('the command line is where scripts look for it', () => {
    const folder = install('parsimony', {});
    const program = process.env.PARSIMONY_BIN || path.resolve('target/debug/parsimony');
    const version = execFileSync(program, ['--version'], { encoding: 'utf8' });
    for (const file of ['bin/parse-server', 'lib/cli/parse-server.js', 'bin/parsimony-server']) {
      const said = execFileSync(process.execPath, [path.join(folder, 'node_modules/parse-server', file), '--version'], { encoding: 'utf8', env: { ...process.env, PARSIMONY_BIN: program } });
      assert.equal(said, version, file);
    }
    fs.rmSync(folder, { recursive: true, force: true });
  });
});

describe('servers one after another in a process', () => {
  test('what a module has registered serves the next server with the same id', async () => {
    const seen = await toTheEnd({
      'cloud/main.js': `Parse.Cloud.define('hello', () => 'hi'); Parse.Cloud.beforeSave('Thing', ({ object }) => { object.set('seen', true); });`,
      'index.js': `
        const Parse = require('parse/node');
        const { ParseServer } = require('parse-server');
        (async () => {
          for (let round = 0; round < 3; round++) {
            const server = await ParseServer.startApp({ ...${options} cloud: './cloud/main.js' }, port: Number(process.env.PORT), host: '127.0.0.1' });
            const thing = await new Parse.Object('Thing').save();
            console.log('SEEN' + JSON.stringify([round, await Parse.Cloud.run('hello'), thing.get('seen')]));
            await server.handleShutdown();
          }
        })();`,
    });
    assert.deepEqual(seen.parsimony, seen.oracle);
    assert.deepEqual(seen.parsimony.lines, [0, 1, 2].map(round => `SEEN[${round},"hi",true]`));
    assert.equal(seen.parsimony.status, 0);
  });

  test('one that was shut down can be started again', async () => {
    const app = await run(install('parsimony', { 'index.js': `
      const express = require('express');
      const { ParseServer } = require('parse-server');
      (async () => {
        const server = new ParseServer(${options} cloud: Parse => { Parse.Cloud.define('add', ({ params }) => params.a + params.b); } });
        const app = express();
        app.use(server.config.mountPath, server.app);
        app.get('/states', async (req, res) => {
          const states = [server.config.state];
          await server.handleShutdown();
          states.push(server.config.state);
          await Promise.all([server.start(), server.start()]);
          res.json([...states, server.config.state]);
        });
        await server.start();
        app.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('up'));
        process.on('SIGTERM', async () => { await server.handleShutdown(); process.exit(0); });
      })();` }), 'index.js', { DATABASE_URI: (await createDatabase(postgres, 'npm_again')).uri });
    const add = async () => (await ask(app, 'POST', '/parse/functions/add', { body: { a: 1, b: 2 } })).body;
    assert.deepEqual(await add(), { result: 3 });
    for (let round = 0; round < 2; round++) {
      assert.deepEqual((await ask(app, 'GET', '/states', {})).body, ['ok', 'stopped', 'ok']);
      assert.deepEqual(await add(), { result: 3 });
    }
    assert.equal(await app.stop(), 0);
  });
});

describe('the environment of the application', () => {
  const files = { 'index.js': `
    const Parse = require('parse/node');
    const { ParseServer } = require('parse-server');
    (async () => {
      const { silent, logsFolder, ...others } = ${options} };
      const server = await ParseServer.startApp({ ...others, port: Number(process.env.PORT), host: '127.0.0.1', cloud: Parse => {
        Parse.Cloud.define('say', request => { request.log.verbose('a quiet word'); return 1; });
      } });
      await Parse.Cloud.run('say');
      await server.handleShutdown();
      console.log('SEEN');
    })();` };
  const look = (folder, { stdout }) => [fs.existsSync(path.join(folder, 'mine')), fs.existsSync(path.join(folder, 'test_logs')), stdout.includes('a quiet word'), stdout.includes('\u001b')];

  test('VERBOSE and the folder of logs are taken from it, colours are for terminals', async () => {
    const seen = await toTheEnd(files, { VERBOSE: '1', PARSE_SERVER_LOGS_FOLDER: './mine' }, look);
    assert.deepEqual(seen.parsimony, seen.oracle);
    assert.deepEqual(seen.parsimony.looked, [true, false, true, false]);
  });

  test('without them there are the defaults of a test', async () => {
    const seen = await toTheEnd(files, {}, look);
    assert.deepEqual(seen.parsimony, seen.oracle);
    assert.deepEqual(seen.parsimony.looked, [false, true, false, false]);
  });
});

describe('options as code sees them', () => {
  test('Parse.Server, request.config and server.config have those of the application and the defaults', async () => {
    const seen = await toTheEnd({ 'index.js': `
      const Parse = require('parse/node');
      const { ParseServer } = require('parse-server');
      (async () => {
        class Adapter { constructor() { this.self = this; } sendMail() {} }
        const emailAdapter = new Adapter();
        const names = ['sessionLength', 'maxUploadSize', 'mountPath', 'graphQLPath', 'mountGraphQL', 'host', 'restAPIKey', 'ownOption', 'expireInactiveSessions', 'verifyServerUrl'];
        const pick = options => [...names.map(name => options[name]), options.emailAdapter === emailAdapter, options.state];
        const server = await ParseServer.startApp({ ...${options} }, port: Number(process.env.PORT), host: '127.0.0.1', sessionLength: 77, ownOption: { a: [1] }, emailAdapter,
          cloud: Parse => { Parse.Cloud.define('config', ({ config }) => [pick(Parse.Server), pick(config).slice(0, -1)]); } });
        console.log('SEEN' + JSON.stringify([await Parse.Cloud.run('config'), pick(server.config)]));
        await server.handleShutdown();
      })();` });
    assert.deepEqual(seen.parsimony.lines, seen.oracle.lines);
    assert.match(seen.parsimony.lines[0], /^SEEN\[\[\[77,"20mb","\/parse"/);
  });
});
