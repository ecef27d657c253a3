//! `GET` and `PUT /graphql-config`.

use crate::error::Result;
use crate::operations::Ctx;
use crate::operations::admin::graphql_config;
use crate::rest::request::{RestRequest, RestResponse};

pub async fn get(ctx: Ctx, _: RestRequest) -> Result<RestResponse> {
    graphql_config::get(&ctx).await.map(RestResponse::value)
}

pub async fn put(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    graphql_config::put(&ctx, &request.body).await.map(RestResponse::value)
}
