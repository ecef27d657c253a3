-- Which run of a job schedule was taken by which server. Nothing here touches a table of parse-server:
-- the schedules themselves are rows of "_JobSchedule".
CREATE SCHEMA IF NOT EXISTS parsimony;

CREATE TABLE parsimony.job_run (
    app text NOT NULL,
    -- objectId of the schedule; '' notes when schedules of the app were first run.
    schedule text NOT NULL,
    -- The latest time at which the schedule was due and that was taken.
    due timestamptz NOT NULL,
    -- Who took it.
    server text,
    -- Null while no run is under way. Once it is past, its server is taken for dead.
    lease_until timestamptz,
    -- objectId of the run's row in "_JobStatus"; null until the job has begun.
    status text,
    PRIMARY KEY (app, schedule)
);
