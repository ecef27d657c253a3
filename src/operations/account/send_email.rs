//! Mails that Cloud Code sends through `Parse.Cloud.sendEmail`.

use serde_json::{Map, Value};

use crate::error::Result;
use crate::operations::figures::MailKind;
use crate::operations::services::Services;

use crate::mail::Mail;

/// `None` when no email adapter is configured, which parse-server only logs.
///
/// # Errors
/// What the adapter reports.
pub async fn send(services: &Services, mut mail: Map<String, Value>) -> Result<Option<Value>> {
    let Some(adapter) = &services.mail else {
        tracing::error!("Failed to send email because no mail adapter is configured for Parse Server.");
        return Ok(None);
    };
    let mut text = |key: &str| match mail.shift_remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let mail = Mail {
        to: text("to").unwrap_or_default(),
        subject: text("subject").unwrap_or_default(),
        text: text("text").unwrap_or_default(),
        html: text("html"),
        extra: mail,
    };
    let sent = adapter.send(mail).await;
    services.state.figures.mail(MailKind::Other, sent.is_ok());
    sent.map(Some)
}
