'use strict';
// Option `graphQLSchema` as a function, which makes a schema out of the server's own. It gets that as an object of the
// application's own copy of the `graphql` package; what it gives back is held against it, and the server hears of what
// was added, changed and taken away.

const Module = require('node:module');
const path = require('node:path');
const graphqlSchema = require('./graphql-schema.cjs');

const DIRECTIVES = 'directive @resolve(to: String) on FIELD_DEFINITION\ndirective @mock(with: Any!) on FIELD_DEFINITION\n';

// Schemas that are kept: the one of now, and one whose last requests are under way.
const KEPT = 2;

// What the server's own fields come to here. A resolver that ends with it leaves the field to the server.
const OWN = Object.freeze({ [Symbol('the server\'s own')]: true });
const own = () => OWN;

function packageOf(directories) {
  for (const directory of directories.filter(Boolean)) {
    const from = Module.createRequire(path.join(directory, 'x.js'));
    try {
      return from('graphql');
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') {
        throw error;
      }
    }
  }
  throw new Error('graphQLSchema: a function needs the package graphql in your application: npm install graphql.');
}

function fieldsOf(type) {
  return type && typeof type.getFields === 'function' ? type.getFields() : undefined;
}

// The server's schema as the function gets it.
function ownSchema(graphql, text) {
  const schema = graphql.buildSchema(text, { assumeValid: true, assumeValidSDL: true, noLocation: true });
  for (const type of Object.values(schema.getTypeMap())) {
    if (graphqlSchema.tagOf(type) === 'GraphQLObjectType' && !type.name.startsWith('__')) {
      for (const field of Object.values(type.getFields())) {
        field.resolve = own;
      }
    }
  }
  return schema;
}

async function build(make, directories, text) {
  const graphql = packageOf(directories);
  const server = ownSchema(graphql, text);
  const schema = await make({
    directivesDefinitionsSchema: DIRECTIVES,
    autoSchema: server,
    // The server itself carries out what its directives say.
    graphQLSchemaDirectives: given => given,
  });
  if (!schema || !graphqlSchema.isSchema(schema)) {
    throw new Error('graphQLSchema: the function gave back no GraphQLSchema.');
  }
  graphqlSchema.checkRoots(schema);
  // Made here and not there: the function may change the one that it gets.
  const before = schema === server ? ownSchema(graphql, text) : server;
  const isCode = field => Boolean(field.resolve) && field.resolve !== own && field.resolve !== graphql.defaultFieldResolver;
  const added = difference(before, schema, isCode, field => directivesOf(graphql, field));
  const directives = schema.getDirectives().filter(one => !graphql.isSpecifiedDirective(one) && !before.getDirective(one.name));
  added.text = [...directives.map(graphqlSchema.printedDirective), added.text].filter(Boolean).join('\n\n');
  return { added, resolve: graphqlSchema.caller(schema, OWN) };
}

// What a definition in GraphQL's language says of where its value comes from.
function directivesOf(graphql, field) {
  const given = (field.astNode && field.astNode.directives) || [];
  return given.filter(({ name }) => ['resolve', 'mock'].includes(name.value)).map(one => ` ${graphql.print(one)}`).join('');
}

function named(list) {
  return list.map(one => one.name);
}

// What is in `schema` and not in `before`, as text, and the names of what is in `before` alone. `isCode` tells the
// fields whose values code makes, `saysMore` what else is said of a field.
function difference(before, schema, isCode, saysMore) {
  const { printed, described, isOwnName } = graphqlSchema;
  const types = [];
  const fields = [];
  const gone = [];
  const now = schema.getTypeMap();
  for (const [name, type] of Object.entries(before.getTypeMap())) {
    if (!isOwnName(name)) {
      continue;
    }
    if (!now[name]) {
      gone.push(name);
      continue;
    }
    const [old, left] = [fieldsOf(type), fieldsOf(now[name])];
    if (old && left) {
      gone.push(...Object.keys(old).filter(field => !left[field]).map(field => `${name}.${field}`));
    } else if (typeof type.getValues === 'function' && typeof now[name].getValues === 'function') {
      const values = named(now[name].getValues());
      gone.push(...named(type.getValues()).filter(value => !values.includes(value)).map(value => `${name}.${value}`));
    }
  }
  for (const type of Object.values(now).filter(({ name }) => isOwnName(name)).sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const known = before.getType(type.name);
    const isObject = graphqlSchema.tagOf(type) === 'GraphQLObjectType';
    const calls = isObject ? Object.values(type.getFields()).filter(isCode) : [];
    fields.push(...calls.map(field => `${type.name}.${field.name}`));
    if (!known) {
      types.push(described(type, '') + printed(type, undefined, saysMore));
      continue;
    }
    const text = changes(known, type, calls, saysMore);
    if (text) {
      types.push(text);
    }
  }
  return { text: types.join('\n\n'), fields, gone };
}

// An extension of a type that both have.
function changes(known, type, calls, saysMore) {
  const { tagOf, printed, line } = graphqlSchema;
  if (tagOf(known) !== tagOf(type)) {
    throw new Error(`graphQLSchema: the server has a type ${type.name} of another kind.`);
  }
  const fields = fieldsOf(type);
  if (fields) {
    const before = known.getFields();
    const isNew = field =>
      calls.includes(field) || !before[field.name] || saysMore(field) || line(type, field) !== line(known, before[field.name]);
    const added = Object.values(fields).filter(isNew);
    const names = typeof known.getInterfaces === 'function' ? named(known.getInterfaces()) : [];
    const joins = typeof type.getInterfaces === 'function' && named(type.getInterfaces()).some(name => !names.includes(name));
    return added.length > 0 || joins ? printed(type, added, saysMore) : '';
  }
  if (typeof type.getValues === 'function') {
    const values = named(known.getValues());
    const added = type.getValues().filter(value => !values.includes(value.name));
    return added.length > 0 ? printed(type, added) : '';
  }
  if (typeof type.getTypes === 'function') {
    const members = named(known.getTypes());
    const added = type.getTypes().filter(member => !members.includes(member.name));
    return added.length > 0 ? printed(type, added) : '';
  }
  return '';
}

// The function as the server calls it: with the text of its schema, and then with each field whose value code makes.
// Calls may come to another process than the one that made the schema, which answers that it does not know it.
function maker(make, directories) {
  const schemas = new Map();
  const known = (key, text) => {
    if (!schemas.has(key) && text !== undefined) {
      if (schemas.size >= KEPT) {
        schemas.delete(schemas.keys().next().value);
      }
      const built = build(make, directories, text);
      built.catch(() => schemas.delete(key));
      schemas.set(key, built);
    }
    return schemas.get(key);
  };
  return async function graphQLSchema(call, user) {
    const built = await known(call.schema, call.text);
    if (!built) {
      return { isUnknown: true };
    }
    return call.field === undefined ? built.added : built.resolve(call, user);
  };
}

// The options with such a function in the form in which the server takes it.
function withMaker(options, directories) {
  if (typeof options.graphQLSchema !== 'function') {
    return options;
  }
  return { ...options, graphQLSchema: maker(options.graphQLSchema, directories) };
}

module.exports = { maker, withMaker };
