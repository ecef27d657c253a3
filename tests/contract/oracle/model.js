// What a query means by the documents (and on parse-server's MongoDB adapter), evaluated on the matrix' rows in memory.
// list-differences.js uses it to say what Parsimony is to answer where parse-server on PostgreSQL departs from it.

/** The values a path leads to: several when it passes through arrays; none when it is unset. */
function reach(value, [key, ...rest]) {
  if (key === undefined) return value === undefined || value === null ? [] : [value];
  if (Array.isArray(value)) {
    const direct = /^\d+$/.test(key) ? reach(value[Number(key)], rest) : [];
    return [...direct, ...value.flatMap(item => (item && typeof item === 'object' && !Array.isArray(item) ? reach(item, [key, ...rest]) : []))];
  }
  return value && typeof value === 'object' && !value.__type ? reach(value[key], rest) : [];
}

function kind(value) {
  if (value === null || value === undefined) return 'null';
  if (Array.isArray(value)) return 'Array';
  return typeof value === 'object' ? value.__type ?? 'Object' : typeof value;
}

function ring(polygon) {
  const points = polygon.coordinates.map(([lat, lon]) => `${lat},${lon}`);
  if (points.length > 1 && points[0] === points.at(-1)) points.pop();
  return points.join(';');
}

function same(stored, wanted) {
  const [left, right] = [kind(stored), kind(wanted)];
  if (left === 'Pointer' && right === 'string') return stored.objectId === wanted;
  if (left === 'Date' && right === 'string') return Date.parse(stored.iso) === Date.parse(wanted);
  if (left !== right) return false;
  switch (left) {
    case 'File': return stored.name === wanted.name;
    case 'Polygon': return ring(stored) === ring(wanted);
    case 'Object': {
      const keys = Object.keys(stored);
      return keys.length === Object.keys(wanted).length && keys.every(key => same(stored[key], wanted[key]));
    }
    case 'Array': return stored.length === wanted.length && stored.every((item, i) => same(item, wanted[i]));
    case 'Date': return Date.parse(stored.iso) === Date.parse(wanted.iso);
    case 'null': return true;
    default: return JSON.stringify(stored) === JSON.stringify(wanted) || (typeof stored !== 'object' && stored === wanted);
  }
}

function equals(values, wanted) {
  if (wanted === null) return values.length === 0 || values.some(value => Array.isArray(value) && value.includes(null));
  return values.some(value => same(value, wanted) || (Array.isArray(value) && value.some(item => same(item, wanted))));
}

function rank(value) {
  return kind(value) === 'Date' ? Date.parse(value.iso) : value;
}

function ordered(values, wanted, test) {
  return values.some(value => {
    if (kind(value) === 'Date' && typeof wanted === 'string') return test(rank(value), Date.parse(wanted));
    return kind(value) === kind(wanted) && test(rank(value), rank(wanted));
  });
}

