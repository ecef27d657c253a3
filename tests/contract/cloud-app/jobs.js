Parse.Cloud.job('works', async ({ params, message, jobName, jobId, log }) => {
  log.info(`${jobName} runs`);
  await message('half way');
  const status = await new Parse.Query('_JobStatus').get(jobId, { useMasterKey: true });
  return `done ${params.n} after ${status.get('message')}`;
});

Parse.Cloud.job('fails', () => {
  throw new Error('job failed');
});

Parse.Cloud.job('silent', () => {});

// Waits for neither of its messages.
Parse.Cloud.job('talks', ({ message }) => {
  message('first');
  message('last');
});
