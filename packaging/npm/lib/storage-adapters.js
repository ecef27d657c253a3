'use strict';
// Adapters of databases that applications make by hand. The server has its own: these say which database is meant.

// How a database is named in the options.
class StorageAdapter {
  constructor({ uri, collectionPrefix, databaseOptions } = {}) {
    Object.assign(this, { uri, collectionPrefix, databaseOptions });
  }

  toOptions() {
    const { uri, collectionPrefix, databaseOptions } = this;
    return { databaseURI: uri, collectionPrefix, databaseOptions };
  }
}

class PostgresStorageAdapter extends StorageAdapter {}

class MongoStorageAdapter extends StorageAdapter {
  constructor({ uri = 'mongodb://localhost:27017/parse', collectionPrefix, mongoOptions } = {}) {
    super({ uri, collectionPrefix, databaseOptions: mongoOptions });
  }
}

// Files in the database of the application, which is the only one that the server reads and writes them in.
class GridFSBucketAdapter {
  constructor(uri, mongoOptions, encryptionKey) {
    Object.assign(this, { uri, encryptionKey });
  }
}

module.exports = { GridFSBucketAdapter, MongoStorageAdapter, PostgresStorageAdapter };
