//! `GET /push_audiences`: audiences keep their query as text and show it parsed.

use serde_json::Value;

use super::classes;
use crate::error::Result;
use crate::operations::Ctx;
use crate::rest::request::{RestRequest, RestResponse};

pub async fn find(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    let mut found = classes::find(ctx, request).await?.body.into_value()?;
    for audience in found.get_mut("results").and_then(Value::as_array_mut).into_iter().flatten() {
        parse_query(audience);
    }
    Ok(RestResponse::value(found))
}

pub async fn get(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    let mut audience = classes::get(ctx, request).await?.body.into_value()?;
    parse_query(&mut audience);
    Ok(RestResponse::value(audience))
}

fn parse_query(audience: &mut Value) {
    if let Some(query) = audience.get_mut("query")
        && let Some(parsed) = query.as_str().and_then(|text| serde_json::from_str(text).ok())
    {
        *query = parsed;
    }
}
