// Cloud Code that both servers load.
/* global Parse */
const typed = value => (value === null ? 'null' : Array.isArray(value) ? `array:${value.map(typed)}` : value instanceof Date ? 'date' : value instanceof Parse.Object ? `object ${value.className}` : value instanceof Parse.GeoPoint ? 'geo' : typeof value);
Parse.Cloud.define('hello', () => 'Hello world!');
Parse.Cloud.define('echo', request => request.params);
Parse.Cloud.define('types', request => Object.fromEntries(Object.entries(request.params).map(([key, value]) => [key, typed(value)])));
Parse.Cloud.define('who', request => ({ user: request.user?.get('username') ?? null, master: request.master, functionName: request.functionName }));
Parse.Cloud.define('fails', () => { throw new Error('Some error message.'); });
Parse.Cloud.define('coded', () => { throw new Parse.Error(4242, 'coded'); });
Parse.Cloud.define('texts', () => { throw 'a text'; });
Parse.Cloud.define('nothing', () => {});
Parse.Cloud.define('with space', () => 1);
Parse.Cloud.define('1number', () => 1);
Parse.Cloud.define('_under', () => 'under');
Parse.Cloud.define('validated', request => request.params.a, { fields: { a: { type: String, required: true } }, requireUser: false });
Parse.Cloud.define('forUsers', () => 1, { requireUser: true });
Parse.Cloud.define('saved', () => new Parse.Query('Thing').equalTo('text', 'kept').first({ useMasterKey: true }));
Parse.Cloud.define('list', () => [1, 'a', null, { b: new Date(0) }]);
Parse.Cloud.define('thing', async request => {
  const thing = await new Parse.Query('Thing').get(request.params.id, { useMasterKey: true });
  return thing.toJSON();
});
Parse.Cloud.define('upper', request => String(request.params.text ?? 'none').toUpperCase());
Parse.Cloud.define('shout', () => 'SHOUT');
Parse.Cloud.define('customNumber', () => 42);

Parse.Cloud.beforeSave('Thing', request => {
  const text = request.object.get('text');
  if (text === 'refused') throw new Parse.Error(1337, 'Refused.');
  if (text === 'broken') throw new Error('broken');
  if (text === 'changed') request.object.set('text', 'by trigger');
});
Parse.Cloud.beforeDelete('Thing', request => {
  if (request.object.get('text') === 'kept') throw 'Not this one.';
});
Parse.Cloud.beforeFind('Watched', request => {
  if (request.master) return;
  request.query.equalTo('open', true);
});
Parse.Cloud.afterFind('Watched', request => request.objects.map(object => {
  object.set('text', `${object.get('text')}!`);
  return object;
}));
Parse.Cloud.beforeFind('Closed', () => { throw new Parse.Error(119, 'closed'); });
Parse.Cloud.beforeLogin(request => {
  if (request.object.get('username') === 'banned') throw new Parse.Error(205, 'Banned.');
});
Parse.Cloud.afterSave('Thing', () => { throw new Error('nobody hears this'); });
