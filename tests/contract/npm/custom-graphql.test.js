// GraphQL schemas of an application's own, made in JavaScript: the same application under npm parse-server and under
// our package.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createDatabase, startPostgres } from '../lib/postgres.js';
import { options } from './apps.js';
import { ask, install, run } from './fixture.js';

const postgres = await startPostgres();
after(() => postgres.stop());

const application = typeDefs => ({
  'index.js': `
const express = require('express');
const graphql = require('graphql');
const Parse = require('parse/node');
const { ParseServer, ParseGraphQLServer } = require('parse-server');
(async () => {
  const server = new ParseServer(${options}
    cloud: Parse => {
      Parse.Cloud.define('greet', request => 'Hello ' + (request.params.name || 'you'));
    },
  });
  const app = express();
  app.use('/parse', server.app);
  const graphQL = new ParseGraphQLServer(server, { graphQLPath: '/graphql', graphQLCustomTypeDefs: ${typeDefs} });
  graphQL.applyGraphQL(app);
  await server.start();
  const schema = new Parse.Schema('Shop');
  schema.addString('name');
  schema.addString('secret');
  await schema.save();
  const listening = app.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('up'));
  process.on('SIGTERM', async () => {
    listening.close(); listening.closeAllConnections();
    server.server = server.server || { close: done => done() };
    await server.handleShutdown(); process.exit(0);
  });
})().catch(error => { console.error('FAILED ' + error.message); process.exit(3); });
`,
});

function both(files, body) {
  const apps = {};
  const databases = [];
  before(async () => {
    for (const kind of ['oracle', 'parsimony']) {
      const database = await createDatabase(postgres, `graphql_${kind}`);
      databases.push(database);
      apps[kind] = await run(install(kind, files), 'index.js', { DATABASE_URI: database.uri });
    }
  });
  after(async () => {
    for (const app of Object.values(apps)) await app.stop();
    for (const database of databases) await database.drop();
  });
  body(apps);
}

/** What both answer to a document; the test fails where it is not the same. */
async function same(apps, query, variables) {
  const seen = {};
  for (const [kind, app] of Object.entries(apps)) {
    seen[kind] = (await ask(app, 'POST', '/graphql', { body: { query, variables } })).body;
    // Places in our documents and stacks are no part of the contract.
    for (const error of seen[kind].errors ?? []) delete error.extensions?.stacktrace;
  }
  assert.deepEqual(seen.parsimony, seen.oracle, query);
  return seen.parsimony;
}

describe('a parsed document', () => {
  both(application('graphql.parse(`extend type Query { greeting(name: String!): String @resolve(to: "greet") again: String @resolve(to: "greet") } extend type Shop { motto: String @mock(with: "none yet") }`)'), apps => {
    test('adds fields that cloud functions make', async () => {
      assert.deepEqual(await same(apps, '{ greeting(name: "Ada") again }'), { data: { greeting: 'Hello Ada', again: 'Hello you' } });
      await same(apps, 'mutation { createShop(input: { fields: { name: "a" } }) { shop { name motto } } }');
    });
  });
});

