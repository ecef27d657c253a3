//! Any provider with token introspection (RFC 7662): `auth.<name>: {oauth2: true, …}`.

use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use serde_json::Value;

use crate::auth::env::{ProviderEnv, form, text};
use crate::auth::settings::Settings;
use crate::auth::{AuthProvider, AuthRequest, Step, Verdict, not_found};
use crate::error::{Error, Result};
use crate::outbound::Request;
use crate::types::javascript::is_truthy;

struct OAuth2 {
    env: Arc<ProviderEnv>,
    name: String,
    endpoint: String,
    user_field: String,
    app: Option<(String, Vec<String>)>,
    authorization: Option<HeaderValue>,
}

/// # Errors
/// Without an endpoint, and without app ids where their field is named.
pub fn oauth2(settings: &Settings<'_>, env: &Arc<ProviderEnv>) -> Result<Arc<dyn AuthProvider>> {
    let endpoint = settings.text("tokenIntrospectionEndpointUrl");
    let endpoint =
        endpoint.ok_or_else(|| not_found("OAuth2 token introspection endpoint URL is missing."))?;
    let ids = settings.texts("appIds");
    let app = match settings.text("appidField") {
        Some(_) if ids.is_empty() => return Err(not_found("OAuth2 configuration is missing app IDs.")),
        field => field.map(|field| (field, ids)),
    };
    let user_field = settings.text("useridField").unwrap_or_else(|| "sub".to_owned());
    let authorization = match settings.text("authorizationHeader") {
        None => None,
        Some(text) => {
            let mut value = HeaderValue::from_str(&text).map_err(|_| unanswered())?;
            value.set_sensitive(true);
            Some(value)
        }
    };
    let name = settings.name.to_owned();
    Ok(Arc::new(OAuth2 { env: env.clone(), name, endpoint, user_field, app, authorization }))
}

fn unanswered() -> Error {
    not_found("OAuth2 token introspection request failed.")
}

fn foreign() -> Error {
    not_found("OAuth2 access token is invalid for this user.")
}

#[async_trait(?Send)]
impl AuthProvider for OAuth2 {
    async fn validate(&self, _: Step, data: &Value, _: &AuthRequest<'_>) -> Result<Verdict> {
        let token = text(data.get("access_token")).ok_or_else(foreign)?;
        let mut request = form(Request::post(&self.endpoint), &[("token", Some(&token))]);
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        let known = self.env.ask_json(&self.name, request).await.map_err(|_| unanswered())?;
        if let Some((field, ids)) = &self.app {
            let is_ours = |value: &Value| text(Some(value)).is_some_and(|id| ids.contains(&id));
            let fits = match known.get(field) {
                Some(Value::Array(all)) => all.iter().any(is_ours),
                Some(one) => is_ours(one),
                None => false,
            };
            if !fits {
                return Err(not_found("OAuth2: Invalid app ID."));
            }
        }
        let id = text(known.get(&self.user_field));
        if !known.get("active").is_some_and(is_truthy) || id.is_none() || id != text(data.get("id")) {
            return Err(foreign());
        }
        Ok(Verdict::default())
    }
}
