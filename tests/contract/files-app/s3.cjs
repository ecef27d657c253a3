// The S3 adapter with every option that is a function.
let keys = 0;

exports.filesAdapter = {
  module: '@parse/s3-files-adapter',
  options: {
    bucket: `functions-${process.ppid}-${Date.now()}`,
    bucketPrefix: 'pre/',
    directAccess: true,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test-secret' },
    s3overrides: { endpoint: process.env.CONTRACT_S3_ENDPOINT, forcePathStyle: true },
    generateKey: filename => `key-${(keys += 1)}-${filename}`,
    validateFilename: filename => {
      if (filename.startsWith('wrong')) return 'Not this one.';
      return filename.startsWith('coded') ? new Parse.Error(122, 'Coded.') : null;
    },
    baseUrl: async config => `https://cdn.example.com/${config.applicationId}`,
  },
};
