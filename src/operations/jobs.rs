//! Background jobs: runs with their `_JobStatus` rows, and the schedules the dashboard keeps
//! (parse-server's `handleCloudJob`, `jobStatusHandler`).
//!
//! A run is an item of the work queue while it is under way, so that another server notes its end when the one
//! that runs it dies. A job may do anything, so a run that began is never repeated.

pub mod schedules;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::context::Ctx;
use super::services::Services;
use crate::cloud::{JobCall, invalid_job};
use crate::error::{Error, ErrorCode, Result};
use crate::files::rules::check_file_urls;
use crate::operations::jobs::schedules::{Missed, Schedule};
use crate::query::{Filter, Operand};
use crate::storage::{Begun, Lease, NewWork, Returning, StorageError, StorageResult, WorkItem, WriteFilter};
use crate::types::time::Millis;
use crate::types::{ClassName, ClassSchema, FieldName, Object, ObjectId, Update};

const STATUS: &str = "_JobStatus";
/// Runs that were asked for by requests.
pub(super) const QUEUE: &str = "job";
/// A server that does not renew its runs for this long is taken for dead.
pub(super) const LEASE: Duration = Duration::from_secs(60);
/// How long to wait before the end of a run is stored again.
const CUT_OFF_PAUSES: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
];

/// Starts a job and answers the id of its status row; the job runs on.
///
/// # Errors
/// 119 for the read-only master key, 130 for file addresses that are not allowed, 141 `Invalid job.`
pub async fn start(ctx: &Ctx, name: &str, params: Object) -> Result<String> {
    if ctx.auth.is_read_only() {
        return Err(Error::forbidden("read-only masterKey isn't allowed to run a job."));
    }
    super::keywords::check(ctx, &params)?;
    if !ctx.services.cloud.registrations().has_job(name) {
        return Err(invalid_job());
    }
    check_file_urls(&params, &ctx.config().files.upload.allowed_file_url_domains)?;
    let job_id = new_id(&ctx.services);
    let lease = write_down(&ctx.services, &job_id, name).await?;
    let call = JobCall {
        name: name.to_owned(),
        job_id: job_id.clone(),
        params,
        ip: Some(ctx.info.ip.clone()),
        headers: Arc::new(ctx.info.headers.clone()),
        scope: ctx.scope(),
    };
    let services = ctx.services.clone();
    let holding = lease.as_ref().map(|lease| services.state.jobs.held().hold(lease.id));
    // A job outlives the request that started it.
    tokio::task::spawn_local(async move {
        let _holding = holding;
        run(&services, call).await;
        if let Some(lease) = lease {
            ended(&services, &lease).await;
        }
    });
    Ok(job_id)
}

/// The status row and the item that watches over the run: both or neither.
async fn write_down(services: &Services, id: &str, name: &str) -> Result<Option<Lease>> {
    let (schema, row) = (schema(services).await?, status_row(id, name, "api")?);
    let transaction = services.storage.begin().await?;
    let Some(work) = transaction.work() else {
        transaction.rollback().await?;
        services.storage.as_session().create(&schema, &[row]).await?;
        return Ok(None);
    };
    transaction.create(&schema, &[row]).await?;
    let holder = services.state.jobs.holder().clone();
    let begun = Begun { holder, lease: LEASE, progress: json!({ "status": id }) };
    let item = NewWork { begun: Some(begun.clone()), ..NewWork::new(QUEUE, json!({ "job": name })) };
    let ids = work.enqueue(&services.config.app_id, &[item]).await?;
    transaction.commit().await?;
    Ok(ids.into_iter().flatten().next().map(|id| Lease::of_begun(id, &begun)))
}

/// The run is over, however it ended.
pub(super) async fn ended(services: &Services, lease: &Lease) {
    let Some(work) = services.storage.work_queue() else { return };
    let complete = async || work.complete(std::slice::from_ref(lease), None).await;
    if let Err(error) = again_where_cut_off(complete).await {
        tracing::error!(%error, "could not note the end of a job");
    }
}

/// Stores that the server of a run is gone, unless the run had ended before.
pub(super) async fn lost(services: &Services, item: &WorkItem) -> Result<()> {
    let status = item.progress.as_ref().and_then(|progress| progress.get("status")).and_then(Value::as_str);
    let Some(id) = status else { return Ok(()) };
    let update = outcome("failed", Some("The server that ran this job stopped.".to_owned()));
    change(services, by_id(id).and(is_running()), update).await
}

/// Runs a job to its end and stores what became of it.
pub(super) async fn run(services: &Services, call: JobCall) {
    let _under_way = services.state.jobs.enter();
    let id = call.job_id.clone();
    let (status, message) = match services.cloud.run_job(call).await {
        Ok(message) => ("succeeded", message),
        Err(error) => ("failed", Some(error.public_message(false).to_owned())),
    };
    if let Err(error) = finish(services, &id, status, message).await {
        tracing::error!(%error, job = id, "could not store the result of job {id}");
    }
}

