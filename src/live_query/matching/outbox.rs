//! What one event comes to, collected for each worker and sent in one message to each.

use std::sync::Arc;

use super::subscriptions::GroupKey;
use crate::error::Error;
use crate::live_query::parcel::{Delivery, Dispatch, Parcel, Recipient, Worker};
use crate::live_query::waiting::WaitingBytes;
use crate::operations::Services;

/// A parcel that has no id yet.
pub struct Unsent {
    pub parcel: Parcel,
    with_ids: bool,
    recipients: Arc<Vec<Recipient>>,
}

/// What goes to each worker. There are few workers: a list is enough.
pub type Outbox = Vec<(Worker, Vec<Unsent>)>;

pub fn push(outbox: &mut Outbox, key: &GroupKey, recipients: Arc<Vec<Recipient>>, parcel: Parcel) {
    let unsent = Unsent { parcel, with_ids: key.with_ids, recipients };
    match outbox.iter_mut().find(|(worker, _)| *worker == key.worker) {
        Some((_, parcels)) => parcels.push(unsent),
        None => outbox.push((key.worker.clone(), vec![unsent])),
    }
}

/// One message to each worker. `waiting`: the event's bytes, held until it is in the outlets.
pub fn send(outbox: Outbox, id: impl FnOnce() -> String, waiting: Option<&Arc<WaitingBytes>>) {
    let wants_ids = outbox.iter().any(|(_, parcels)| parcels.iter().any(|unsent| unsent.with_ids));
    let text: Option<Arc<str>> = wants_ids.then(|| id().into());
    for (worker, parcels) in outbox {
        let dispatches = parcels.into_iter().map(|mut unsent| {
            if let (true, Parcel::Event { id, .. }) = (unsent.with_ids, &mut unsent.parcel) {
                id.clone_from(&text);
            }
            Dispatch { parcel: Arc::new(unsent.parcel), recipients: unsent.recipients }
        });
        worker.deliver(Delivery { dispatches: dispatches.collect(), _waiting: waiting.cloned() });
    }
}

/// What a subscriber is told of an error.
pub fn error_parcel(services: &Services, error: &Error) -> Parcel {
    let code = error.code().map_or(141, |code| code.0);
    let message = error.public_message(services.config.http.sanitize_errors).to_owned();
    Parcel::Error { code, message }
}
