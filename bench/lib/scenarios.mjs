// What is measured by requests. Each has `count` requests at concurrency 32 (a quarter of them at 1), a request by
// number, what its answer must be, and the goal: how many times cheaper than the peer in CPU of the server's processes.
// `floor` marks those that the floor program answers too; `pgbench` is the same statement for pgbench.
import { encode } from './load.mjs';
import { id, PLAYERS, ROWS } from './data.mjs';
import { keys } from './servers.mjs';

const app = { 'X-Parse-Application-Id': keys.appId };
const master = { ...app, 'X-Parse-Master-Key': keys.masterKey };

const seek = (className, parameters) => `/parse/classes/${className}?${Object.entries(parameters)
  .map(([name, value]) => `${name}=${encodeURIComponent(typeof value === 'string' ? value : JSON.stringify(value))}`).join('&')}`;
const get = (path, headers = app) => encode({ path, headers });
const post = (path, body, headers = app) => encode({ method: 'POST', path, headers, body });
// Spread over the rows, the same for both servers.
const spread = (i, n) => (i * 7919 + 13) % n;

function parsed(answer, status) {
  if (answer.status !== status) throw new Error(`status ${answer.status}: ${answer.body.toString('utf8', 0, 300)}`);
  return () => JSON.parse(answer.body);
}

/** The status of every answer, the content of some: parsing all would only tax the generator. */
const expect = (status, test) => (answer, i) => {
  const body = parsed(answer, status);
  if (test && i % 50 === 0) {
    const wrong = test(body(), i);
    if (wrong) throw new Error(`${wrong}: ${answer.body.toString('utf8', 0, 300)}`);
  }
};
/** An application's usual object; of what searches look for, no row that was there before has the same. */
const match = i => ({
  name: `new ${i}`, score: ROWS + i, level: i % 100, won: i % 7 === 0,
  playedAt: { __type: 'Date', iso: new Date(1_709_251_200_000 + i * 1000).toISOString() },
  tags: [`a${i % 5}`, `b${i % 3}`], stats: { kills: i % 50, deaths: i % 20 },
  place: { __type: 'GeoPoint', latitude: (i % 170) - 85 + 0.125, longitude: (i % 360) - 180 + 0.5 },
});
const rest = { ...app, 'X-Parse-REST-API-Key': keys.restAPIKey };
const rows = n => expect(200, body => body.results?.length !== n && `${body.results?.length} results, not ${n}`);
const created = expect(201, body => !body.objectId && 'no objectId');

