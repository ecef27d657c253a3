'use strict';
// `ParseServer` as applications know it: made of options, started, mounted, shut down. The server is a child process.

const http = require('node:http');
const path = require('node:path');
const { ofApplication } = require('./application');
const { Keeper } = require('./child');
const { ParseLiveQueryServer } = require('./live-query');
const { loadLogger } = require('./log-adapter');
const { forChild, required, shown, withoutEffect } = require('./options');
const { Parse, current, enter, introduce, logger } = require('./parse');
const { createHandler } = require('./proxy');

const MOUNT_PATH = '/parse';
const PORT = 1337;
const HOST = '0.0.0.0';

class ParseServer {
  constructor(options = {}) {
    if (!Object.prototype.hasOwnProperty.call(options, 'serverURL') && options.port !== undefined) {
      options.serverURL = `http://localhost:${options.port}${options.mountPath || MOUNT_PATH}`;
    }
    required(options);
    this.given = options;
    // Refused before anything is started.
    forChild(options);
    this.config = { ...shown({ host: HOST, port: PORT }, options), state: 'initialized' };
    this.registry = enter(this);
    introduce(Parse, options, options.serverURL);
    this.keeper = new Keeper(this);
    ParseServer.servers.add(this);
  }

  // Where requests go, while there is a server.
  get socketPath() {
    return this.keeper.socketPath;
  }

  setState(state) {
    this.config.state = state;
    this.wasOk = this.wasOk || state === 'ok';
  }

  // What the server says of its options, on top of what it was given.
  adopt(application, shown) {
    this.log = application.log;
    this.serverOptions = application.serverOptions;
    this.config = { ...this.config, ...shown };
  }

  // `Parse.Server`.
  options() {
    return this.serverOptions ? { ...this.config, ...this.serverOptions.read() } : this.config;
  }

  assign(options) {
    if (this.serverOptions) {
      this.serverOptions.assign(options);
    } else {
      Object.assign(this.config, options);
    }
  }

  takeGraphQL({ graphQLPublicIntrospection, graphQLCustomTypeDefs }) {
    if (this.starting) {
      return;
    }
    if (graphQLPublicIntrospection !== undefined) {
      this.given.graphQLPublicIntrospection = graphQLPublicIntrospection;
    }
    if (graphQLCustomTypeDefs !== undefined) {
      this.given.graphQLSchema = graphQLCustomTypeDefs;
    }
  }

  // A request with the master key to this server, whichever the SDK's is.
  ask(method, route, body) {
    return current.run(this, () =>
      Parse.CoreManager.getRESTController().request(method, route, body, { useMasterKey: true })
    );
  }

  start() {
    if (!this.starting) {
      this.starting = this.begin();
    }
    return this.starting;
  }

  async begin() {
    if (this.keeper.leaving) {
      // It was shut down before.
      this.keeper = new Keeper(this);
      ParseServer.servers.add(this);
    }
    this.setState('starting');
    try {
      const { child, live } = forChild(this.given, this.liveQueryOptions);
      this.logAdapter = await loadLogger(this.given);
      withoutEffect(this.given).forEach(line => logger.warn(line));
      await this.keeper.start({ options: child, live });
      return this;
    } catch (error) {
      this.config.state = 'error';
      this.starting = undefined;
      console.error(error);
      throw error;
    }
  }

  get app() {
    if (!this._app) {
      const { mountPath } = forChild(this.given);
      this._app = createHandler(this, mountPath);
    }
    return this._app;
  }

  async handleShutdown() {
    const closing = [];
    const close = server => server && server.listening && closing.push(new Promise(resolve => server.close(resolve)));
    close(this.server);
    if (this.liveQueryServer) {
      await this.liveQueryServer.shutdown();
      if (this.liveQueryServer.server !== this.server) {
        close(this.liveQueryServer.server);
      }
    }
    await this.keeper.stop();
    if (this.pool) {
      this.pool.close();
    }
    if (this.server && this.server.closeAllConnections) {
      this.server.closeAllConnections();
    }
    await Promise.all(closing);
    this.config.state = 'stopped';
    this.starting = undefined;
    ParseServer.servers.delete(this);
  }

