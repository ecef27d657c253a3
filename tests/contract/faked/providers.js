// Every provider that asks somebody outside: its settings, what its servers answer to a good question, data that a
// client sends, good and bad. `{id}` is whoever is meant by the case.
import { gameCenter } from './game-center.js';
import { jwk, tokens } from './tokens.js';

/** Keys of an OpenID provider. */
const keys = more => ({ body: { keys: [jwk('k0', undefined, { use: 'enc' }), jwk('k1')] }, ...more });
const form = values => ({ type: 'application/x-www-form-urlencoded', body: new URLSearchParams(values).toString() });
const client = { clientId: 'the client', clientSecret: 'the & secret' };
const redirect = 'https://app.example/back?a=1&b=2';

/** Data with a code: what clients get wrong. */
function codes(good) {
  return {
    'the id beside the code': id => ({ ...good(id), id }),
    'another id beside the code': id => ({ ...good(id), id: 'somebody else' }),
    'a number as id': id => ({ ...good(id), id: 7 }),
    'no code': id => ({ ...good(id), code: undefined, id }),
    'an empty code': id => ({ ...good(id), code: '', id }),
    'a code that is null': id => ({ ...good(id), code: null, id }),
    'a code that is a number': id => ({ ...good(id), code: 12 }),
    'a code that is an object': id => ({ ...good(id), code: { $ne: 1 } }),
    'a code with signs': id => ({ ...good(id), code: 'a&client_id=x#b c%20\r\nd/é' }),
    'an access token instead of a code': id => ({ id, access_token: 'a token' }),
    'no redirect URI': id => ({ ...good(id), redirect_uri: undefined }),
    'more than is asked for': id => ({ ...good(id), admin: true, access_token: 'mine' }),
    'nothing': () => ({}),
  };
}

/** A provider of the code flow. */
function codeFlow(provider, endpoints, { good = () => ({ code: 'a code', redirect_uri: redirect }), more = {}, classic = true, options = {} } = {}) {
  return [
    { provider, settings: { ...client, ...options }, endpoints, good, cases: { ...codes(good), ...more } },
    classic && {
      provider, mode: 'insecure', settings: { enableInsecureAuth: true }, endpoints, faulty: id => Object.keys(endpoints(id)).slice(1),
      good: id => ({ id, access_token: 'a token' }),
      cases: {
        'another id': () => ({ id: 'somebody else', access_token: 'a token' }),
        'a number as id': () => ({ id: 7, access_token: 'a token' }),
        'no id': () => ({ access_token: 'a token' }),
        'no token': id => ({ id }),
        'an empty token': id => ({ id, access_token: '' }),
        'a token with signs': id => ({ id, access_token: 'a&b=c#d e' }),
        'a token that is a header': id => ({ id, access_token: 'a\r\nX-Evil: 1' }),
        'a code as well': id => ({ ...good(id), id }),
      },
    },
  ].filter(Boolean);
}

/** A provider of signed tokens. */
function signed(provider, { url, claims, field, settings, more = {}, audience, extra = () => ({}) }) {
  const made = tokens(claims, audience);
  const cases = Object.fromEntries(Object.entries(made).map(([name, make]) => [name, id => ({ id, [field]: make(id), ...extra(id) })]));
  const { 'a good token': good, ...rest } = cases;
  return {
    provider, settings, endpoints: () => ({ [url]: keys() }), good, keepsKeys: true,
    cases: {
      ...rest,
      'without an id': id => ({ ...good(id), id: undefined }),
      'an empty id': id => ({ ...good(id), id: '' }),
      'a number as id': id => ({ ...good(id), id: 7 }),
      'without a token': id => ({ id }),
      ...more,
    },
  };
}

/** A provider that tells whose an access token is, and knows nothing of apps. */
function bare(provider, endpoints, { settings = {}, field = 'access_token' } = {}) {
  const good = id => ({ id, [field]: 'a token' });
  return {
    provider, mode: 'insecure', settings: { enableInsecureAuth: true, ...settings }, endpoints, good,
    cases: {
      'another id': () => ({ id: 'somebody else', [field]: 'a token' }),
      'a number as id': () => ({ id: 7, [field]: 'a token' }),
      'no id': () => ({ [field]: 'a token' }),
      'no token': id => ({ id }),
      'an empty token': id => ({ id, [field]: '' }),
      'a token with signs': id => ({ id, [field]: 'a&b=c#d e' }),
      'a token that is a header': id => ({ id, [field]: 'a\r\nX-Evil: 1' }),
    },
  };
}

