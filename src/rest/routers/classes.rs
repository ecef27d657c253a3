//! `/classes/:className` and the named routes of system classes (`/users`, `/roles`, …), which are the
//! same handlers on a fixed class.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::operations::Ctx;
use crate::operations::classes;
use crate::operations::object::fresh::with_fresh_class;
use crate::operations::object::read;
use crate::operations::object::write;
use crate::operations::object::write::Saved;
use crate::rest::request::{RestRequest, RestResponse};
use crate::types::ClassName;
use crate::types::javascript::is_truthy;

/// `GET /classes/:className`: `{"results": […]}`, and `count` where asked.
pub async fn find(ctx: Ctx, mut request: RestRequest) -> Result<RestResponse> {
    let params = request.read_params();
    match ClassName::valid(request.param("className")) {
        Some(class) => {
            let found = read::find(&ctx, &class, params).await?;
            found.into_body(&ctx).await.map(RestResponse::json)
        }
        None => {
            check_unknown_class(&ctx, request.param("className"))?;
            let counts = params.get("count").is_some_and(is_truthy);
            let nothing = if counts { r#"{"results":[],"count":0}"# } else { r#"{"results":[]}"# };
            Ok(RestResponse::json(Bytes::from_static(nothing.as_bytes())))
        }
    }
}

pub async fn get(ctx: Ctx, mut request: RestRequest) -> Result<RestResponse> {
    let params = request.read_params();
    let Some(class) = ClassName::valid(request.param("className")) else {
        check_unknown_class(&ctx, request.param("className"))?;
        return Err(Error::object_not_found());
    };
    read::get(&ctx, &class, request.param("objectId"), params)
        .await?
        .into_object_body(&ctx)
        .await
        .map(RestResponse::json)
}

/// `POST /classes/:className`: 201, `Location`, `{objectId, createdAt, …}`.
pub async fn create(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    let class = written_class(&ctx, &request)?;
    let saved = classes::create(&ctx, &class, request.body).await?;
    Ok(answer(&ctx, saved))
}

pub async fn update(ctx: Ctx, mut request: RestRequest) -> Result<RestResponse> {
    changed(&ctx, &mut request).await.map(|changed| RestResponse::value(changed.into_value()))
}

pub(super) async fn changed(ctx: &Ctx, request: &mut RestRequest) -> Result<Saved> {
    let class = written_class(ctx, request)?;
    let body = std::mem::take(&mut request.body);
    classes::update(ctx, &class, request.param("objectId"), body).await
}

pub async fn delete(ctx: Ctx, request: RestRequest) -> Result<RestResponse> {
    let class = ClassName::valid(request.param("className")).ok_or_else(Error::object_not_found)?;
    classes::delete(&ctx, &class, request.param("objectId")).await?;
    Ok(RestResponse::empty())
}

/// `PUT /classes/:className?where=…`, beyond parse-server: applies the body to every match.
pub async fn update_many(ctx: Ctx, mut request: RestRequest) -> Result<RestResponse> {
    let class = written_class(&ctx, &request)?;
    let condition = condition(&mut request)?;
    let body = std::mem::take(&mut request.body);
    let update = async || write::update_many(&ctx, &class, &condition, body.clone()).await;
    let count = with_fresh_class(&ctx, &class, update).await?;
    Ok(RestResponse::value(json!({ "count": count })))
}

/// `DELETE /classes/:className?where=…`, beyond parse-server: deletes every match.
pub async fn delete_many(ctx: Ctx, mut request: RestRequest) -> Result<RestResponse> {
    let class = written_class(&ctx, &request)?;
    let condition = condition(&mut request)?;
    let delete = async || write::delete_many(&ctx, &class, &condition).await;
    let count = with_fresh_class(&ctx, &class, delete).await?;
    Ok(RestResponse::value(json!({ "count": count })))
}

/// The `where` of a write by query: it must be there, so that nothing changes everything by accident.
fn condition(request: &mut RestRequest) -> Result<Value> {
    let given = request.query.shift_remove("where").or_else(|| request.body.shift_remove("where"));
    match given {
        Some(Value::String(text)) => crate::types::json::from_outside(text.as_bytes())
            .map_err(|_| Error::invalid_json("where parameter is not valid JSON")),
        Some(condition @ Value::Object(_)) => Ok(condition),
        _ => Err(Error::invalid_query("A write by query needs the parameter where.")),
    }
}

/// What a write answers, with the address of what it created.
pub fn answer(ctx: &Ctx, saved: Saved) -> RestResponse {
    let location = saved.location.as_ref().map(|path| format!("{}{path}", ctx.info.base_url));
    let status = saved.status;
    RestResponse::value(saved.into_value()).with_status(status).with_location(location)
}

/// # Errors
/// For a name no class can have: 119 where clients create no classes, else 107.
fn written_class(ctx: &Ctx, request: &RestRequest) -> Result<ClassName> {
    let name = request.param("className");
    match ClassName::valid(name) {
        Some(class) => Ok(class),
        None => {
            check_unknown_class(ctx, name)?;
            Err(Error::invalid_json("schema class name does not revalidate"))
        }
    }
}

/// # Errors
/// What parse-server says of a class that does not exist, where clients create none.
fn check_unknown_class(ctx: &Ctx, name: &str) -> Result<()> {
    if ctx.auth.is_unrestricted() || ctx.config().schema.allow_client_class_creation {
        return Ok(());
    }
    Err(Error::forbidden(format!("This user is not allowed to access non-existent class: {name}")))
}
