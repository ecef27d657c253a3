//! `POST /push`.

use crate::error::Result;
use crate::operations::keywords;
use crate::operations::{Ctx, push};
use crate::rest::request::{RestRequest, RestResponse};

pub async fn send(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    keywords::check(&ctx, &request.body)?;
    Err(push::refusal(&ctx))
}