const token = { body: { access_token: 'a token', token_type: 'bearer' } };

export const providers = [
  signed('apple', {
    url: 'https://appleid.apple.com/auth/keys', field: 'token', settings: { clientId: 'com.example.app' },
    claims: id => ({ iss: 'https://appleid.apple.com', aud: 'com.example.app', sub: id }),
  }),
  signed('google', {
    url: 'https://www.googleapis.com/oauth2/v3/certs', field: 'id_token', settings: { clientId: 'the client' },
    claims: id => ({ iss: 'https://accounts.google.com', aud: 'the client', sub: id }),
    more: { 'an access token': id => ({ id, access_token: 'a token' }) },
  }),
  {
    ...signed('facebook', {
      url: 'https://www.facebook.com/.well-known/oauth/openid/jwks/', field: 'token', settings: { appIds: ['a1', 'a2'], appSecret: 'hush' },
      claims: id => ({ iss: 'https://www.facebook.com', aud: 'a1', sub: id }),
    }),
    label: 'facebook (limited login)',
  },
  {
    provider: 'facebook', settings: { appIds: ['a1', 'a2'], appSecret: 'hush' },
    endpoints: id => ({ 'https://graph.facebook.com/app': { body: { id: 'a2' } }, 'https://graph.facebook.com/me': { body: { id } } }),
    good: id => ({ id, access_token: 'a token', expiration_date: '2100-01-01T00:00:00.000Z' }),
    cases: {
      'another id': () => ({ id: 'somebody else', access_token: 'a token' }),
      'no id': () => ({ access_token: 'a token' }),
      'no token': id => ({ id }),
      'an empty token': id => ({ id, access_token: '' }),
      'a token with signs': id => ({ id, access_token: 'a&b=c#d e' }),
      'another app': id => [{ id, access_token: 'a token' }, { 'https://graph.facebook.com/app': { body: { id: 'foreign' } } }],
      'an app that is a number': id => [{ id, access_token: 'a token' }, { 'https://graph.facebook.com/app': { body: { id: 1 } } }],
    },
  },
  signed('keycloak', {
    url: 'https://keycloak.example/auth/realms/main/protocol/openid-connect/certs', field: 'access_token', audience: 'azp',
    settings: { config: { 'auth-server-url': 'https://keycloak.example/auth', realm: 'main', 'client-id': 'the client' } },
    claims: id => ({ iss: 'https://keycloak.example/auth/realms/main', azp: 'the client', sub: id, roles: ['a', 'b'], groups: ['g'] }),
    extra: () => ({ roles: ['b', 'a'], groups: ['g'] }),
    more: Object.fromEntries(Object.entries({
      'other roles': { roles: ['a'] }, 'more roles': { roles: ['a', 'b', 'admin'] }, 'a role twice': { roles: ['a', 'a'] },
      'no roles': { roles: undefined }, 'no groups': { groups: undefined }, 'roles that are a text': { roles: 'a,b' },
    }).map(([name, change]) => [name, id => ({
      id, roles: ['a', 'b'], groups: ['g'], ...change,
      access_token: tokens(sub => ({ iss: 'https://keycloak.example/auth/realms/main', azp: 'the client', sub, roles: ['a', 'b'], groups: ['g'] }), 'azp')['a good token'](id),
    })])),
  }),
  ...codeFlow('github', id => ({
    'https://github.com/login/oauth/access_token': token,
    'https://api.github.com/user': { body: { id, login: 'ann' } },
  }), { more: {
    'an id that is a number': id => [{ code: 'a code' }, { 'https://api.github.com/user': { body: { id: Number(id.slice(1)), login: 'ann' } } }],
    'no login name': id => [{ code: 'a code' }, { 'https://api.github.com/user': { body: { id } } }],
    'nobody’s number': () => [{ code: 'a code' }, { 'https://api.github.com/user': { body: { id: 0, login: 'ann' } } }],
    'a mark of the encoding': id => [{ code: 'a code' }, { 'https://api.github.com/user': { type: 'application/json', body: `\ufeff${JSON.stringify({ id, login: 'ann' })}` } }],
    'an error that is an object': () => [{ code: 'a code' }, { 'https://github.com/login/oauth/access_token': { body: { error: { message: 'The code is spent.' } } } }],
  } }),
  ...codeFlow('gpgames', id => ({
    'https://oauth2.googleapis.com/token': token,
    [`https://www.googleapis.com/games/v1/players/${id}`]: { body: { kind: 'games#player', playerId: id } },
  }), {
    good: id => ({ id, code: 'a code', redirectUri: redirect }),
    more: {
      'an id that leads elsewhere': id => [{ id: `../me?x=${id}`, code: 'a code' }, { 'https://www.googleapis.com/games/v1/me': { body: { playerId: `../me?x=${id}` } } }],
      'without an id': () => ({ code: 'a code', redirectUri: redirect }),
    },
  }),
  ...codeFlow('instagram', id => ({
    'https://api.instagram.com/oauth/access_token': token,
    'https://graph.instagram.com/me': { body: { id } },
  }), { good: id => ({ id, code: 'a code' }), more: {
    'a redirect URI': id => ({ id, code: 'a code', redirect_uri: redirect }),
    'a URL of its own': id => ({ id, code: 'a code', apiURL: 'https://elsewhere.example/' }),
    'without an id': () => ({ code: 'a code' }),
  } }),
  ...codeFlow('line', id => ({
    'https://api.line.me/oauth2/v2.1/token': token,
    'https://api.line.me/v2/profile': { body: { userId: id, displayName: 'Ann' } },
  })),
  ...codeFlow('linkedin', id => ({
    'https://www.linkedin.com/oauth/v2/accessToken': token,
    'https://api.linkedin.com/v2/me': { body: { id } },
  }), { more: { 'of a mobile SDK': () => ({ code: 'a code', redirect_uri: redirect, is_mobile_sdk: true }) } }),
  ...codeFlow('microsoft', id => ({
    'https://login.microsoftonline.com/common/oauth2/v2.0/token': token,
    'https://graph.microsoft.com/v1.0/me': { body: { id } },
  })),
  ...codeFlow('qq', id => ({
    'https://graph.qq.com/oauth2.0/token': { body: 'callback( {"access_token":"a token","expires_in":7776000} );' },
    'https://graph.qq.com/oauth2.0/me': { body: `callback( {"client_id":"the client","openid":"${id}"} );` },
  }), { more: {
    'a token as form': () => [{ code: 'a code', redirect_uri: redirect }, { 'https://graph.qq.com/oauth2.0/token': form({ access_token: 'a token', expires_in: 1 }) }],
    'id instead of openid': id => [{ code: 'a code', redirect_uri: redirect }, { 'https://graph.qq.com/oauth2.0/me': { body: `callback( {"id":"${id}"} );` } }],
  } }),
  ...codeFlow('spotify', id => ({
    'https://accounts.spotify.com/api/token': token,
    'https://api.spotify.com/v1/me': { body: { id } },
  }), {
    good: () => ({ code: 'a code', redirect_uri: redirect, code_verifier: 'a verifier' }),
    more: { 'no verifier': () => ({ code: 'a code', redirect_uri: redirect }) },
  }),
  ...codeFlow('wechat', id => ({
    'https://api.weixin.qq.com/sns/oauth2/access_token': { body: { access_token: 'a token', openid: id } },
    'https://api.weixin.qq.com/sns/auth': { body: { errcode: 0, errmsg: 'ok' } },
  }), { more: {
    'an error with 200': () => [{ code: 'a code' }, { 'https://api.weixin.qq.com/sns/oauth2/access_token': { body: { errcode: 40029, errmsg: 'invalid code' } } }],
    'a token that is not good for it': () => [{ code: 'a code' }, { 'https://api.weixin.qq.com/sns/auth': { body: { errcode: 40003, errmsg: 'invalid openid' } } }],
  } }),
  ...codeFlow('weibo', id => ({
    'https://api.weibo.com/oauth2/access_token': { body: { access_token: 'a token', uid: id } },
    'https://api.weibo.com/oauth2/get_token_info': { body: { uid: id, appkey: 'x' } },
  }), { more: {
    'a number as uid': id => [{ code: 'a code', redirect_uri: redirect }, { 'https://api.weibo.com/oauth2/get_token_info': { body: { uid: Number(id.slice(1)) } } }],
  } }),
  {
    provider: 'twitter', settings: { consumer_key: 'the key', consumer_secret: 'the secret' },
    endpoints: id => ({ 'https://api.twitter.com/oauth/access_token': form({ oauth_token: 't', oauth_token_secret: 's', user_id: id, screen_name: 'ann' }) }),
    good: () => ({ oauth_token: 'request token', oauth_verifier: 'a verifier' }),
    cases: {
      'the id beside it': id => ({ id, oauth_token: 'request token', oauth_verifier: 'a verifier' }),
      'another id beside it': () => ({ id: 'somebody else', oauth_token: 'request token', oauth_verifier: 'a verifier' }),
      'no verifier': id => ({ id, oauth_token: 'request token' }),
      'the old form': id => ({ id, auth_token: 't', auth_token_secret: 's', screen_name: 'ann' }),
      'nothing': () => ({}),
    },
  },
  {
    provider: 'twitter', mode: 'insecure', settings: { consumer_key: 'the key', consumer_secret: 'the secret', enableInsecureAuth: true },
    endpoints: id => ({ 'https://api.twitter.com/2/users/me': { body: { data: { id, name: 'Ann' } } } }),
    good: id => ({ id, oauth_token: 'a token', oauth_token_secret: 'its secret' }),
    cases: {
      'the old form': id => ({ id, auth_token: 't', auth_token_secret: 's' }),
      'another id': () => ({ id: 'somebody else', oauth_token: 'a token', oauth_token_secret: 'its secret' }),
      'no secret': id => ({ id, oauth_token: 'a token' }),
    },
  },
  {
    provider: 'introspected', settings: {
      oauth2: true, tokenIntrospectionEndpointUrl: 'https://introspect.example/introspect', useridField: 'sub', appidField: 'aud', appIds: ['a1', 'a2'], authorizationHeader: 'Basic dTpw',
    },
    endpoints: id => ({ 'https://introspect.example/introspect': { body: { active: true, sub: id, aud: ['x', 'a2'] } } }),
    good: id => ({ id, access_token: 'a token' }),
    cases: {
      'another id': () => ({ id: 'somebody else', access_token: 'a token' }),
      'no id': () => ({ access_token: 'a token' }),
      'no token': id => ({ id }),
      'a token with signs': id => ({ id, access_token: 'a&b=c#d e' }),
      'not active': id => [{ id, access_token: 'a token' }, { 'https://introspect.example/introspect': { body: { active: false, sub: id, aud: 'a1' } } }],
      'another app': id => [{ id, access_token: 'a token' }, { 'https://introspect.example/introspect': { body: { active: true, sub: id, aud: 'foreign' } } }],
      'no app': id => [{ id, access_token: 'a token' }, { 'https://introspect.example/introspect': { body: { active: true, sub: id } } }],
    },
  },
  gameCenter,
  bare('janraincapture', id => ({ 'https://capture.example/entity': { body: { stat: 'ok', result: id } } }), { settings: { janrain_capture_host: 'capture.example' } }),
  bare('janrainengage', id => ({ 'https://rpxnow.com/api/v2/auth_info': { body: { stat: 'ok', profile: { identifier: id } } } }), { settings: { api_key: 'the key' }, field: 'auth_token' }),
  bare('meetup', id => ({ 'https://api.meetup.com/2/member/self': { body: { id } } })),
  bare('phantauth', id => ({ 'https://phantauth.net/auth/userinfo': { body: { sub: id } } })),
  bare('vkontakte', id => ({
    'https://oauth.vk.com/access_token': { body: { access_token: 'of the app' } },
    'https://api.vk.com/method/users.get': { body: { response: [{ id }] } },
  }), { settings: { appIds: 'the app', appSecret: 'hush' } }),
];

/** What may go wrong at any server, by what it answers instead. */
export const faults = {
  '400 with an error': { status: 400, body: { error: 'invalid_grant', error_description: 'The code is spent.' } },
  '200 with an error': { body: { error: 'invalid_grant', error_description: 'The code is spent.' } },
  '200 with an error alone': { body: { error: 'invalid_grant' } },
  '401': { status: 401, body: { message: 'Bad credentials' } },
  '429': { status: 429, headers: { 'retry-after': '1' }, body: { message: 'slow down' } },
  '500': { status: 500, body: { message: 'oops' } },
  '500 as HTML': { status: 500, body: '<html>oops</html>' },
  'HTML': { body: '<html>Log in</html>' },
  'a redirect': { status: 302, headers: { location: 'https://elsewhere.example/take' } },
  'a redirect that repeats the request': { status: 307, headers: { location: 'https://elsewhere.example/take' } },
  'an empty body': { body: '', type: 'application/json' },
  'an empty object': { body: {} },
  'null': { body: 'null', type: 'application/json' },
  'a list': { body: [] },
  'a text': { body: '"text"', type: 'application/json' },
  'a broken connection': 'close',
};
