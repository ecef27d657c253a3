//! A second factor: TOTP with recovery codes, or codes sent to a mobile phone (provider `mfa`).
//!
//! Stored for TOTP: `{secret, recovery: [two codes]}`; for phones `{mobile, pending, token?, expiry?}`
//! with `pending: {<mobile>: {token, expiry}}` until the number is confirmed.

mod totp;

use std::sync::LazyLock;

use async_trait::async_trait;
use regex::Regex;
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;

use super::{AuthProvider, AuthRequest, Policy, Step, Verdict, refused};
use crate::config::CallbackId;
use crate::error::Result;
use crate::types::javascript::is_truthy;
use crate::types::names::random_alphanumeric;
use crate::types::time::Millis;
use totp::{Algorithm, Totp, decode_base32};

const NAME: &str = "mfa";
const SHORTEST_SECRET: usize = 20;

#[derive(Debug)]
pub struct Mfa {
    totp: bool,
    /// Sends `(token, mobile)`; set when phones are allowed.
    send_sms: Option<CallbackId>,
    settings: Totp,
}

impl Mfa {
    /// # Errors
    /// parse-server's text for settings that are wrong.
    pub fn new(options: &Value) -> std::result::Result<Self, String> {
        let kinds = options.get("options").and_then(Value::as_array).ok_or("mfa.options must be an array")?;
        let allows = |kind: &str| kinds.iter().any(|listed| listed == kind);
        let (totp, sms) = (allows("TOTP"), allows("SMS"));
        if !totp && !sms {
            return Err("mfa.options must include SMS or TOTP".to_owned());
        }
        // As with parse-server, 0 and an empty text are as good as nothing.
        let given = |key: &str| options.get(key).filter(|value| is_truthy(value));
        let number = |key: &str, default: f64| match given(key) {
            None => Ok(default),
            Some(value) => value.as_f64().ok_or(format!("mfa.{key} must be a number")),
        };
        let (digits, period) = (number("digits", 6.0)?, number("period", 30.0)?);
        if !(4.0..=10.0).contains(&digits) {
            return Err("mfa.digits must be between 4 and 10".to_owned());
        }
        if period < 10.0 {
            return Err("mfa.period must be greater than 10".to_owned());
        }
        let send_sms = options.get("sendSMS").and_then(CallbackId::from_json).filter(|_| sms);
        if sms && send_sms.is_none() {
            return Err("mfa.sendSMS callback must be defined when using SMS OTPs".to_owned());
        }
        let name = given("algorithm").and_then(Value::as_str).unwrap_or("SHA1");
        let algorithm = Algorithm::parse(name).ok_or(format!("mfa.algorithm \"{name}\" is not supported"))?;
        let settings = Totp { algorithm, digits: digits as u32, period: period as u64 };
        Ok(Self { totp, send_sms, settings })
    }

    fn set_up_totp(&self, data: &Value) -> Result<Verdict> {
        let given = |key: &str| data.get(key).filter(|value| is_truthy(value));
        let (Some(Value::String(secret)), Some(token)) = (given("secret"), given("token")) else {
            return Err(refused("Invalid MFA data"));
        };
        if secret.len() < SHORTEST_SECRET {
            return Err(refused("Invalid MFA data"));
        }
        // A number has lost the zeros that a token may begin with.
        let is_right = match token.as_str() {
            Some(token) => self.totp_accepts(secret, token)?,
            None => false,
        };
        if !is_right {
            return Err(refused("Invalid MFA token"));
        }
        let recovery = [random_alphanumeric(30), random_alphanumeric(30)];
        Ok(Verdict {
            response: Some(json!({ "recovery": recovery.join(", ") })),
            save: Some(json!({ "secret": secret, "recovery": recovery })),
            ..Verdict::default()
        })
    }

    fn totp_accepts(&self, secret: &str, token: &str) -> Result<bool> {
        let key = decode_base32(secret).map_err(|c| refused(format!("Invalid character found: {c}")))?;
        let now = u64::try_from(Millis::now().0 / 1000).unwrap_or(0);
        Ok(self.settings.accepts(&key, token, now))
    }

    async fn send_code(&self, mobile: &str, request: &AuthRequest<'_>) -> Result<(String, String)> {
        static NUMBER: LazyLock<Option<Regex>> =
            LazyLock::new(|| Regex::new(r"^[+]*[(]{0,1}[0-9]{1,3}[)]{0,1}[-\s\./0-9]*$").ok());
        if !NUMBER.as_ref().is_some_and(|number| number.is_match(mobile)) {
            return Err(refused("Invalid mobile number."));
        }
        let Some(send) = self.send_sms else { return Err(refused("Invalid MFA data")) };
        let digit = || char::from(b'0' + rand::random_range(0..10_u8));
        let token: String = (0..self.settings.digits).map(|_| digit()).collect();
        request.callbacks.call(send, vec![token.as_str().into(), mobile.into()]).await?;
        let expiry = Millis(Millis::now().0 + self.settings.period as i64 * 1000);
        Ok((token, expiry.to_iso()))
    }

    async fn set_up_mobile(&self, mobile: &str, request: &AuthRequest<'_>) -> Result<Verdict> {
        let (token, expiry) = self.send_code(mobile, request).await?;
        Ok(Verdict::save(json!({ "pending": { mobile: { "token": token, "expiry": expiry } } })))
    }

