//! Expo's receipts, asked for some time after the tickets: tokens that turn out dead are removed, refusals are
//! told in the report. The push itself is over by then.

use serde_json::{Value, json};

use super::campaign;
use super::record::remove_tokens;
use super::run::Runner;
use crate::error::{Error, Result};
use crate::push::Receipt;
use crate::storage::push::Delivery;
use crate::storage::{Claimed, NewWork, Retry};
use crate::types::time::Millis;

pub const QUEUE: &str = "push-receipt";
/// Expo answers for so many at a time.
const CHUNK: usize = 300;
/// When receipts are asked for, in seconds after the ticket; Expo keeps them for a day.
const AFTER_S: &[i64] = &[30, 120, 900, 3600, 6 * 3600, 20 * 3600];

pub struct Ticket {
    pub ticket: String,
    pub installation: String,
    pub token: String,
}

fn written(push: &str, tickets: Vec<Value>, round: usize) -> NewWork {
    let after = AFTER_S.get(round).copied().unwrap_or(3600);
    let now = Millis::now().0;
    let retry = Retry::Until { deadline: Millis(now + 3 * 86_400_000), pause: super::PAUSE };
    let payload = json!({ "push": push, "tickets": tickets, "round": round });
    NewWork { run_at: Some(Millis(now + after * 1000)), retry, ..NewWork::new(QUEUE, payload) }
}

pub fn items(push: &str, tickets: &[Ticket]) -> Vec<NewWork> {
    let of = |ticket: &Ticket| json!([ticket.ticket, ticket.installation, ticket.token]);
    tickets.chunks(CHUNK).map(|chunk| written(push, chunk.iter().map(of).collect(), 0)).collect()
}

/// Asks for the receipts of one item.
///
/// # Errors
/// When the service or the database does not answer.
pub async fn run(runner: &Runner, claimed: &Claimed) -> Result<()> {
    let payload = &claimed.item.payload;
    let push = payload.get("push").and_then(Value::as_str).unwrap_or_default();
    let round =
        payload.get("round").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let all = payload.get("tickets").and_then(Value::as_array).cloned().unwrap_or_default();
    let part =
        |entry: &Value, index: usize| entry.get(index).and_then(Value::as_str).unwrap_or_default().to_owned();
    let ids: Vec<String> = all.iter().map(|entry| part(entry, 0)).collect();
    let receipts = runner.adapter.receipts(&ids).await;
    let receipts = match receipts {
        Ok(receipts) => receipts,
        Err(error) => {
            tracing::debug!(%error, "no receipts could be had");
            ids.iter().map(|_| Receipt::Unknown).collect()
        }
    };
    let (mut open, mut dead, mut log) = (Vec::new(), Vec::new(), Vec::new());
    for (entry, receipt) in all.iter().zip(receipts) {
        match receipt {
            Receipt::Delivered => {}
            Receipt::Unknown => open.push(entry.clone()),
            Receipt::Failed { reason, is_dead } => {
                log.push(Delivery {
                    id: 0,
                    installation: part(entry, 1),
                    device_type: None,
                    result: "rejected".to_owned(),
                    reason: Some(reason),
                    at: None,
                });
                if is_dead {
                    dead.push((part(entry, 1), part(entry, 2)));
                }
            }
        }
    }
    let more = match !open.is_empty() && round + 1 < AFTER_S.len() {
        true => vec![written(push, open, round + 1)],
        false => Vec::new(),
    };
    let class = campaign::installations(&runner.services).await?;
    let transaction = runner.services.storage.begin().await?;
    let work = transaction.work().ok_or_else(|| Error::internal("no work is kept"))?;
    work.enqueue(runner.app(), &more).await?;
    let writer = transaction.push_writer().ok_or_else(|| Error::internal("no pushes are kept"))?;
    let keeps_log = runner.services.state.pushes.log_days().is_some();
    if !writer.note_receipts(runner.app(), push, &claimed.lease, &log, keeps_log).await? {
        transaction.rollback().await?;
        return Ok(());
    }
    if let (Some(class), false) = (class, dead.is_empty()) {
        remove_tokens(transaction.as_session(), &class, &dead).await?;
    }
    transaction.commit().await?;
    Ok(())
}
