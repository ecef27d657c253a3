//! `POST /events/AppOpened` and `/events/:eventName`.

use crate::error::Result;
use crate::operations::{Ctx, analytics};
use crate::rest::request::{RestRequest, RestResponse};

pub async fn app_opened(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    analytics::track(&ctx, "AppOpened", &request.body);
    Ok(RestResponse::empty())
}

pub async fn track(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    analytics::track(&ctx, request.param("eventName"), &request.body);
    Ok(RestResponse::empty())
}
