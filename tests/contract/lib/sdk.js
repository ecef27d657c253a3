// The unmodified npm `parse` SDK, pointed at the server under test.
import { after } from 'node:test';
import { randomBytes } from 'node:crypto';
import Parse from 'parse/node';
import { request } from './http.js';
import { target, useServer } from './servers.js';

export const server = await useServer();
after(() => server.stop());

Parse.initialize(server.config.appId, undefined, server.config.masterKey);
Parse.serverURL = server.url;
Parse.CoreManager.set('REQUEST_ATTEMPT_LIMIT', 1);

export { Parse };
export const master = { useMasterKey: true };

/** Test options for what npm parse-server on PostgreSQL does not do: skipped there, with the reason. */
export function notOnOracle(reason) {
  return { skip: target === 'oracle' ? `not on parse-server: ${reason}` : false };
}

/** A class name nobody else uses. */
export function uniqueClass(label = 'T') {
  return `${label}_${randomBytes(6).toString('hex')}`;
}

/** A user name nobody else uses. */
export function uniqueName(label = 'user') {
  return `${label}_${randomBytes(6).toString('hex')}`;
}

/** Makes one object; `options` as for `save`. */
export async function make(className, attributes = {}, options) {
  const object = new Parse.Object(className);
  return object.save(attributes, options);
}

/** Makes many, in order, so that creation order is known. */
export async function makeAll(className, rows) {
  const objects = rows.map(row => new Parse.Object(className, row));
  await Parse.Object.saveAll(objects);
  return objects;
}

/** Signs a new user up without disturbing a current user; answers the user, its token with it. */
export async function signUp(attributes = {}) {
  const user = new Parse.User();
  const username = attributes.username ?? uniqueName();
  await user.signUp({ username, password: 'secret!', ...attributes });
  return user;
}

/** Logs in as a device of its own; the SDK's login would end the user's other session of the same installation. */
export async function logIn(username, password = 'secret!') {
  const answer = await rest('POST', 'login', { body: { username, password } });
  if (answer.status !== 200) throw new Parse.Error(answer.body.code, answer.body.error);
  return Parse.User.fromJSON({ className: '_User', ...answer.body });
}

/** Request options that act as this user. */
export function as(user) {
  return { sessionToken: user.getSessionToken() };
}

/** Awaits a rejection and checks its Parse code (and message, when given). */
export async function rejects(promise, code, message) {
  let answer;
  try {
    answer = await promise;
  } catch (error) {
    if (error.code !== code) throw new Error(`expected code ${code}, got ${error.code}: ${error.message}`);
    if (message instanceof RegExp ? !message.test(error.message) : message !== undefined && error.message !== message) {
      throw new Error(`expected message ${message}, got ${error.message}`);
    }
    return error;
  }
  throw new Error(`expected rejection with ${code}, got ${JSON.stringify(answer)}`);
}

/** A raw REST call, for what the SDK cannot say. */
export async function rest(method, path, { body, headers = {}, key } = {}) {
  const response = await request(`${server.url}/${path}`, {
    method,
    headers: {
      'X-Parse-Application-Id': server.config.appId,
      ...(key === 'master' ? { 'X-Parse-Master-Key': server.config.masterKey } : {}),
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...headers,
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const { text } = response;
  let parsed;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = text;
  }
  return { status: response.status, headers: response.headers, body: parsed };
}