const MADE = `(() => {
  const g = graphql;
  const Size = new g.GraphQLEnumType({ name: 'Size', values: { SMALL: { value: 1 }, LARGE: { value: 2 } } });
  const Part = new g.GraphQLObjectType({ name: 'Part', description: 'Of a "whole"', fields: () => ({
    name: { type: new g.GraphQLNonNull(g.GraphQLString) },
    size: { type: Size },
    shout: { type: g.GraphQLString, args: { mark: { type: g.GraphQLString, defaultValue: '!' } }, resolve: (part, { mark }) => part.name.toUpperCase() + mark },
    parts: { type: new g.GraphQLList(Part) },
    lazy: { type: g.GraphQLInt },
  }) });
  const Wanted = new g.GraphQLInputObjectType({ name: 'Wanted', fields: { size: { type: Size }, names: { type: new g.GraphQLList(g.GraphQLString) } } });
  const Shape = new g.GraphQLInterfaceType({ name: 'Shape', fields: { area: { type: g.GraphQLFloat } }, resolveType: value => (value.radius ? 'Circle' : 'Square') });
  const Circle = new g.GraphQLObjectType({ name: 'Circle', interfaces: [Shape], fields: { area: { type: g.GraphQLFloat, resolve: circle => circle.radius * 3 }, radius: { type: g.GraphQLFloat } } });
  const Square = new g.GraphQLObjectType({ name: 'Square', interfaces: [Shape], fields: { area: { type: g.GraphQLFloat }, side: { type: g.GraphQLFloat } } });
  const Shop = new g.GraphQLObjectType({ name: 'Shop', fields: { upper: { type: g.GraphQLString, resolve: shop => shop.name && shop.name.toUpperCase() }, size: { type: Size, resolve: () => 2 } } });
  const Query = new g.GraphQLObjectType({ name: 'Query', fields: {
    part: { type: Part, args: { wanted: { type: Wanted }, name: { type: g.GraphQLString, defaultValue: 'bolt' } },
      resolve: (_, { wanted, name }) => ({ name, size: wanted && wanted.size, lazy: () => Promise.resolve(4), parts: ((wanted && wanted.names) || []).map(name => ({ name, size: 1 })) }) },
    double: { type: g.GraphQLInt, args: { size: { type: new g.GraphQLNonNull(Size) } }, resolve: (_, { size }) => size * 2 },
    shapes: { type: new g.GraphQLList(Shape), resolve: () => [{ radius: 1 }, { side: 2, area: 4 }] },
    fails: { type: g.GraphQLString, resolve: () => { throw new Error('Not today.'); } },
    refuses: { type: g.GraphQLString, resolve: () => { throw new Parse.Error(142, 'Not you.'); } },
    nothing: { type: g.GraphQLString, resolve: () => undefined },
    wrong: { type: Size, resolve: () => 3 },
    who: { type: g.GraphQLString, resolve: (_, args, context) => (context.auth.user ? context.auth.user.get('username') : 'nobody') },
    first: { type: Shop, resolve: async () => (await new Parse.Query('Shop').first()).toJSON() },
    object: { type: Shop, resolve: () => new Parse.Query('Shop').first() },
  } });
  const Mutation = new g.GraphQLObjectType({ name: 'Mutation', fields: {
    open: { type: g.GraphQLBoolean, args: { name: { type: g.GraphQLString } }, resolve: async (_, { name }) => { await new Parse.Object('Shop').save({ name }); return true; } },
  } });
  return new g.GraphQLSchema({ query: Query, mutation: Mutation, types: [Circle, Square, Shop] });
})()`;

describe('a GraphQLSchema', () => {
  both(application(MADE), apps => {
    test('its fields are made by its resolvers', async () => {
      const { data } = await same(apps, '{ part { name size shout loud: shout(mark: "?") lazy parts { name } } double(size: LARGE) nothing who }');
      assert.deepEqual(data, { part: { name: 'bolt', size: null, shout: 'BOLT!', loud: 'BOLT?', lazy: 4, parts: [] }, double: 4, nothing: null, who: 'nobody' });
      await same(apps, 'query ($w: Wanted) { part(name: "n", wanted: $w) { size parts { name size shout } } }', { w: { size: 'SMALL', names: ['a', 'b'] } });
    });

    test('interfaces lead to the types that their code tells', async () => {
      // Which npm parse-server cannot tell of types that it was given.
      const query = '{ shapes { __typename area ... on Circle { radius } ... on Square { side } } }';
      const { data } = (await ask(apps.parsimony, 'POST', '/graphql', { body: { query } })).body;
      assert.deepEqual(data.shapes, [{ __typename: 'Circle', area: 3, radius: 1 }, { __typename: 'Square', area: 4, side: 2 }]);
    });

    test('types of the server get fields, objects of classes are shown as such', async () => {
      assert.deepEqual((await same(apps, 'mutation { open(name: "corner") }')).data, { open: true });
      assert.deepEqual((await same(apps, '{ first { name upper size } }')).data, { first: { name: 'corner', upper: 'CORNER', size: 'LARGE' } });
      // Of an object of the SDK npm parse-server shows nothing.
      const { body } = await ask(apps.parsimony, 'POST', '/graphql', { body: { query: '{ object { name upper size } }' } });
      assert.deepEqual(body.data, { object: { name: 'corner', upper: 'CORNER', size: 'LARGE' } });
      const { data } = await same(apps, '{ shops { edges { node { name upper size } } } }');
      assert.deepEqual(data.shops.edges.map(({ node }) => node), [{ name: 'corner', upper: 'CORNER', size: 'LARGE' }]);
    });

    test('what a resolver throws is an error of its field', async () => {
      for (const field of ['fails', 'refuses', 'wrong']) {
        const seen = {};
        for (const [kind, app] of Object.entries(apps)) {
          const { body } = await ask(app, 'POST', '/graphql', { body: { query: `{ health ${field} }` } });
          seen[kind] = { data: body.data, errors: body.errors.map(({ path, message }) => ({ path, message })) };
        }
        assert.deepEqual(seen.parsimony, seen.oracle, field);
      }
    });

    test('documents are judged by its types', async () => {
      for (const query of ['{ part { nowhere } }', '{ double }', '{ double(size: HUGE) }', '{ part(wanted: { color: 1 }) { name } }']) {
        const { body, status } = await ask(apps.parsimony, 'POST', '/graphql', { body: { query } });
        const theirs = await ask(apps.oracle, 'POST', '/graphql', { body: { query } });
        assert.deepEqual([status, body.errors.map(error => error.message)], [theirs.status, theirs.body.errors.map(error => error.message)], query);
      }
    });
  });
});

