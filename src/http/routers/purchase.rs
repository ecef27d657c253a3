//! `POST /validate_purchase`.

use crate::error::Result;
use crate::http::request::{RestRequest, RestResponse};
use crate::operations::{Ctx, purchase};

pub async fn validate(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    purchase::validate(&ctx, &request.body).await.map(RestResponse::value)
}
