// Sends one corpus case to a server, and brings answers of two servers into a form that can be compared.
//
// A case is data:
//   id        unique within its group
//   method, path (below the mount, or absolute with '/' to leave the mount), query, body, raw (a text body), headers
//   as        'client' (default) | 'master' | 'readonly' | 'maintenance' | 'none' | '{{token}}' (a session)
//   capture   {name: 'path.in.body'}: usable as {{name}} in every later case of the group, and hidden in answers
//   view      'full' (default) | 'labels' (the `label` of each result, in order if the query orders) | 'status' | 'code'
//   until     a status that is waited for, where the peer answers before its work is done
//   loose     paths in the body of which only the presence is compared
// A group is {name, config?, cases}. Its cases run in order against each server.

import { request } from '../lib/http.js';

/** Replaces {{name}} everywhere in a value. */
export function fill(value, variables) {
  if (typeof value === 'string') {
    const whole = /^\{\{(\w+)\}\}$/.exec(value);
    if (whole && whole[1] in variables) return variables[whole[1]];
    return value.replace(/\{\{(\w+)\}\}/g, (all, name) => (name in variables ? String(variables[name]) : all));
  }
  if (Array.isArray(value)) return value.map(item => fill(item, variables));
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [fill(key, variables), fill(item, variables)]));
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
    case 'maintenance': return { ...application, 'X-Parse-Maintenance-Key': config.maintenanceKey };
    default: return { ...application, 'X-Parse-Session-Token': as };
  }
}

/** What is remembered about one server while a group runs; captured values keep their name, other ids become <id>. */
export function newContext(server) {
  return { server, variables: { server: server.url, appId: server.config.appId }, ids: new Set() };
}

/** Sends a case; answers `{status, headers, body}` as they came. */
export async function send(context, item) {
  const { server, variables } = context;
  const spec = fill(item, variables);
  const base = spec.path.startsWith('/') ? server.url.replace(/\/parse$/, '') : `${server.url}/`;
  const query = Object.entries(spec.query ?? {}).map(([key, value]) => {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    return `${encodeURIComponent(key)}=${encodeURIComponent(text)}`;
  });
  const url = `${base}${spec.path}${query.length > 0 ? `?${query.join('&')}` : ''}`;
  const body = spec.raw ?? (spec.body === undefined ? undefined : JSON.stringify(spec.body));
  const once = () => request(url, {
    method: spec.method ?? 'GET',
    headers: {
      ...credentials(spec.as, server.config),
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      ...spec.headers,
    },
    body,
  });
  let response = await once();
  for (let tries = 0; item.until && response.status !== item.until && tries < 100; tries++) {
    await new Promise(resolve => setTimeout(resolve, 20));
    response = await once();
  }
  const { text } = response;
  let parsed = text;
  try {
    parsed = JSON.parse(text);
  } catch {
    // HTML or plain text stays text.
  }
  for (const [name, path] of Object.entries(item.capture ?? {})) {
    variables[name] = path.split('.').reduce((value, key) => value?.[key], parsed);
  }
  return { status: response.status, headers: response.headers, body: parsed };
}

const compared = [
  'content-type', 'location', 'access-control-allow-origin', 'access-control-allow-methods',
  'access-control-allow-headers', 'access-control-expose-headers', 'retry-after', 'x-parse-job-status-id',
  'x-parse-push-status-id',
];
const isoDate = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const generated = /^[A-Za-z0-9]{10,12}$/;

/** A text of a row without what never agrees between two servers, so that rows can be sorted the same way on both. */
function blurred(value) {
  return JSON.stringify(value, (key, item) => {
    if (/^(objectId|createdAt|updatedAt|sessionToken|expiresAt|ACL|authData)$/.test(key)) return null;
    if (typeof item === 'string' && generated.test(item)) return '<id>';
    if (item && typeof item === 'object' && !Array.isArray(item)) {
      return Object.fromEntries(Object.keys(item).sort().map(name => [name, item[name]]));
    }
    return item;
  });
}

function text(context, value) {
  if (isoDate.test(value)) {
    const age = Date.now() - Date.parse(value);
    if (Math.abs(age) < 3600e3) return '<now>';
    if (age < 0 && age > -3 * 366 * 86400e3) return '<later>';
    return value;
  }
  let result = value.split(context.server.url).join('<server>');
  result = result.split(context.server.url.replace(/\/parse$/, '')).join('<origin>');
  for (const [name, known] of Object.entries(context.variables)) {
    if (typeof known === 'string' && known.length >= 8 && name !== 'server') result = result.split(known).join(`<${name}>`);
  }
  for (const id of context.ids) if (result.includes(id)) result = result.split(id).join('<id>');
  return result.replace(/r:[0-9a-f]{32}/g, '<token>').replace(/[0-9a-f]{32}_/g, '<random>_');
}

function walk(context, value, key) {
  if (typeof value === 'string') {
    if (key === 'objectId' && generated.test(value)) context.ids.add(value);
    return text(context, value);
  }
  if (Array.isArray(value)) return value.map(item => walk(context, item));
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.keys(value).sort().map(name => [text(context, name), walk(context, value[name], name)]));
  }
  return value;
}

function soften(body, path) {
  const keys = path.split('.');
  const last = keys.pop();
  const holder = keys.reduce((value, key) => value?.[key], body);
  if (holder && typeof holder === 'object' && last in holder) holder[last] = '<any>';
}

/** The comparable form of an answer. */
export function normalise(context, item, answer) {
  const ordered = item.query?.order !== undefined || item.body?.order !== undefined || item.ordered;
  const body = answer.body && typeof answer.body === 'object' ? structuredClone(answer.body) : answer.body;
  if (!ordered && Array.isArray(body?.results)) {
    body.results.sort((a, b) => (blurred(a) < blurred(b) ? -1 : 1));
  }
  const view = item.view ?? 'full';
  if (view === 'status') return { status: answer.status };
  if (view === 'code') return { status: answer.status, code: body?.code ?? null };
  if (view === 'labels') {
    if (Array.isArray(body?.results)) {
      const labels = body.results.map(row => row.label ?? '?');
      return { status: answer.status, labels: ordered ? labels : labels.sort() };
    }
    return { status: answer.status, code: body?.code ?? null, error: text(context, String(body?.error ?? body?.message ?? body)) };
  }
  for (const path of item.loose ?? []) soften(body, path);
  const walked = walk(context, body);
  const headers = {};
  for (const name of compared) {
    const value = answer.headers.get(name);
    // The peer ends its refusal at the door without naming a type.
    if (name === 'content-type' && answer.status === 403 && body?.error === 'unauthorized') continue;
    if (value !== null) headers[name] = text(context, value);
  }
  return { status: answer.status, headers, body: walked };
}
