//! Providers whose proof can be shown once alone: who it belongs to is asked before users are searched, and the id is
//! all that stays of the data.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::auth::env::text;
use crate::auth::{AuthProvider, AuthRequest, Step, Verdict};
use crate::error::{Error, Result};
use crate::types::Object;

/// How a provider tells whose proof it is.
#[async_trait(?Send)]
pub trait Identify: Send + Sync {
    /// The id at the provider, from its own mouth.
    ///
    /// # Errors
    /// The provider's text.
    async fn id(&self, data: &Object) -> Result<String>;

    /// What is said of data that is somebody else's.
    fn foreign(&self) -> Error;
}

/// The provider of what [`Identify`] tells.
pub struct Identified<P>(pub P);

#[async_trait(?Send)]
impl<P: Identify> AuthProvider for Identified<P> {
    async fn before_find(&self, data: &mut Object) -> Result<()> {
        let id = self.0.id(data).await?;
        *data = Object::from_iter([("id".to_owned(), Value::String(id))]);
        Ok(())
    }

    async fn validate(&self, _: Step, data: &Value, request: &AuthRequest<'_>) -> Result<Verdict> {
        let id = match (request.is_challenge, data) {
            // Nothing was exchanged for a challenge yet: an id alone proves nothing.
            (true, Value::Object(data)) => self.0.id(data).await?,
            _ => text(data.get("id")).ok_or_else(|| self.0.foreign())?,
        };
        Ok(Verdict::save(json!({ "id": id })))
    }

    /// Data that another server stored may hold more.
    fn mask(&self, stored: &Value) -> Option<Value> {
        Some(json!({ "id": stored.get("id")? }))
    }
}
