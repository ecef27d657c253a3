// Cloud Code that tells what a trigger is told, for both servers.
/* global Parse */
let notes = [];
const note = (name, request, more = {}) => {
  notes.push({ name, context: /configuration/.test(name) ? null : request.context, user: request.user ? 'somebody' : null, master: request.master ?? null, custom: request.headers?.['x-custom'] ?? null, ip: typeof request.ip, ...more });
};
const named = object => (object ? { className: object.className, ...object.toJSON(), objectId: undefined, createdAt: undefined, updatedAt: undefined } : null);
Parse.Cloud.define('notes', ({ params: { sorted } }) => {
  const kept = notes.map(item => JSON.parse(JSON.stringify(item)));
  notes = [];
  return sorted ? kept.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)) : kept;
});
Parse.Cloud.define('context', request => ({ context: request.context ?? null, custom: request.headers['x-custom'] ?? null, params: request.params, installationId: request.installationId ?? null, user: request.user?.get('username') ?? null }));
Parse.Cloud.beforeSave('Noted', request => {
  note('before save', request, { object: named(request.object), original: named(request.original) });
  if (request.object.get('text') === 'changed') request.object.set('number', 42);
});
Parse.Cloud.afterSave('Noted', request => note('after save', request, { object: named(request.object), original: named(request.original) }));
Parse.Cloud.beforeDelete('Noted', request => note('before delete', request, { object: named(request.object) }));
Parse.Cloud.afterDelete('Noted', request => note('after delete', request, { object: named(request.object) }));
// The first parts: what is asked for below is spelled in several ways. Relations are read by themselves.
const parts = keys => (keys ? [...new Set(keys.split(',').map(key => key.split('.')[0]))].filter(key => key !== 'many').sort() : null);
Parse.Cloud.beforeFind('Noted', request => {
  const { where, limit, skip, order, keys, count } = request.query.toJSON();
  note('before find', request, { where: where && { ...where, objectId: where.objectId && 'an id' }, limit, skip, order, keys: parts(keys), count, readPreference: request.readPreference ?? null, isGet: request.isGet ?? null, isCount: request.count ?? null });
});
Parse.Cloud.afterFind('Noted', request => {
  note('after find', request, { texts: request.objects.map(object => object.get('text')) });
  for (const object of request.objects) if (object.get('text') === 'shown') object.set('text', 'by afterFind');
  return request.objects;
});
// Those by which sessions are looked up are the server's own.
Parse.Cloud.beforeFind(Parse.User, request => {
  if (!request.master) note('before find of users', request, { isGet: request.isGet ?? null });
});
Parse.Cloud.afterFind(Parse.User, request => {
  if (!request.master) note('after find of users', request, { names: request.objects.map(object => object.get('username')) });
});
Parse.Cloud.beforeSave(Parse.User, request => {
  note('before save of users', request, { username: request.object.get('username') });
  if (request.object.get('username') === 'refused') throw new Parse.Error(4001, 'Not this name.');
});
Parse.Cloud.afterSave(Parse.User, request => note('after save of users', request, { username: request.object.get('username') }));
Parse.Cloud.beforeLogin(request => note('before login', request, { username: request.object.get('username') }));
Parse.Cloud.afterLogin(request => note('after login', request, { username: request.object.get('username') }));
Parse.Cloud.afterLogout(request => note('after logout', request, { className: request.object.className }));
Parse.Cloud.beforeSave(Parse.File, request => {
  note('before save of files', request, { size: request.fileSize, file: request.file._name });
  if (/refused/.test(request.file._name)) throw new Parse.Error(4002, 'Not this file.');
});
Parse.Cloud.afterSave(Parse.File, request => note('after save of files', request, { size: request.fileSize }));
Parse.Cloud.beforeSave(Parse.Config, request => {
  note('before save of the configuration', request, { value: request.object.get('a') ?? null });
  if (request.object.get('refused')) throw new Parse.Error(4003, 'Not this parameter.');
});
Parse.Cloud.afterSave(Parse.Config, request => note('after save of the configuration', request, { value: request.object.get('a') ?? null }));
