//! Expo: messages in chunks of 100, each answered with a ticket, by which a receipt can be had later.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};

use super::options::misconfigured;
use super::{Device, Message, Outcome, Receipt, Sender, retry_after};
use crate::error::Result;
use crate::outbound::{Answer, Outbound, OutboundError, Request};
use crate::types::Object;

const SEND: &str = "https://exp.host/--/api/v2/push/send";
const RECEIPTS: &str = "https://exp.host/--/api/v2/push/getReceipts";
const CHUNK: usize = 100;
/// Expo's own library has so many requests under way.
const CONCURRENT: usize = 6;
const DEADLINE: Duration = Duration::from_secs(30);
const MOST: usize = 1024 * 1024;

pub struct Expo {
    access_token: Option<String>,
    concurrent: usize,
    outbound: Arc<Outbound>,
}

impl Expo {
    /// # Errors
    /// 115 when the options are no object.
    pub fn new(options: &Value, outbound: &Arc<Outbound>) -> Result<Self> {
        let options =
            options.as_object().ok_or_else(|| misconfigured("EXPO Push Configuration is invalid"))?;
        let concurrent = options.get("maxConcurrentRequests").and_then(Value::as_u64);
        Ok(Self {
            access_token: super::options::text(options, "accessToken").map(str::to_owned),
            concurrent: concurrent.map_or(CONCURRENT, |n| n.clamp(1, 100) as usize),
            outbound: outbound.clone(),
        })
    }

    async fn call(&self, url: &str, body: &Value) -> Result<Answer, OutboundError> {
        let request = Request::post(url).within(DEADLINE).at_most(MOST);
        let request = match &self.access_token {
            Some(token) => request.bearer(token),
            None => request,
        };
        self.outbound.send(request.json(body).map_err(|_| OutboundError::Broken)?).await
    }

    /// What became of tickets, in their order.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn receipts(&self, tickets: &[String]) -> Result<Vec<Receipt>, OutboundError> {
        let answer = self.call(RECEIPTS, &json!({ "ids": tickets })).await?;
        let body: Value = answer.json().map_err(|_| OutboundError::Broken)?;
        let known = body.get("data").and_then(Value::as_object).filter(|_| answer.status.is_success());
        let known = known.ok_or(OutboundError::Broken)?;
        Ok(tickets
            .iter()
            .map(|ticket| match known.get(ticket) {
                None => Receipt::Unknown,
                Some(receipt) if receipt.get("status").is_some_and(|status| status == "ok") => {
                    Receipt::Delivered
                }
                Some(receipt) => {
                    let (reason, is_dead) = failure(receipt);
                    Receipt::Failed { reason, is_dead }
                }
            })
            .collect())
    }
}

/// The reason in a ticket or receipt, under the name that parse-server has for it, and whether the token is dead.
fn failure(ticket: &Value) -> (String, bool) {
    let own = ticket.pointer("/details/error").or_else(|| ticket.get("message")).and_then(Value::as_str);
    match own {
        Some("DeviceNotRegistered") => ("DeviceNotRegistered".to_owned(), true),
        Some(text) => (text.chars().take(120).collect(), false),
        None => ("Unknown status".to_owned(), false),
    }
}

#[async_trait]
impl Sender for Expo {
    async fn send(&self, message: &Message, devices: Vec<Device>) -> Vec<Outcome> {
        let mut content: Object = message.data.clone();
        let (alert, body) = (content.shift_remove("alert"), content.shift_remove("body"));
        let text = body.filter(crate::types::javascript::is_truthy).or(alert);
        let messages: Vec<Value> = devices
            .into_iter()
            .map(|device| {
                let mut one = Object::with_capacity(content.len() + 2);
                one.insert("to".to_owned(), device.token.into());
                if let Some(text) = &text {
                    one.insert("body".to_owned(), text.clone());
                }
                one.extend(content.clone());
                Value::Object(one)
            })
            .collect();
        let mut chunks = Vec::with_capacity(messages.len().div_ceil(CHUNK));
        for chunk in messages.chunks(CHUNK) {
            chunks.push(self.send_chunk(Value::Array(chunk.to_vec()), chunk.len(), message));
        }
        let outcomes: Vec<Vec<Outcome>> = stream::iter(chunks).buffered(self.concurrent).collect().await;
        outcomes.into_iter().flatten().collect()
    }
}

impl Expo {
    async fn send_chunk(&self, messages: Value, count: usize, message: &Message) -> Vec<Outcome> {
        let all = |outcome: Outcome| vec![outcome; count];
        if message.halt.is_set() {
            return all(Outcome::Unsent);
        }
        let answer = match self.call(SEND, &messages).await {
            Ok(answer) => answer,
            Err(error) => return all(Outcome::failed(&error)),
        };
        let body: Value = answer.json().unwrap_or_default();
        if !answer.status.is_success() {
            let error = body.pointer("/errors/0/code").and_then(Value::as_str);
            let reason = error.map_or_else(|| format!("status {}", answer.status.as_u16()), str::to_owned);
            return all(match answer.status.as_u16() {
                408 | 429 | 500..=599 => Outcome::retry(reason, retry_after(&answer.headers)),
                _ => Outcome::rejected(reason),
            });
        }
        match body.get("data").and_then(Value::as_array) {
            Some(tickets) if tickets.len() == count => tickets.iter().map(of_ticket).collect(),
            _ => {
                let error = body.pointer("/errors/0/message").and_then(Value::as_str);
                all(Outcome::rejected(error.unwrap_or("Expo did not answer with a ticket for each message")))
            }
        }
    }
}

fn of_ticket(ticket: &Value) -> Outcome {
    if ticket.get("status").is_some_and(|status| status == "ok") {
        return Outcome::Accepted { ticket: ticket.get("id").and_then(Value::as_str).map(str::to_owned) };
    }
    match failure(ticket) {
        (reason, _) if reason == "MessageRateExceeded" => Outcome::retry(reason, None),
        (reason, is_dead) => Outcome::Rejected { reason, is_dead },
    }
}
