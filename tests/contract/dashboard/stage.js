// One server, one dashboard and one browser for everything in this folder. Parsimony serves the dashboard itself; beside the
// oracle it is a server of its own.
import path from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from '../lib/browser.js';
import { startPostgres } from '../lib/postgres.js';
import { startServer, target } from '../lib/servers.js';
import { asMaster, builtIn, people, startDashboard } from './dashboard.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const postgres = await startPostgres();
const overrides = { cloud: path.resolve(here, 'jobs.cjs'), security: { enableCheck: true }, mountGraphQL: true };
if (target === 'parsimony') {
  overrides.dashboard = { users: Object.values(people), apps: [{ appId: 'contractApp', enableSecurityChecks: true }] };
  overrides.metrics = { allowedNetworks: ['127.0.0.1'] };
}
export const server = await startServer(postgres, target, 'base', { overrides });
export const [dashboard, browser] = await Promise.all([target === 'parsimony' ? builtIn(server) : startDashboard(server), launch()]);
after(async () => {
  await browser.close();
  await dashboard.stop();
  await server.stop();
  await postgres.stop();
});

export const call = (method, route, body) => asMaster(server, method, route, body);
