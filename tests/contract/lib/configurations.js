// The named server configurations. Both servers get the same one; only what differs by nature is added in servers.js.

const base = {
  appId: 'contractApp',
  masterKey: 'contractMasterKey',
  readOnlyMasterKey: 'contractReadOnlyKey',
  maintenanceKey: 'contractMaintenanceKey',
  appName: 'Contract',
  mountPath: '/parse',
  allowClientClassCreation: true,
  fileUpload: { enableForPublic: true, enableForAnonymousUser: true, enableForAuthenticatedUser: true },
  // Rows written by SQL or by the peer are to be seen at once.
  cacheTTL: 1,
  liveQuery: { classNames: ['Live_.*'] },
  startLiveQueryServer: true,
};

export const configurations = {
  /** Classes may be created by clients; everything else as it comes. */
  base,
  /** Client keys demanded, CORS narrowed. */
  keyed: {
    ...base,
    appId: 'keyedApp',
    clientKey: 'aClientKey',
    javascriptKey: 'aJavascriptKey',
    restAPIKey: 'aRestKey',
    dotNetKey: 'aDotNetKey',
    allowOrigin: ['https://one.example', 'https://two.example'],
    allowHeaders: ['X-Custom', 'X-Other'],
    masterKeyIps: ['10.1.2.3'],
  },
  /** A client key that is empty is one, too. */
  emptyKey: { ...base, appId: 'emptyKeyApp', clientKey: '' },
  /** Details of refusals sent to clients; classes and ids as a careful operator would set them. */
  strict: {
    ...base,
    appId: 'strictApp',
    allowClientClassCreation: false,
    allowCustomObjectId: true,
    enableSanitizedErrorResponse: false,
    enforcePrivateUsers: false,
    enableAnonymousUsers: false,
    allowAggregationForReadOnlyMasterKey: false,
    maxLimit: 5,
    defaultLimit: 3,
    objectIdSize: 12,
    convertEmailToLowercase: true,
    convertUsernameToLowercase: true,
    protectedFields: { _User: { '*': ['email', 'phone'] }, Guarded: { '*': ['secret'] } },
    protectedFieldsSaveResponseExempt: false,
    requestComplexity: {
      includeDepth: 2, includeCount: 3, subqueryDepth: 2, queryDepth: 3, batchRequestLimit: 4, allowRegex: false,
    },
    idempotencyOptions: { paths: ['classes/Once.*', 'users'], ttl: 60 },
    passwordPolicy: { validatorPattern: '^.{6,}$', doNotAllowUsername: true, maxPasswordHistory: 2 },
    accountLockout: { duration: 5, threshold: 3 },
  },
  /** Files in a folder, which both servers can. */
  files: {
    ...base,
    appId: 'filesApp',
    maxUploadSize: '20kb',
    filesAdapter: { module: '@parse/fs-files-adapter', options: { filesSubDirectory: 'contract' } },
  },
  /** Nobody may upload or download, names are kept, the list of extensions is short. */
  filesClosed: {
    ...base,
    appId: 'filesClosedApp',
    enableSanitizedErrorResponse: false,
    preserveFileName: true,
    fileUpload: {
      enableForPublic: false, enableForAnonymousUser: false, enableForAuthenticatedUser: false,
      fileExtensions: ['^(png|txt)$'], allowedFileUrlDomains: ['cdn.example.com', '*.files.example.org'],
    },
    fileDownload: { enableForPublic: false, enableForAnonymousUser: false, enableForAuthenticatedUser: false },
    filesAdapter: { module: '@parse/fs-files-adapter', options: { encryptionKey: 'contract secret' } },
  },
  /** Only some routes are open to clients. */
  routes: {
    ...base,
    appId: 'routesApp',
    routeAllowList: ['classes/Open', 'classes/Open/[A-Za-z0-9]+', 'batch', 'health'],
  },
};
