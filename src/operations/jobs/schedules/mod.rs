//! Running the job schedules that dashboards keep in `_JobSchedule`. parse-server only stores them.
//!
//! The actor (`actors::jobs`) calls [`Runner::pass`] again and again. Each pass reads the schedules,
//! claims what is due in the database's ledger and runs it, so that any number of servers may do this
//! side by side and each due time is run by one of them.

mod due;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

pub use self::due::{Missed, Schedule};
use crate::cloud::{JobCall, Scope};
use crate::error::Result;
use crate::operations::jobs;
use crate::operations::services::Services;
use crate::query::{Filter, FindSpec};
use crate::storage::{Returning, RunClaim, Target};
use crate::types::time::Millis;
use crate::types::{ClassName, ClassSchema, FieldName, Object, ObjectId, Update};

const CLASS: &str = "_JobSchedule";
/// A server that does not renew its runs for this long is taken for dead.
const LEASE_MS: u64 = 60_000;
/// Schedules that are looked at.
const MOST_SCHEDULES: u64 = 10_000;

/// What one server runs of the schedules of one app.
pub struct Runner {
    services: Arc<Services>,
    /// Unique for each start of a server.
    server: String,
    stopped: AtomicBool,
    /// What was last complained about, by schedule, so that it is said once.
    complaints: Mutex<HashMap<String, String>>,
}

impl Runner {
    pub fn new(services: Arc<Services>) -> Arc<Self> {
        let server = format!("{}.{}", std::process::id(), ObjectId::generate(20));
        Arc::new(Self { services, server, stopped: AtomicBool::new(false), complaints: Mutex::default() })
    }

    /// From now on nothing more is begun.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Begins what is due at `now` on the current thread's task set, and answers when the next run will
    /// be due, as far as is known.
    ///
    /// # Errors
    /// When storage fails; nothing was begun then that is not noted.
    pub async fn pass(self: &Arc<Self>, now: Millis) -> Result<Option<Millis>> {
        let storage = &self.services.storage;
        let app = &self.services.config.app_id;
        storage.renew_job_runs(app, &self.server, LEASE_MS).await?;
        for status in storage.lost_job_runs(app).await? {
            let text = "The server that ran this job stopped.".to_owned();
            jobs::finish(&self.services, &status, "failed", Some(text)).await?;
        }
        let Some(schema) = schema(&self.services).await? else { return Ok(None) };
        let schedules = self.read(&schema).await?;
        let written: Vec<_> =
            schedules.iter().map(|(id, row, schedule)| (id.clone(), schedule.since(written(row)))).collect();
        let marks = storage.job_marks(app, &written).await?;
        let mut next: Option<Millis> = None;
        for (id, row, schedule) in schedules {
            let Some(taken) = marks.get(&id).copied() else { continue };
            let due = schedule.due(taken, now);
            if let Some(due) = due
                && !self.is_stopped()
            {
                self.run(&schema, id, &row, due, now).await?;
            }
            let coming = schedule.next(now);
            next = next.into_iter().chain(coming).min();
        }
        Ok(next)
    }

    async fn read(&self, schema: &Arc<ClassSchema>) -> Result<Vec<(String, Object, Schedule)>> {
        let spec = FindSpec::new(Filter::all()).limit(MOST_SCHEDULES);
        let rows = self.services.storage.as_session().find(schema, &spec).await?;
        let missed = if self.services.config.cloud.skip_missed_jobs { Missed::Skip } else { Missed::Once };
        let mut schedules = Vec::with_capacity(rows.len());
        for row in rows.iter() {
            let row = row.to_object();
            let Some(id) = row.get("objectId").and_then(Value::as_str).map(str::to_owned) else { continue };
            match Schedule::read(&row, missed) {
                Ok(schedule) => schedules.push((id, row, schedule)),
                Err(reason) => self.complain(&id, reason),
            }
        }
        Ok(schedules)
    }

    fn complain(&self, schedule: &str, reason: String) {
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        if complaints.get(schedule) != Some(&reason) {
            tracing::warn!(schedule, "job schedule {schedule} is not run: {reason}");
            complaints.insert(schedule.to_owned(), reason);
        }
    }

