//! `GET /security`: the security check.

use crate::error::Result;
use crate::http::request::{RestRequest, RestResponse};
use crate::operations::{Ctx, security_check};

pub async fn report(ctx: Ctx, _: RestRequest) -> Result<RestResponse> {
    security_check::report(&ctx).map(RestResponse::value)
}
