//! The push adapter of an application: the built-in senders, one of its own in a Cloud Code host, or none.

use std::sync::Arc;

use super::StartError;
use crate::cloud::CloudEngine;
use crate::config::AppConfig;
use crate::operations::push::module::JavaScriptPush;
use crate::outbound::Outbound;
use crate::push::options::QueueOptions;
use crate::push::{PushAdapter, Senders};
use crate::types::javascript::is_truthy;

/// # Errors
/// When the options are wrong, as with parse-server.
pub fn open(
    config: &AppConfig,
    outbound: &Arc<Outbound>,
    engine: &Arc<dyn CloudEngine>,
) -> Result<Option<Arc<dyn PushAdapter>>, StartError> {
    let Some(push) = &config.push.push else { return Ok(None) };
    let push = push.expose();
    let start_error = |error: crate::error::Error| StartError::new(error.public_message(false));
    let options = QueueOptions::read(push).map_err(start_error)?;
    if push.get("adapter").is_some_and(is_truthy) {
        return Ok(Some(Arc::new(JavaScriptPush::new(engine.clone(), options.batch_size))));
    }
    Ok(Some(Arc::new(Senders::new(push, outbound).map_err(start_error)?)))
}

/// Whether this server sends what is accepted.
pub fn sends(config: &AppConfig) -> bool {
    let push = config.push.push.as_ref();
    push.is_some_and(|push| QueueOptions::read(push.expose()).is_ok_and(|options| !options.disable_worker))
}