export const scenarios = [
  // The same with objects of eight mixed fields, a REST key, Cloud Code for other classes and live queries of another.
  {
    name: 'whole-get', title: 'eight fields: get by id', group: 'whole', floor: true, count: 6000, goal: 20,
    request: i => get(`/parse/classes/Match/${id('m', spread(i, ROWS))}`, rest),
    check: expect(200, (body, i) => body.objectId !== id('m', spread(i, ROWS)) && 'another object'),
  },
  {
    name: 'whole-find-equal', title: 'eight fields: find 10 of 100k by equality', group: 'whole', floor: true, count: 4000, goal: 20,
    request: i => get(seek('Match', { where: { name: `match ${spread(i, 10000)}` } }), rest), check: rows(10),
  },
  {
    name: 'whole-find-range', title: 'eight fields: find 100 by range, sorted', group: 'whole', floor: true, count: 1800, goal: 15,
    request: i => get(seek('Match', { where: { score: { $gte: spread(i, ROWS - 200) } }, order: 'score', limit: 100 }), rest),
    check: rows(100),
  },
  {
    name: 'whole-include', title: 'eight fields: find 20 including a pointer', group: 'whole', count: 2400, goal: 20,
    request: i => get(seek('Match', { where: { name: { $in: [`match ${spread(i, 5000)}`, `match ${spread(i, 5000) + 5000}`] } }, include: 'player' }), rest),
    check: expect(200, body => (body.results.length !== 20 || !body.results[0].player.name) && 'not 20 with players'),
  },
  {
    name: 'whole-create', title: 'eight fields: create', group: 'whole', floor: true, count: 4000, goal: 20,
    request: i => post('/parse/classes/Match', match(i), rest), check: created,
  },
  {
    name: 'whole-increment', title: 'eight fields: update with Increment', group: 'whole', floor: true, count: 4000, goal: 20,
    request: i => encode({
      method: 'PUT', path: `/parse/classes/Match/${id('m', spread(i, ROWS))}`, headers: rest,
      body: { level: { __op: 'Increment', amount: 1 } },
    }),
    check: expect(200, body => typeof body.level !== 'number' && 'no new level'),
  },
  {
    name: 'whole-batch', title: 'eight fields: batch of 50 creates', group: 'whole', count: 160, concurrency: 8, goal: 20,
    request: i => post('/parse/batch', {
      requests: Array.from({ length: 50 }, (_, n) => ({ method: 'POST', path: '/parse/classes/Match', body: match(i * 50 + n) })),
    }, rest),
    check: expect(200, body => (body.length !== 50 || body.some(item => !item.success)) && 'not 50 successes'),
  },
  {
    name: 'whole-count', title: 'eight fields: count', group: 'whole', floor: true, count: 4000, goal: 20,
    request: i => get(seek('Match', { where: { name: `match ${spread(i, 10000)}` }, count: 1, limit: 0 }), rest),
    check: expect(200, body => body.count !== 10 && 'not 10'),
  },
  {
    name: 'whole-user-find', title: 'eight fields: find 10 as a user in 3 roles, ACLs', group: 'whole', count: 3000, goal: 20, needsToken: true,
    request: (i, run) => get(seek('SecuredMatch', { where: { name: `match ${spread(i, 5000)}` } }), { ...rest, 'X-Parse-Session-Token': run.token }),
    check: rows(10),
  },
  {
    name: 'get', title: 'get by id', group: 'plain', floor: true, count: 6000, goal: 15,
    request: i => get(`/parse/classes/GameScore/${id('g', spread(i, ROWS))}`),
    check: expect(200, (body, i) => body.objectId !== id('g', spread(i, ROWS)) && 'another object'),
    pgbench: `\\set n random(0, ${ROWS - 1})
SELECT "objectId", "createdAt", "updatedAt", _rperm, _wperm, score, level, stage, "playerName", region, "cheatMode", tags, stats, "playedAt", player FROM "GameScore" WHERE "objectId" = 'g' || lpad((:n)::text, 9, '0') AND (_rperm IS NULL OR _rperm && ARRAY['*']) LIMIT 1;`,
  },
  {
    name: 'find-equal', title: 'find 10 of 100k by equality', group: 'plain', floor: true, count: 4000, goal: 20,
    request: i => get(seek('GameScore', { where: { level: spread(i, 10000) } })), check: rows(10),
    pgbench: `\\set n random(0, 9999)
SELECT "objectId", "createdAt", "updatedAt", _rperm, _wperm, score, level, stage, "playerName", region, "cheatMode", tags, stats, "playedAt", player FROM "GameScore" WHERE level = :n AND (_rperm IS NULL OR _rperm && ARRAY['*']) LIMIT 100;`,
  },
  {
    name: 'find-range', title: 'find 100 by range, sorted', group: 'plain', floor: true, count: 1800, goal: 11,
    request: i => get(seek('GameScore', { where: { score: { $gte: spread(i, ROWS - 200) } }, order: 'score', limit: 100 })),
    check: rows(100),
    pgbench: `\\set n random(0, ${ROWS - 200})
SELECT "objectId", "createdAt", "updatedAt", _rperm, _wperm, score, level, stage, "playerName", region, "cheatMode", tags, stats, "playedAt", player FROM "GameScore" WHERE score >= :n AND (_rperm IS NULL OR _rperm && ARRAY['*']) ORDER BY score LIMIT 100;`,
  },
  {
    name: 'include', title: 'find 20 including a pointer', group: 'plain', count: 2400, goal: 14,
    request: i => get(seek('GameScore', { where: { stage: spread(i, 5000) }, include: 'player' })),
    check: expect(200, body => (body.results.length !== 20 || !body.results[0].player.name) && 'not 20 with players'),
  },
  {
    name: 'create', title: 'create', group: 'plain', floor: true, count: 4000, goal: 12,
    request: i => post('/parse/classes/Written', { name: `name ${i}`, score: i }), check: created,
    pgbench: `\\set n random(0, 1000000000)
INSERT INTO "Written" ("objectId", "createdAt", "updatedAt", name, score) VALUES (substr(md5((:n)::text || random()::text), 1, 10), now(), now(), 'name', :n);`,
  },
  {
    name: 'increment', title: 'update with Increment', group: 'plain', floor: true, count: 4000, goal: 13,
    request: i => encode({
      method: 'PUT', path: `/parse/classes/Counter/${id('c', spread(i, 1000))}`, headers: app,
      body: { count: { __op: 'Increment', amount: 1 } },
    }),
    check: expect(200, body => typeof body.count !== 'number' && 'no new count'),
  },
  {
    name: 'batch', title: 'batch of 50 creates', group: 'plain', count: 160, concurrency: 8, goal: 19,
    request: i => post('/parse/batch', {
      requests: Array.from({ length: 50 }, (_, n) => ({ method: 'POST', path: '/parse/classes/Written', body: { name: `item ${n}`, score: i } })),
    }),
    check: expect(200, body => (body.length !== 50 || body.some(item => !item.success)) && 'not 50 successes'),
  },
  {
    name: 'count', title: 'count', group: 'plain', floor: true, count: 4000, goal: 15,
    request: i => get(seek('GameScore', { where: { stage: spread(i, 5000) }, count: 1, limit: 0 })),
    check: expect(200, body => body.count !== 20 && 'not 20'),
  },
  {
    name: 'user-find', title: 'find 10 as a user in 3 roles, ACLs', group: 'plain', count: 3000, goal: 12, needsToken: true,
    request: (i, run) => get(seek('Secured', { where: { level: spread(i, 1000) } }), { ...app, 'X-Parse-Session-Token': run.token }),
    check: rows(10),
  },
  {
    // Nearly all of it is bcrypt at cost 10.
    name: 'login', title: 'login with a password', group: 'plain', count: 80, concurrency: 4,
    request: () => post('/parse/login', { username: 'runner', password: 'secret password' }),
    check: expect(200, body => !body.sessionToken && 'no session'),
  },
  {
    name: 'session-hot', title: 'current user, session known', group: 'plain', count: 3000, needsToken: true,
    request: (i, run) => get('/parse/users/me', { ...app, 'X-Parse-Session-Token': run.token }),
    check: expect(200, body => body.username !== 'runner' && 'not the user'),
  },
  {
    // Every token is another one: each has to be looked up and refused.
    name: 'session-unknown', title: 'current user, made-up tokens', group: 'plain', count: 3000,
    request: i => get('/parse/users/me', { ...app, 'X-Parse-Session-Token': `r:${String(i).padStart(8, '0')}${process.hrtime.bigint().toString(16).padStart(24, '0').slice(-24)}` }),
    check: expect(400, body => body.code !== 209 && 'not refused'),
  },
  {
    name: 'in-query', title: '`$inQuery`, 20 rows', group: 'plain', count: 800,
    request: i => get(seek('GameScore', {
      where: { player: { $inQuery: { className: 'Player', where: { name: `player ${spread(i, PLAYERS)}` } } } }, limit: 20,
    })),
    check: rows(20),
  },
  {
    name: 'near', title: 'near-sphere, 10 of 100k points', group: 'plain', count: 48, concurrency: 4,
    request: i => get(seek('Place', {
      where: { location: { $nearSphere: { __type: 'GeoPoint', latitude: spread(i, 80), longitude: spread(i, 170) } } }, limit: 10,
    })),
    check: rows(10),
  },
  {
    name: 'text', title: 'full text, 20 of 100k rows', group: 'plain', count: 24, concurrency: 4,
    request: () => get(seek('Article', { where: { text: { $text: { $search: { $term: 'pomegranate' } } } } })), check: rows(20),
  },
  {
    name: 'aggregate', title: 'aggregate, 100k rows in 10 groups', group: 'plain', count: 48, concurrency: 4,
    request: () => get(`/parse/aggregate/GameScore?pipeline=${encodeURIComponent(JSON.stringify([
      { $group: { _id: '$region', total: { $sum: '$score' } } },
    ]))}`, master),
    check: rows(10),
  },
  {
    name: 'echo', title: 'cloud function echo', group: 'cloud', count: 4000, goal: 3.6,
    request: i => post('/parse/functions/echo', { number: i }),
    check: expect(200, (body, i) => body.result?.number !== i && 'not the echo'),
  },
  {
    name: 'before-save', title: 'create with beforeSave', group: 'cloud', count: 2400, goal: 4,
    request: i => post('/parse/classes/Hooked', { name: `name ${i}`, score: i }),
    check: expect(201, body => body.seen !== true && 'the trigger did not run'),
  },
  {
    name: 'both-saves', title: 'create with beforeSave and afterSave', group: 'cloud', count: 1600,
    request: i => post('/parse/classes/Told', { name: `name ${i}`, score: i }),
    check: expect(201, body => (body.seen !== true || body.told !== true) && 'a trigger did not run'),
  },
  {
    name: 'after-find', title: 'find 100 with afterFind', group: 'cloud', count: 480,
    request: () => get(seek('Found', { limit: 100 })),
    check: expect(200, body => (body.results.length !== 100 || !body.results.every(row => row.seen)) && 'not 100 seen rows'),
  },
  {
    name: 'get-cloud', title: 'get by id, Cloud Code for other classes', group: 'cloud', count: 4000,
    request: i => get(`/parse/classes/GameScore/${id('g', spread(i, ROWS))}`),
    check: expect(200, (body, i) => body.objectId !== id('g', spread(i, ROWS)) && 'another object'),
  },
  ...fileScenarios('upload', 'download', '', 'files'),
  ...fileScenarios('upload-folder', 'download-folder', ', both in a folder', 'folder'),
];

