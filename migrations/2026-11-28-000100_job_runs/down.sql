DROP TABLE parsimony.job_run;
