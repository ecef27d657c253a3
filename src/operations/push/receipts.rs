//! Expo's receipts, asked for some time after the tickets: tokens that turn out dead are removed, refusals are
//! told in the report. The push itself is over by then.

use serde_json::Value;

use super::tickets::{AFTER_S, written};
use super::tokens::remove_tokens;
use super::{campaign, settled};
use crate::error::{Error, Result};
use crate::operations::services::Services;
use crate::push::{PushAdapter, Receipt};
use crate::storage::Claimed;
use crate::storage::push::Delivery;

/// Asks for the receipts of one item.
///
/// # Errors
/// When the service or the database does not answer.
pub async fn run(services: &Services, adapter: &dyn PushAdapter, claimed: &Claimed) -> Result<()> {
    let payload = &claimed.item.payload;
    let push = payload.get("push").and_then(Value::as_str).unwrap_or_default();
    let round =
        payload.get("round").and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let all = payload.get("tickets").and_then(Value::as_array).cloned().unwrap_or_default();
    let part =
        |entry: &Value, index: usize| entry.get(index).and_then(Value::as_str).unwrap_or_default().to_owned();
    let ids: Vec<String> = all.iter().map(|entry| part(entry, 0)).collect();
    let receipts = adapter.receipts(&ids).await;
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
    let class = campaign::installations(services).await?;
    settled(async || {
        let transaction = services.storage.begin().await?;
        let work = transaction.work().ok_or_else(|| Error::internal("no work is kept"))?;
        work.enqueue(&services.config.app_id, &more).await?;
        let writer = transaction.push_writer().ok_or_else(|| Error::internal("no pushes are kept"))?;
        let keeps_log = services.state.pushes.log_days().is_some();
        if !writer.note_receipts(&services.config.app_id, push, &claimed.lease, &log, keeps_log).await? {
            transaction.rollback().await?;
            return Ok(());
        }
        if let (Some(class), false) = (&class, dead.is_empty()) {
            remove_tokens(transaction.as_session(), class, &dead).await?;
        }
        Ok(transaction.commit().await?)
    })
    .await
}
