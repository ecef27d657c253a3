//! Keycloak: an access token that the realm signed for the app's client, with the roles and groups that the client
//! names.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use jsonwebtoken::Algorithm;
use serde_json::Value;

use crate::auth::env::{ProviderEnv, text};
use crate::auth::openid::jwt::{self, Expected};
use crate::auth::settings::Settings;
use crate::auth::{AuthProvider, AuthRequest, Step, Verdict, not_found};
use crate::error::Result;
use crate::types::Object;

pub struct Keycloak {
    env: Arc<ProviderEnv>,
    issuer: String,
    keys: String,
    client: String,
    key_age: TimeDelta,
}

/// # Errors
/// Without the three texts of `config`.
pub fn keycloak(settings: &Settings<'_>, env: &Arc<ProviderEnv>) -> Result<Arc<dyn AuthProvider>> {
    let config = settings.object("config");
    let part = |key: &str| config.and_then(|config| text(config.get(key)));
    let (Some(server), Some(realm)) = (part("auth-server-url"), part("realm")) else {
        return Err(not_found("Missing keycloak configuration"));
    };
    let client =
        part("client-id").ok_or_else(|| not_found("Keycloak auth is not configured. Missing client-id."))?;
    let issuer = format!("{server}/realms/{realm}");
    let keys = format!("{issuer}/protocol/openid-connect/certs");
    Ok(Arc::new(Keycloak { env: env.clone(), issuer, keys, client, key_age: settings.key_age() }))
}

/// The same values in any order, or none on either side.
fn same_set(claims: &Object, data: &Value, key: &str) -> bool {
    match (claims.get(key), data.get(key)) {
        (None, None) => true,
        (Some(Value::Array(ours)), Some(Value::Array(theirs))) => {
            let sorted = |values: &[Value]| {
                let mut texts: Vec<String> = values.iter().map(Value::to_string).collect();
                texts.sort_unstable();
                texts
            };
            ours.len() == theirs.len() && sorted(ours) == sorted(theirs)
        }
        (ours, theirs) => ours == theirs,
    }
}

#[async_trait(?Send)]
impl AuthProvider for Keycloak {
    async fn validate(&self, _: Step, data: &Value, _: &AuthRequest<'_>) -> Result<Verdict> {
        let (Some(token), Some(_)) = (text(data.get("access_token")), text(data.get("id"))) else {
            return Err(not_found("Missing access token and/or User id"));
        };
        let expected = Expected {
            provider: "keycloak",
            keys: &self.keys,
            key_age: self.key_age,
            algorithms: &[Algorithm::RS256],
            // An access token's audience are the services; for whom it was made is in `azp`.
            audiences: &[],
        };
        let claims = jwt::verify(&self.env, &token, &expected).await?;
        let claim = |name: &str| claims.get(name).and_then(Value::as_str);
        if claim("iss") != Some(&self.issuer) {
            let from = jwt::shown(&claims, "iss");
            return Err(not_found(format!(
                "access token not issued by correct provider - expected: {} | from: {from}",
                self.issuer
            )));
        }
        if claim("azp") != Some(&self.client) {
            let from = jwt::shown(&claims, "azp");
            return Err(not_found(format!(
                "access token is not authorized for this client - expected: {} | from: {from}",
                self.client
            )));
        }
        jwt::check_subject(&claims, data)?;
        if !same_set(&claims, data, "roles") || !same_set(&claims, data, "groups") {
            return Err(not_found("Invalid authentication"));
        }
        Ok(Verdict::default())
    }
}
