//! `/cloud_code/jobs`: the schedules the dashboard keeps in `_JobSchedule`.

use serde_json::{Value, json};

use super::classes;
use crate::error::Result;
use crate::operations::{Ctx, jobs};
use crate::rest::request::{RestRequest, RestResponse};

pub async fn jobs(ctx: Ctx, mut request: RestRequest) -> Result<RestResponse> {
    request.body.clear();
    request.query.clear();
    let mut found = classes::find(ctx, request).await?.body.into_value()?;
    let schedules = found.get_mut("results").map_or_else(|| json!([]), Value::take);
    Ok(RestResponse::value(schedules))
}

/// `{"in_use": [jobName…], "jobs": [those defined…]}`
pub async fn jobs_data(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    let registered = ctx.services.cloud.registrations();
    let schedules = jobs(ctx, request).await?.body.into_value()?;
    let in_use: Vec<_> =
        schedules.as_array().into_iter().flatten().map(|job| job["jobName"].clone()).collect();
    let defined: Vec<_> = registered.job_names().collect();
    Ok(RestResponse::value(json!({"in_use": in_use, "jobs": defined})))
}

pub async fn create(ctx: Ctx, mut request: RestRequest) -> Result<RestResponse> {
    request.body = jobs::schedule(&ctx, request.body)?;
    classes::create(ctx, request).await
}

/// The answer is wrapped once more than elsewhere, as parse-server has it.
pub async fn update(ctx: Ctx, mut request: RestRequest) -> Result<RestResponse> {
    request.body = jobs::schedule(&ctx, request.body)?;
    let changed = classes::update(ctx, request).await?.body.into_value()?;
    Ok(RestResponse::value(json!({"response": changed})))
}
