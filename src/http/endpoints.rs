//! The GraphQL APIs of this process, by application id. Made when they are first asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::app::App;
use crate::graphql::Endpoint;

#[derive(Default)]
pub struct Endpoints(Mutex<HashMap<String, Arc<Endpoint>>>);

impl Endpoints {
    pub(super) fn of(&self, app: &App) -> Arc<Endpoint> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Endpoint::new(app.services.clone()));
        known.entry(app.id.clone()).or_insert_with(made).clone()
    }
}
