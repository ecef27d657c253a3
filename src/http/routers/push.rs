//! `POST /push`.

use crate::error::Result;
use crate::http::request::{RestRequest, RestResponse};
use crate::operations::write::keywords;
use crate::operations::{Ctx, push};

pub async fn send(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    keywords::check(&ctx, &request.body)?;
    Err(push::refusal(&ctx))
}
