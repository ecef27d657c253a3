//! `/login`, `/logout`, `/users/me`, `/sessions/me` and the other routes of accounts.

use crate::error::Result;
use crate::operations::Ctx;
use crate::operations::account::{self, login, mail as account_mail};
use crate::rest::request::{RestRequest, RestResponse};

pub async fn log_in(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    login::log_in(&ctx, &request.body, &request.query).await.map(RestResponse::value)
}

pub async fn log_in_as(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    login::log_in_as(&ctx, &request.body, &request.query).await.map(RestResponse::value)
}

pub async fn log_out(ctx: Ctx, _: RestRequest) -> Result<RestResponse> {
    account::me::log_out(&ctx).await?;
    Ok(RestResponse::empty())
}

pub async fn me(ctx: Ctx, _: RestRequest) -> Result<RestResponse> {
    account::me::me(&ctx).await.map(RestResponse::value)
}

pub async fn session(ctx: Ctx, _: RestRequest) -> Result<RestResponse> {
    account::me::session_of_caller(&ctx).await.map(RestResponse::value)
}

pub async fn verify_password(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    login::verify_password(&ctx, &request.body, &request.query).await.map(RestResponse::value)
}

pub async fn challenge(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    account::challenge::challenge(&ctx, &request.body, &request.query).await.map(RestResponse::value)
}

pub async fn upgrade_session(ctx: Ctx, _: RestRequest) -> Result<RestResponse> {
    account::me::upgrade_session(&ctx).await.map(RestResponse::value)
}

pub async fn request_password_reset(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    account_mail::request_password_reset(&ctx, &request.body).await.map(RestResponse::value)
}

pub async fn verification_email_request(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    account_mail::verification_email_request(&ctx, &request.body).await.map(RestResponse::value)
}
