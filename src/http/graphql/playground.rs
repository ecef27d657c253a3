//! The page of `mountPlayground`: a query, its variables, its answer and the schema, from this server alone. It knows
//! the application id and no key; whoever uses it types those in.

use actix_web::HttpResponse;
use actix_web::http::header;
use serde_json::json;

use crate::config::AppConfig;

const PAGE: &str = include_str!("../../../static/graphql/playground.html");

/// Nothing from elsewhere is loaded, nothing is sent elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(in crate::http) fn page(config: &AppConfig) -> HttpResponse {
    let settings = json!({ "path": config.graphql.path, "applicationId": config.app_id });
    // Text of a script element ends at its closing tag, wherever that stands.
    let settings = settings.to_string().replace('<', "\\u003c");
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(PAGE.replace("SETTINGS", &settings))
}
