//! Tickets of messages that Expo took: items by which their receipts are asked for later.

use std::time::Duration;

use serde_json::{Value, json};

use crate::storage::{NewWork, Retry};
use crate::types::time::Millis;

pub const QUEUE: &str = "push-receipt";
/// Expo answers for so many at a time.
const CHUNK: usize = 300;
/// When receipts are asked for, in seconds after the ticket; Expo keeps them for a day.
pub const AFTER_S: &[u64] = &[30, 120, 900, 3600, 6 * 3600, 20 * 3600];

pub struct Ticket {
    pub ticket: String,
    pub installation: String,
    pub token: String,
}

pub fn written(push: &str, tickets: Vec<Value>, round: usize) -> NewWork {
    let after = AFTER_S.get(round).copied().unwrap_or(3600);
    let retry = Retry::Until { deadline: Millis(Millis::now().0 + 3 * 86_400_000), pause: super::PAUSE };
    let payload = json!({ "push": push, "tickets": tickets, "round": round });
    NewWork { after: Some(Duration::from_secs(after)), retry, ..NewWork::new(QUEUE, payload) }
}

pub fn items(push: &str, tickets: &[Ticket]) -> Vec<NewWork> {
    let of = |ticket: &Ticket| json!([ticket.ticket, ticket.installation, ticket.token]);
    tickets.chunks(CHUNK).map(|chunk| written(push, chunk.iter().map(of).collect(), 0)).collect()
}
