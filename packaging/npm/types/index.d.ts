/** Types of `parsimony-server`: the names of `parse-server` 9. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';

export type CloudCode = string | ((parse: any) => void | Promise<void>);

/** Options of parse-server, with those of the server's own; the start says which keys it does not know. */
export interface ParseServerOptions {
  appId: string;
  masterKey: string | (() => string | Promise<string>);
  serverURL?: string;
  databaseURI?: string;
  cloud?: CloudCode;
  appName?: string;
  auth?: Record<string, any>;
  clientKey?: string;
  javascriptKey?: string;
  restAPIKey?: string;
  dotNetKey?: string;
  readOnlyMasterKey?: string;
  maintenanceKey?: string;
  masterKeyIps?: string[];
  fileKey?: string;
  mountPath?: string;
  port?: number;
  host?: string;
  publicServerURL?: string | (() => string | Promise<string>);
  allowClientClassCreation?: boolean;
  liveQuery?: { classNames?: Array<string | RegExp>; redisURL?: string; [option: string]: any };
  liveQueryServerOptions?: LiveQueryServerOptions;
  startLiveQueryServer?: boolean;
  filesAdapter?: any;
  loggerAdapter?: any;
  emailAdapter?: any;
  push?: any;
  mountGraphQL?: boolean;
  graphQLPath?: string;
  middleware?: string | ((req: any, res: any, next: (error?: unknown) => void) => void);
  trustProxy?: any;
  verifyServerUrl?: boolean;
  [option: string]: any;
}

export interface LiveQueryServerOptions {
  appId?: string;
  masterKey?: string;
  keyPairs?: Record<string, string>;
  port?: number;
  websocketTimeout?: number;
  cacheTimeout?: number;
  redisURL?: string;
  [option: string]: any;
}

export interface ParseLiveQueryServer {
  readonly server: Server;
  connect(): Promise<void>;
  shutdown(): Promise<void>;
}

/** A handler for Express, and for `http.createServer`. */
export type Handler = (req: IncomingMessage | any, res: ServerResponse | any, next?: (error?: any) => void) => void;

declare class Instance {
  constructor(options: ParseServerOptions);
  readonly app: Handler;
  config: any;
  server: any;
  expressApp: any;
  liveQueryServer: any;
  start(): Promise<this>;
  startApp(options: ParseServerOptions): Promise<this>;
  handleShutdown(): Promise<void>;
  static app(options: ParseServerOptions): Handler;
  static startApp(options: ParseServerOptions): Promise<Instance>;
  static createLiveQueryServer(
    httpServer?: any,
    config?: LiveQueryServerOptions,
    options?: ParseServerOptions
  ): Promise<ParseLiveQueryServer>;
  static verifyServerUrl(): Promise<true | undefined>;
}

export default Instance;
export type ParseServer = Instance;
export declare const ParseServer: typeof Instance & ((options: ParseServerOptions) => Instance);

export declare class ParseGraphQLServer {
  constructor(
    parseServer: Instance,
    config: { graphQLPath: string; playgroundPath?: string; graphQLCustomTypeDefs?: string | object | ((given: any) => any); graphQLPublicIntrospection?: boolean }
  );
  applyGraphQL(app: any): void;
  applyPlayground(app: any): void;
  setGraphQLConfig(config: any): Promise<void>;
}

export declare class FileSystemAdapter {
  constructor(options?: { encryptionKey?: string; filesSubDirectory?: string });
  createFile(filename: string, data: any, contentType?: string, options?: any): Promise<any>;
  deleteFile(filename: string): Promise<any>;
  getFileData(filename: string): Promise<any>;
  getFileLocation(config: any, filename: string): string;
  rotateEncryptionKey(options?: { oldKey?: string; fileNames?: string[] }): Promise<{ rotated: string[]; notRotated: string[] }>;
}
declare class CacheAdapter {
  constructor(options?: { ttl?: number; maxSize?: number });
  get(key: string): Promise<any>;
  put(key: string, value: any, ttl?: number): Promise<void>;
  del(key: string): Promise<void>;
  clear(): Promise<void>;
}
export declare class InMemoryCacheAdapter extends CacheAdapter {}
export declare class LRUCacheAdapter extends CacheAdapter {}
export declare class NullCacheAdapter extends CacheAdapter {}
export declare class RedisCacheAdapter {
  constructor(redis: string | Record<string, any>, ttl?: number);
  connect(): Promise<void>;
  handleShutdown(): Promise<void>;
  get(key: string): Promise<any>;
  put(key: string, value: any, ttl?: number): Promise<void>;
  del(key: string): Promise<void>;
  clear(): Promise<void>;
  getAllKeys(): Promise<string[]>;
}
export declare const S3Adapter: any;
export declare const GCSAdapter: any;
export declare class PushWorker {
  constructor(adapter: any, config?: any);
}
export declare class AuthAdapter {
  policy: 'default' | 'additional' | 'solo';
  validateAppId(appIds: any, authData: any, options: any, request: any): Promise<any>;
  validateAuthData(authData: any, options?: any, request?: any): Promise<any>;
  validateSetUp(authData: any, options: any, request: any): Promise<any>;
  validateLogin(authData: any, options: any, request: any): Promise<any>;
  validateUpdate(authData: any, options: any, request: any): Promise<any>;
  beforeFind(authData: any, options: any, request: any): Promise<any>;
  challenge(challengeData: any, authData: any, options: any, request: any): Promise<any>;
  afterFind(authData: any, options: any): Promise<any>;
  validateOptions(options: any): Promise<void>;
}

export declare namespace SchemaMigrations {
  function makeSchema<T extends object>(className: string, schema: T): T & { className: string };
  class CLP {
    static allow(permissions: Record<string, string[]>): Record<string, Record<string, true>>;
  }
}
export declare namespace TestUtils {
  function destroyAllDataPermanently(): Promise<void>;
  function sleep(ms: number): Promise<void>;
  function getConnectionsCount(server: Server): Promise<number>;
  function resolvingPromise<T = any>(): Promise<T> & { resolve(value?: T): void; reject(reason?: any): void };
  class Connections {
    track(server: Server): void;
    destroyAll(): void;
    count(): number;
  }
}
export declare const logger: Record<'error' | 'warn' | 'info' | 'verbose' | 'debug' | 'silly', (...args: any[]) => void> & {
  log(level: string, ...args: any[]): void;
};
