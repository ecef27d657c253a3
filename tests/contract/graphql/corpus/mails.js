// Accounts whose addresses have to be verified: signing up and logging in without a session, mails, locked accounts.
import { fileURLToPath } from 'node:url';

const cases = [];
const q = (id, query, more = {}) => cases.push({ id, query, ...more });
const file = name => fileURLToPath(new URL(name, import.meta.url));
const mailer = file('../../pages/mailer.cjs');
const viewer = '{ clientMutationId viewer { sessionToken user { objectId username email emailVerified } } }';

q('sign up', `mutation { signUp(input: { fields: { username: "ann", password: "pw", email: "ann@example.org" }, clientMutationId: "s" }) ${viewer} }`);
q('sign up without an address', `mutation { signUp(input: { fields: { username: "bob", password: "pw" } }) ${viewer} }`, { capture: { bob: 'data.signUp.viewer.sessionToken' } });
q('sign up again', `mutation { signUp(input: { fields: { username: "ann", password: "pw", email: "ann@example.org" } }) ${viewer} }`);
q('create a user', 'mutation { createUser(input: { fields: { username: "carl", password: "pw", email: "carl@example.org" } }) { user { objectId username emailVerified } } }');
q('log in', `mutation { logIn(input: { username: "ann", password: "pw" }) ${viewer} }`);
q('log in without an address', `mutation { logIn(input: { username: "bob", password: "pw" }) ${viewer} }`);
q('log in as master', `mutation { logIn(input: { username: "ann", password: "pw" }) ${viewer} }`, { as: 'master' });
q('log in by the address', `mutation { logIn(input: { username: "ann@example.org", password: "pw" }) ${viewer} }`);
for (const email of ['ann@example.org', 'nobody@example.org', 'nonsense', '']) {
  q(`verify ${email}`, `mutation { sendVerificationEmail(input: { email: "${email}", clientMutationId: "v" }) { clientMutationId ok } }`);
  q(`reset ${email}`, `mutation { resetPassword(input: { email: "${email}", clientMutationId: "r" }) { clientMutationId ok } }`);
}
q('verify nothing', 'mutation { sendVerificationEmail(input: {}) { ok } }');
q('reset nothing', 'mutation { resetPassword(input: { email: null }) { ok } }');
q('confirm with a wrong token', 'mutation { confirmResetPassword(input: { username: "ann", password: "n", token: "wrong", clientMutationId: "c" }) { clientMutationId ok } }');
q('log in with', `mutation { logInWith(input: { authData: { anonymous: { id: "12345678-1234-1234-1234-123456789012" } }, fields: { email: "anon@example.org" } }) ${viewer} }`);
q('log in with, without an address', `mutation { logInWith(input: { authData: { anonymous: { id: "22345678-1234-1234-1234-123456789012" } } }) { viewer { user { email emailVerified } } } }`);
q('set an address', 'mutation { logIn(input: { username: "bob", password: "pw" }) { viewer { user { email } } } }');
cases.push({ id: 'verified by the master key', as: 'master', rest: ['GET', '/users'], capture: { someId: 'results.0.objectId' } });
q('verify as master', 'mutation { updateUser(input: { id: "{{someId}}", fields: { emailVerified: true } }) { user { emailVerified } } }', { as: 'master', view: 'status' });
for (let n = 0; n < 4; n += 1) q(`wrong password ${n}`, `mutation { logIn(input: { username: "bob", password: "wrong${n}" }) ${viewer} }`);
q('right password of a locked account', `mutation { logIn(input: { username: "bob", password: "pw" }) ${viewer} }`);
q('challenge of a locked account', 'mutation { challenge(input: { username: "bob", password: "pw", challengeData: { a: { b: 1 } } }) { challengeData } }');

export default {
  name: 'mails',
  overrides: { cloud: file('types.cjs'), verifyUserEmails: true, preventLoginWithUnverifiedEmail: true, preventSignupWithUnverifiedEmail: false, accountLockout: { duration: 5, threshold: 3 }, emailAdapter: { module: mailer, options: { file: '/dev/null' } } },
  cases,
};
