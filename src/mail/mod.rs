//! Sending mail: the adapter trait, the built-in SMTP adapter and the texts of default mails.

use async_trait::async_trait;
use serde_json::Value;

use crate::error::Result;

/// One mail, as parse-server hands it to `sendMail`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
    /// Further keys that Cloud Code's `sendEmail` gave, for JavaScript adapters.
    pub extra: serde_json::Map<String, Value>,
}

/// What verification and reset mails are made from (`sendVerificationEmail({link, user, appName})`).
#[derive(Clone, Debug)]
pub struct AccountMail {
    pub link: String,
    pub app_name: String,
    /// The user in REST encoding.
    pub user: serde_json::Map<String, Value>,
}

#[async_trait]
pub trait MailAdapter: Send + Sync {
    /// # Errors
    /// When the mail could not be handed over.
    async fn send(&self, mail: Mail) -> Result<()>;

    /// Whether the adapter writes its own verification mail; otherwise the default text goes to
    /// [`MailAdapter::send`].
    async fn send_verification(&self, _mail: &AccountMail) -> Result<bool> {
        Ok(false)
    }

    /// The same for password reset mails.
    async fn send_password_reset(&self, _mail: &AccountMail) -> Result<bool> {
        Ok(false)
    }
}
