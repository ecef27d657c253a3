//! `GET /push_audiences`: audiences keep their query as text and show it parsed.

use serde_json::{Value, json};

use crate::error::Result;
use crate::operations::Ctx;
use crate::operations::object::read;
use crate::rest::request::{RestRequest, RestResponse};
use crate::types::ClassName;

const CLASS: &str = "_Audience";

pub async fn find(ctx: Ctx, mut request: RestRequest) -> Result<RestResponse> {
    let found = read::find(&ctx, &ClassName::known(CLASS), request.read_params()).await?;
    let count = found.count();
    let mut audiences = found.into_values(&ctx)?;
    audiences.iter_mut().for_each(parse_query);
    let mut answer = json!({ "results": audiences });
    if let Some(count) = count {
        answer["count"] = count.into();
    }
    Ok(RestResponse::value(answer))
}

pub async fn get(ctx: Ctx, mut request: RestRequest) -> Result<RestResponse> {
    let params = request.read_params();
    let found = read::get(&ctx, &ClassName::known(CLASS), request.param("objectId"), params).await?;
    let mut audience = Value::Object(found.into_object(&ctx)?);
    parse_query(&mut audience);
    Ok(RestResponse::value(audience))
}

fn parse_query(audience: &mut Value) {
    if let Some(query) = audience.get_mut("query")
        && let Some(parsed) =
            query.as_str().and_then(|text| crate::types::json::from_outside(text.as_bytes()).ok())
    {
        *query = parsed;
    }
}
