//! Events on their way through afterLiveQueryEvent: Cloud Code is called for each subscription, several at a
//! time. What comes of it leaves in the order of the subscriptions, when all have been called.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;

use super::decide::Decision;
use super::event::{Outbox, Work, push};
use super::render::Mask;
use super::subscription::{Audience, Rights};
use super::subscriptions::GroupKey;
use crate::error::{Error, ErrorCode};
use crate::live_query::CALLS_AT_ONCE;
use crate::live_query::delivery::worker::{Parcel, Target};
use crate::live_query::matching::triggers;
use crate::types::Object;

/// A handler that takes longer fails for its subscriber: the others wait for it.
const LONGEST: Duration = Duration::from_secs(30);

/// One subscription for which Cloud Code is to be called.
pub struct Call {
    pub decision: Decision,
    pub audience: Rc<Audience>,
    pub key: Rc<GroupKey>,
    pub target: Target,
    pub mask: Rc<Mask>,
}

impl Work {
    pub(super) async fn tell_through_trigger(
        &self,
        calls: Vec<Call>,
        rights: &HashMap<Rc<Audience>, Rights>,
        outbox: &mut Outbox,
    ) {
        if calls.is_empty() {
            return;
        }
        let called = futures_util::stream::iter(calls).map(|call| async move {
            // Of all events of the class that are under way, so many calls.
            let _turn = self.shared.calls.acquire().await;
            let parcel = match rights.get(&call.audience) {
                Some(rights) => self.call(&call, rights).await,
                None => None,
            };
            (call, parcel)
        });
        let mut called = std::pin::pin!(called.buffered(CALLS_AT_ONCE));
        while let Some((call, parcel)) = called.next().await {
            if let Some(parcel) = parcel {
                push(outbox, &call.key, Arc::new(vec![call.target]), parcel);
            }
        }
    }

    /// `None`: the handler dropped the event.
    async fn call(&self, call: &Call, rights: &Rights) -> Option<Parcel> {
        let Call { decision, key, target, mask, .. } = call;
        let state = |original: bool| {
            if original { self.event.original.as_deref() } else { Some(&*self.event.object) }
        };
        let asked = triggers::AfterEvent {
            class: &self.shared.class,
            event: decision.event,
            object: state(decision.object_is_original),
            original: state(true).filter(|_| decision.with_original),
            rights,
            installation_id: target.installation_id.as_deref(),
            counters: &self.shared.counters,
        };
        let answer = triggers::after_event(&self.shared.services, asked);
        let answer = tokio::time::timeout(LONGEST, answer).await.unwrap_or_else(|_| {
            Err(Error::parse(ErrorCode::SCRIPT_FAILED, "afterLiveQueryEvent did not answer in time"))
        });
        match answer {
            Ok(None) => None,
            Ok(Some((object, original))) => {
                let providers = &self.shared.services.auth;
                let render = |object: &Object| mask.render(object, key.keys.as_deref(), providers);
                Some(Parcel::Event {
                    event: decision.event,
                    object: render(&object),
                    original: original.as_ref().map(render),
                    id: None,
                })
            }
            Err(error) => Some(self.error(&error)),
        }
    }
}