// Adds fields, guards one of the server's, hides another.
const FUNCTION = `async ({ autoSchema, directivesDefinitionsSchema, graphQLSchemaDirectives }) => {
  const shop = autoSchema.getType('Shop') ? 'extend type Shop { upper: String twice: [Part!] }' : '';
  const schema = graphQLSchemaDirectives(graphql.extendSchema(autoSchema, graphql.parse(directivesDefinitionsSchema + 'type Part { name: String! size: Int } extend type Query { shout(text: String = "hey"): String! who: String part(wanted: Wanted): Part greeting(name: String): String @resolve(to: "greet") fixed: Any @mock(with: [1, { a: "b" }]) } input Wanted { name: String!, size: Int = 3 } extend enum ReadPreference { ANYWHERE } ' + shop)));
  const fields = schema.getQueryType().getFields();
  fields.shout.resolve = (_, { text }) => text.toUpperCase() + '!';
  fields.who.resolve = (_, args, context) => (context.auth.user ? context.auth.user.get('username') : 'nobody');
  fields.part.resolve = async (_, { wanted }) => wanted || null;
  if (fields.shops) {
    const { resolve } = fields.shops;
    fields.shops.resolve = (source, args, context, info) => {
      if (args.first === 13) throw new Error('Unlucky.');
      return resolve(source, args, context, info);
    };
    const own = schema.getType('Shop').getFields();
    own.upper.resolve = shop => shop.name && shop.name.toUpperCase();
    own.twice.resolve = shop => [{ name: shop.name, size: 1 }, { name: shop.name }];
    delete own.secret;
  }
  return schema;
}`;

describe('a function', () => {
  both(application(FUNCTION), apps => {
    test('adds fields whose values its resolvers make', async () => {
      const { data } = await same(apps, '{ health shout loud: shout(text: "a") who part(wanted: { name: "bolt" }) { name size } none: part { name } }');
      assert.deepEqual(data, { health: true, shout: 'HEY!', loud: 'A!', who: 'nobody', part: { name: 'bolt', size: 3 }, none: null });
      assert.deepEqual((await same(apps, '{ greeting(name: "Ada") fixed }')).data, { greeting: 'Hello Ada', fixed: [1, { a: 'b' }] });
      for (const query of ['{ part(wanted: {}) { name } }', '{ shout(text: 1) }', '{ nowhere }', '{ part { nowhere } }']) await same(apps, query);
    });

    test('may look at a request, and leave the field to the server', async () => {
      await same(apps, 'mutation { createShop(input: { fields: { name: "corner" } }) { shop { name upper } } }');
      const { data } = await same(apps, '{ shops { count edges { node { name upper twice { name size } } } } }');
      assert.deepEqual(data.shops.edges, [{ node: { name: 'corner', upper: 'CORNER', twice: [{ name: 'corner', size: 1 }, { name: 'corner', size: null }] } }]);
      await same(apps, '{ shops { edges { node { secret } } } }');
      for (const [kind, app] of Object.entries(apps)) {
        const { body } = await ask(app, 'POST', '/graphql', { body: { query: '{ health shops(first: 13) { count } }' } });
        assert.deepEqual([body.errors[0].message, body.errors[0].path], ['Unlucky.', ['shops']], kind);
      }
    });

    test('makes it anew when classes change', async () => {
      await same(apps, 'mutation { createShop(input: { fields: { name: "second" } }) { shop { upper } } }');
      for (const app of Object.values(apps)) {
        await ask(app, 'POST', '/parse/classes/Later', { body: { text: 'x' } });
      }
      assert.deepEqual((await same(apps, '{ laters { edges { node { text } } } shout }')).data, { laters: { edges: [{ node: { text: 'x' } }] }, shout: 'HEY!' });
    });
  });
});
