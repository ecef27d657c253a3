'use strict';
// A GraphQL schema that was made in JavaScript (option `graphQLSchema`), in the form in which the server adds it to
// its own: the text of its types, the fields whose values code makes, and one function that calls that code. Types
// are told by what they can do, since an application brings its own copy of the `graphql` package.

const BUILT_IN = ['String', 'Int', 'Float', 'Boolean', 'ID'];

function tagOf(type) {
  return Object.prototype.toString.call(type).slice(8, -1);
}

// ---- The text of its types.

function described(thing, indent) {
  return thing.description ? `${indent}${JSON.stringify(thing.description)}\n` : '';
}

function deprecated(thing) {
  return thing.deprecationReason ? ` @deprecated(reason: ${JSON.stringify(thing.deprecationReason)})` : '';
}

function literal(value, type) {
  if (value === null || value === undefined) {
    return 'null';
  }
  if (tagOf(type) === 'GraphQLNonNull') {
    return literal(value, type.ofType);
  }
  if (Array.isArray(value)) {
    return `[${value.map(item => literal(item, type.ofType || type)).join(', ')}]`;
  }
  if (typeof type.getValues === 'function') {
    return type.serialize(value);
  }
  if (typeof value === 'object') {
    const fields = typeof type.getFields === 'function' ? type.getFields() : {};
    const pairs = Object.keys(value).map(key => `${key}: ${literal(value[key], fields[key] ? fields[key].type : {})}`);
    return `{${pairs.join(', ')}}`;
  }
  return JSON.stringify(value);
}

function input(field) {
  const fallback = field.defaultValue === undefined ? '' : ` = ${literal(field.defaultValue, field.type)}`;
  return `${field.name}: ${field.type}${fallback}${deprecated(field)}`;
}

function output(field) {
  const args = field.args.length > 0 ? `(${field.args.map(input).join(', ')})` : '';
  return `${field.name}${args}: ${field.type}${deprecated(field)}`;
}

function block(head, items, line) {
  const lines = items.map(item => `${described(item, '  ')}  ${line(item)}\n`);
  return lines.length > 0 ? `${head} {\n${lines.join('')}}` : head;
}

function isOwnName(name) {
  return !name.startsWith('__') && !BUILT_IN.includes(name);
}

// A field or input of a type.
function line(type, field) {
  return tagOf(type) === 'GraphQLInputObjectType' ? input(field) : output(field);
}

// A type, or of its fields, values or members only `some`. `saysMore`: what is added to a field.
function printed(type, some, saysMore = () => '') {
  const fields = () => some || Object.values(type.getFields());
  const full = field => output(field) + saysMore(field);
  const implemented = () => {
    const interfaces = typeof type.getInterfaces === 'function' ? type.getInterfaces() : [];
    return interfaces.length > 0 ? ` implements ${interfaces.map(one => one.name).join(' & ')}` : '';
  };
  switch (tagOf(type)) {
    case 'GraphQLScalarType':
      return `scalar ${type.name}`;
    case 'GraphQLObjectType':
      return block(`type ${type.name}${implemented()}`, fields(), full);
    case 'GraphQLInterfaceType':
      return block(`interface ${type.name}${implemented()}`, fields(), full);
    case 'GraphQLUnionType':
      return `union ${type.name} = ${(some || type.getTypes()).map(one => one.name).join(' | ')}`;
    case 'GraphQLEnumType':
      return block(`enum ${type.name}`, some || type.getValues(), value => `${value.name}${deprecated(value)}`);
    case 'GraphQLInputObjectType':
      return block(`input ${type.name}`, fields(), input);
    default:
      throw new Error(`graphQLSchema: the type ${type.name} is of no known kind.`);
  }
}

function printedDirective(directive) {
  const args = directive.args.length > 0 ? `(${directive.args.map(input).join(', ')})` : '';
  const repeatable = directive.isRepeatable ? ' repeatable' : '';
  return `${described(directive, '')}directive @${directive.name}${args}${repeatable} on ${directive.locations.join(' | ')}`;
}

// ---- Calls.

// An argument as a resolver gets it: enums and scalars as the application sees them.
async function given(value, type) {
  if (value === null || value === undefined) {
    return value;
  }
  const tag = tagOf(type);
  if (tag === 'GraphQLNonNull') {
    return given(value, type.ofType);
  }
  if (tag === 'GraphQLList') {
    return Promise.all((Array.isArray(value) ? value : [value]).map(item => given(item, type.ofType)));
  }
  if (tag === 'GraphQLInputObjectType') {
    const fields = type.getFields();
    const object = {};
    for (const key of Object.keys(value)) {
      object[key] = fields[key] ? await given(value[key], fields[key].type) : value[key];
    }
    return object;
  }
  return type.parseValue(value);
}

