const _ = require('underscore');
const axios = require('axios');
const dayjs = require('dayjs');
// What many applications write, although the global is there.
const ParseNode = require('parse/node');

Parse.Cloud.define('echo', request => request.params);

// Files of a form, by their text.
Parse.Cloud.define('form', ({ params }) =>
  _.mapObject(params, value => (value && value.data ? { ...value, data: value.data.toString() } : value))
);

Parse.Cloud.define('sameInstance', () => ParseNode === Parse);

Parse.Cloud.define('types', ({ params }) => ({
  date: params.date instanceof Date,
  pointer: params.pointer instanceof Parse.Object && params.pointer.className,
  nested: params.list[0].at instanceof Date,
}));

Parse.Cloud.define('results', async () => {
  const saved = await new Parse.Object('Result', { score: 1, at: new Date(0) }).save(null, { useMasterKey: true });
  return { saved, list: [saved], at: new Date(0), geo: new Parse.GeoPoint(10, 20), nothing: undefined, none: null };
});

Parse.Cloud.define('undefined', () => undefined);

Parse.Cloud.define('libraries', async ({ params }) => {
  const { data } = await axios.get(params.url);
  return {
    grouped: _.countBy([1, 2, 3, 4], n => (n % 2 === 0 ? 'even' : 'odd')),
    day: dayjs('2024-02-28T12:00:00Z').add(1, 'day').toISOString(),
    fetched: data,
  };
});

Parse.Cloud.define('who', ({ user, master, isReadOnly, installationId, functionName, ip, headers, context, log }) => ({
  user: user && user.get('username'),
  token: Boolean(user && user.getSessionToken()),
  master,
  isReadOnly,
  installationId,
  functionName,
  ip: typeof ip,
  header: headers['x-custom'],
  context,
  log: typeof log.info,
}));

// A session of its own, although the caller has none.
Parse.Cloud.define('logInThere', async ({ params }) => {
  const user = await Parse.User.logIn(params.username, params.password);
  const me = await Parse.User.me(user.getSessionToken());
  return { token: user.getSessionToken(), me: me.get('username'), current: Parse.User.current() ?? null };
});

const thrown = {
  parse: () => new Parse.Error(Parse.Error.OBJECT_NOT_FOUND, 'not there'),
  custom: () => new Parse.Error(4711, 'own code'),
  string: () => 'a text',
  error: () => new Error('an error'),
  type: () => new TypeError('a type error'),
  object: () => ({ code: 12, message: 'an object' }),
  nothing: () => undefined,
};
Parse.Cloud.define('throw', ({ params }) => {
  throw thrown[params.what]();
});
Parse.Cloud.define('reject', async ({ params }) => Promise.reject(thrown[params.what]()));

Parse.Cloud.define('express', (request, response) => {
  const { status, header, error, value } = request.params;
  if (status) response.status(status);
  if (header) response.header('X-Answer', header);
  if (error) return response.error(error);
  response.success(value);
});

Parse.Cloud.define('rights', async ({ user }) => {
  const count = async options => (await new Parse.Query('Private').find(options)).length;
  return {
    anonymous: await count(),
    master: await count({ useMasterKey: true }),
    session: user ? await count({ sessionToken: user.getSessionToken() }) : null,
  };
});

Parse.Cloud.define('saveAll', async ({ params }) => {
  const objects = _.range(params.count).map(index => new Parse.Object('Bulk', { index }));
  await Parse.Object.saveAll(objects, { useMasterKey: true });
  const found = await new Parse.Query('Bulk').containedIn('objectId', _.pluck(objects, 'id')).count({ useMasterKey: true });
  return [found, objects.every(object => !object.dirty())];
});

Parse.Cloud.define('outer', async ({ params }) => {
  const inner = await Parse.Cloud.run('echo', { at: new Date(0), n: params.n });
  return [inner.at instanceof Date, inner.n];
});

Parse.Cloud.define('failingQuery', () => new Parse.Query('Anything').equalTo('$bad.key', 1).find());

Parse.Cloud.define('config', async () => {
  await Parse.Config.save({ open: 1, hidden: 2 }, { hidden: true });
  const [open, all] = await Promise.all([Parse.Config.get(), Parse.Config.get({ useMasterKey: true })]);
  return [open.get('open'), open.get('hidden') === undefined, all.get('hidden')];
});

Parse.Cloud.define('schema', async () => {
  const schema = new Parse.Schema('FromCloud');
  schema.addString('name');
  await schema.save();
  const stored = await new Parse.Schema('FromCloud').get();
  await new Parse.Schema('FromCloud').delete();
  return stored.fields.name.type;
});

// What the SDK itself sends its requests through.
Parse.Cloud.define('controller', ({ params }) =>
  Parse.CoreManager.getRESTController().request(params.method, params.path, params.data, params.options)
);

Parse.Cloud.define('options', ({ config }) =>
  [Parse.Server, config].map(options => [options.appId, options.appName, options.publicServerURL, options.serverURL])
);