function expression(pattern, options = '') {
  let source = pattern.replace(/\\Q(.*?)(\\E|$)/g, (_, literal) => literal.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  if (options.includes('x')) source = source.replace(/#.*$/gm, '').replace(/\s/g, '');
  return new RegExp(source, options.replace(/[^ims]/g, ''));
}

const radians = degrees => (degrees * Math.PI) / 180;

/** The angle between two points, in radians. */
function angle(a, b) {
  const dLat = radians(b.latitude - a.latitude);
  const dLon = radians(b.longitude - a.longitude);
  const h = Math.sin(dLat / 2) ** 2
    + Math.cos(radians(a.latitude)) * Math.cos(radians(b.latitude)) * Math.sin(dLon / 2) ** 2;
  return 2 * Math.asin(Math.min(1, Math.sqrt(h)));
}

/** Points are [x, y]. */
function inside([x, y], polygon) {
  let odd = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [[xi, yi], [xj, yj]] = [polygon[i], polygon[j]];
    if ((yi > y) !== (yj > y) && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
  }
  return odd;
}

/** [longitude, latitude] of a GeoPoint or of a pair, which is read that way round. */
function lonLat(point) {
  return Array.isArray(point) ? point : [point.longitude, point.latitude];
}

function geoWithin(point, { $polygon, $centerSphere }) {
  if ($polygon) return inside(lonLat(point), ($polygon.coordinates ?? $polygon).map(lonLat));
  const [longitude, latitude] = lonLat($centerSphere[0]);
  return angle(point, { latitude, longitude }) <= $centerSphere[1];
}

function nearest(point, near, all) {
  const limit = all.$maxDistance ?? all.$maxDistanceInRadians
    ?? (all.$maxDistanceInMiles === undefined ? undefined : all.$maxDistanceInMiles / 3958.8)
    ?? (all.$maxDistanceInKilometers === undefined ? undefined : all.$maxDistanceInKilometers / 6371);
  return limit === undefined || angle(point, near) <= limit;
}

const operators = {
  $eq: (values, wanted) => equals(values, wanted),
  $ne: (values, wanted) => !equals(values, wanted),
  $in: (values, list) => list.flat().some(item => equals(values, item)),
  $nin: (values, list) => !list.flat().some(item => equals(values, item)),
  $lt: (values, wanted) => ordered(values, wanted, (a, b) => a < b),
  $lte: (values, wanted) => ordered(values, wanted, (a, b) => a <= b),
  $gt: (values, wanted) => ordered(values, wanted, (a, b) => a > b),
  $gte: (values, wanted) => ordered(values, wanted, (a, b) => a >= b),
  $exists: (values, wanted) => (values.length > 0) === wanted,
  $all: (values, list) => list.length > 0 && list.every(item => (item?.$regex === undefined
    ? equals(values, item) : operators.$regex(values, item.$regex, {}))),
  $containedBy: (values, list) => values.some(value => Array.isArray(value)
    && value.every(item => list.some(allowed => same(item, allowed)))),
  $regex: (values, pattern, all) => values.some(value => [value].flat().some(item => typeof item === 'string'
    && expression(pattern, all.$options).test(item))),
  $options: () => true,
  $nearSphere: (values, near, all) => values.some(value => nearest(value, near, all)),
  $maxDistance: () => true,
  $maxDistanceInMiles: () => true,
  $maxDistanceInKilometers: () => true,
  $maxDistanceInRadians: () => true,
  $within: (values, { $box: [southWest, northEast] }) => values.some(({ latitude, longitude }) => latitude >= southWest.latitude
    && latitude <= northEast.latitude && longitude >= southWest.longitude && longitude <= northEast.longitude),
  $geoWithin: (values, shape) => values.some(value => geoWithin(value, shape)),
  $geoIntersects: (values, { $point }) => values.some(value => inside([$point.longitude, $point.latitude],
    value.coordinates.map(([lat, lon]) => [lon, lat]))),
};

function isConstraint(value) {
  return kind(value) === 'Object' && Object.keys(value).some(key => key.startsWith('$'));
}

/** Whether `row` satisfies `where`. */
export function matches(row, where) {
  return Object.entries(where).every(([key, wanted]) => {
    if (key === '$or') return wanted.some(part => matches(row, part));
    if (key === '$and') return wanted.every(part => matches(row, part));
    if (key === '$nor') return !wanted.some(part => matches(row, part));
    const values = reach(row, key.split('.'));
    if (!isConstraint(wanted)) return equals(values, wanted);
    return Object.entries(wanted).every(([op, operand]) => operators[op](values, operand, wanted));
  });
}

/** The labels a query answers: nearest first for `$nearSphere`, else sorted. */
export function answer(rows, where) {
  const found = rows.filter(row => matches(row, where));
  const near = Object.entries(where).find(([, constraint]) => constraint?.$nearSphere);
  if (near) {
    const [field, { $nearSphere }] = near;
    return found.sort((a, b) => angle(a[field], $nearSphere) - angle(b[field], $nearSphere)).map(row => row.label);
  }
  return found.map(row => row.label).sort();
}
