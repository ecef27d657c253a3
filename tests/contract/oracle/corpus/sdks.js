// What the SDKs put on the wire: methods in bodies, numbers as texts, keys of their own, whole objects sent back.
const ios = {
  'X-Parse-Application-Id': 'contractApp', 'X-Parse-Client-Version': 'i1.19.4', 'X-Parse-Installation-Id': 'aaaaaaaa-bbbb',
  'X-Parse-OS-Version': '15.0 (19A)', 'X-Parse-App-Build-Version': '1', 'X-Parse-App-Display-Version': '1.0',
  'Content-Type': 'application/json; charset=utf-8', 'User-Agent': 'App/1 CFNetwork/1 Darwin/1',
};
const net = { 'X-Parse-Application-Id': 'contractApp', 'X-Parse-Client-Version': 'net-portable-1.7', 'X-Parse-Installation-Id': 'ffff' };
const php = { 'X-Parse-Application-Id': 'contractApp', 'X-Parse-Client-Version': 'php1.6.0', 'Content-Type': 'application/json' };
const flutter = { 'X-Parse-Application-Id': 'contractApp', 'X-Parse-Client-Version': 'dart:3', 'content-type': 'application/json; charset=utf-8' };
const plain = { 'Content-Type': 'text/plain' };
const js = { _ApplicationId: 'contractApp', _ClientVersion: 'js8.6.2', _InstallationId: 'jjjj' };
const as = 'none';
const post = (id, path, body, headers, more = {}) => ({ id, method: 'POST', path, body, headers, as, ...more });
const date = iso => ({ d: { __type: 'Date', iso } });

export const groups = [{
  name: 'sdks',
  cases: [
    post('iOS creates', 'classes/SdkScore', { score: 1 }, ios, { capture: { score: 'objectId' } }),
    post('iOS finds', 'classes/SdkScore', { _method: 'GET', where: { score: { $gte: 1 } }, limit: '10', order: '-score', count: '1' }, ios),
    post('iOS counts', 'classes/SdkScore', { _method: 'GET', limit: '0', count: '1', where: {} }, ios),
    post('iOS finds by text', 'classes/SdkScore', { _method: 'GET', where: '{"score":1}', include: 'a,b', keys: 'score' }, ios),
    { id: 'iOS increments', method: 'PUT', path: 'classes/SdkScore/{{score}}', body: { score: { __op: 'Increment', amount: 1 } }, headers: ios, as },
    post('iOS batch of another mount', 'batch', { requests: [{ method: 'POST', path: '/1/classes/SdkScore', body: { score: 5 } }] }, ios, { view: 'status' }),
    post('iOS installation', 'classes/_Installation', { deviceType: 'ios', installationId: 'aaaaaaaa-bbbb', deviceToken: '0123', appIdentifier: 'x', appName: 'y', appVersion: '1', parseVersion: '1.19', timeZone: 'Europe/Berlin', localeIdentifier: 'de-DE', badge: 0, channels: ['a'] }, ios),
    post('iOS installation again', 'classes/_Installation', { deviceType: 'ios', installationId: 'aaaaaaaa-bbbb', deviceToken: '0123' }, ios),
    post('iOS signs up', 'classes/_User', { username: 'sdkIos', password: 'x' }, { ...ios, 'X-Parse-Revocable-Session': '1' }, { capture: { token: 'sessionToken' } }),
    post('iOS logs in', 'login', { _method: 'GET', username: 'sdkIos', password: 'x' }, ios),
    post('iOS tells of an event', 'events/AppOpened', { at: { __type: 'Date', iso: '2020-01-01T00:00:00.000Z' } }, ios),
    post('JS creates', 'classes/SdkJs', { ...js, _method: 'POST', a: 1, ACL: { '*': { read: true } } }, plain),
    post('JS finds', 'classes/SdkJs', { ...js, _method: 'GET', where: { a: 1 }, include: 'x', keys: 'a', excludeKeys: 'b', readPreference: 'SECONDARY', explain: false, comment: 'c' }, plain, { only: 'postgres' }),
    post('JS aggregates', 'aggregate/SdkJs', { ...js, _MasterKey: 'contractMasterKey', _method: 'GET', pipeline: [{ $group: { _id: '$a', n: { $sum: 1 } } }] }, plain),
    post('JS asks for distinct values', 'aggregate/SdkJs', { ...js, _MasterKey: 'contractMasterKey', _method: 'GET', distinct: 'a', where: {} }, plain),
    post('JS sends a context', 'classes/SdkJs', { ...js, _context: { x: 1 }, a: 2 }, plain),
    post('.NET creates', 'classes/SdkNet', { a: 1 }, net),
    { id: '.NET finds', path: 'classes/SdkNet?where=%7B%22a%22%3A1%7D&include=', headers: net, as },
    { id: 'PHP finds', path: 'classes/SdkPhp?where=%7B%7D&limit=1&skip=0&count=1', headers: php, as },
    { id: 'PHP creates nothing', method: 'POST', path: 'classes/SdkPhp', raw: '[]', headers: php, as },
    post('PHP with an empty ACL', 'classes/SdkPhp', { a: 1, ACL: {} }, php),
    post('PHP batch', 'batch', { requests: [{ path: '/parse/classes/SdkPhp', method: 'POST', body: { a: 1 } }] }, php),
    ...['2020-01-01T00:00:00.000', '2020-01-01T00:00:00Z', '2020-01-01T00:00:00.123456Z', '2020-01-01T02:00:00.000+02:00', '2020-01-01'].flatMap((iso, index) => [
      post(`Flutter date ${iso}`, 'classes/SdkFlutter', date(iso), flutter, { capture: { [`dated${index}`]: 'objectId' } }),
      { id: `Flutter date ${iso} read`, path: `classes/SdkFlutter/{{dated${index}}}`, headers: flutter, as },
    ]),
    post('a whole object sent back', 'classes/SdkFlutter', { objectId: 'abcdefghij', createdAt: '2020-01-01T00:00:00.000Z', className: 'SdkFlutter', __type: 'Object', a: 1 }, flutter),
    { id: 'GET with a JSON body', path: 'classes/SdkScore', raw: '{"limit":1,"keys":"score"}', headers: php, as },
    { id: 'GET with a form body', path: 'classes/SdkScore', raw: 'limit=1', headers: { ...php, 'Content-Type': 'application/x-www-form-urlencoded' }, as, view: 'code' },
  ],
}];
