//! Sending mail: the adapter trait, the built-in SMTP adapter and the texts of default mails.

pub mod smtp;
pub mod template;

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
    /// What the adapter returns means something to the application's own code only.
    ///
    /// # Errors
    /// When the mail could not be handed over.
    async fn send(&self, mail: Mail) -> Result<Value>;

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

/// Where a user's mail goes: the address, else a user name that serves as one.
pub fn address_of(user: &serde_json::Map<String, Value>) -> String {
    let text = |key: &str| user.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    text("email").or_else(|| text("username")).unwrap_or_default().to_owned()
}

/// Whether the text is one address and nothing else: a name before it, a list or a comment would let a
/// user choose what a mail's header says.
pub fn is_bare_address(text: &str) -> bool {
    let odd = |c: char| c.is_control() || c.is_whitespace() || "<>()[],;:\\\"".contains(c);
    let parts = text.split_once('@').filter(|(local, domain)| !local.is_empty() && !domain.is_empty());
    parts.is_some_and(|(_, domain)| !domain.contains('@')) && !text.contains(odd)
}

/// The verification mail of an adapter without one of its own.
pub fn default_verification(mail: &AccountMail) -> Mail {
    let address = mail.user.get("email").and_then(Value::as_str).unwrap_or_default();
    Mail {
        to: address_of(&mail.user),
        subject: format!("Please verify your e-mail for {}", mail.app_name),
        text: format!(
            "Hi,\n\nYou are being asked to confirm the e-mail address {address} with {}\n\nClick here to confirm it:\n{}",
            mail.app_name, mail.link
        ),
        ..Mail::default()
    }
}

/// The password reset mail of an adapter without one of its own.
pub fn default_password_reset(mail: &AccountMail) -> Mail {
    let name = match mail.user.get("username").and_then(Value::as_str) {
        Some(name) if !name.is_empty() => format!(" (your username is '{name}')"),
        _ => String::new(),
    };
    Mail {
        to: address_of(&mail.user),
        subject: format!("Password Reset for {}", mail.app_name),
        text: format!(
            "Hi,\n\nYou requested to reset your password for {}{name}.\n\nClick here to reset it:\n{}",
            mail.app_name, mail.link
        ),
        ..Mail::default()
    }
}

#[cfg(test)]
mod tests {
    use super::is_bare_address;

    #[test]
    fn an_address_is_nothing_but_an_address() {
        for good in
            ["a@b.c", "first.last+tag@sub.example", "o'neil@example.org", "ü@bücher.example", "a@localhost"]
        {
            assert!(is_bare_address(good), "{good}");
        }
        for bad in [
            "Evil <v@x.y>",
            "<v@x.y>",
            "v@x.y, w@x.y",
            "v@x.y;w@x.y",
            "(me)v@x.y",
            "\"a b\"@x.y",
            "v@x.y\r\nBcc: w@x.y",
            "v@w@x.y",
            "@x.y",
            "v@",
            "",
            "group:v@x.y;",
            "v@[127.0.0.1]",
        ] {
            assert!(!is_bare_address(bad), "{bad}");
        }
    }
}
