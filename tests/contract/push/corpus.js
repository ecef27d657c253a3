// A corpus of pushes, what counts of the requests that they lead to, and where npm @parse/push-adapter differs.
import assert from 'node:assert/strict';

export const hex = n => n.toString(16).padStart(64, '0');
export const installations = [
  { deviceType: 'ios', deviceToken: hex(1) }, { deviceType: 'tvos', deviceToken: hex(2) }, { deviceType: 'osx', deviceToken: hex(3) },
  { deviceType: 'watchos', deviceToken: 'apple-by-fcm' }, { deviceType: 'android', deviceToken: 'android-1' },
  { deviceType: 'android', pushType: 'expo', deviceToken: 'ExponentPushToken[1]' },
].map((one, n) => ({ ...one, appIdentifier: 'com.example.app', installationId: `i${n}` }));

/** Every part of a push alone, many with others. */
export function corpus() {
  const alerts = [undefined, 'hi', '', 'ünï 🚀', { body: 'b' }, { title: 't', body: 'b', 'loc-key': 'K', 'loc-args': ['a'] }, { title: 't' }];
  const parts = [
    { badge: 3 }, { badge: 0 }, { sound: 'ping.aiff' }, { sound: '' }, { sound: { name: 's', critical: 1, volume: 0.5 } }, { sound: { name: 's' } },
    { 'content-available': 1 }, { 'content-available': true }, { 'content-available': 0 }, { 'mutable-content': 1 }, { 'mutable-content': '1' },
    { category: 'C' }, { category: 5 }, { threadId: 'T' }, { targetContentIdentifier: 'W' }, { interruptionLevel: 'time-sensitive' },
    { title: 'T' }, { uri: 'app://x' }, { custom: { a: [1, { b: null }] } }, { n: 1.5, s: 's', b: false, z: null }, { aps: { alert: 'raw', 'thread-id': 'x' } },
    { push_type: 'background', priority: 5, 'content-available': 1 }, { pushType: 'voip' }, { pushType: 'liveactivity' }, { pushType: 'complication' },
    { pushType: 'fileprovider' }, { pushType: 'location' }, { pushType: 'pushtotalk' }, { pushType: 'mdm' }, { priority: 5 }, { priority: 10 }, { priority: 1 },
    { collapse_id: 'C1' }, { collapseId: 'C2' }, { topic: 'com.example.other' }, { id: '11111111-2222-3333-4444-555555555555' }, { requestId: 'r' },
    { channelId: 'ch' }, { expiry: 0 }, { expiry: 4000000000 }, { body: 'expo body' }, { data: { nested: true } }, { subtitle: 's', ttl: 60 },
  ];
  const outer = [
    {}, { expiration_time: 4000000000 }, { collapse_id: 'out' }, { push_type: 'alert' }, { priority: 5 },
    { notification: { title: 'n', body: 'm', icon: 'i' } }, { notification: { clickAction: 'A', channelId: 'c', imageUrl: 'https://example.com/i.png', priority: 'high' } },
    { rawPayload: { notification: { title: 'raw', body: 'payload' } } },
    { rawPayload: { data: { a: 'b' }, android: { priority: 'normal', collapseKey: 'k' }, apns: { payload: { aps: { sound: 's', threadId: 't' } } } } },
  ];
  const all = [];
  for (const alert of alerts) for (const more of outer) all.push({ ...more, data: alert === undefined ? {} : { alert } });
  for (const part of parts) all.push({ data: part }, { data: { alert: 'hi', ...part } }, { data: { ...part, alert: { title: 'x', body: 'y' } } });
  for (const part of parts.slice(0, 8)) all.push({ expiration_time: '2096-10-02T07:06:40.000Z', collapse_id: 'out', data: { alert: 'hi', title: 'T', ...part } });
  return all;
}

const APNS = ['apns-topic', 'apns-push-type', 'apns-priority', 'apns-expiration', 'apns-collapse-id', 'apns-id', 'apns-request-id', 'apns-channel-id', 'content-type', 'authorization'];

/** What counts of a request, by its device. */
export function shown(seen) {
  const all = {};
  for (const { host, path: at, headers: sent, body } of seen) {
    const json = body.length > 0 ? JSON.parse(sent['content-encoding'] === 'gzip' ? '{}' : body) : null;
    if (at.startsWith('/3/device/')) {
      const kept = Object.fromEntries(APNS.filter(name => sent[name] !== undefined && name !== 'content-type').map(name => [name, name === 'authorization' ? sent[name].split(' ')[0] : sent[name]]));
      all[at.split('/').pop()] = { host, at: at.slice(0, 10), headers: kept, json };
    } else if (at.endsWith('messages:send')) {
      const data = json.message.android?.data;
      if (data?.push_id) {
        assert.match(data.push_id, /^[A-Za-z0-9]{10}$/);
        assert.ok(Math.abs(Date.parse(data.time) - Date.now()) < 60000);
        Object.assign(data, { push_id: 'id', time: 'now', data: JSON.parse(data.data) });
      }
      all[json.message.token] = { at, authorization: sent.authorization, json };
    } else if (at.endsWith('/push/send')) {
      for (const message of json) all[message.to] = { at, authorization: sent.authorization, json: message };
    }
  }
  return all;
}

