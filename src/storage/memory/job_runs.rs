//! The ledger of job runs, for tests: one process, so that time and locks are its own.

use std::collections::HashMap;
use std::sync::PoisonError;

use async_trait::async_trait;

use super::MemoryAdapter;
use crate::storage::{JobLedger, RunClaim, StorageResult};
use crate::types::time::Millis;

#[derive(Clone, Debug)]
pub struct Run {
    due: Millis,
    server: String,
    lease_until: Option<Millis>,
    status: Option<String>,
}

/// By app and schedule.
pub type Runs = HashMap<(String, String), Run>;

fn lease(lease_ms: u64) -> Option<Millis> {
    Some(Millis(Millis::now().0.saturating_add_unsigned(lease_ms)))
}

fn is_over(run: &Run) -> bool {
    run.lease_until.is_some_and(|until| until < Millis::now())
}

impl MemoryAdapter {
    fn with_runs<T>(&self, work: impl FnOnce(&mut Runs) -> T) -> T {
        work(&mut self.runs.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs `work` on the run if it still is what was claimed; whether it was.
    fn with_claimed(&self, claim: &RunClaim, work: impl FnOnce(&mut Run) -> bool) -> bool {
        self.with_runs(|runs| {
            let run = runs.get_mut(&(claim.app.clone(), claim.schedule.clone()));
            run.filter(|run| run.server == claim.server && run.due == claim.due).is_some_and(work)
        })
    }
}

#[async_trait]
impl JobLedger for MemoryAdapter {
    async fn job_marks(
        &self,
        app: &str,
        schedules: &[(String, Millis)],
    ) -> StorageResult<HashMap<String, Millis>> {
        Ok(self.with_runs(|runs| {
            let mut mark = |schedule: &str, due: Millis| {
                let run = runs.entry((app.to_owned(), schedule.to_owned()));
                run.or_insert_with(|| Run { due, server: String::new(), lease_until: None, status: None }).due
            };
            let first = mark("", Millis::now());
            let marks = schedules.iter().map(|(id, since)| (id.clone(), mark(id, first.max(*since))));
            marks.collect()
        }))
    }

    async fn claim_job_run(&self, claim: &RunClaim, lease_ms: u64) -> StorageResult<bool> {
        Ok(self.with_runs(|runs| {
            let Some(run) = runs.get_mut(&(claim.app.clone(), claim.schedule.clone())) else { return false };
            let is_new = run.due < claim.due && run.lease_until.is_none();
            let is_left = run.status.is_none() && is_over(run) && run.due <= claim.due;
            if is_new || is_left {
                let server = claim.server.clone();
                *run = Run { due: claim.due, server, lease_until: lease(lease_ms), status: None };
            }
            is_new || is_left
        }))
    }

    async fn begin_job_run(&self, claim: &RunClaim, status: &str, lease_ms: u64) -> StorageResult<bool> {
        Ok(self.with_claimed(claim, |run| {
            let may_begin = run.status.is_none() && run.lease_until.is_some();
            if may_begin {
                run.status = Some(status.to_owned());
                run.lease_until = lease(lease_ms);
            }
            may_begin
        }))
    }

    async fn renew_job_runs(&self, app: &str, server: &str, lease_ms: u64) -> StorageResult<()> {
        self.with_runs(|runs| {
            for ((of_app, _), run) in runs.iter_mut() {
                if of_app == app && run.server == server && run.lease_until.is_some() {
                    run.lease_until = lease(lease_ms);
                }
            }
        });
        Ok(())
    }

    async fn end_job_run(&self, claim: &RunClaim) -> StorageResult<()> {
        self.with_claimed(claim, |run| {
            run.lease_until = None;
            true
        });
        Ok(())
    }

    async fn lost_job_runs(&self, app: &str) -> StorageResult<Vec<String>> {
        Ok(self.with_runs(|runs| {
            let mut lost = Vec::new();
            for ((of_app, _), run) in runs.iter_mut() {
                if of_app == app && is_over(run) && run.status.is_some() {
                    run.lease_until = None;
                    lost.extend(run.status.clone());
                }
            }
            lost
        }))
    }
}
