// npm @parse/push-adapter in a process of its own, led to the services of the test: what `startServices` has is in
// the environment, pushes come as messages, an answer when each was sent.
const http2 = require('node:http2');
const https = require('node:https');
const { pathToFileURL } = require('node:url');

const port = Number(process.env.SERVICES_PORT);
const connect = http2.connect;
http2.connect = (authority, options, listener) => {
  const { hostname } = new URL(authority);
  const session = connect(
    `https://127.0.0.1:${port}`, { ...options, port, servername: hostname, socket: undefined, createConnection: undefined }, listener,
  );
  // firebase-admin writes the scheme with its colon, which only Google reads.
  const request = session.request.bind(session);
  session.request = (headers, more) => request({ ...headers, ...(headers[':scheme'] ? { ':scheme': 'https' } : {}) }, more);
  return session;
};
const request = https.request;
https.request = (...args) => {
  const options = args.find(arg => arg && typeof arg === 'object' && !(arg instanceof URL));
  const host = options?.hostname ?? options?.host;
  if (options && host && !/^127\./.test(host)) Object.assign(options, { hostname: '127.0.0.1', host: '127.0.0.1', port, servername: host });
  return request(...args);
};

(async () => {
  const { initializeApp } = await import('firebase-admin/app');
  const account = JSON.parse(process.env.FIREBASE_ACCOUNT);
  // The adapter takes the app that is there; its token needs no other server.
  initializeApp({
    projectId: account.project_id,
    credential: { getAccessToken: async () => ({ access_token: 'token', expires_in: 3600 }) },
  });
  const { default: module } = await import('@parse/push-adapter');
  const Adapter = module?.ParsePushAdapter ?? module;
  const adapter = new Adapter(JSON.parse(process.env.PUSH_OPTIONS));
  process.on('message', async ({ body, installations }) => {
    try {
      const results = await adapter.send(body, installations);
      process.send({ results: JSON.parse(JSON.stringify(results ?? null)) });
    } catch (error) {
      process.send({ error: String(error) });
    }
  });
  process.send({ ready: true });
})().catch(error => {
  process.send({ error: String(error?.stack ?? error) });
});
