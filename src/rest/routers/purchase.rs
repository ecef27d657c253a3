//! `POST /validate_purchase`.

use crate::error::Result;
use crate::operations::{Ctx, purchase};
use crate::rest::request::{RestRequest, RestResponse};

pub async fn validate(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    purchase::validate(&ctx, &request.body).await.map(RestResponse::value)
}
