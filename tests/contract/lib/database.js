// The database under the servers: PostgreSQL, or with CONTRACT_DATABASE=mongo (`run.mjs --database mongo`) the MongoDB
// server that PARSIMONY_TEST_MONGO_URI names (SecantusDB in the test environment).
import { createRequire } from 'node:module';
import { randomBytes } from 'node:crypto';
import { createDatabase as createPostgresDatabase, provideGeometry, startPostgres } from './postgres.js';

const fromServer = createRequire(createRequire(import.meta.url).resolve('parse-server'));

export const isMongo = process.env.CONTRACT_DATABASE === 'mongo';

/** Work with the driver that parse-server uses. */
export async function withMongo(uri, work) {
  const { MongoClient } = fromServer('mongodb');
  const client = await MongoClient.connect(uri);
  try {
    return await work(client.db());
  } finally {
    await client.close();
  }
}

/** Where databases are made: `{uri, stop}`. */
export async function startDatabase() {
  if (!isMongo) return startPostgres();
  const uri = process.env.PARSIMONY_TEST_MONGO_URI;
  if (!uri) throw new Error('PARSIMONY_TEST_MONGO_URI is not set: start the test environment (scripts/test-env.sh start)');
  return { uri, stop: async () => {} };
}

/** A fresh database for a server of `kind`: `{uri, name, drop}`. */
export async function createDatabase(server, kind, name) {
  if (isMongo) {
    const uri = `${server.uri.replace(/\/$/, '')}/contract_${kind}_${name}_${randomBytes(5).toString('hex')}`;
    return { uri, name, drop: () => withMongo(uri, database => database.dropDatabase()) };
  }
  const database = await createPostgresDatabase(server, `${kind}_${name}`);
  if (kind === 'oracle') await provideGeometry(database.uri);
  return database;
}

/** Test options for what needs PostgreSQL. */
export const postgresOnly = isMongo ? { skip: 'PostgreSQL only' } : {};
