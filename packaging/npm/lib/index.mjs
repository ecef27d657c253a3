// The package for `import`.

import parsimony from './index.js';

export const {
  AuthAdapter,
  FileSystemAdapter,
  GCSAdapter,
  InMemoryCacheAdapter,
  LRUCacheAdapter,
  NullCacheAdapter,
  ParseGraphQLServer,
  ParseServer,
  PushWorker,
  RedisCacheAdapter,
  S3Adapter,
  SchemaMigrations,
  TestUtils,
  logger,
} = parsimony;
export default parsimony.default;
