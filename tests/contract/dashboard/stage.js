// One server, one dashboard and one browser for everything in this folder.
import path from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from '../lib/browser.js';
import { startPostgres } from '../lib/postgres.js';
import { startServer, target } from '../lib/servers.js';
import { asMaster, startDashboard } from './dashboard.js';

const here = path.dirname(fileURLToPath(import.meta.url));
const postgres = await startPostgres();
export const server = await startServer(postgres, target, 'base', {
  overrides: { cloud: path.resolve(here, 'jobs.cjs'), security: { enableCheck: true } },
});
export const [dashboard, browser] = await Promise.all([startDashboard(server), launch()]);
after(async () => {
  await browser.close();
  await dashboard.stop();
  await server.stop();
  await postgres.stop();
});

export const call = (method, route, body) => asMaster(server, method, route, body);
