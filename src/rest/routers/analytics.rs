//! `POST /events/AppOpened` and `/events/:eventName`.

use crate::error::Result;
use crate::operations::{Ctx, analytics, push};
use crate::rest::request::{RestRequest, RestResponse};

pub async fn app_opened(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    push::by_hash(&ctx, &request.body).await;
    Ok(RestResponse::value(analytics::track(&ctx, analytics::APP_OPENED, request.body).await))
}

pub async fn track(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    let event = request.param("eventName").to_owned();
    Ok(RestResponse::value(analytics::track(&ctx, &event, request.body).await))
}
