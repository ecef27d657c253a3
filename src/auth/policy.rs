//! The policy that an application gives a built-in provider: `auth.<name>.policy`. Where it is a function, it is
//! asked beside the application's own adapters.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::{AuthProvider, AuthRequest, Policy, Step, Verdict};
use crate::config::CallbackId;
use crate::error::Result;
use crate::types::Object;
use crate::types::javascript::{is_truthy, to_text};

/// What an entry says of the policy, when it says something.
pub fn of(entry: &Value) -> Option<String> {
    let given = entry.get("policy").filter(|policy| is_truthy(policy));
    given.filter(|policy| CallbackId::from_json(policy).is_none()).map(to_text)
}

/// A provider with another policy than its own.
pub struct WithPolicy {
    provider: Arc<dyn AuthProvider>,
    policy: String,
}

impl WithPolicy {
    pub fn new(provider: Arc<dyn AuthProvider>, policy: String) -> Self {
        Self { provider, policy }
    }
}

#[async_trait(?Send)]
impl AuthProvider for WithPolicy {
    async fn before_find(&self, data: &mut Object) -> Result<()> {
        self.provider.before_find(data).await
    }

    async fn validate(&self, step: Step, data: &Value, request: &AuthRequest<'_>) -> Result<Verdict> {
        Policy::named(&self.policy)?;
        self.provider.validate(step, data, request).await
    }

    async fn policy(&self, _: &Value, _: bool) -> Result<Policy> {
        Policy::named(&self.policy)
    }

    async fn challenge(
        &self,
        challenge: &Value,
        data: Option<&Value>,
        request: &AuthRequest<'_>,
    ) -> Result<Option<Value>> {
        self.provider.challenge(challenge, data, request).await
    }

    fn mask(&self, stored: &Value) -> Option<Value> {
        self.provider.mask(stored)
    }
}