// What a resolver made, as the server goes on with it: data alone.
async function made(promised, type, context, info) {
  const value = await promised;
  if (value === null || value === undefined) {
    return null;
  }
  if (value instanceof Error) {
    throw value;
  }
  switch (tagOf(type)) {
    case 'GraphQLNonNull':
      return made(value, type.ofType, context, info);
    case 'GraphQLList':
      if (typeof value === 'string' || typeof value[Symbol.iterator] !== 'function') {
        throw new Error(`Expected Iterable, but did not find one for field "${info.parentType.name}.${info.fieldName}".`);
      }
      return Promise.all(Array.from(value, item => made(item, type.ofType, context, info)));
    case 'GraphQLScalarType':
    case 'GraphQLEnumType': {
      const serialized = type.serialize(value);
      if (serialized === undefined) {
        throw new Error(`Enum "${type.name}" cannot represent value: ${JSON.stringify(value)}`);
      }
      return serialized;
    }
    default:
      return madeObject(value, type, context, info);
  }
}

// Which of the types of an interface or union it is.
async function concrete(value, type, context, info) {
  if (tagOf(type) === 'GraphQLObjectType') {
    return type;
  }
  if (type.resolveType) {
    const found = await type.resolveType(value, context, info, type);
    return typeof found === 'string' ? info.schema.getType(found) : found;
  }
  if (typeof value.__typename === 'string') {
    return info.schema.getType(value.__typename);
  }
  for (const candidate of info.schema.getPossibleTypes(type)) {
    if (candidate.isTypeOf && (await candidate.isTypeOf(value, context, info))) {
      return candidate;
    }
  }
  return undefined;
}

async function madeObject(value, type, context, info) {
  if (typeof value._toFullJSON === 'function') {
    return value._toFullJSON();
  }
  const found = await concrete(value, type, context, info);
  // Types of the server's own have more fields than are known here.
  const object = typeof value === 'object' ? { ...value } : {};
  for (const field of found ? Object.values(found.getFields()) : []) {
    if (field.resolve) {
      continue;
    }
    const property = value[field.name];
    const result = typeof property === 'function' ? property.call(value, {}, context, info) : property;
    if (result !== undefined) {
      object[field.name] = await made(result, field.type, context, info);
    }
  }
  if (found && found !== type) {
    object.__typename = found.name;
  }
  return object;
}

// `own`: what a resolver of the server's comes to, where the schema was made out of the server's; its answer is left
// to the server.
function caller(schema, own) {
  return async function resolve({ type, field, source, args, request }, user) {
    const parentType = schema.getType(type);
    const definition = parentType.getFields()[field];
    const { headers, ip, installationId, isMaster, isReadOnly } = request;
    const context = { info: { headers, clientIP: ip }, auth: { user, installationId, isMaster, isReadOnly } };
    const info = { fieldName: field, parentType, returnType: definition.type, schema, variableValues: {}, fieldNodes: [] };
    const known = {};
    for (const argument of definition.args) {
      const value = await given(args[argument.name], argument.type);
      if (value !== undefined) {
        known[argument.name] = value;
      }
    }
    const resolved = await definition.resolve(source === null ? {} : source, known, context, info);
    if (own === undefined) {
      return made(resolved, definition.type, context, info);
    }
    return resolved === own ? { isOwn: true } : { value: await made(resolved, definition.type, context, info) };
  };
}

// ---- The option.

// A parsed document as the text it was.
function documentText(document) {
  const source = document.loc && document.loc.source;
  if (source && typeof source.body === 'string') {
    return source.body;
  }
  throw new Error('graphQLSchema: a parsed document must have its locations, or be given as text.');
}

function isSchema(value) {
  return typeof value.getTypeMap === 'function' && typeof value.getType === 'function';
}

function isDocument(value) {
  return value.kind === 'Document' && Array.isArray(value.definitions);
}

// Root types are called as the server's, whatever the application calls them.
function checkRoots(schema) {
  for (const [type, name] of [[schema.getQueryType(), 'Query'], [schema.getMutationType(), 'Mutation']]) {
    if (type && type.name !== name) {
      throw new Error(`graphQLSchema: the type of ${name.toLowerCase()} fields must be called ${name}.`);
    }
  }
}

// The form in which such an object travels to the server; undefined for other objects.
function asOption(value) {
  if (isDocument(value)) {
    return documentText(value);
  }
  if (!isSchema(value)) {
    return undefined;
  }
  const own = Object.values(value.getTypeMap())
    .filter(type => isOwnName(type.name))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const fields = [];
  for (const type of own) {
    if (tagOf(type) !== 'GraphQLObjectType') {
      continue;
    }
    for (const field of Object.values(type.getFields())) {
      if (field.resolve) {
        fields.push(`${type.name}.${field.name}`);
      }
    }
  }
  checkRoots(value);
  const text = own.map(type => described(type, '') + printed(type)).join('\n\n');
  return { text, fields, resolve: caller(value) };
}

module.exports = { asOption, caller, checkRoots, described, isOwnName, isSchema, line, printed, printedDirective, tagOf };
