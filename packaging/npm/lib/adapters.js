'use strict';
// Adapters that parse-server exports. Those that the server has itself only carry their options to it.

const { FileSystemAdapter } = require('./fs-adapter');
const { ofApplication } = require('./application');

// Caches of an application's own use; the server's are its own. As an option they say how long and how much it keeps,
// and through what servers tell each other of changes.
class InMemoryCacheAdapter {
  constructor({ ttl = 5000, maxSize = 10000 } = {}) {
    this.ttl = ttl;
    this.maxSize = maxSize;
    this.entries = new Map();
  }

  toOptions() {
    return { module: 'InMemoryCacheAdapter', options: { ttl: this.ttl, maxSize: this.maxSize } };
  }

  async get(key) {
    const entry = this.entries.get(key);
    if (!entry) {
      return null;
    }
    if (entry.until <= Date.now()) {
      this.entries.delete(key);
      return null;
    }
    return entry.value;
  }

  async put(key, value, ttl = this.ttl) {
    this.entries.delete(key);
    this.entries.set(key, { value, until: Number.isFinite(ttl) && ttl > 0 ? Date.now() + ttl : Infinity });
    if (this.entries.size > this.maxSize) {
      this.entries.delete(this.entries.keys().next().value);
    }
  }

  async del(key) {
    this.entries.delete(key);
  }

  async clear() {
    this.entries.clear();
  }
}

class LRUCacheAdapter extends InMemoryCacheAdapter {
  async get(key) {
    const entry = this.entries.get(key);
    const value = await super.get(key);
    if (value !== null && this.entries.get(key) === entry) {
      this.entries.delete(key);
      this.entries.set(key, entry);
    }
    return value;
  }
}

class NullCacheAdapter {
  toOptions() {
    return { module: 'NullCacheAdapter' };
  }

  async get() {
    return null;
  }

  async put() {}

  async del() {}

  async clear() {}
}

// The same in Redis, with the application's package `redis`; as an option it does without the package.
class RedisCacheAdapter {
  constructor(redisContext, ttl = 30000) {
    this.redisContext = typeof redisContext === 'string' ? { url: redisContext } : { ...redisContext };
    this.ttl = Number.isFinite(ttl) && ttl > 0 ? ttl : 30000;
  }

  toOptions() {
    const { url, username, password, database, socket = {} } = this.redisContext;
    const address = url || `redis://${socket.host || 'localhost'}:${socket.port || 6379}`;
    const tls = socket.tls ? { socket: { tls: true } } : {};
    return { module: 'RedisCacheAdapter', options: { url: address, username, password, database, ...tls } };
  }

  async connect() {
    if (!this.client) {
      const redis = ofApplication('redis');
      if (!redis) {
        return;
      }
      const client = redis.createClient(this.redisContext);
      client.on('error', error => console.error(`RedisCacheAdapter: ${error.message}`));
      this.client = client;
      this.connecting = client.connect();
    }
    await this.connecting;
  }

  async handleShutdown() {
    if (this.client) {
      await this.client.quit();
      this.client = undefined;
    }
  }

  async redis() {
    await this.connect();
    if (!this.client) {
      throw new Error('RedisCacheAdapter needs the package redis: npm install redis.');
    }
    return this.client;
  }

  async get(key) {
    const text = await (await this.redis()).get(key);
    return text ? JSON.parse(text) : null;
  }

  async put(key, value, ttl = this.ttl) {
    // Nothing is kept for no time at all.
    if (ttl === 0) {
      return;
    }
    const forever = ttl === Infinity;
    const lasting = Number.isFinite(ttl) && ttl > 0 ? ttl : this.ttl;
    await (await this.redis()).set(key, JSON.stringify(value), forever ? {} : { PX: lasting });
  }

  async del(key) {
    await (await this.redis()).del(key);
  }

  async clear() {
    await (await this.redis()).sendCommand(['FLUSHDB']);
  }

  async getAllKeys() {
    return (await this.redis()).keys('*');
  }
}

class AuthAdapter {
  constructor() {
    if (!this.policy) {
      this.policy = 'default';
    }
  }

  async validateAppId() {
    return {};
  }

  async validateAuthData() {
    return {};
  }

  async validateSetUp() {
    return {};
  }

  async validateLogin() {
    return {};
  }

  async validateUpdate() {
    return {};
  }

  async beforeFind() {}

  async challenge() {
    return {};
  }

  async afterFind() {
    return {};
  }

  async validateOptions() {}
}

// parse-server names these and leaves them to packages of their own.
function external(name, packageName) {
  return function () {
    throw new Error(`${name} is a package of its own: install ${packageName} and use that.`);
  };
}

const S3Adapter = external('S3Adapter', '@parse/s3-files-adapter');
const GCSAdapter = external('GCSAdapter', '@parse/gcs-files-adapter');

// Pushes are sent by the server itself, any number of which share one database and its queue.
class PushWorker {
  constructor() {
    throw new Error('PushWorker is not needed: every server that has push adapters takes its share of the pushes that wait in the database.');
  }
}

module.exports = {
  AuthAdapter,
  BUILT_IN: [FileSystemAdapter],
  CACHES: [InMemoryCacheAdapter, LRUCacheAdapter, NullCacheAdapter, RedisCacheAdapter],
  FileSystemAdapter,
  GCSAdapter,
  InMemoryCacheAdapter,
  LRUCacheAdapter,
  NullCacheAdapter,
  PushWorker,
  RedisCacheAdapter,
  S3Adapter,
};
