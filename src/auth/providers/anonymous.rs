//! Users without any credentials but an id their device made up.

use async_trait::async_trait;
use serde_json::Value;

use crate::auth::{AuthProvider, AuthRequest, Step, Verdict, invalid_id};
use crate::error::Result;

pub struct Anonymous;

#[async_trait(?Send)]
impl AuthProvider for Anonymous {
    async fn validate(&self, _: Step, data: &Value, _: &AuthRequest<'_>) -> Result<Verdict> {
        // The id is all the credentials there are.
        match data.get("id").and_then(Value::as_str) {
            Some(id) if !id.is_empty() => Ok(Verdict::default()),
            _ => Err(invalid_id("anonymous")),
        }
    }
}
