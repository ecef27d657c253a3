//! `/hooks/functions` and `/hooks/triggers`.

use serde_json::Value;

use crate::error::Result;
use crate::operations::Ctx;
use crate::operations::admin::hooks;
use crate::operations::admin::hooks::Address;
use crate::rest::request::{RestRequest, RestResponse};

pub async fn functions(ctx: Ctx, _: RestRequest) -> Result<RestResponse> {
    hooks::functions(&ctx).await.map(|all| RestResponse::value(Value::Array(all)))
}

pub async fn triggers(ctx: Ctx, _: RestRequest) -> Result<RestResponse> {
    hooks::triggers(&ctx).await.map(|all| RestResponse::value(Value::Array(all)))
}

pub async fn get_function(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    hooks::get(&ctx, &function(&request)).await.map(RestResponse::value)
}

pub async fn get_trigger(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    hooks::get(&ctx, &trigger(&request)).await.map(RestResponse::value)
}

pub async fn create(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    hooks::create(&ctx, &request.body).await.map(RestResponse::value)
}

pub async fn change_function(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    hooks::change(&ctx, &function(&request), &request.body).await.map(RestResponse::value)
}

pub async fn change_trigger(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    hooks::change(&ctx, &trigger(&request), &request.body).await.map(RestResponse::value)
}

fn function(request: &RestRequest) -> Address {
    Address::Function(request.param("functionName").to_owned())
}

fn trigger(request: &RestRequest) -> Address {
    Address::Trigger {
        class: request.param("className").to_owned(),
        kind: request.param("triggerName").to_owned(),
    }
}