  async startApp(options) {
    try {
      await this.start();
    } catch (error) {
      console.error('Error on ParseServer.startApp: ', error);
      throw error;
    }
    const express = loadExpress();
    const app = express();
    if (options.middleware) {
      const { middleware } = options;
      app.use(typeof middleware === 'string' ? require(path.resolve(process.cwd(), middleware)) : middleware);
    }
    app.use(options.mountPath || MOUNT_PATH, this.app);
    if (options.mountGraphQL === true || options.mountPlayground === true) {
      const { ParseGraphQLServer } = require('./graphql');
      const graphQL = new ParseGraphQLServer(this, {
        graphQLPath: options.graphQLPath || '/graphql',
        playgroundPath: options.playgroundPath || '/playground',
      });
      if (options.mountGraphQL) {
        graphQL.applyGraphQL(app);
      }
      if (options.mountPlayground) {
        graphQL.applyPlayground(app);
      }
    }
    if (options.trustProxy) {
      app.set('trust proxy', options.trustProxy);
    }
    this.server = await new Promise((resolve, reject) => {
      const server = app.listen(options.port === undefined ? PORT : options.port, options.host || HOST);
      server.once('listening', () => resolve(server));
      server.once('error', reject);
    }).catch(async error => {
      await this.handleShutdown();
      throw error;
    });
    if (options.startLiveQueryServer || options.liveQueryServerOptions) {
      this.liveQueryServer = await ParseServer.createLiveQueryServer(this.server, options.liveQueryServerOptions, options);
    }
    if (!process.env.TESTING) {
      const end = () => {
        process.stdout.write('Termination signal received. Shutting down.');
        this.handleShutdown();
      };
      process.on('SIGTERM', end);
      process.on('SIGINT', end);
      if (options.verifyServerUrl !== false) {
        await ParseServer.verifyServerUrl();
      }
    }
    this.expressApp = app;
    return this;
  }

  static async startApp(options) {
    return new ParseServer(options).startApp(options);
  }

  static app(options) {
    const server = [...ParseServer.servers].find(known => known.config.appId === options.appId);
    return (server || new ParseServer(options)).app;
  }

  static async createLiveQueryServer(httpServer, config, options) {
    const appId = (config && config.appId) || (options && options.appId) || Parse.applicationId;
    const servers = [...ParseServer.servers];
    const server = servers.filter(known => known.config.appId === appId).pop() || servers.pop();
    if (!server) {
      throw new Error('createLiveQueryServer needs a ParseServer in this process, which serves its sockets: make one first.');
    }
    const { port, ...others } = config || {};
    if (Object.keys(others).length > 0 && config !== server.given.liveQueryServerOptions) {
      if (server.starting) {
        logger.warn('createLiveQueryServer: options given after start() have no effect; give them in liveQueryServerOptions.');
      } else {
        server.liveQueryOptions = others;
      }
    }
    if (!httpServer || port) {
      httpServer = http.createServer((req, res) => {
        res.statusCode = 404;
        res.end();
      });
      httpServer.listen(port);
    }
    const live = new ParseLiveQueryServer(httpServer, server);
    await live.connect();
    return live;
  }

  static async verifyServerUrl() {
    const url = Parse.serverURL;
    if (!url) {
      return undefined;
    }
    try {
      const answer = await fetch(`${url.replace(/\/$/, '')}/health`);
      const retry = answer.headers.get('retry-after');
      if (retry) {
        await new Promise(resolve => setTimeout(resolve, retry * 1000));
        return ParseServer.verifyServerUrl();
      }
      if (answer.status === 200 && (await answer.json()).status === 'ok') {
        return true;
      }
    } catch {
      // Said below.
    }
    console.warn(`\nWARNING, Unable to connect to '${url}'. Cloud code and push notifications may be unavailable!\n`);
    return undefined;
  }
}

// Every server of this process.
ParseServer.servers = new Set();

function loadExpress() {
  const express = ofApplication('express');
  if (!express) {
    throw new Error('ParseServer.startApp needs the package express: npm install express.');
  }
  return express;
}

Object.defineProperty(exports, '__esModule', { value: true });
exports.ParseServer = ParseServer;
exports.default = ParseServer;
