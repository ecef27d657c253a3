//! `POST /push`.

use crate::error::Result;
use crate::http::request::{RestRequest, RestResponse};
use crate::operations::{Ctx, push};

pub async fn send(ctx: Ctx, _: RestRequest) -> Result<RestResponse> {
    Err(push::refusal(&ctx))
}
