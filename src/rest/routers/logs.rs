//! `GET /scriptlog`.

use serde_json::Value;

use crate::error::Result;
use crate::operations::Ctx;
use crate::operations::admin::logs as script_log;
use crate::rest::request::{RestRequest, RestResponse};

pub async fn lines(ctx: Ctx, mut request: RestRequest) -> Result<RestResponse> {
    let lines = script_log::lines(&ctx, &request.merged());
    Ok(RestResponse::value(Value::Array(lines)))
}