const get = (value, ...keys) => keys.reduce((at, key) => at?.[key], value);

/** Reasons for what differs: each makes the request of npm what it should have been; `true`: it was this one. */
export const differences = [
  // Its senders share the data of a push, and that for APNs writes the alert into the `aps` that was given.
  ['the sender for APNs changes what the others send after it', (item, token, theirs) => {
    const aps = get(theirs, 'json', 'aps');
    if (!token.startsWith('ExponentPushToken') || !aps || !item.data.aps) return false;
    theirs.json.aps = item.data.aps;
    return theirs;
  }],
  ['a lost push: FCM takes texts as headers of APNs', (item, token, theirs, ours) => {
    if (theirs || token !== 'apple-by-fcm') return false;
    const sent = get(ours, 'json', 'message', 'apns', 'headers') ?? {};
    return Object.values(sent).every(value => typeof value === 'string') && { ...ours };
  }],
  ['Android: seconds to live, not milliseconds', (item, token, theirs, ours) => {
    const android = get(theirs, 'json', 'message', 'android');
    if (!android?.ttl || !item.expiration_time) return false;
    android.ttl = ours.json.message.android.ttl;
    return theirs;
  }],
  ['a title before a text alert is kept', (item, token, theirs, ours) => {
    if (item.data.title === undefined || typeof item.data.alert !== 'string') return false;
    const aps = get(theirs, 'json', 'aps') ?? get(theirs, 'json', 'message', 'apns', 'payload', 'aps');
    if (!aps) return false;
    aps.alert = { body: item.data.alert, title: item.data.title };
    return theirs;
  }],
  ['a title beside an alert that is an object', (item, token, theirs, ours) => {
    if (item.data.title === undefined || typeof item.data.alert !== 'object') return false;
    const aps = get(theirs, 'json', 'aps') ?? get(theirs, 'json', 'message', 'apns', 'payload', 'aps');
    if (!aps) return false;
    aps.alert = { title: item.data.title, ...item.data.alert };
    return theirs;
  }],
  ['FCM for Android takes numbers out of the data of all that are sent after it', (item, token, theirs) => {
    if (!theirs || !token.startsWith('Exponent')) return false;
    const numbers = ['badge', 'content-available', 'mutable-content', 'priority', 'expiration_time'];
    for (const key of numbers) if (item.data[key] !== undefined) theirs.json[key] = item.data[key];
    return theirs;
  }],
  ['the alert of Apple is put into the data of Android', (item, token, theirs) => {
    const data = get(theirs, 'json', 'message', 'android', 'data', 'data');
    if (!data?.aps || item.data.aps === undefined) return false;
    data.aps = item.data.aps;
    return theirs;
  }],
  ['an empty payload is refused by APNs', (item, token, theirs) => {
    if (theirs?.json && !('aps' in theirs.json) && theirs.at === '/3/device/') {
      theirs.json.aps = {};
      return theirs;
    }
    if (theirs && theirs.json === null) return { ...theirs, json: { aps: {} } };
    return false;
  }],
  ['background pushes have priority 5', (item, token, theirs) => {
    if (get(theirs, 'headers', 'apns-push-type') !== 'background' || item.data.priority || item.priority) return false;
    theirs.headers['apns-priority'] = '5';
    return theirs;
  }],
  ['data that becomes headers is no payload with FCM, and badges are numbers', (item, token, theirs, ours) => {
    if (token !== 'apple-by-fcm' || !theirs) return false;
    const apns = theirs.json.message.apns;
    if (!apns?.payload || item.rawPayload) return false;
    const sent = get(ours, 'json', 'message', 'apns');
    // Headers that only Parsimony hands on to FCM.
    for (const [name, value] of Object.entries(sent?.headers ?? {})) {
      if (apns.headers[name] === undefined || name === 'apns-push-type' || name === 'apns-expiration') apns.headers[name] = value;
    }
    const aps = apns.payload.aps;
    for (const key of ['sound', 'category']) if (aps[key] !== undefined && sent.payload.aps[key] === undefined) delete aps[key];
    return theirs;
  }],
  ['the native sender takes any kind of value, and no more headers', (item, token, theirs, ours) => {
    if (token !== hex(3) || !theirs) return false;
    for (const name of ['apns-request-id', 'apns-channel-id']) if (ours?.headers[name]) theirs.headers[name] = ours.headers[name];
    const aps = theirs.json.aps;
    if (aps.sound !== undefined && get(ours, 'json', 'aps', 'sound') === undefined) delete aps.sound;
    return theirs;
  }],
];
