// Properties of how a MongoDB server is logged in to, as an object.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { waitFor } from '../lib/postgres.js';
import { stage } from './calls.js';
import { replicaSet } from './members.js';

const { attempt, file } = await stage();

test('authMechanismProperties as an object', { skip: !process.env.PARSIMONY_TEST_MONGO_URI }, async () => {
  const [own] = await replicaSet(process.env.PARSIMONY_TEST_MONGO_URI, [{}]);
  after(() => own.stop());
  const token = file('token', 'a.token.of-ours');
  const databaseOptions = { authMechanism: 'MONGODB-OIDC', authMechanismProperties: { ENVIRONMENT: 'k8s' }, serverSelectionTimeoutMS: 3000 };
  await attempt({ databaseURI: `mongodb://${own.address}/some`, databaseOptions }, { environment: { AZURE_FEDERATED_TOKEN_FILE: token } });
  const { document } = await waitFor(() => own.commands.find(({ document }) => document.saslStart), { what: 'a token', timeout: 8000 });
  assert.match(document.payload.toString('latin1'), /a\.token\.of-ours/);
});
