// Cloud Code for the dashboard's page of jobs.
Parse.Cloud.job('works', ({ message }) => message('half-way'));
Parse.Cloud.job('fails', () => {
  throw new Error('job failed');
});
