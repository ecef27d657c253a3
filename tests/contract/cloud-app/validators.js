const define = (name, validator) => Parse.Cloud.define(name, ({ params }) => params, validator);

define('v-user', { requireUser: true });
define('v-master', { requireMaster: true });
define('v-any', { requireAnyUserRoles: ['editor', 'owner'] });
define('v-all', { requireAllUserRoles: async () => ['editor', 'owner'] });
define('v-keys', { requireUserKeys: ['username', 'phone'] });
define('v-fields', { fields: ['a', 'b'] });
define('v-types', {
  fields: {
    n: { type: Number, required: true, options: [1, 2] },
    s: { type: String, default: 'fallback' },
    list: { type: Array, options: list => list.length < 3, error: 'list too long' },
  },
});
define('v-function', ({ params }) => {
  if (!params.ok) throw 'validator says no';
});
define('v-strict', { requireUser: true, validateMasterKey: true });

Parse.Cloud.beforeSave('Validated', ({ object }) => object.set('handled', true), {
  fields: {
    title: { required: true, type: String },
    state: { default: 'draft', constant: true },
  },
  skipWithMasterKey: true,
});
