//! `GET /openapi.json`: the description of the API, for the master key or for anybody (option `openApi`).

use serde_json::Value;

use crate::clients::Model;
use crate::clients::openapi::{About, Route, document};
use crate::error::Result;
use crate::operations::Ctx;
use crate::operations::services::Services;
use crate::rest::request::{RestRequest, RestResponse};
use crate::rest::route::Routes;

pub async fn get(routes: &'static Routes, ctx: Ctx, _: RestRequest) -> Result<RestResponse> {
    if !ctx.config().http.open_api_is_public {
        ctx.require_master()?;
    }
    describe(&ctx.services, routes).await.map(RestResponse::value)
}

/// The description of an application as it is now.
///
/// # Errors
/// When its classes cannot be read.
pub async fn describe(services: &Services, routes: &Routes) -> Result<Value> {
    let config = &services.config;
    let purchases = config.enable_product_purchase_legacy_api;
    let routes = routes
        .list()
        .filter(|(_, pattern, _)| purchases || *pattern != "/validate_purchase")
        .map(|(method, pattern, master)| Route { method: method.as_str(), pattern, master });
    let public = config.http.public_server_url.as_ref().and_then(|url| url.value());
    let about = About {
        title: config.app_name.as_deref().unwrap_or(&config.app_id),
        version: env!("CARGO_PKG_VERSION"),
        server: public.unwrap_or(&config.http.server_url),
        client_keys: config.keys.rest_api_key.is_some(),
    };
    Ok(document(&model(services).await?, routes, &about))
}

/// The classes there are, and the functions that code has defined.
///
/// # Errors
/// When the classes cannot be read.
pub async fn model(services: &Services) -> Result<Model> {
    let (_, classes) = services.classes.known().await?;
    let registrations = services.cloud.registrations();
    let functions: Vec<String> = registrations.function_names().map(str::to_owned).collect();
    Ok(Model::new(classes.iter().map(|class| &*class.schema), &functions))
}
