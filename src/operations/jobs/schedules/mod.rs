//! Running the job schedules that dashboards keep in `_JobSchedule`. parse-server only stores them.
//!
//! The actor (`actors::jobs`) calls [`Runner::pass`] again and again. Each pass looks after the runs of this
//! server and of those that died, reads the schedules, sets the item of each schedule that is due waiting in
//! the work queue, claims such items and runs them, so that any number of servers may do this side by side and
//! each due time is run by one of them.

mod due;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

pub use self::due::{Missed, Schedule};
use crate::cloud::{JobCall, Scope};
use crate::error::Result;
use crate::operations::jobs;
use crate::operations::services::Services;
use crate::query::{Filter, FindSpec};
use crate::storage::{Claimed, Lease, Returning, Wanted, WorkQueue, WriteFilter};
use crate::types::time::Millis;
use crate::types::{ClassName, ClassSchema, FieldName, Object, ObjectId, Update};

const CLASS: &str = "_JobSchedule";
/// Items of the work queue, one for each schedule.
const QUEUE: &str = "schedule";
/// How long the items of runs are kept that have ended; their results are in `_JobStatus`.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// How often those are removed that were kept long enough.
const SWEEP_MS: i64 = 3_600_000;
/// How long a server that stops waits for the pass under way.
const PASS_GRACE: Duration = Duration::from_secs(5);
/// Schedules that are looked at.
const MOST_SCHEDULES: u64 = 10_000;

/// What one server runs of the schedules of one app.
pub struct Runner {
    services: Arc<Services>,
    stopped: AtomicBool,
    /// Held by the pass under way.
    passing: tokio::sync::Mutex<()>,
    /// When items that had ended were last removed.
    swept: AtomicI64,
    /// What was last complained about, by schedule, so that it is said once.
    complaints: Mutex<HashMap<String, String>>,
}

impl Runner {
    pub fn new(services: Arc<Services>) -> Arc<Self> {
        Arc::new(Self {
            services,
            stopped: AtomicBool::new(false),
            passing: tokio::sync::Mutex::new(()),
            swept: AtomicI64::new(0),
            complaints: Mutex::default(),
        })
    }

    /// From now on nothing more is begun. Waits for the pass under way, which gives back what it has claimed and not
    /// begun: nobody else could run that before its lease is over.
    pub async fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        if tokio::time::timeout(PASS_GRACE, self.passing.lock()).await.is_err() {
            tracing::warn!("A pass over the job schedules did not end in time.");
        }
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
        let _passing = self.passing.lock().await;
        let Some(work) = self.services.storage.work_queue() else { return Ok(None) };
        let app = &self.services.config.app_id;
        let holder = self.services.state.jobs.holder();
        work.renew(app, holder, &self.services.state.jobs.held().ids(), jobs::LEASE).await?;
        for item in work.lost(app, &[jobs::QUEUE, QUEUE]).await? {
            jobs::lost(&self.services, &item).await?;
        }
        if now.0 - self.swept.load(Ordering::Relaxed) > SWEEP_MS {
            self.swept.store(now.0, Ordering::Relaxed);
            work.forget(app, jobs::QUEUE, KEPT).await?;
        }
        if !self.services.config.cloud.job_schedules {
            return Ok(None);
        }
        let Some(schema) = schema(&self.services).await? else { return Ok(None) };
        let schedules = self.read(&schema).await?;
        let written: Vec<_> =
            schedules.iter().map(|(id, row, schedule)| (id.clone(), schedule.since(written(row)))).collect();
        let marks = work.marks(app, QUEUE, &written).await?;
        let mut next: Option<Millis> = None;
        let mut calls: HashMap<String, (String, Object)> = HashMap::new();
        for (id, row, schedule) in schedules {
            let Some(mark) = marks.get(&id) else { continue };
            let due = schedule.due(mark.run_at, now);
            if (due.is_some() || mark.is_open)
                && !self.is_stopped()
                && let Some(call) = self.callable(&id, &row)
            {
                if let Some(due) = due {
                    work.again(app, QUEUE, &id, due).await?;
                }
                calls.insert(id, call);
            }
            next = next.into_iter().chain(schedule.next(now)).min();
        }
        if !calls.is_empty() {
            let keys: Vec<String> = calls.keys().cloned().collect();
            let wanted = Wanted {
                app,
                queues: &[QUEUE],
                keys: Some(&keys),
                holder,
                lease: jobs::LEASE,
                most: keys.len(),
            };
            for Claimed { lease, item } in work.claim(&wanted).await? {
                let call = item.key.as_ref().and_then(|key| calls.remove_entry(key));
                if let Some((id, (name, params))) = call {
                    self.run(work, &schema, (id, lease, item.run_at), (name, params), now).await?;
                }
            }
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

    /// The job of a schedule and its parameters, if this server can run it.
    fn callable(&self, id: &str, row: &Object) -> Option<(String, Object)> {
        let name = row.get("jobName").and_then(Value::as_str).unwrap_or_default();
        if !self.services.cloud.registrations().has_job(name) {
            // Another server may have it.
            self.complain(id, format!("this server has no job {name:?}"));
            return None;
        }
        match read_params(row.get("params")) {
            Ok(params) => Some((name.to_owned(), params)),
            Err(reason) => {
                self.complain(id, reason);
                None
            }
        }
    }

    /// Runs the job of a schedule that was claimed in a task of its own.
    async fn run(
        self: &Arc<Self>,
        work: &dyn WorkQueue,
        schema: &Arc<ClassSchema>,
        (schedule, lease, due): (String, Lease, Millis),
        (name, params): (String, Object),
        now: Millis,
    ) -> Result<()> {
        // A server that stops leaves what it claimed, and did not begin, to the others.
        if self.is_stopped() {
            work.release(&lease).await?;
            return Ok(());
        }
        let status = jobs::new_id(&self.services);
        if !work.begin(&lease, &json!({ "status": status }), jobs::LEASE).await? {
            return Ok(());
        }
        tracing::info!(
            schedule,
            job = name,
            "running job {name} of schedule {schedule}, due at {}",
            due.to_iso()
        );
        let call = JobCall {
            name,
            job_id: status,
            params,
            ip: None,
            headers: Arc::default(),
            scope: Scope::default(),
        };
        let (services, schema) = (self.services.clone(), schema.clone());
        let under_way = services.state.jobs.enter();
        let holding = services.state.jobs.held().hold(lease.id);
        tokio::task::spawn_local(async move {
            let _under_way = (under_way, holding);
            if let Err(error) = run_claimed(&services, &schema, &schedule, call, now).await {
                tracing::error!(%error, schedule, "a scheduled job could not be run: {error}");
            }
            jobs::ended(&services, &lease).await;
        });
        Ok(())
    }
}

async fn run_claimed(
    services: &Services,
    schema: &Arc<ClassSchema>,
    schedule: &str,
    call: JobCall,
    now: Millis,
) -> Result<()> {
    jobs::create_status(services, &call.job_id, &call.name, "schedule").await?;
    jobs::run(services, call).await;
    // After the run, so that nobody who sees it wonders where its result is.
    let Some(id) = ObjectId::new(schedule) else { return Ok(()) };
    let update = Update::default().set(FieldName::known("lastRun"), now.0.into());
    let target = WriteFilter { filter: Filter::by_id(&id), writers: None };
    let session = services.storage.as_session();
    jobs::again_where_cut_off(async || session.update(schema, &target, &update, Returning::default()).await)
        .await?;
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
