//! `GET` and `PUT /config`.

use crate::error::Result;
use crate::operations::Ctx;
use crate::operations::admin::config as global_config;
use crate::rest::request::{RestRequest, RestResponse};

pub async fn get(ctx: Ctx, _: RestRequest) -> Result<RestResponse> {
    global_config::get(&ctx).await.map(RestResponse::value)
}

pub async fn put(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    global_config::put(&ctx, request.body).await.map(RestResponse::value)
}
