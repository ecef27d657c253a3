//! `GET /scriptlog`.

use serde_json::Value;

use crate::error::Result;
use crate::http::request::{RestRequest, RestResponse};
use crate::operations::{Ctx, script_log};

pub async fn lines(ctx: Ctx, mut request: RestRequest) -> Result<RestResponse> {
    let lines = script_log::lines(&ctx, &request.merged());
    Ok(RestResponse::value(Value::Array(lines)))
}