/// `request.message(text)` of a running job; one that has ended keeps the message it ended with, however
/// late this one comes.
///
/// # Errors
/// When storage fails.
pub async fn set_message(services: &Services, job_id: &str, message: Value) -> Result<()> {
    // Nothing else is a message.
    let Value::String(message) = message else { return Ok(()) };
    if message.is_empty() {
        return Ok(());
    }
    let update = Update::default().set(FieldName::known("message"), Value::String(message));
    change(services, by_id(job_id).and(is_running()), update).await
}

pub(super) fn new_id(services: &Services) -> String {
    ObjectId::generate(services.config.schema.object_id_size).to_string()
}

pub(super) async fn create_status(services: &Services, id: &str, name: &str, source: &str) -> Result<()> {
    let (schema, row) = (schema(services).await?, status_row(id, name, source)?);
    services.storage.as_session().create(&schema, &[row]).await?;
    Ok(())
}

/// `source`: who started it, `api` or `schedule`.
/// As parse-server's: without parameters, which may hold secrets, and without `updatedAt`.
fn status_row(id: &str, name: &str, source: &str) -> Result<Object> {
    let now = Millis::now().to_iso();
    let row = json!({
        "objectId": id,
        "jobName": name,
        "status": "running",
        "source": source,
        "createdAt": now,
        // For nobody but the master key.
        "_rperm": [],
        "_wperm": [],
    });
    match row {
        Value::Object(row) => Ok(row),
        _ => Err(Error::internal("a status row is an object")),
    }
}

/// Stores how a job ended.
async fn finish(services: &Services, id: &str, status: &str, message: Option<String>) -> Result<()> {
    change(services, by_id(id), outcome(status, message)).await
}

fn outcome(status: &str, message: Option<String>) -> Update {
    let now = Millis::now();
    let update = Update::default()
        .set(FieldName::known("status"), Value::String(status.to_owned()))
        .set(FieldName::known("finishedAt"), json!({"__type": "Date", "iso": now.to_iso()}));
    match message.filter(|message| !message.is_empty()) {
        Some(message) => update.set(FieldName::known("message"), Value::String(message)),
        None => update,
    }
}

fn is_running() -> Filter {
    Filter::eq("status", Operand::Text("running".to_owned()))
}

fn by_id(id: &str) -> Filter {
    Filter::eq("objectId", Operand::Text(id.to_owned()))
}

async fn change(services: &Services, filter: Filter, update: Update) -> Result<()> {
    let schema = schema(services).await?;
    let target = WriteFilter { filter, writers: None };
    let session = services.storage.as_session();
    again_where_cut_off(async || session.update(&schema, &target, &update, Returning::default()).await)
        .await?;
    Ok(())
}

/// Stores how a run ended, again where the connection was cut off in the middle: a server that stops ends the
/// workers that drive its connections one after another, and a run whose end is not noted holds its schedule until
/// the lease ends. `store` must say the same when it is done twice.
pub(super) async fn again_where_cut_off<T>(store: impl AsyncFn() -> StorageResult<T>) -> StorageResult<T> {
    for pause in CUT_OFF_PAUSES {
        match store().await {
            Err(StorageError::Unavailable(_)) => tokio::time::sleep(pause).await,
            other => return other,
        }
    }
    store().await
}

async fn schema(services: &Services) -> Result<Arc<ClassSchema>> {
    let snapshot = services.classes.admit(&ClassName::known(STATUS)).await?;
    snapshot.map(|class| class.schema.clone()).ok_or_else(|| Error::internal("_JobStatus does not exist"))
}

/// The body of a schedule as it is stored: `job_schedule`, with a start; `cron` may stand for `timeOfDay`.
///
/// # Errors
/// 1 `Cannot Schedule a job that is not deployed`; 111 for times and expressions that cannot be read.
pub fn schedule(ctx: &Ctx, mut body: Object) -> Result<Object> {
    let Some(Value::Object(mut schedule)) = body.shift_remove("job_schedule") else {
        return Err(Error::invalid_json("job_schedule must be an object"));
    };
    if let Some(name) = schedule.get("jobName").and_then(Value::as_str).filter(|name| !name.is_empty())
        && !ctx.services.cloud.registrations().has_job(name)
    {
        let text = "Cannot Schedule a job that is not deployed";
        return Err(Error::parse(ErrorCode::INTERNAL_SERVER_ERROR, text));
    }
    // The class has no field for it (see `schedules`).
    if let Some(cron) = schedule.shift_remove("cron").filter(|cron| !cron.is_null()) {
        schedule.insert("timeOfDay".to_owned(), cron);
    }
    Schedule::read(&schedule, Missed::Once).map_err(|text| Error::parse(ErrorCode::INCORRECT_TYPE, text))?;
    schedule.entry("startAfter").or_insert_with(|| Value::String(Millis::now().to_iso()));
    Ok(schedule)
}