    async fn log_in(&self, data: &Value, request: &AuthRequest<'_>) -> Result<Verdict> {
        let token = data.get("token");
        let stored = request.stored(NAME).cloned().unwrap_or_default();
        if self.send_sms.is_some()
            && let Some(mobile) = stored.get("mobile").and_then(Value::as_str)
        {
            return self.log_in_by_phone(mobile, token, &stored, request).await;
        }
        if !self.totp {
            return Ok(Verdict::do_not_save());
        }
        let Some(token) = token.and_then(Value::as_str) else { return Err(refused("Invalid MFA token")) };
        let Some(secret) = stored.get("secret").and_then(Value::as_str) else {
            return Ok(Verdict::do_not_save());
        };
        let recovery = stored.get("recovery").and_then(Value::as_array);
        if let Some(index) = recovery.and_then(|codes| codes.iter().position(|code| is(code, token))) {
            let mut stored = stored.clone();
            if let Some(Value::Array(codes)) = stored.get_mut("recovery") {
                codes.remove(index);
            }
            return Ok(Verdict::save(Value::Object(stored)));
        }
        if self.totp_accepts(secret, token)? {
            Ok(Verdict::do_not_save())
        } else {
            Err(refused("Invalid MFA token"))
        }
    }

    async fn log_in_by_phone(
        &self,
        mobile: &str,
        token: Option<&Value>,
        stored: &Map<String, Value>,
        request: &AuthRequest<'_>,
    ) -> Result<Verdict> {
        let mut stored = stored.clone();
        if token.is_some_and(|token| token == "request") {
            let (token, expiry) = self.send_code(mobile, request).await?;
            stored.insert("token".to_owned(), token.into());
            stored.insert("expiry".to_owned(), expiry.into());
            let then_fail = Some(refused("Please enter the token"));
            return Ok(Verdict { save: Some(Value::Object(stored)), then_fail, ..Verdict::default() });
        }
        let sent = token.and_then(Value::as_str).unwrap_or_default();
        let right = stored.get("token").is_some_and(|saved| is(saved, sent)) && !sent.is_empty();
        if !right {
            return Err(refused("Invalid MFA token 1"));
        }
        if is_over(stored.get("expiry")) {
            return Err(refused("Invalid MFA token 2"));
        }
        stored.shift_remove("token");
        stored.shift_remove("expiry");
        Ok(Verdict::save(Value::Object(stored)))
    }

    fn confirm_mobile(&self, mobile: &str, data: &Value, request: &AuthRequest<'_>) -> Result<Verdict> {
        let mut stored = request.stored(NAME).cloned().unwrap_or_default();
        let Some(pending) = stored.get_mut("pending").and_then(Value::as_object_mut) else {
            return Err(refused("This number is not pending"));
        };
        let Some(entry) = pending.get(mobile) else { return Err(refused("This number is not pending")) };
        let token = data.get("token").and_then(Value::as_str).unwrap_or_default();
        let right = entry.get("token").is_some_and(|saved| is(saved, token)) && !token.is_empty();
        if !right || is_over(entry.get("expiry")) {
            return Err(refused("Invalid MFA token"));
        }
        pending.shift_remove(mobile);
        stored.insert("mobile".to_owned(), mobile.into());
        Ok(Verdict::save(Value::Object(stored)))
    }

    async fn update(&self, data: &Value, request: &AuthRequest<'_>) -> Result<Verdict> {
        if request.master {
            return Ok(Verdict::default());
        }
        if self.send_sms.is_some()
            && let Some(mobile) = mobile_of(data)
        {
            if !data.get("token").is_some_and(|token| token.as_str() != Some("") && !token.is_null()) {
                return Err(refused("MFA is already set up on this account"));
            }
            return self.confirm_mobile(mobile, data, request);
        }
        if self.totp {
            let old = json!({ "token": data.get("old") });
            let proof = self.log_in(&old, request).await?;
            if proof.then_fail.is_some() {
                return Ok(proof);
            }
            return self.set_up_totp(data);
        }
        Err(refused("Invalid MFA data"))
    }
}

fn mobile_of(data: &Value) -> Option<&str> {
    data.get("mobile").and_then(Value::as_str).filter(|mobile| !mobile.is_empty())
}

fn is(stored: &Value, given: &str) -> bool {
    stored.as_str().is_some_and(|stored| stored.as_bytes().ct_eq(given.as_bytes()).into())
}

/// ISO text, or a date as parse-server on MongoDB hands it over. One that cannot be read is over.
fn is_over(expiry: Option<&Value>) -> bool {
    let text = expiry.and_then(|at| at.as_str().or_else(|| at.get("iso")?.as_str()));
    text.and_then(Millis::parse).is_none_or(|at| at < Millis::now())
}

#[async_trait(?Send)]
impl AuthProvider for Mfa {
    async fn validate(&self, step: Step, data: &Value, request: &AuthRequest<'_>) -> Result<Verdict> {
        match step {
            Step::SetUp => match mobile_of(data).filter(|_| self.send_sms.is_some()) {
                Some(mobile) => self.set_up_mobile(mobile, request).await,
                None if self.totp => self.set_up_totp(data),
                None => Err(refused("Invalid MFA data")),
            },
            Step::Login => self.log_in(data, request).await,
            Step::Update => self.update(data, request).await,
        }
    }

    async fn policy(&self, stored: &Value, _master: bool) -> Result<Policy> {
        let only_pending =
            stored.as_object().is_some_and(|stored| stored.len() == 1 && stored.contains_key("pending"));
        Ok(if self.send_sms.is_some() && only_pending { Policy::Default } else { Policy::Additional })
    }

    fn mask(&self, stored: &Value) -> Option<Value> {
        let present = |key: &str| stored.get(key).is_some_and(|value| !value.is_null());
        let enabled = (self.totp && present("secret")) || (self.send_sms.is_some() && present("mobile"));
        Some(json!({ "status": if enabled { "enabled" } else { "disabled" } }))
    }
}

#[cfg(test)]
mod tests;
