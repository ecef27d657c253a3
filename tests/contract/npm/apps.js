// The usual shapes of an application that embeds parse-server.

export const options = `{
  appId: 'app', masterKey: 'master', restAPIKey: 'rest', serverURL: \`http://127.0.0.1:\${process.env.PORT}/parse\`,
  databaseURI: process.env.DATABASE_URI, allowClientClassCreation: true, silent: true, logsFolder: null,
  masterKeyIps: ['0.0.0.0/0', '::/0'], liveQuery: { classNames: ['Live'] },
  fileUpload: { enableForPublic: true },
`;

const listen = `
  const httpServer = require('http').createServer(app);
  await ParseServer.createLiveQueryServer(httpServer);
  httpServer.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('up'));
  process.on('SIGTERM', async () => {
    httpServer.close(); httpServer.closeAllConnections();
    server.server = server.server || { close: done => done() };
    await server.handleShutdown(); process.exit(0);
  });
`;

export const commonJs = {
  'index.js': `
const express = require('express');
const Parse = require('parse/node');
const { ParseServer, AuthAdapter } = require('parse-server');
(async () => {
  const state = { mails: [], calls: 0 };
  class Acme extends AuthAdapter {
    validateAppId() { return Promise.resolve(); }
    validateAuthData(data) { state.calls += 1; if (data.secret !== 'yes') throw new Parse.Error(101, 'No such Acme user.'); return Promise.resolve({}); }
  }
  const server = new ParseServer(${options}
    appName: 'Shop', publicServerURL: 'http://127.0.0.1:' + process.env.PORT + '/parse',
    auth: { acme: { module: new Acme() } },
    emailAdapter: { sendMail: mail => { state.mails.push(mail.to); }, sendPasswordResetEmail: mail => { state.mails.push(mail.user.get('username')); }, sendVerificationEmail() {} },
    passwordPolicy: { validatorCallback: password => password.length > 3 },
    cloud: Parse => {
      Parse.Cloud.define('add', request => request.params.a + request.params.b);
      Parse.Cloud.define('fail', () => { throw new Parse.Error(142, 'Not so.'); });
      Parse.Cloud.define('state', () => state);
      Parse.Cloud.define('ip', request => request.ip);
      Parse.Cloud.beforeSave('Thing', request => { request.object.set('touched', true); });
    },
  });
  const app = express();
  app.use((req, res, next) => { res.setHeader('X-Shop', 'yes'); next(); });
  // As compression, sessions and loggers wrap it (on-headers 1.0).
  app.use((req, res, next) => {
    const { writeHead } = res;
    res.writeHead = function (status, headers) {
      if (Array.isArray(headers)) headers.forEach(each => res.setHeader(each[0], each[1]));
      else Object.keys(headers || {}).forEach(name => res.setHeader(name, headers[name]));
      return writeHead.call(res, status);
    };
    next();
  });
  app.get('/before', (req, res) => res.json({ same: global.Parse === Parse, id: Parse.applicationId }));
  app.use('/parse', server.app);
  app.get('/parse/own', (req, res) => res.json({ own: true }));
  app.get('/after', async (req, res) => res.json({ things: (await new Parse.Query('Thing').find({ useMasterKey: true })).length }));
  await server.start();
  Parse.Cloud.define('late', () => 'late');
  ${listen}
})().catch(error => { console.error('FAILED ' + error.message); process.exit(3); });
`,
};

export const adapters = {
  'index.js': `
const express = require('express');
const Parse = require('parse/node');
const { ParseServer, FileSystemAdapter, InMemoryCacheAdapter } = require('parse-server');
(async () => {
  const seen = { pushes: [], events: [], files: [], logs: [] };
  const stored = new Map();
  // An adapter of the package, extended.
  class Loud extends FileSystemAdapter {
    async createFile(name, data, type) { seen.files.push('create ' + name.replace(/^[0-9a-f]{32}_/, '')); return super.createFile(name, data, type); }
    async getFileData(name) { seen.files.push('read ' + name.replace(/^[0-9a-f]{32}_/, '')); return super.getFileData(name); }
  }
  const inMemory = {
    async createFile(name, data) { stored.set(name, Buffer.from(data)); },
    async deleteFile(name) { if (!stored.delete(name)) throw new Error('no such file'); },
    async getFileData(name) { if (!stored.has(name)) throw new Error('no such file'); return stored.get(name); },
    getFileLocation(config, name) { return config.mount + '/files/' + config.applicationId + '/' + encodeURIComponent(name); },
    validateFilename() { return null; },
  };
  const server = new ParseServer(${options}
    silent: false,
    filesAdapter: process.env.LOUD ? new Loud({ encryptionKey: 'secret' }) : inMemory,
    push: { adapter: {
      getValidPushTypes: () => ['ios'],
      send: async (body, installations) => {
        seen.pushes.push([body.data.alert, installations.map(each => each.deviceToken)]);
        return installations.map(device => ({ device, transmitted: true }));
      },
    } },
    analyticsAdapter: {
      appOpened: async () => { seen.events.push('opened'); return {}; },
      trackEvent: async name => { seen.events.push(name); return {}; },
    },
    cacheAdapter: new (class extends InMemoryCacheAdapter {})({}),
    loggerAdapter: {
      log: (level, message, meta) => { seen.logs.push([level, String(message), meta]); },
      query: async () => [],
    },
    cloud: Parse => {
      Parse.Cloud.define('say', request => { request.log.info('said', { word: request.params.word }); return 1; });
      Parse.Cloud.define('seen', () => ({ ...seen, logs: undefined }));
      Parse.Cloud.define('logged', request => seen.logs.filter(([, message]) => message.startsWith(request.params.text)).map(([level, message]) => [level, message]));
    },
  });
  const app = express();
  app.use('/parse', server.app);
  await server.start();
  ${listen}
})().catch(error => { console.error('FAILED ' + error.message); process.exit(3); });
`,
};

