// Triggers of ordinary classes. What they notice goes into `Note` objects, which tests read.
const note = (text, data) => new Parse.Object('Note', { text, data }).save(null, { useMasterKey: true });

Parse.Cloud.beforeSave('Game', async ({ object, original, context, master, user }) => {
  if (object.get('forbidden')) throw new Parse.Error(4000, 'forbidden by trigger');
  if (object.get('crash')) throw 'crash by trigger';
  context.fromBeforeSave = [object.isNew(), object.dirtyKeys().sort(), original ? original.get('score') : null];
  if (object.get('double')) {
    object.set('score', object.get('score') * 2);
    object.unset('double');
  }
  if (object.get('revert')) object.revert('revert');
  object.set('checked', true);
  if (!original) object.increment('saves');
  if (object.get('askUser')) object.set('savedBy', user ? user.id : master ? 'master' : 'nobody');
});

Parse.Cloud.afterSave('Game', async ({ object, original, context }) => {
  if (object.get('tell')) {
    await note('afterSave', {
      key: object.get('tell'), context, existed: object.existed(), score: object.get('score'),
      before: original ? original.get('score') : null,
    });
  }
  if (object.get('replace')) return { replaced: true };
  if (object.get('extra')) object.set('fromAfterSave', 'extra');
  if (object.get('failAfter')) throw new Error('too late');
});

Parse.Cloud.beforeDelete('Game', ({ object, context }) => {
  if (object.get('keep')) throw new Parse.Error(4001, 'kept by trigger');
  context.deleting = object.id;
});

Parse.Cloud.afterDelete('Game', async ({ object, context }) => {
  if (object.get('tell')) await note('afterDelete', { key: object.get('tell'), same: context.deleting === object.id });
});

Parse.Cloud.beforeFind('Filtered', ({ query, count, isGet, master }) => {
  const { where } = query.toJSON();
  if (where.refuse) throw 'query refused';
  if (where.answer === 'unsaved') return [new Parse.Object('Filtered', { made: 'by trigger' })];
  if (where.answer === 'none') return [];
  if (where.answer === 'query') return new Parse.Query('Filtered').equalTo('owner', 'a').descending('n');
  if (!master) query.equalTo('owner', 'a');
  if (where.describe) return [new Parse.Object('Filtered', { count, isGet })];
});

Parse.Cloud.beforeFind('Skipped', ({ query, isGet }) => {
  if (isGet) query.skip(1);
});

Parse.Cloud.afterFind('Filtered', ({ objects, query }) => {
  const { where } = query.toJSON();
  if (where.last) return objects.slice(-1);
  for (const object of objects) object.set('seen', true);
});

Parse.Cloud.afterFind('Masked', ({ objects }) =>
  objects.map(object => {
    object.unset('secret');
    return object;
  })
);

// Nested saves: each level saves the next.
Parse.Cloud.afterSave('Chain', async ({ object }) => {
  const left = object.get('left');
  if (left > 0) {
    const next = await new Parse.Object('Chain', { left: left - 1, root: object.get('root') }).save();
    await note('chain', { key: object.get('root'), left: next.get('left') });
  }
});

Parse.Cloud.beforeSave('Endless', () => new Parse.Object('Endless').save());

Parse.Cloud.beforeSave('Logged', request => {
  if (request.object.get('refuse')) throw 'refused';
  request.object.set('by', 'code');
  // Only what a promise brings would count.
  return { object: { text: 'another' } };
});
Parse.Cloud.afterSave('Logged', () => {});

// Sees sub-queries too.
Parse.Cloud.beforeFind('AskedWithin', ({ query }) => {
  const where = query.toJSON().where;
  if (where.secret) throw new Parse.Error(4712, 'not to be asked');
  query.equalTo('open', true);
});
