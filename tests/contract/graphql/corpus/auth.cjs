// A login provider with a second step, for both servers.
module.exports = {
  validateAuthData: async (authData, request) => {
    if (authData.id !== 'good' && authData.code !== 'secret') throw new Error('Not good.');
    return { response: { someData: true, ip: typeof request.ip } };
  },
  validateAppId: async () => {},
  challenge: async (challengeData, authData) => ({ someData: true, given: challengeData ?? null, auth: authData ?? null }),
  validateSetUp: async authData => {
    if (authData.id !== 'good') throw new Error('Not good.');
    return { response: { someData: 'set up' } };
  },
  validateUpdate: async () => ({ response: { someData: 'updated' } }),
  validateLogin: async authData => {
    if (authData.code !== 'secret') throw new Error('Not the code.');
    return { response: { someData: 'logged in' } };
  },
  policy: 'additional',
};