export const modules = {
  'package.json': '{"type":"module"}',
  'cloud/main.js': `Parse.Cloud.define('where', () => 'module');\nParse.Cloud.define('heads', ({ headers, master }) => [master, headers['x-added'] !== undefined, headers['x-front'], headers['x-upper'], headers['x-parse-master-key'], String(headers['x-many']).replaceAll(' ', '')]);\nParse.Cloud.afterSave('Thing', async request => { await new Parse.Object('Log').save({ of: request.object.id ? 'thing' : '' }, { useMasterKey: true }); });\n`,
  'index.js': `
import http from 'node:http';
import express from 'express';
import { ParseServer } from 'parse-server';
const server = new ParseServer(${options} cloud: './cloud/main.js' });
await server.start();
const app = express();
// A parser in front of everything, as many have it, and headers that are added, changed and taken away.
app.use(express.json());
app.use((req, res, next) => {
  if (req.headers['x-front']) {
    req.headers['x-added'] = 'ä€';
    req.headers['x-front'] += ' changed';
    delete req.headers['x-parse-master-key'];
    req.headers['x-many'] = ['a', 'b'];
    req.headers['x-break'] = 'one\\r\\nX-Parse-Master-Key: master';
    req.headers['X-Upper'] = 'not found';
    req.headers['no name'] = 'x';
  }
  next();
});
app.use('/parse', server.app);
app.use('/api/v1', server.app);
const httpServer = http.createServer(app);
httpServer.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('up'));
process.on('SIGTERM', () => process.exit(0));
`,
};

export const wrong = {
  'index.js': `
const { ParseServer } = require('parse-server');
(async () => {
  const server = new ParseServer(${options} ...JSON.parse(process.env.EXTRA || '{}'), ...(process.env.LOGGER ? { loggerAdapter: { query() {} } } : {}), ...(process.env.ADAPTER ? { databaseAdapter: { find() {} } } : {}) });
  await server.start();
  console.log('up');
})().catch(error => { console.error('FAILED ' + error.message); process.exitCode = 3; });
`,
};

export const typescript = {
  'tsconfig.json': JSON.stringify({
    compilerOptions: { strict: true, module: 'commonjs', target: 'es2022', outDir: 'dist', esModuleInterop: true, skipLibCheck: false, types: [], lib: ['es2022', 'dom'] },
    files: ['globals.d.ts', 'index.ts'],
  }),
  // Instead of @types/node and @types/express, which are none of ours.
  'globals.d.ts': `
declare module 'express';
declare module 'node:http' { export type IncomingMessage = any; export type ServerResponse = any; export type Server = any; }
declare const process: any;
declare const Parse: any;
`,
  'index.ts': `
import express from 'express';
import { ParseServer, ParseGraphQLServer, ParseServerOptions } from 'parse-server';

const options = (appId: string, mount: string, databaseURI: string): ParseServerOptions => ({
  ...${options} },
  appId,
  databaseURI,
  serverURL: 'http://127.0.0.1:' + process.env.PORT + mount,
  cloud: (Parse: any) => {
    Parse.Cloud.define('who', async () => {
      const found = await new Parse.Query('Only').find();
      return { name: appId === 'app' ? 'first' : appId, stored: found.map((each: any) => each.get('name')) };
    });
  },
});

async function main(): Promise<void> {
  const app = express();
  const first = new ParseServer(options('app', '/parse', process.env.DATABASE_URI));
  const second: ParseServer = ParseServer(options('second', '/second', process.env.SECOND_URI));
  const graphQL = new ParseGraphQLServer(first, { graphQLPath: '/graphql' });
  app.use('/parse', first.app);
  app.use('/second', second.app);
  graphQL.applyGraphQL(app);
  await Promise.all([first.start(), second.start()]);
  const server = app.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('up'));
  process.on('SIGTERM', async () => {
    server.close();
    server.closeAllConnections();
    await Promise.all([first.handleShutdown(), second.handleShutdown()]);
    process.exit(0);
  });
}

main().catch(error => {
  console.error('FAILED', error);
  process.exit(3);
});
`,
};
