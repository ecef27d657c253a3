//! `GET /security`: the security check.

use crate::error::Result;
use crate::operations::Ctx;
use crate::operations::admin::security_check;
use crate::rest::request::{RestRequest, RestResponse};

pub async fn report(ctx: Ctx, _: RestRequest) -> Result<RestResponse> {
    security_check::report(&ctx).await.map(RestResponse::value)
}
