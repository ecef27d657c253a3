// The database of a run: made through npm parse-server, so that its layout is the peer's own, filled by SQL, copied.
import { provideGeometry, query } from '../../tests/contract/lib/postgres.js';
import { keys, kinds, rest, startServer } from './servers.mjs';

export const ROWS = 100_000;
export const PLAYERS = 1_000;

/** The id of row `i` of a class whose ids begin with `letter`. */
export const id = (letter, i) => `${letter}${String(i).padStart(9, '0')}`;

const types = (type, ...names) => Object.fromEntries(names.map(name => [name, { type }]));
const pointer = targetClass => ({ type: 'Pointer', targetClass });
const plainFields = { ...types('String', 'name'), ...types('Number', 'score'), ...types('Boolean', 'seen') };

const mixedFields = {
  ...types('String', 'name'), ...types('Number', 'score', 'level'), ...types('Boolean', 'won'), ...types('Date', 'playedAt'),
  ...types('Array', 'tags'), ...types('Object', 'stats'), ...types('GeoPoint', 'place'), player: pointer('Player'),
};

// Names of indexes are unique in a PostgreSQL database, and the peer passes over one that is taken.
const SCHEMAS = {
  Player: { fields: { ...types('String', 'name'), ...types('Number', 'rank') }, indexes: { name_1: { name: 1 } } },
  GameScore: {
    fields: {
      ...types('Number', 'score', 'level', 'stage'), ...types('String', 'playerName', 'region'),
      ...types('Boolean', 'cheatMode'), ...types('Array', 'tags'), ...types('Object', 'stats'), ...types('Date', 'playedAt'),
      player: pointer('Player'),
    },
    indexes: { score_1: { score: 1 }, level_1: { level: 1 }, stage_1: { stage: 1 }, player_1: { player: 1 } },
  },
  Secured: { fields: { ...types('Number', 'level'), ...types('String', 'name') }, indexes: { secured_level: { level: 1 } } },
  Place: { fields: { ...types('String', 'name'), ...types('GeoPoint', 'location') } },
  Article: { fields: types('String', 'title', 'text') },
  Counter: { fields: types('Number', 'count') },
  // What applications keep: eight fields of mixed types; rows that are read have a pointer, too.
  Match: { fields: mixedFields, indexes: { match_score: { score: 1 }, match_name: { name: 1 } } },
  SecuredMatch: { fields: mixedFields, indexes: { secured_match_name: { name: 1 } } },
  Found: { fields: plainFields },
  Hooked: { fields: plainFields },
  Told: { fields: plainFields },
  Written: { fields: plainFields },
  Live: { fields: { ...plainFields, ...types('Number', 'topic') } },
};

const stamps = `timestamptz '2024-01-01' + i * interval '1 minute', timestamptz '2024-06-01' + i * interval '1 minute'`;
const key = letter => `'${letter}' || lpad(i::text, 9, '0')`;

