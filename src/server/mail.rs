//! The mail adapter of an application: built-in SMTP, a module or object in a Cloud Code host, or none.

use std::sync::Arc;

use serde_json::Value;

use super::StartError;
use crate::cloud::CloudEngine;
use crate::config::AppConfig;
use crate::mail::MailAdapter;
use crate::mail::smtp::SmtpMailer;
use crate::operations::mail_module::JavaScriptMailer;

/// # Errors
/// When the SMTP options are wrong.
pub fn open(
    config: &AppConfig,
    engine: &Arc<dyn CloudEngine>,
) -> Result<Option<Arc<dyn MailAdapter>>, StartError> {
    let Some(adapter) = &config.mail.email_adapter else { return Ok(None) };
    let adapter = adapter.expose();
    if let Some(options) = smtp_options(adapter) {
        let mailer = SmtpMailer::new(options).map_err(StartError::new)?;
        return Ok(Some(Arc::new(mailer)));
    }
    Ok(Some(Arc::new(JavaScriptMailer::new(engine.clone()))))
}

/// The options of `{"module": "smtp", "options": {…}}`; `{"smtp": {…}}` says the same.
fn smtp_options(adapter: &Value) -> Option<&Value> {
    if adapter.get("module").is_some_and(|module| module == "smtp") || adapter == "smtp" {
        return Some(adapter.get("options").unwrap_or(&Value::Null));
    }
    adapter.get("smtp").filter(|options| options.is_object())
}

/// Whether the option means the built-in SMTP adapter, which no host has to load.
pub fn is_builtin(adapter: &Value) -> bool {
    smtp_options(adapter).is_some()
}
