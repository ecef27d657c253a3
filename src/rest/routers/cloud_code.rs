//! `/cloud_code/jobs`: the schedules the dashboard keeps in `_JobSchedule`.

use serde_json::{Value, json};

use super::classes;
use crate::error::Result;
use crate::operations::object::read;
use crate::operations::{Ctx, jobs};
use crate::rest::request::{RestRequest, RestResponse};
use crate::types::{ClassName, Object};

pub async fn jobs(ctx: Ctx, _: RestRequest) -> Result<RestResponse> {
    schedules(&ctx).await.map(RestResponse::value)
}

async fn schedules(ctx: &Ctx) -> Result<Vec<Value>> {
    read::find(ctx, &ClassName::known("_JobSchedule"), Object::new()).await?.into_values(ctx)
}

/// `{"in_use": [jobName…], "jobs": [those defined…]}`
pub async fn jobs_data(ctx: Ctx, _: RestRequest) -> Result<RestResponse> {
    let registered = ctx.services.cloud.registrations();
    let in_use: Vec<_> = schedules(&ctx).await?.iter().map(|job| job["jobName"].clone()).collect();
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
    let changed = classes::changed(&ctx, &mut request).await?;
    Ok(RestResponse::value(json!({"response": changed.into_value()})))
}
