// Cloud Code behind a schema of the application's own.
/* global Parse */
const all = () => new Parse.Query('Item').ascending('number').find({ useMasterKey: true });
Parse.Cloud.define('hello', () => 'Hello world!');
Parse.Cloud.define('userEcho', request => request.params.user);
Parse.Cloud.define('itemsOf', async request => (await all()).slice(0, request.params.first));
Parse.Cloud.define('echo', request => request.params);
Parse.Cloud.define('page', async request => {
  const items = await all();
  return { total: items.length, items, first: items[0], when: new Date(0), place: new Parse.GeoPoint(1, 2), data: { a: new Date(0), b: items[0] }, any: [1, 'a'], bytes: 'aGk=', owner: request.user, roles: [], list: [1, items[0], { a: 1 }] };
});
Parse.Cloud.define('kindOf', () => 'SQUARE');
Parse.Cloud.define('nothingAtAll', () => null);
Parse.Cloud.define('anItem', async () => (await all())[1]);
Parse.Cloud.define('plainItem', () => ({ objectId: 'plain', text: 'plain', number: 1.5, link: { objectId: 'other', text: 'in it' } }));
Parse.Cloud.define('jsonItem', async () => (await all())[1].toJSON());
Parse.Cloud.define('nestedItem', async () => new Parse.Query('Item').include('link').descending('number').first({ useMasterKey: true }));
Parse.Cloud.define('aDate', () => new Date(0));
Parse.Cloud.define('aPlace', () => new Parse.GeoPoint(1, 2));
Parse.Cloud.define('double', request => request.params.number * 2);
Parse.Cloud.define('keepItem', async request => {
  const item = new Parse.Object('Item');
  await item.save({ number: request.params.item.number }, { useMasterKey: true });
  return item;
});
Parse.Cloud.define('upperOf', request => `UPPER ${JSON.stringify(request.params)}`);
Parse.Cloud.define('greet', request => `${request.params.word} ${request.user ? 'user' : 'nobody'}`);
