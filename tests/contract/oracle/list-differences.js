// Lists, in known-differences.json, every matrix case in which npm parse-server on PostgreSQL departs from the model
// (model.js), with what Parsimony is to answer. Entries of other groups are left alone. Run by hand after a change of
// the matrix, and read the diff: `node oracle/list-differences.js`.
import { startPostgres } from '../lib/postgres.js';
import { startServer } from '../lib/servers.js';
import { groups, matrixCases, rows } from './corpus/matrix.js';
import { saveKnown } from './known.js';
import { answer } from './model.js';
import { newContext, normalise, send } from './runner.js';

/** Refusals that are right as they are, whatever the model would answer. */
const agreed = [/^s \$n?in wrong (5|true)$/, /^_created_at$/, /^\$nor empty$/];

/** What Parsimony refuses, where the model would have an answer. */
const refusals = {
  '$or empty': { status: 400, code: 102 },
  '$and empty': { status: 400, code: 102 },
};

const reasons = {
  'geo-unset': 'A row without a position is no answer to a distance query; PostgreSQL lets it through when no distance is given.',
  'geo-units': '$maxDistanceInMiles, InKilometers and InRadians limit the distance, as documented; parse-server ignores them on PostgreSQL.',
  'geo-polygon': 'A Polygon object is accepted by $geoWithin as documented; parse-server on PostgreSQL lets the database refuse it.',
  'unknown-field': 'A field that no object has is unset everywhere, as on MongoDB; parse-server answers nothing when PostgreSQL has no such column.',
  'empty-logic': 'An empty $or or $and is refused, not sent to the database as empty parentheses.',
  dotted: 'Every operator works on nested values as on columns, a missing one is unset, and a path into a field that holds no object leads nowhere, as on MongoDB; parse-server on PostgreSQL looks for columns of that name, compares whole lists, or refuses.',
  'in-null': 'null in $in and $nin stands for unset, as on MongoDB; parse-server on PostgreSQL drops it, or sends an empty list to the database.',
  'in-empty': '$in of nothing matches nothing, as on MongoDB; parse-server on PostgreSQL answers the unset rows.',
  'negation-unset': 'A row whose field is unset satisfies a negation ($nin, $nor, $ne), as documented and on MongoDB; the SQL of parse-server leaves it out.',
  'typed-operand': 'Typed operands (Date, GeoPoint, Polygon, File, Bytes, Object) are compared by every operator; parse-server on PostgreSQL has them for some only.',
  'array-operand': 'A plain value or pattern asked of an Array field looks at its elements, a list means exactly that list, and $all of one value on a plain field is equality, as on MongoDB; PostgreSQL refuses the comparison.',
  'wrong-type': 'An operand of another type than the field matches nothing, as on MongoDB; PostgreSQL converts it, or answers 500.',
  'falsy-bound': 'As on MongoDB, false and empty text and null are bounds like others; parse-server on PostgreSQL takes them for a missing operand. (Nothing is smaller or greater than null.)',
};

function reason(id, where, peer) {
  const text = JSON.stringify(where);
  const dotted = /"o\.\w+/.test(text);
  if (/^g near in/.test(id)) return 'geo-units';
  if (/^g near/.test(id)) return 'geo-unset';
  if (/^g polygon object/.test(id)) return 'geo-polygon';
  if (/^\$(or|and|nor) empty$/.test(id)) return 'empty-logic';
  if (/^dotted into/.test(id)) return 'dotted';
  if (/neverSeen/.test(text)) return 'unknown-field';
  if (dotted && (/\$exists|\$n?in|\$all|\$containedBy/.test(text) || /o\.list/.test(text))) return 'dotted';
  if (/wrong/.test(id)) return 'wrong-type';
  if (/\$n?in/.test(text) && /null/.test(text)) return 'in-null';
  if (/"\$in":\[\]/.test(text)) return 'in-empty';
  if (/^a \$regex$/.test(id)) return 'array-operand';
  if (/^n \$regex$/.test(id)) return 'wrong-type';
  if (/^s \$all$/.test(id)) return 'array-operand';
  if (/(contains|= exactly|\$eq one)/.test(id) && peer.status !== 200) return 'array-operand';
  if (/ \$(lt|gt)e? null$/.test(id) || /^(\$nor |\$or )?b \$(lt|gt)/.test(id) || /\$gt":""/.test(text)) return 'falsy-bound';
  if (peer.status !== 200 || /\bf (=|\$)/.test(id)) return 'typed-operand';
  if (/\$nor|\$nin|\$ne/.test(text)) return 'negation-unset';
  if (/o\.m/.test(text)) return 'wrong-type';
  if (dotted) return 'dotted';
  if (/^\$or of empty/.test(id)) return 'empty-logic';
  throw new Error(`no reason is known for ${id}: ${JSON.stringify(peer)}`);
}

const now = { __type: 'Date', iso: new Date().toISOString() };
const stored = rows.map(row => ({ ...row, objectId: 'someId0000', createdAt: now, updatedAt: now }));
const listed = {};

const postgres = await startPostgres();
const server = await startServer(postgres, 'oracle');
const context = newContext(server);
for (const item of groups[0].cases) {
  const peer = normalise(context, item, await send(context, item));
  if (!matrixCases.includes(item) || agreed.some(pattern => pattern.test(item.id))) continue;
  const labels = answer(stored, item.query.where);
  if (JSON.stringify(peer.labels) === JSON.stringify(labels)) continue;
  const because = reason(item.id, item.query.where, peer);
  listed[`matrix/${item.id}`] = { because, parsimony: refusals[item.id] ?? { status: 200, labels } };
}
await server.stop();
await postgres.stop();

await saveKnown(known => {
  for (const id of Object.keys(known.cases)) if (id.startsWith('matrix/')) delete known.cases[id];
  Object.assign(known.cases, listed);
  Object.assign(known.reasons, reasons);
});
