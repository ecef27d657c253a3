//! Who runs which due time of a job schedule, agreed on in the database: any number of servers may try
//! to claim a run, and one gets it.

use std::collections::HashMap;

use async_trait::async_trait;

use super::StorageResult;
use crate::types::time::Millis;

/// One due time of a schedule, as a server wants it.
#[derive(Clone, Debug)]
pub struct RunClaim {
    pub app: String,
    /// objectId of the schedule.
    pub schedule: String,
    pub due: Millis,
    /// The claiming server, unique for each start of one.
    pub server: String,
}

/// Implemented by every adapter. A run is claimed, then begun, then ended; a server that dies between
/// claim and begin leaves the run to others, one that dies later leaves it lost: what may have begun
/// is never run again.
#[async_trait]
pub trait JobLedger: Send + Sync {
    /// The latest due time taken of each of these schedules. One that is seen for the first time counts
    /// as taken up to its `since`, or up to the app's first call of this, whichever is later.
    async fn job_marks(
        &self,
        app: &str,
        schedules: &[(String, Millis)],
    ) -> StorageResult<HashMap<String, Millis>>;

    /// Whether the run is the caller's: the due time is new and no run of the schedule is under way, or
    /// its server died before it began.
    async fn claim_job_run(&self, claim: &RunClaim, lease_ms: u64) -> StorageResult<bool>;

    /// Notes that the job begins now. `false`: the claim was lost meanwhile, and it must not.
    async fn begin_job_run(&self, claim: &RunClaim, status: &str, lease_ms: u64) -> StorageResult<bool>;

    /// Prolongs the leases of all runs of a server.
    async fn renew_job_runs(&self, app: &str, server: &str, lease_ms: u64) -> StorageResult<()>;

    /// The run is over, however it ended.
    async fn end_job_run(&self, claim: &RunClaim) -> StorageResult<()>;

    /// Ends the runs that had begun and whose server is gone; answers their `_JobStatus` ids.
    async fn lost_job_runs(&self, app: &str) -> StorageResult<Vec<String>>;
}
