CREATE TABLE parsimony.job_run (
    app text NOT NULL,
    schedule text NOT NULL,
    due timestamptz NOT NULL,
    server text,
    lease_until timestamptz,
    status text,
    PRIMARY KEY (app, schedule)
);
INSERT INTO parsimony.job_run (app, schedule, due, server, lease_until, status)
    SELECT app, key, run_at, holder, CASE WHEN state = 'running' THEN lease_until END, progress ->> 'status'
    FROM parsimony.work WHERE queue = 'schedule' AND key IS NOT NULL;
DROP TABLE parsimony.work;
