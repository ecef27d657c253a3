//! Users without any credentials but an id their device made up.

use async_trait::async_trait;
use serde_json::Value;

use super::{AuthProvider, AuthRequest, Step, Verdict};
use crate::error::Result;

pub struct Anonymous;

#[async_trait(?Send)]
impl AuthProvider for Anonymous {
    async fn validate(&self, _: Step, _: &Value, _: &AuthRequest<'_>) -> Result<Verdict> {
        Ok(Verdict::default())
    }
}