const megabyte = Buffer.alloc(1 << 20);
for (let i = 0; i < megabyte.length; i += 1) megabyte[i] = (i * 31 + (i >> 8)) & 255;

function fileScenarios(up, down, where, group) {
  return [
    {
      name: up, title: `file 1 MB up${where}`, group, count: 60, concurrency: 4, goal: 4,
      request: i => encode({ method: 'POST', path: `/parse/files/file${i}.bin`, headers: master, body: megabyte, type: 'application/octet-stream' }),
      check: expect(201, body => !body.url && 'no url'),
    },
    {
      name: down, title: `file 1 MB down${where}`, group, count: 60, concurrency: 4, goal: 5.6, before: storeFile,
      request: (_, run) => get(run.file),
      check: answer => {
        if (answer.status !== 200 || answer.body.length !== megabyte.length) {
          throw new Error(`status ${answer.status}, ${answer.body.length} bytes`);
        }
      },
    },
  ];
}

async function storeFile(server, run) {
  const answer = await fetch(`http://127.0.0.1:${server.port}/parse/files/down.bin`, {
    method: 'POST', headers: { ...master, 'Content-Type': 'application/octet-stream' }, body: megabyte,
  });
  if (answer.status !== 201) throw new Error(`upload: ${answer.status} ${await answer.text()}`);
  run.file = new URL((await answer.json()).url).pathname;
}
