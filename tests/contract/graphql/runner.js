// Sends GraphQL requests to a server and brings the answers of two servers into a form that can be compared.
//
// A case is data:
//   id         unique within its group
//   query, variables, operationName, extensions   the JSON body, where they are given
//   body, raw, form   another body: JSON as it is, text with `type`, or [operations, map, {field: [name, type, text]}]
//   method     'POST' (default) or 'GET' (parameters in the URL)
//   as         'client' (default) | 'master' | 'readonly' | 'none' | '{{token}}' (a session)
//   headers    on top
//   capture    {name: 'path.in.body'}: usable as {{name}} in later cases of the group
//   rest       a request of the REST API instead: [method, path, body]
//   view       'status', 'errors', or 'sorted' where an answer holds JSON whose keys have no order

import { buildClientSchema, lexicographicSortSchema, printSchema } from 'graphql';

/** The groups of the corpus. */
export const groups = ['schema', 'queries', 'values', 'invalid', 'mutations', 'spec', 'custom', 'more', 'types', 'switches', 'rules', 'mails', 'uploads', 'complexity'];

/** What both servers are told on top of a named configuration. */
export const overrides = { mountGraphQL: true, requestComplexity: { graphQLDepth: -1, graphQLFields: -1 } };

export function fill(value, variables) {
  if (typeof value === 'string') return value.replace(/\{\{(\w+)\}\}/g, (all, name) => variables[name] ?? all);
  if (Array.isArray(value)) return value.map(item => fill(item, variables));
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fill(item, variables)]));
  }
  return value;
}

function credentials(as, config) {
  const application = { 'X-Parse-Application-Id': config.appId };
  switch (as ?? 'client') {
    case 'none': return {};
    case 'client': return application;
    case 'master': return { ...application, 'X-Parse-Master-Key': config.masterKey };
    case 'readonly': return { ...application, 'X-Parse-Master-Key': config.readOnlyMasterKey };
    default: return { ...application, 'X-Parse-Session-Token': as };
  }
}

export async function send(server, variables, item) {
  const spec = fill(item, variables);
  const headers = { ...credentials(spec.as, server.config), ...spec.headers };
  if (spec.rest) {
    const [method, path, body] = spec.rest;
    const answer = await fetch(server.url + path, {
      method, headers: { 'Content-Type': 'application/json', ...headers }, body: body && JSON.stringify(body),
    });
    return { status: answer.status, body: await answer.json().catch(() => null) };
  }
  const { query, variables: given, operationName, extensions } = spec;
  const parts = Object.fromEntries(Object.entries({ query, variables: given, operationName, extensions }).filter(([, value]) => value !== undefined));
  let url = server.url.replace(/\/parse$/, '') + (spec.path ?? '/graphql');
  const request = { method: spec.method ?? 'POST', headers };
  if (request.method === 'GET') {
    const text = value => (typeof value === 'string' ? value : JSON.stringify(value));
    const search = Object.entries(parts).map(([key, value]) => `${key}=${encodeURIComponent(text(value))}`).join('&');
    url += `?${spec.search ?? search}`;
  } else if (spec.form) {
    const [operations, map, files] = spec.form;
    const form = new FormData();
    const text = value => (typeof value === 'string' ? value : JSON.stringify(value));
    if (operations !== undefined) form.append('operations', text(operations));
    if (map !== undefined) form.append('map', text(map));
    for (const [field, [name, type, content]] of Object.entries(files ?? {})) {
      form.append(field, new Blob([content], { type }), name);
    }
    request.body = form;
  } else if (spec.raw !== undefined) {
    request.headers = { 'Content-Type': spec.type ?? 'application/json', ...headers };
    request.body = spec.raw;
  } else {
    request.headers = { 'Content-Type': 'application/json', ...headers };
    request.body = JSON.stringify(spec.body ?? parts);
  }
  const answer = await fetch(url, request);
  const text = await answer.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    body = { text: 'no JSON' };
  }
  return { status: answer.status, type: answer.headers.get('content-type'), body };
}

function at(body, path) {
  return path.split('.').reduce((value, key) => value?.[key], body);
}

const isId = text => /^[A-Za-z0-9]{10}$/.test(text) && /[A-Z0-9]/.test(text) && /[a-z0-9]/.test(text) && !/^[0-9]+$/.test(text);

function shownText(text, origin) {
  if (/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(text) && Math.abs(Date.parse(text) - Date.now()) < 3600e3) return '<now>';
  if (/^r:[0-9a-f]{32}$/.test(text)) return '<token>';
  if (isId(text)) return '<id>';
  if (/^[A-Za-z0-9+/=]{12,}$/.test(text)) {
    const decoded = Buffer.from(text, 'base64').toString();
    const found = /^(\w+):([A-Za-z0-9]{10})$/.exec(decoded);
    if (found) return `<global ${found[1]}>`;
  }
  return text.replaceAll(origin, '<server>').replace(/[0-9a-f]{32}_/g, '<hex>_').replace(/\b[A-Za-z0-9]{10}\b/g, word => (isId(word) && /[0-9]/.test(word) ? '<id>' : word));
}

export function shown(value, server) {
  const origin = server.url.replace(/\/parse$/, '');
  if (typeof value === 'string') return shownText(value, origin);
  if (Array.isArray(value)) return value.map(item => shown(item, server));
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).filter(([key]) => key !== 'stacktrace').map(([key, item]) => [key, shown(item, server)]));
  }
  return value;
}

/** The same with the keys of all objects in order. */
function sorted(value) {
  if (Array.isArray(value)) return value.map(sorted);
  if (!value || typeof value !== 'object') return value;
  return Object.fromEntries(Object.keys(value).sort().map(key => [key, sorted(value[key])]));
}

/** A schema as sorted text, from the answer to its introspection. */
function sdl(body) {
  try {
    return { sdl: printSchema(lexicographicSortSchema(buildClientSchema(body.data))) };
  } catch (error) {
    return { sdl: `${error.message} ${JSON.stringify(body).slice(0, 500)}` };
  }
}

/** Runs the cases of a group in order; answers what came, by id. */
export async function run(server, group) {
  const variables = { server: server.url, appId: server.config.appId };
  const answers = {};
  for (const item of group.cases) {
    const answer = await send(server, variables, item).catch(error => {
      throw new Error(`${server.kind}: ${item.id}: ${error.cause ?? error}\n${server.log().slice(-1500)}`);
    });
    for (const [name, path] of Object.entries(item.capture ?? {})) variables[name] = at(answer.body, path);
    const { status, body } = answer;
    answers[item.id] = { status, body: shown(body, server) };
    if (item.rest && !item.keep) delete answers[item.id].body;
    if (item.sdl) answers[item.id] = sdl(body);
    if (item.view === 'sorted') answers[item.id].body = sorted(answers[item.id].body);
    if (item.view === 'status') answers[item.id] = { status };
    if (item.view === 'errors') answers[item.id].body = { errors: answers[item.id].body?.errors };
  }
  return answers;
}