const ROWS_SQL = [
  `INSERT INTO "Player" ("objectId", "createdAt", "updatedAt", name, rank)
   SELECT ${key('p')}, ${stamps}, 'player ' || i, i FROM generate_series(0, ${PLAYERS - 1}) i`,
  `INSERT INTO "GameScore" ("objectId", "createdAt", "updatedAt", score, level, stage, "playerName", region, "cheatMode",
     tags, stats, "playedAt", player)
   SELECT ${key('g')}, ${stamps}, (i::bigint * 7919) % ${ROWS}, i % 10000, i % 5000, 'player ' || i % ${PLAYERS},
     'region ' || i % 10, i % 7 = 0, jsonb_build_array('a' || i % 5, 'b' || i % 3),
     jsonb_build_object('kills', i % 50, 'deaths', i % 20), timestamptz '2024-03-01' + i * interval '1 second',
     'p' || lpad((i % ${PLAYERS})::text, 9, '0')
   FROM generate_series(0, ${ROWS - 1}) i`,
  // Nine of ten rows are for others; the user sees ten of a level.
  `INSERT INTO "Secured" ("objectId", "createdAt", "updatedAt", level, name, _rperm, _wperm)
   SELECT ${key('s')}, ${stamps}, i % 1000, 'secured ' || i,
     CASE WHEN (i / 1000) % 10 = 0 THEN ARRAY['role:r2'] ELSE ARRAY['role:others'] END, ARRAY['role:r1']
   FROM generate_series(0, ${ROWS - 1}) i`,
  `INSERT INTO "Place" ("objectId", "createdAt", "updatedAt", name, location)
   SELECT ${key('l')}, ${stamps}, 'place ' || i, point((i::bigint * 7919 % 360000) / 1000.0 - 180, (i::bigint * 104729 % 170000) / 1000.0 - 85)
   FROM generate_series(0, ${ROWS - 1}) i`,
  `INSERT INTO "Article" ("objectId", "createdAt", "updatedAt", title, text)
   SELECT ${key('a')}, ${stamps}, 'article ' || i,
     'alpha beta gamma delta ' || CASE WHEN i % 5000 = 0 THEN 'pomegranate ' ELSE '' END || 'epsilon word' || i % 977
   FROM generate_series(0, ${ROWS - 1}) i`,
  `INSERT INTO "Counter" ("objectId", "createdAt", "updatedAt", count)
   SELECT ${key('c')}, ${stamps}, 0 FROM generate_series(0, 999) i`,
  ...['Match', 'SecuredMatch'].map(className => `INSERT INTO "${className}" ("objectId", "createdAt", "updatedAt", name, score, level,
     won, "playedAt", tags, stats, place, player, _rperm, _wperm)
   SELECT ${key('m')}, ${stamps}, 'match ' || i % ${className === 'Match' ? 10000 : 5000}, (i::bigint * 7919) % ${ROWS}, i % 100, i % 7 = 0,
     timestamptz '2024-03-01' + i * interval '1 second', jsonb_build_array('a' || i % 5, 'b' || i % 3),
     jsonb_build_object('kills', i % 50, 'deaths', i % 20),
     point((i::bigint * 7919 % 360000) / 1000.0 - 180, (i::bigint * 104729 % 170000) / 1000.0 - 85),
     'p' || lpad((i % ${PLAYERS})::text, 9, '0'),
     ${className === 'Match' ? 'NULL, NULL' : `CASE WHEN (i / 10000) % 2 = 0 THEN ARRAY['role:r2'] ELSE ARRAY['role:others'] END, ARRAY['role:r1']`}
   FROM generate_series(0, ${ROWS - 1}) i`),
  `INSERT INTO "Found" ("objectId", "createdAt", "updatedAt", name, score)
   SELECT ${key('f')}, ${stamps}, 'found ' || i, i FROM generate_series(0, 99) i`,
];

/** Makes the template and its copies: `{databases: {peer, ours, …}, token, geometry}`. */
export async function prepare(cluster) {
  const admin = cluster.uri('postgres');
  await query(admin, 'CREATE DATABASE bench_template');
  const uri = cluster.uri('bench_template');
  const geometry = await provideGeometry(uri);
  const server = await startServer('peer', uri, 'plain');
  let token;
  try {
    for (const [className, schema] of Object.entries(SCHEMAS)) {
      await rest(server, 'POST', `/schemas/${className}`, { className, fields: schema.fields });
      if (schema.indexes) await rest(server, 'PUT', `/schemas/${className}`, { className, indexes: schema.indexes });
    }
    const user = await rest(server, 'POST', '/users', { username: 'runner', password: 'secret password' });
    const session = await fetch(`http://127.0.0.1:${server.port}/parse/login`, {
      method: 'POST', headers: { 'X-Parse-Application-Id': keys.appId, 'Content-Type': 'application/json' },
      body: JSON.stringify({ username: 'runner', password: 'secret password' }),
    });
    token = (await session.json()).sessionToken;
    if (!token) throw new Error('the user cannot log in');
    const member = { __type: 'Pointer', className: '_User', objectId: user.objectId };
    for (const name of ['r1', 'r2', 'r3']) {
      await rest(server, 'POST', '/roles', { name, ACL: { '*': { read: true } }, users: { __op: 'AddRelation', objects: [member] } });
    }
  } finally {
    await server.stop();
  }
  for (const sql of ROWS_SQL) await query(uri, sql);
  await query(uri, 'VACUUM ANALYZE');
  const databases = {};
  for (const kind of [...kinds, 'floor', 'pgbench']) {
    databases[kind] = `bench_${kind}`;
    await query(admin, `CREATE DATABASE bench_${kind} TEMPLATE bench_template`);
  }
  await query(admin, 'CHECKPOINT');
  return { databases, token, geometry };
}
