// Where Parsimony does not do with a login provider what parse-server does: each entry makes of what parse-server did
// what it should have done, or says `false` when this is not the case.

const text = value => JSON.stringify(value);
/** Ours is a refusal of the provider's own, and asked nobody whom parse-server did not ask. */
const refused = (ours, theirs) => ours.status >= 400 && ours.status !== 500 && [101, 141, 142].includes(ours.code)
  && ours.requests.every(({ at }) => (theirs.requests ?? []).some(made => made.at === at) || theirs.requests.length === 0);
/** Ours lets exactly this user in. */
const letIn = (ours, provider, id) => [200, 201].includes(ours.status) && text(ours.stored) === text({ [provider]: { id } });
/** The requests of both are the same but for this. */
const mended = (theirs, change) => ({ ...theirs, requests: theirs.requests.map(change) });

/** With these parse-server lets nobody in, or users without an id: what it asks is all there is to compare. */
const BROKEN = ['line', 'qq', 'twitter', 'wechat'];

export const differences = {
  'logins that cannot succeed with parse-server': ({ entry, id, name }, theirs, ours) => {
    if (!BROKEN.includes(entry.provider)) return false;
    const isNobody = theirs.status >= 400 || Object.values(theirs.stored).every(data => data.id === undefined);
    // WeChat itself says whether a token is the id's.
    const whose = entry.provider === 'wechat' && ours.requests.length === 1 ? { 'another id': 'somebody else', 'a number as id': '7' }[name] ?? id : id;
    const isRight = letIn(ours, entry.provider, whose) ? whose !== id || !/another id beside|a number as id/.test(name) : ours.status >= 400 && [101, 142].includes(ours.code);
    // Nobody is let in where something is the matter.
    const isIll = / answers |another id$|no (code|token|id|secret|verifier)|an empty|null/.test(name);
    return isNobody && isRight && (ours.status >= 400 || !isIll || whose !== id) && ours;
  },
  'spotify is sent the token, not what it came in': ({ entry, name }, theirs, ours) => {
    if (entry.provider !== 'spotify') return false;
    if (name.startsWith('accounts.spotify.com') && theirs.status < 300) return refused(ours, theirs) && ours.requests.length === 1 && ours;
    return JSON.parse(text(theirs).replace('Bearer [object Object]', 'Bearer a token'));
  },
  'keys and certificates are kept, and fetched once for all': ({ entry }, theirs, ours) => {
    if (!entry.keepsKeys) return false;
    const hosts = Object.keys(entry.endpoints('x')).map(url => new URL(url).host);
    const isKey = ({ at }) => hosts.some(host => at.startsWith(`GET ${host}/`));
    const asked = ours.requests.map(({ at }) => at);
    theirs.requests = theirs.requests.filter((made, n) => !isKey(made) || (asked.includes(made.at) && theirs.requests.findIndex(({ at }) => at === made.at) === n));
    return theirs;
  },
  'redirects are not followed': ({ name }, theirs, ours) =>
    name.includes('answers a redirect') && refused(ours, theirs) && !text(ours.requests).includes('elsewhere') && ours,
  'what is no answer is told in the provider’s words, not in those of the HTTP library': ({ name }, theirs, ours) =>
    /answers (500 as HTML|HTML|an empty body|null|a list|a text|an empty object|a broken connection|200 with an error)/.test(name)
      && (theirs.status === 500 || theirs.code === 141) && refused(ours, theirs) && ours,
  'without a token nobody is asked whose it is': ({ name }, theirs, ours) =>
    / answers /.test(name) && /undefined|\["access_token",""\]/.test(text(theirs.requests)) && refused(ours, theirs) && ours.requests.length < theirs.requests.length && ours,
  'a code or token that is none is not sent': ({ name }, theirs, ours) =>
    /a code that is an object|a token that is a header|no token|an empty token|a signature that is no text|a list|an object|a number$/.test(name)
      && refused(ours, theirs) && ours.requests.length === 0 && ours,
  'numbers are sent as texts': ({ name }, theirs) => name === 'a code that is a number' && JSON.parse(text(theirs).replace('"code":12', '"code":"12"')),
  'what there is not is not sent as `undefined`': (one, theirs) => text(theirs.requests).includes('undefined') && mended(theirs, made => ({
    ...made,
    headers: Object.fromEntries(Object.entries(made.headers).filter(([, value]) => value !== 'undefined')),
    ...Array.isArray(made.body) ? { body: made.body.filter(([, value]) => value !== 'undefined') } : {},
  })),
  'the redirect URI is the client’s, not `undefined`': ({ entry, name }, theirs, ours) => {
    if (entry.provider !== 'instagram' || name !== 'a redirect URI') return false;
    return mended(theirs, (made, n) => ({ ...made, ...made.body ? { body: ours.requests[n].body } : {} }));
  },
  'tokens are escaped in URLs': ({ name }, theirs, ours) => {
    if (!/a token (with signs|that is a header)/.test(name) || theirs.status !== ours.status) return false;
    const same = theirs.requests.length === ours.requests.length && theirs.requests.every(({ at }, n) => at === ours.requests[n].at);
    return same && ours.requests.some(({ query }) => query.some(([, value]) => /a&b=c#d e|a\r\nX-Evil/.test(value))) && ours;
  },
  'a token is asked about once': ({ entry }, theirs, ours) => {
    if (entry.provider !== 'introspected' || theirs.requests.length !== 2 || text(theirs.requests[0]) !== text(theirs.requests[1])) return false;
    return { ...theirs, requests: theirs.requests.slice(1) };
  },
  'an id that is not one of Google’s is not asked for': ({ entry, name }, theirs, ours) =>
    entry.provider === 'gpgames' && /another id|an id that leads elsewhere|without an id|no id/.test(name) && ours.code === 142 && ours.error === 'Invalid Google Play Games Services user data received.'
      && !ours.requests.some(({ at }) => at.includes('/players')) && ours,
  'an answer without an id is nobody': ({ name }, theirs, ours) =>
    / answers /.test(name) && theirs.status < 300 && Object.values(theirs.stored).every(data => data.id === undefined) && refused(ours, theirs) && ours,
  'an id is never empty': ({ name }, theirs, ours) => name === 'an empty id' && ours.code === 162 && ours,
  'a token has an end, and no extensions that nobody understands': ({ name, entry }, theirs, ours) =>
    /without an end|an extension that must be understood/.test(name) && theirs.status < 300 && refused(ours, theirs) && ours,
  'a token is valid a little before its time': ({ name }, theirs, ours) => name === 'valid in a moment' && theirs.error === 'jwt not active' && ours.status < 300 && ours,
  'claims are an object': ({ name }, theirs, ours) => name === 'claims that are no object' && theirs.code === 141 && ours.error === 'provided token does not decode as JWT' && ours,
  'data of another kind is refused as wrong data is': (one, theirs, ours) =>
    theirs.code === 141 && /^The "(data|signature)" argument must be/.test(theirs.error) && refused(ours, theirs) && ours,
  'a certificate of somebody else is refused in one way': ({ name }, theirs, ours) =>
    name === 'a key of somebody else' && theirs.code === 141 && /^Invalid publicKeyUrl/.test(ours.error) && ours,
  'a connection that breaks is told as any answer that is none': ({ entry, name }, theirs, ours) =>
    entry.provider === 'gcenter' && name.includes('a broken connection') && theirs.code === 141 && ours.code === 141 && ours,
  'an error is a text': (one, theirs, ours) =>
    typeof theirs.error === 'object' && theirs.error?.message === ours.error && theirs.code === ours.code && ours,
  'ids that are numbers are texts': ({ name, id, entry }, theirs, ours) =>
    /an id that is a number|a number as uid/.test(name) && theirs.code === 162 && letIn(ours, entry.provider, id.slice(1)) && ours,
  'a code needs the settings of an app': ({ name, mode }, theirs, ours) =>
    mode === 'insecure' && name === 'a code as well' && / (clientId|clientSecret) is required/.test(ours.error) && ours.requests.length === 0 && ours,
};
