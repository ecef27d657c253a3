// Option `schema` of an application that embeds the server: npm parse-server and the package, callbacks included.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createDatabase, provideGeometry, startPostgres } from '../lib/postgres.js';
import { options } from '../npm/apps.js';
import { MASTER, ask, install, run } from '../npm/fixture.js';

const postgres = await startPostgres();
after(() => postgres.stop());

const application = {
  'index.js': `
const express = require('express');
const { ParseServer, SchemaMigrations: { CLP, makeSchema } } = require('parse-server');
(async () => {
  const order = [];
  const server = new ParseServer(${options}
    schema: {
      lockSchemas: true,
      definitions: [makeSchema('Game', { fields: { score: { type: 'Number', defaultValue: 3 } }, classLevelPermissions: CLP.allow({ '*': ['find', 'get', 'create'] }) })],
      beforeMigration: async () => { order.push('before'); },
      afterMigration: () => { order.push('after'); },
    },
    cloud: Parse => { order.push('cloud'); Parse.Cloud.define('order', () => order); },
  });
  await server.start();
  const app = express();
  app.use('/parse', server.app);
  const http = app.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('up'));
  process.on('SIGTERM', async () => {
    http.close(); http.closeAllConnections();
    server.server = server.server || { close: done => done() };
    await server.handleShutdown(); process.exit(0);
  });
})().catch(error => { console.error('FAILED ' + error.message); process.exit(3); });
`,
};

test('classes, callbacks and the lock are alike inside an application', async () => {
  const seen = {};
  for (const kind of ['oracle', 'parsimony']) {
    const database = await createDatabase(postgres, `package_${kind}`);
    if (kind === 'oracle') await provideGeometry(database.uri);
    const app = await run(install(kind, application), 'index.js', { DATABASE_URI: database.uri });
    try {
      seen[kind] = [
        await ask(app, 'POST', '/parse/functions/order', { body: {} }),
        await ask(app, 'GET', '/parse/schemas/Game', { headers: MASTER }),
        await ask(app, 'POST', '/parse/schemas/Other', { headers: MASTER, body: {} }),
        await ask(app, 'POST', '/parse/classes/Game', { body: {} }),
        await ask(app, 'POST', '/parse/classes/Game', { body: { more: 1 } }),
        await ask(app, 'GET', '/parse/classes/Game', {}),
      ];
    } finally {
      await app.stop();
      await database.drop();
    }
  }
  assert.deepEqual(seen.parsimony, seen.oracle);
  assert.deepEqual(seen.parsimony[0].body.result, ['before', 'after', 'cloud']);
});
