//! Background jobs: runs with their `_JobStatus` rows, and the schedules the dashboard keeps
//! (parse-server's `handleCloudJob`, `jobStatusHandler`).

pub mod schedules;
use std::sync::Arc;

use serde_json::{Value, json};

use super::context::Ctx;
use super::services::Services;
use crate::cloud::{JobCall, invalid_job};
use crate::error::{Error, ErrorCode, Result};
use crate::operations::jobs::schedules::{Missed, Schedule};
use crate::query::{Filter, Operand};
use crate::storage::{Returning, Target};
use crate::types::time::Millis;
use crate::types::{ClassName, ClassSchema, FieldName, Object, ObjectId, Update};

const STATUS: &str = "_JobStatus";

/// Starts a job and answers the id of its status row; the job runs on.
///
/// # Errors
/// 119 for the read-only master key, 141 `Invalid job.`
pub async fn start(ctx: &Ctx, name: &str, params: Object) -> Result<String> {
    if ctx.auth.is_read_only() {
        return Err(Error::forbidden("read-only masterKey isn't allowed to run a job."));
    }
    super::keywords::check(ctx, &params)?;
    if !ctx.services.cloud.registrations().has_job(name) {
        return Err(invalid_job());
    }
    let job_id = new_id(&ctx.services);
    create_status(&ctx.services, &job_id, name, &params, "api").await?;
    let call = JobCall {
        name: name.to_owned(),
        job_id: job_id.clone(),
        params,
        ip: Some(ctx.info.ip.clone()),
        headers: Arc::new(ctx.info.headers.clone()),
        scope: ctx.scope(),
    };
    let services = ctx.services.clone();
    // A job outlives the request that started it.
    tokio::task::spawn_local(async move { run(&services, call).await });
    Ok(job_id)
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
    let message = match message {
        Value::String(text) => text,
        other => other.to_string(),
    };
    let update = Update::default().set(FieldName::known("message"), Value::String(message));
    let is_running = Filter::eq("status", Operand::Text("running".to_owned()));
    change(services, by_id(job_id).and(is_running), update).await
}

pub(super) fn new_id(services: &Services) -> String {
    ObjectId::generate(services.config.schema.object_id_size).to_string()
}

/// `source`: who started it, `api` or `schedule`.
pub(super) async fn create_status(
    services: &Services,
    id: &str,
    name: &str,
    params: &Object,
    source: &str,
) -> Result<()> {
    let now = Millis::now().to_iso();
    let row = json!({
        "objectId": id,
        "jobName": name,
        "params": params,
        "status": "running",
        "source": source,
        "createdAt": now,
        "updatedAt": now,
        // For nobody but the master key.
        "_rperm": [],
        "_wperm": [],
    });
    let Value::Object(row) = row else { return Err(Error::internal("a status row is an object")) };
    let schema = schema(services).await?;
    services.storage.as_session().create(&schema, &[row]).await?;
    Ok(())
}

/// Stores how a job ended.
pub(super) async fn finish(
    services: &Services,
    id: &str,
    status: &str,
    message: Option<String>,
) -> Result<()> {
    let now = Millis::now();
    let mut update = Update::default()
        .set(FieldName::known("status"), Value::String(status.to_owned()))
        .set(FieldName::known("finishedAt"), json!({"__type": "Date", "iso": now.to_iso()}));
    if let Some(message) = message {
        update = update.set(FieldName::known("message"), Value::String(message));
    }
    change(services, by_id(id), update).await
}

fn by_id(id: &str) -> Filter {
    Filter::eq("objectId", Operand::Text(id.to_owned()))
}

async fn change(services: &Services, filter: Filter, update: Update) -> Result<()> {
    let schema = schema(services).await?;
    let update = update.set(FieldName::known("updatedAt"), Value::String(Millis::now().to_iso()));
    let target = Target { filter, writers: None };
    services.storage.as_session().update(&schema, &target, &update, Returning::default()).await?;
    Ok(())
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
