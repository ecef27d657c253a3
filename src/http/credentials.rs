//! What a request claims of its sender: application, key, session token and context, read from headers, Basic
//! authorization or the JavaScript SDK's body form. What the claims are worth is said by
//! [`crate::operations::gate`].

use std::sync::Arc;

use actix_web::http::header::{AsHeaderName, HeaderMap, HeaderName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::app::{App, AppRegistry};
use crate::error::{Error, Result};
use crate::operations::gate;
pub use crate::operations::gate::Claims;
use crate::types::Object;
use crate::types::javascript::is_truthy;

static CLOUD_CONTEXT: HeaderName = HeaderName::from_static("x-parse-cloud-context");

impl Claims {
    /// Everything but the context, which is looked at later in the pipeline.
    pub fn from_headers(headers: &HeaderMap, registry: &AppRegistry) -> Self {
        let mut claims = Self::default();
        let mut authorization = None;
        // One pass over the few headers there are is cheaper than a look-up for each that there may be.
        for (name, value) in headers {
            let field = match name.as_str() {
                "x-parse-application-id" => &mut claims.app_id,
                "x-parse-session-token" => &mut claims.session_token,
                "x-parse-master-key" => &mut claims.master_key,
                "x-parse-maintenance-key" => &mut claims.maintenance_key,
                "x-parse-installation-id" => &mut claims.installation_id,
                "x-parse-client-key" => &mut claims.client_key,
                "x-parse-javascript-key" => &mut claims.javascript_key,
                "x-parse-windows-key" => &mut claims.dot_net_key,
                "x-parse-rest-api-key" => &mut claims.rest_api_key,
                "authorization" => &mut authorization,
                "x-forwarded-for" | "forwarded" | "x-real-ip" | "via" | "x-forwarded-host"
                | "x-forwarded-proto" => {
                    claims.forwarded = true;
                    continue;
                }
                _ => continue,
            };
            // Of a repeated header the first counts, even when it is empty.
            if field.is_none() {
                *field = Some(latin1(value.as_bytes()));
            }
        }
        // Empty ones count as absent, but for the keys of clients, which may be configured as empty.
        for field in [
            &mut claims.app_id,
            &mut claims.session_token,
            &mut claims.master_key,
            &mut claims.maintenance_key,
            &mut claims.installation_id,
            &mut authorization,
        ] {
            field.take_if(|text| text.is_empty());
        }
        if let Some(authorization) = authorization {
            claims.add_basic(&authorization, registry);
        }
        claims
    }

    /// # Errors
    /// 107 `Invalid object for context.`
    pub fn read_context(&mut self, headers: &HeaderMap) -> Result<()> {
        // An empty header is no JSON.
        if let Some(json) = headers.get(&CLOUD_CONTEXT) {
            self.context = context_of(&Value::String(latin1(json.as_bytes())))?;
        }
        Ok(())
    }

    /// `Basic base64(appId:key)`; counts only when that application exists.
    fn add_basic(&mut self, authorization: &str, registry: &AppRegistry) {
        let Some((scheme, encoded)) = authorization.split_once(' ') else { return };
        if !scheme.eq_ignore_ascii_case("basic") {
            return;
        }
        let Ok(bytes) = STANDARD.decode(encoded.trim()) else { return };
        let Ok(text) = String::from_utf8(bytes) else { return };
        let Some((app_id, key)) = text.split_once(':').filter(|(_, key)| !key.contains(':')) else { return };
        if registry.get(app_id).is_none() {
            return;
        }
        self.app_id = Some(app_id.to_owned());
        match key.strip_prefix("javascript-key=") {
            Some(key) if !key.is_empty() => self.javascript_key = Some(key.to_owned()),
            Some(_) => {}
            None if !key.is_empty() => self.master_key = Some(key.to_owned()),
            None => {}
        }
    }

    /// Takes the `_…` keys out of the body when the headers named no application that exists.
    ///
    /// # Errors
    /// 403 `unauthorized`, 107 `Invalid object for context.`
    pub async fn complete_from_body(&mut self, body: &mut Object, registry: &AppRegistry) -> Result<()> {
        body.shift_remove("_noBody");
        if self.app_id.as_deref().is_some_and(|id| registry.get(id).is_some()) {
            return Ok(());
        }
        body.shift_remove("_RevocableSession");
        let app = body.get("_ApplicationId").and_then(Value::as_str).and_then(|id| registry.get(id));
        let app = app.ok_or_else(Error::unauthorized)?;
        if let Some(key) = &self.master_key
            && !gate::is_master_key(&app.services, key).await?
        {
            return Err(Error::unauthorized());
        }
        self.app_id = Some(app.id.clone());
        self.javascript_key = match body.shift_remove("_JavaScriptKey") {
            Some(Value::String(key)) => Some(key),
            Some(other) if is_truthy(&other) => None,
            _ => Some(String::new()),
        };
        body.shift_remove("_ApplicationId");
        body.shift_remove("_ClientVersion");
        for (key, target) in [
            ("_InstallationId", &mut self.installation_id),
            ("_SessionToken", &mut self.session_token),
            ("_MasterKey", &mut self.master_key),
            ("_ContentType", &mut self.content_type),
        ] {
            if let Some(text) = take_text(body, key)? {
                *target = Some(text);
            }
        }
        if let Some(context) = body.get("_context").filter(|context| is_truthy(context)) {
            self.context = context_of(context)?;
            body.shift_remove("_context");
        }
        Ok(())
    }

    /// The application, once headers and body were read.
    ///
    /// # Errors
    /// 403 `unauthorized`.
    pub fn app(&self, registry: &AppRegistry) -> Result<Arc<App>> {
        let app = self.app_id.as_deref().and_then(|id| registry.get(id));
        app.cloned().ok_or_else(Error::unauthorized)
    }
}

/// `None` for an empty header, which counts as absent.
pub fn header_text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<String> {
    let value = headers.get(name)?;
    (!value.is_empty()).then(|| latin1(value.as_bytes()))
}

/// Node reads header bytes as Latin-1.
fn latin1(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => text.to_owned(),
        _ => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// A header that is a list, its lines joined: a proxy may have added a line of its own below the
/// client's, and what comes last is what the proxy says.
pub fn header_list(headers: &HeaderMap, name: impl AsHeaderName) -> Option<String> {
    let lines: Vec<String> = headers.get_all(name).map(|line| latin1(line.as_bytes())).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

/// An object, or the JSON text of one.
fn context_of(value: &Value) -> Result<Object> {
    let invalid = || Error::invalid_json("Invalid object for context.");
    let context = match value {
        Value::Object(context) => context.clone(),
        Value::String(json) => match crate::types::json::from_outside(json.as_bytes()) {
            Ok(Value::Object(context)) => context,
            _ => return Err(invalid()),
        },
        _ => return Err(invalid()),
    };
    // What handlers hand on to each other beside the JSON is nothing that a client could give.
    Ok(crate::cloud::plain_context(context))
}

/// A text under `key`; values that JavaScript takes for false stay in the body.
fn take_text(body: &mut Object, key: &str) -> Result<Option<String>> {
    match body.get(key) {
        Some(Value::String(text)) if !text.is_empty() => {}
        Some(value) if is_truthy(value) => return Err(Error::unauthorized()),
        _ => return Ok(None),
    }
    match body.shift_remove(key) {
        Some(Value::String(text)) => Ok(Some(text)),
        _ => Ok(None),
    }
}
