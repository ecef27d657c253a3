// Triggers of users, sessions, files and the configuration.
const note = (text, data) => new Parse.Object('Note', { text, data }).save(null, { useMasterKey: true });

Parse.Cloud.beforeSave(Parse.User, ({ object }) => {
  if (object.get('username') === 'refused') throw 'user refused';
  if (object.isNew()) object.set('level', 1);
});

Parse.Cloud.beforeLogin(({ object }) => {
  if (object.get('banned')) throw new Parse.Error(4100, 'banned');
});

Parse.Cloud.afterLogin(({ object, user }) => note('afterLogin', { key: object.get('username'), self: user && user.id === object.id }));

Parse.Cloud.afterLogout(({ object }) => note('afterLogout', { key: object.get('user').id, token: Boolean(object.get('sessionToken')) }));

Parse.Cloud.beforeSave(Parse.File, ({ file, fileSize, user }) => {
  if (file.name().includes('refused')) throw 'file refused';
  file.addMetadata('size', fileSize);
  if (file.name().includes('replaced')) return new Parse.File('other.txt', { base64: 'b3RoZXI=' }, 'text/plain');
  return undefined;
});

Parse.Cloud.beforeSave(Parse.Config, ({ object, original }) => {
  if (original && original.get('level') > object.get('level')) throw 'config goes up only';
});
