// The same Cloud Code for both servers.
Parse.Cloud.define('echo', request => request.params);

Parse.Cloud.beforeSave('Hooked', request => {
  request.object.set('seen', true);
});

Parse.Cloud.beforeSave('Told', request => {
  request.object.set('seen', true);
});
Parse.Cloud.afterSave('Told', request => {
  request.object.set('told', true);
});

Parse.Cloud.afterFind('Found', request => {
  for (const object of request.objects) object.set('seen', true);
  return request.objects;
});
