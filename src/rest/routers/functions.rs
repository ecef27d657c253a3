//! `POST /functions/:functionName`.

use bytes::{BufMut, BytesMut};

use crate::error::Result;
use crate::operations::{Ctx, functions};
use crate::rest::request::{RestRequest, RestResponse};

pub async fn call(ctx: Ctx, mut request: RestRequest) -> Result<RestResponse> {
    let params = request.merged();
    let uploads = std::mem::take(&mut request.uploads);
    let answer = functions::call(&ctx, request.param("functionName"), params, uploads).await?;
    let mut response = match answer.result {
        None => RestResponse::empty(),
        Some(result) => {
            let mut text = BytesMut::with_capacity(result.get().len() + 11);
            text.put_slice(b"{\"result\":");
            text.put_slice(result.get().as_bytes());
            text.put_u8(b'}');
            RestResponse::json(text)
        }
    };
    response.headers = answer.headers;
    Ok(match answer.status {
        Some(status) => response.with_status(status),
        None => response,
    })
}
