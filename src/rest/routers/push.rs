//! `POST /push`, and what becomes of pushes: `/push_status`, `/push/opened`.

use serde_json::{Value, json};

use crate::error::Result;
use crate::operations::keywords;
use crate::operations::{Ctx, push};
use crate::rest::request::{RestRequest, RestResponse};

/// Log entries of a report, where its reader does not say.
const ENTRIES: i64 = 100;

pub async fn send(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    keywords::check(&ctx, &request.body)?;
    let id = push::send(&ctx, request.body).await?;
    Ok(RestResponse::value(json!({ "result": true })).with_header("X-Parse-Push-Status-Id", id))
}

pub async fn opened(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    push::opened(&ctx, &request.body).await?;
    Ok(RestResponse::empty())
}

pub async fn change(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    Ok(RestResponse::value(push::change(&ctx, request.param("objectId"), &request.body).await?))
}

pub async fn report(ctx: Ctx, mut request: RestRequest) -> Result<RestResponse> {
    let params = request.read_params();
    let number = |name: &str, default: i64| params.get(name).and_then(Value::as_i64).unwrap_or(default);
    let (after, most) = (number("after", 0), number("limit", ENTRIES));
    Ok(RestResponse::value(push::report(&ctx, request.param("objectId"), after, most).await?))
}
