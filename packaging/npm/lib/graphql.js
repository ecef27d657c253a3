'use strict';
// `ParseGraphQLServer`: mounts the GraphQL API, which the child serves, in an Express application.

const { GRAPHQL_PATH } = require('./options');
const { createHandler } = require('./proxy');
const { logger } = require('./parse');

class ParseGraphQLServer {
  constructor(parseServer, config) {
    if (!parseServer) {
      throw new Error('You must provide a parseServer instance!');
    }
    if (!config || !config.graphQLPath) {
      throw new Error('You must provide a config.graphQLPath!');
    }
    this.parseServer = parseServer;
    this.config = config;
    parseServer.takeGraphQL(config);
  }

  applyGraphQL(app) {
    if (!app || !app.use) {
      throw new Error('You must provide an Express.js app instance!');
    }
    const handler = createHandler(this.parseServer, GRAPHQL_PATH);
    app.use(this.config.graphQLPath, (req, res, next) => {
      // Below it there is nothing.
      const [path, query] = splitUrl(req.url);
      if (path !== '/' && path !== '') {
        next();
        return;
      }
      req.url = query;
      handler(req, res, error => {
        req.url = path + query;
        next(error);
      });
    });
  }

  applyPlayground(app) {
    if (!app || !app.get) {
      throw new Error('You must provide an Express.js app instance!');
    }
    if (!this.config.playgroundPath) {
      throw new Error('You must provide a config.playgroundPath to applyPlayground!');
    }
    logger.warn('applyPlayground: the deprecated GraphQL Playground is not part of this package. Use the GraphQL console of Parse Dashboard.');
  }

  async setGraphQLConfig(graphQLConfig) {
    await this.parseServer.ask('PUT', '/graphql-config', { params: graphQLConfig });
  }
}

function splitUrl(url) {
  const at = url.indexOf('?');
  return at < 0 ? [url, ''] : [url.slice(0, at), url.slice(at)];
}

module.exports = { ParseGraphQLServer };
