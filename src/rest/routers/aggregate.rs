//! `GET /aggregate/:className`.

use crate::error::{Error, ErrorCode, Result};
use crate::operations::Ctx;
use crate::operations::object::fresh::with_fresh_class;
use crate::operations::object::read;
use crate::rest::request::{RestRequest, RestResponse};
use crate::types::ClassName;

pub async fn run(ctx: Ctx, mut request: RestRequest) -> Result<RestResponse> {
    let params = request.read_params();
    let name = request.param("className");
    let class = ClassName::valid(name)
        .ok_or_else(|| Error::parse(ErrorCode::INVALID_CLASS_NAME, format!("invalid className: {name}")))?;
    let aggregate = async || read::aggregate(&ctx, &class, &params).await;
    with_fresh_class(&ctx, &class, aggregate).await.map(RestResponse::value)
}