    /// Claims one due time; whoever gets it runs the job in a task of its own.
    async fn run(
        self: &Arc<Self>,
        schema: &Arc<ClassSchema>,
        id: String,
        row: &Object,
        due: Millis,
        now: Millis,
    ) -> Result<()> {
        let name = row.get("jobName").and_then(Value::as_str).unwrap_or_default();
        if !self.services.cloud.registrations().has_job(name) {
            // Another server may have it.
            self.complain(&id, format!("this server has no job {name:?}"));
            return Ok(());
        }
        let params = match read_params(row.get("params")) {
            Ok(params) => params,
            Err(reason) => {
                self.complain(&id, reason);
                return Ok(());
            }
        };
        let storage = &self.services.storage;
        let app = self.services.config.app_id.clone();
        let claim = RunClaim { app, schedule: id, due, server: self.server.clone() };
        if !storage.claim_job_run(&claim, LEASE_MS).await? {
            return Ok(());
        }
        let status = jobs::new_id(&self.services);
        // A server that stops leaves what it claimed, and did not begin, to the others.
        if self.is_stopped() || !storage.begin_job_run(&claim, &status, LEASE_MS).await? {
            return Ok(());
        }
        tracing::info!(
            schedule = claim.schedule,
            job = name,
            "running job {name} of schedule {}, due at {}",
            claim.schedule,
            due.to_iso()
        );
        let call = JobCall {
            name: name.to_owned(),
            job_id: status,
            params,
            ip: None,
            headers: Arc::default(),
            scope: Scope::default(),
        };
        let (services, schema) = (self.services.clone(), schema.clone());
        let under_way = services.state.jobs.enter();
        tokio::task::spawn_local(async move {
            let _under_way = under_way;
            if let Err(error) = run_claimed(&services, &schema, &claim, call, now).await {
                tracing::error!(%error, schedule = claim.schedule, "a scheduled job could not be run: {error}");
            }
            if let Err(error) = services.storage.end_job_run(&claim).await {
                tracing::error!(%error, schedule = claim.schedule, "could not note the end of a scheduled job");
            }
        });
        Ok(())
    }
}

async fn run_claimed(
    services: &Services,
    schema: &Arc<ClassSchema>,
    claim: &RunClaim,
    call: JobCall,
    now: Millis,
) -> Result<()> {
    jobs::create_status(services, &call.job_id, &call.name, &call.params, "schedule").await?;
    jobs::run(services, call).await;
    // After the run, so that nobody who sees it wonders where its result is.
    let Some(id) = ObjectId::new(&claim.schedule) else { return Ok(()) };
    let update = Update::default().set(FieldName::known("lastRun"), now.0.into());
    let target = Target { filter: Filter::by_id(&id), writers: None };
    services.storage.as_session().update(schema, &target, &update, Returning::default()).await?;
    Ok(())
}

/// How many schedules there are, for servers that do not run them.
///
/// # Errors
/// When storage fails.
pub async fn count(services: &Services) -> Result<u64> {
    let Some(schema) = schema(services).await? else { return Ok(0) };
    let spec = FindSpec::new(Filter::all());
    Ok(services.storage.as_session().count(&schema, &spec).await?)
}

async fn schema(services: &Services) -> Result<Option<Arc<ClassSchema>>> {
    let snapshot = services.classes.admit(&ClassName::known(CLASS)).await?;
    Ok(snapshot.map(|class| class.schema.clone()))
}

fn written(row: &Object) -> Millis {
    row.get("createdAt").and_then(Value::as_str).and_then(Millis::parse).unwrap_or(Millis(0))
}

/// Dashboards write the parameters as JSON text.
fn read_params(params: Option<&Value>) -> std::result::Result<Object, String> {
    match params {
        None | Some(Value::Null) => Ok(Object::new()),
        Some(Value::Object(params)) => Ok(params.clone()),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(Object::new()),
        Some(Value::String(text)) => {
            serde_json::from_str(text).map_err(|_| format!("its params are not a JSON object: {text}"))
        }
        Some(other) => Err(format!("its params are not a JSON object: {other}")),
    }
}
