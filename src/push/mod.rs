//! Sending pushes to devices: the [`PushAdapter`] trait, and the built-in adapter with a sender for each service,
//! which takes the configuration of `@parse/push-adapter`.
//!
//! `operations::push` decides who gets what, when, and keeps count; an adapter hands one message to devices and
//! says of each what became of it. Nothing here waits to try again: whoever says [`Outcome::Retry`] is asked
//! again later. Everything leaves through `outbound`. Tokens, keys and payloads are never logged.

pub mod apns;
mod apple;
pub mod broadcast;
pub mod expo;
pub mod fcm;
pub mod options;
pub mod senders;
mod token;
pub mod web;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

pub use broadcast::Broadcast;
pub use senders::Senders;

use crate::outbound::OutboundError;
use crate::types::Object;
use crate::types::time::Millis;

/// Push types of `@parse/push-adapter`, and `visionos`.
pub const TYPES: &[&str] = &["ios", "osx", "tvos", "watchos", "visionos", "android", "fcm", "web", "expo"];

/// What devices are to get: one text, one badge.
#[derive(Debug)]
pub struct Message {
    /// objectId of the `_PushStatus` row.
    pub push_id: String,
    /// The body of the request as it was accepted, without its condition; `data` is this message's.
    pub body: Object,
    /// `body.data`, an object.
    pub data: Object,
    pub expires_at: Option<Millis>,
    pub halt: Halt,
}

impl Message {
    /// A field of the request, or of its data, as `@parse/push-adapter` looks for some.
    pub fn either(&self, key: &str) -> Option<&Value> {
        let truthy = |value: &&Value| crate::types::javascript::is_truthy(value);
        self.body.get(key).filter(truthy).or_else(|| self.data.get(key).filter(truthy))
    }
}

/// Tells the senders that nothing more of a push is to be sent.
#[derive(Clone, Debug, Default)]
pub struct Halt(Arc<AtomicBool>);

impl Halt {
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// An installation that has a token.
#[derive(Clone, Debug, Default)]
pub struct Device {
    /// objectId of the `_Installation` row.
    pub id: String,
    pub token: String,
    pub device_type: Option<String>,
    pub push_type: Option<String>,
    pub app_identifier: Option<String>,
    pub locale: Option<String>,
    pub badge: Option<f64>,
    /// The row as REST shows it, for adapters that ask for it.
    pub object: Option<Object>,
    /// Not one device, but every device that listens to this channel or topic.
    pub broadcast: Option<Broadcast>,
}

impl Device {
    /// The same device without its row, for counters.
    pub fn without_row(&self) -> Self {
        let (push_type, device_type) = (self.push_type.clone(), self.device_type.clone());
        Self { push_type, device_type, ..Self::default() }
    }

    /// The push type by which its sender is found: its own, else its kind.
    pub fn kind(&self) -> Option<&'static str> {
        let known = |text: &String| TYPES.iter().find(|kind| text.eq_ignore_ascii_case(kind)).copied();
        self.push_type.as_ref().and_then(known).or_else(|| self.device_type.as_ref().and_then(known))
    }
}

/// What became of a message to one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service took it; Expo's ticket, by which its receipt is asked for.
    Accepted { ticket: Option<String> },
    /// It will never take it. `is_dead`: it says that the token is nobody's any more.
    Rejected { reason: String, is_dead: bool },
    /// Not now. `maybe_sent`: the answer was lost, so that the device may have got it.
    Retry { reason: String, after: Option<Duration>, maybe_sent: bool },
    /// [`Message::halt`] was set before it was sent.
    Unsent,
    /// Not counted, as with `@parse/push-adapter` (`undefined` among an adapter's results).
    Unknown,
}

impl Outcome {
    pub const ACCEPTED: Self = Self::Accepted { ticket: None };

    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected { reason: reason.into(), is_dead: false }
    }

    pub fn dead(reason: impl Into<String>) -> Self {
        Self::Rejected { reason: reason.into(), is_dead: true }
    }

    pub fn retry(reason: impl Into<String>, after: Option<Duration>) -> Self {
        Self::Retry { reason: reason.into(), after, maybe_sent: false }
    }

    /// No answer came.
    pub fn failed(error: &OutboundError) -> Self {
        match error {
            OutboundError::Broken | OutboundError::Deadline => {
                Self::Retry { reason: error.to_string(), after: None, maybe_sent: true }
            }
            OutboundError::Connect(_)
            | OutboundError::Resolve
            | OutboundError::Proxy
            | OutboundError::Refused => Self::retry(error.to_string(), None),
            OutboundError::Tls(_) | OutboundError::Protocol => Self::retry("TLS failed", None),
            OutboundError::Url
            | OutboundError::Header
            | OutboundError::Port
            | OutboundError::Address
            | OutboundError::TooLarge(_)
            | OutboundError::Redirect => Self::rejected(error.to_string()),
        }
    }
}

/// What becomes of tickets: the answer of [`PushAdapter::receipts`] for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    Delivered,
    Failed {
        reason: String,
        is_dead: bool,
    },
    /// Not there yet.
    Unknown,
}

/// Hands messages to devices.
#[async_trait]
pub trait PushAdapter: Send + Sync {
    /// One outcome for each device, in their order.
    async fn send(&self, message: &Message, devices: Vec<Device>) -> Vec<Outcome>;

    /// How many devices it is given at once, unless `queueOptions.batchSize` says otherwise.
    fn batch_size(&self) -> usize;

    /// Whether it wants [`Device::object`].
    fn wants_objects(&self) -> bool {
        false
    }

    /// The push type whose sender can do this.
    fn reaches(&self, _: &Broadcast) -> Option<&'static str> {
        None
    }

    /// What became of tickets, in their order.
    ///
    /// # Errors
    /// When nothing is known now.
    async fn receipts(&self, tickets: &[String]) -> Result<Vec<Receipt>, OutboundError> {
        Ok(tickets.iter().map(|_| Receipt::Delivered).collect())
    }
}

/// Speaks one protocol.
#[async_trait]
pub trait Sender: Send + Sync {
    /// One outcome for each device, in their order.
    async fn send(&self, message: &Message, devices: Vec<Device>) -> Vec<Outcome>;

    /// Whether it can send to this.
    fn reaches(&self, _: &Broadcast) -> bool {
        false
    }
}

/// `Retry-After` in seconds, or a date.
pub(crate) fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    let longest = Duration::from_secs(24 * 3600);
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(longest));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(std::time::SystemTime::now()).unwrap_or_default().min(longest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_push_type_comes_before_the_device_type() {
        let device = |push: Option<&str>, kind: Option<&str>| {
            Device { push_type: push.map(Into::into), device_type: kind.map(Into::into), ..Device::default() }
                .kind()
        };
        assert_eq!(device(Some("fcm"), Some("ios")), Some("fcm"));
        assert_eq!(device(Some("gcm"), Some("android")), Some("android"));
        assert_eq!(device(None, Some("visionOS")), Some("visionos"));
        assert_eq!(device(None, Some("winrt")), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let read = |text: &str| {
            let mut headers = http::HeaderMap::new();
            headers.insert(http::header::RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("999999999"), Some(Duration::from_secs(24 * 3600)));
        assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
    }
}
