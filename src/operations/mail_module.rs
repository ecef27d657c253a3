//! A mail adapter that is an npm module or an object of the JavaScript configuration: its methods run
//! in a Cloud Code host.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::cloud::{AdapterArg, AdapterCall, CloudEngine};
use crate::error::Result;
use crate::mail::{AccountMail, Mail, MailAdapter};
use crate::operations::classes::user::mark_as_user;

/// The option's name, under which the engine knows the adapter.
pub const ADAPTER: &str = "emailAdapter";

pub struct JavaScriptMailer {
    engine: Arc<dyn CloudEngine>,
}

impl JavaScriptMailer {
    pub fn new(engine: Arc<dyn CloudEngine>) -> Self {
        Self { engine }
    }

    fn has(&self, method: &str) -> bool {
        self.engine.registrations().adapter(ADAPTER).is_some_and(|adapter| adapter.methods.contains(method))
    }

    async fn call(&self, method: &str, argument: AdapterArg) -> Result<Value> {
        let call = AdapterCall {
            adapter: ADAPTER.to_owned(),
            method: method.to_owned(),
            args: vec![argument],
            deadline: None,
        };
        self.engine.call_adapter(call).await
    }

    async fn account_mail(&self, method: &str, mail: &AccountMail) -> Result<bool> {
        if !self.has(method) {
            return Ok(false);
        }
        let mut user = mail.user.clone();
        mark_as_user(&mut user);
        let argument = json!({ "link": mail.link, "appName": mail.app_name, "user": user });
        self.call(method, AdapterArg::Decoded(argument)).await.map(|_| true)
    }
}

#[async_trait]
impl MailAdapter for JavaScriptMailer {
    async fn send(&self, mail: Mail) -> Result<Value> {
        let mut message = mail.extra;
        message.insert("to".to_owned(), mail.to.into());
        message.insert("subject".to_owned(), mail.subject.into());
        message.insert("text".to_owned(), mail.text.into());
        if let Some(html) = mail.html {
            message.insert("html".to_owned(), html.into());
        }
        self.call("sendMail", AdapterArg::Json(Value::Object(message))).await
    }

    async fn send_verification(&self, mail: &AccountMail) -> Result<bool> {
        self.account_mail("sendVerificationEmail", mail).await
    }

    async fn send_password_reset(&self, mail: &AccountMail) -> Result<bool> {
        self.account_mail("sendPasswordResetEmail", mail).await
    }
}
