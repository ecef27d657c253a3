//! Tables of schema `parsimony`: what parse-server knows nothing of.
pub(crate) mod job_runs;
pub(crate) mod live_log;
