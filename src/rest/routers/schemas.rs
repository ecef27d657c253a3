//! `/schemas` and `DELETE /purge/:className`.

use crate::error::Result;
use crate::operations::Ctx;
use crate::operations::admin::schema;
use crate::rest::request::{RestRequest, RestResponse};

pub async fn list(ctx: Ctx, _: RestRequest) -> Result<RestResponse> {
    schema::list(&ctx).await.map(RestResponse::value)
}

pub async fn get(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    schema::get(&ctx, request.param("className")).await.map(RestResponse::value)
}

pub async fn create(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    let class = Some(request.param("className")).filter(|class| !class.is_empty());
    schema::create(&ctx, class, "/schemas", &request.body).await.map(RestResponse::value)
}

pub async fn update(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    schema::update(&ctx, request.param("className"), &request.body).await.map(RestResponse::value)
}

pub async fn delete(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    schema::delete(&ctx, request.param("className")).await.map(RestResponse::value)
}

pub async fn purge(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    schema::purge(&ctx, request.param("className")).await.map(RestResponse::value)
}
