//! `POST /jobs` and `POST /jobs/:jobName`.

use serde_json::Value;

use crate::error::Result;
use crate::operations::{Ctx, jobs};
use crate::rest::request::{RestRequest, RestResponse};

pub async fn start(ctx: Ctx, mut request: RestRequest) -> Result<RestResponse> {
    let named = request.body.get("jobName").and_then(Value::as_str).unwrap_or_default().to_owned();
    let params = request.merged();
    let name = Some(request.param("jobName")).filter(|name| !name.is_empty()).unwrap_or(&named);
    let id = jobs::start(&ctx, name, params).await?;
    Ok(RestResponse::empty().with_header("X-Parse-Job-Status-Id", id))
}
