// A mail adapter of an application's own: appends what it is given to a file, a line for each mail.
const fs = require('node:fs');

module.exports = ({ file, own }) => {
  const write = mail => fs.promises.appendFile(file, `${JSON.stringify(mail)}\n`);
  const account = kind => ({ link, user, appName }) => write({
    kind, link, appName, to: user.get('email'), username: user.get('username'), hasPassword: user.get('password') !== undefined,
  });
  return {
    sendMail: mail => write({ kind: 'mail', ...mail }),
    ...(own ? { sendVerificationEmail: account('verification'), sendPasswordResetEmail: account('reset') } : {}),
  };
};
