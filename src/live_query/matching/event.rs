//! One event on its way to the subscribers of its class: found through the index, matched, checked
//! with the permission code of a find, rendered once for each distinct form, handed to the workers.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::Value;

use super::asking::Asker;
use super::calls::{self, Call};
use super::decide::{Decision, Situation, decide};
use super::outbox::{Outbox, error_parcel, push, send};
use super::present::Present;
use super::render::{Mask, Renderer};
use super::shared::{CALLS_AT_ONCE, Shared};
use super::subscription::{Audience, Opened, Rights, acl_of, snapshot};
use super::subscriptions::{Audiences, Group, GroupKey, SubscriptionKey};
use super::triggers;
use crate::error::{Error, Result};
use crate::live_query::parcel::Parcel;
use crate::live_query::protocol::Event;
use crate::live_query::waiting::WaitingBytes;
use crate::operations::permissions::Protection;
use crate::operations::permissions::clp::{self, Action};
use crate::operations::ports::{ObjectEvent, ObjectEventKind};
use crate::operations::{Auth, ClassSnapshot, Credentials};
use crate::query::evaluate::ask::{Answers, Verdict};
use crate::query::evaluate::json_equals;
use crate::types::{Acl, Object};

/// How many candidates are matched, or audiences told, before other work of the arbiter gets a turn.
const CHUNK: usize = 512;
/// How long that may take.
const TURN: Duration = Duration::from_millis(1);

pub struct Work {
    pub(super) shared: Shared,
    pub(super) event: Arc<ObjectEvent>,
    current_acl: Option<Acl>,
    original_acl: Option<Acl>,
    /// Of an event that is told later on: what has become of the object.
    present: Option<Present>,
    /// Something was not told, because the object as it is now is not for the audience.
    withheld: Cell<bool>,
}

/// Whether one state satisfies a query, as far as it alone tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    Yes,
    No,
    Asks,
}

/// A query that one of the two states satisfies, or may.
struct Hit {
    opened: Rc<Opened>,
    original: Match,
    current: Match,
    audiences: Audiences,
}

impl Hit {
    /// Whether one of the states leaves it open.
    fn asks(&self) -> bool {
        self.original == Match::Asks || self.current == Match::Asks
    }
}

/// One audience of an event.
struct Heard<'e> {
    hit: &'e Hit,
    audience: &'e Rc<Audience>,
    rights: &'e Rights,
    /// Whether the state before and the one now satisfy the query.
    matches: (bool, bool),
    groups: &'e [Group],
}

impl Work {
    pub fn new(shared: Shared, event: Arc<ObjectEvent>) -> Self {
        Self {
            current_acl: acl_of(&event.object),
            original_acl: event.original.as_deref().and_then(acl_of),
            shared,
            event,
            present: None,
            withheld: Cell::new(false),
        }
    }

    /// Of something that happened before: also the rights to what has become of the object count.
    pub fn of_the_past(shared: Shared, event: Arc<ObjectEvent>, present: Present) -> Self {
        Self { present: Some(present), ..Self::new(shared, event) }
    }

    /// Tells everybody concerned.
    ///
    /// # Errors
    /// When the class cannot be looked up.
    pub async fn run(self, waiting: Arc<WaitingBytes>) -> Result<()> {
        let ids = self.candidates().await;
        let mut outbox = Outbox::new();
        if !ids.is_empty() {
            let class = snapshot(self.shared.services(), &self.shared.class).await?;
            let hits = ids.into_iter().map(|(id, opened, original, current)| {
                let audiences = {
                    let readers = self.readers(&class, &opened);
                    self.shared.subscriptions.borrow().audiences(id, readers.as_deref())
                };
                Hit { opened, original, current, audiences }
            });
            let hits: Vec<Hit> = hits.collect();
            self.tell(&class, hits, &mut outbox).await;
        }
        // No waiting from here on: numbers grow in the order in which frames leave.
        let number = self.shared.app.numbers.next();
        self.shared.ring.borrow_mut().record(number, &self.event, waiting.bytes());
        let seal = &self.shared.services().state.seal;
        send(outbox, || self.shared.app.numbers.id(number).seal(seal), Some(&waiting));
        Ok(())
    }

    /// What one subscription is told of something that happened before; `None` when the object as it is
    /// now does not let it be told.
    ///
    /// # Errors
    /// When the class cannot be looked up.
    pub(super) async fn replay(self, subscription: &SubscriptionKey) -> Result<Option<Outbox>> {
        let only = self.shared.subscriptions.borrow().only(subscription);
        let Some((opened, audiences)) = only else { return Ok(Some(Outbox::new())) };
        let (original, current) = self.match_states(&opened);
        if (original, current) == (Match::No, Match::No) {
            return Ok(Some(Outbox::new()));
        }
        let class = snapshot(self.shared.services(), &self.shared.class).await?;
        let mut outbox = Outbox::new();
        self.tell(&class, vec![Hit { opened, original, current, audiences }], &mut outbox).await;
        Ok((!self.withheld.get()).then_some(outbox))
    }

    async fn candidates(&self) -> Vec<(u64, Rc<Opened>, Match, Match)> {
        let states = || std::iter::once(&*self.event.object).chain(self.event.original.as_deref());
        let candidates = self.shared.subscriptions.borrow().index.candidates(states());
        let mut found = Vec::new();
        let mut rest = candidates.as_slice();
        while !rest.is_empty() {
            // Expressions on long texts take their time.
            let begun = Instant::now();
            let mut done = 0;
            {
                let subscriptions = self.shared.subscriptions.borrow();
                for id in rest.iter().take(CHUNK) {
                    done += 1;
                    let Some(opened) = subscriptions.opened(*id) else { continue };
                    let (original, current) = self.match_states(opened);
                    if (original, current) != (Match::No, Match::No) {
                        found.push((*id, opened.clone(), original, current));
                    }
                    if begun.elapsed() > TURN {
                        break;
                    }
                }
            }
            rest = rest.get(done..).unwrap_or_default();
            if !rest.is_empty() {
                tokio::task::yield_now().await;
            }
        }
        found
    }

    fn match_states(&self, opened: &Opened) -> (Match, Match) {
        let state = |object: &Object| {
            let matcher = &opened.matcher;
            if !matcher.asks() {
                return if matcher.matches(object) { Match::Yes } else { Match::No };
            }
            match matcher.decide(object, &Answers::new()) {
                Verdict::Matches => Match::Yes,
                Verdict::Differs => Match::No,
                Verdict::Asks(_) => Match::Asks,
            }
        };
        (self.event.original.as_deref().map_or(Match::No, state), state(&self.event.object))
    }

    /// The users whom alone the ACLs of both states let read; `None` when that does not leave anybody
    /// out. Where class permissions refuse, the refusal is told to all.
    fn readers(&self, class: &ClassSnapshot, opened: &Opened) -> Option<Vec<String>> {
        let anonymous = Auth { credentials: Credentials::Client, principal: None };
        clp::check(&anonymous, class, opened.op, Action::Read).ok()?;
        let mut readers = self.current_acl.as_ref()?.read.clone();
        if self.event.original.is_some() {
            readers.extend_from_slice(&self.original_acl.as_ref()?.read);
        }
        let everybody = readers.iter().any(|reader| reader == "*" || reader.starts_with("role:"));
        (!everybody).then_some(readers)
    }

    async fn tell(&self, class: &ClassSnapshot, hits: Vec<Hit>, outbox: &mut Outbox) {
        let mut rights: HashMap<Rc<Audience>, Rights> = HashMap::new();
        let mut renderer = Renderer::new(&self.event, &self.shared.services().auth);
        let mut told = 0;
        let mut calls: Vec<Call> = Vec::new();
        for hit in &hits {
            for (audience, _) in &hit.audiences {
                if !rights.contains_key(audience) {
                    let resolved = audience.resolve(self.shared.services()).await;
                    rights.insert(audience.clone(), resolved);
                }
            }
        }
        let mut answers = self.answers(class, &hits, &rights).await.into_iter();
        for hit in &hits {
            for (audience, groups) in &hit.audiences {
                let known = if hit.asks() { answers.next() } else { None };
                let matches = known.unwrap_or((hit.original == Match::Yes, hit.current == Match::Yes));
                let Some(rights) = rights.get(audience) else { continue };
                let heard = Heard { hit, audience, rights, matches, groups };
                self.tell_audience(class, &heard, &mut renderer, &mut calls, outbox);
                told += 1;
                if told % CHUNK == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
        calls::tell_through_trigger(&self.shared, &self.event, calls, &rights, outbox).await;
    }

    /// What the database says of queries that ask it, in the order of their audiences; several questions are
    /// under way at a time.
    async fn answers(
        &self,
        class: &ClassSnapshot,
        hits: &[Hit],
        rights: &HashMap<Rc<Audience>, Rights>,
    ) -> Vec<(bool, bool)> {
        if !hits.iter().any(Hit::asks) {
            return Vec::new();
        }
        let asking = hits.iter().filter(|hit| hit.asks());
        let each = asking.flat_map(|hit| hit.audiences.iter().map(move |(audience, _)| (hit, audience)));
        let asked = each.map(|(hit, audience)| async move {
            // The semaphore is never closed.
            let _turn = self.shared.calls.acquire().await;
            match rights.get(audience) {
                Some(rights) => self.matches_for(class, hit, rights).await,
                None => (false, false),
            }
        });
        let asked: Vec<_> = asked.collect();
        futures_util::stream::iter(asked).buffered(CALLS_AT_ONCE).collect().await
    }

    fn tell_audience(
        &self,
        class: &ClassSnapshot,
        heard: &Heard<'_>,
        renderer: &mut Renderer<'_>,
        calls: &mut Vec<Call>,
        outbox: &mut Outbox,
    ) {
        let Heard { hit, audience, rights, matches: (original_matches, current_matches), groups } = *heard;
        match rights.admitted(class, hit.opened.op, &self.event.object) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                self.tell_error(&error, groups, outbox);
                return;
            }
        }
        if class.name().is_session() && !self.is_own_session(audience, rights) {
            return;
        }
        // Each state by itself: a pointer field may have named another user before.
        let admitted_before =
            |object: &Object| rights.admitted(class, hit.opened.op, object).is_ok_and(|is| is);
        let current_readable = rights.may_read(self.current_acl.as_ref());
        let original_readable = self.event.original.as_deref().is_some_and(admitted_before)
            && rights.may_read(self.original_acl.as_ref());
        if !current_readable && !original_readable {
            return;
        }
        let owner_exempt = self.shared.services().config.users.protected_fields_owner_exempt;
        let exact = hit.opened.matcher.filter().exact_id();
        let protection = Protection::resolve(&rights.auth, class, exact, owner_exempt);
        // Protected since it was opened: hearing of a match would tell the field's value.
        if hit.opened.looks_at.iter().any(|field| protection.forbids(field)) {
            return;
        }
        let present = self.present.as_ref().and_then(Present::state);
        let mask = Mask::of(class, &rights.auth, &protection, &self.event, present);
        let by_trigger = triggers::has_after_event(self.shared.services(), &self.shared.class);
        let for_calls = by_trigger.then(|| Rc::new(mask.clone()));
        for Group { key, recipients } in groups {
            if key.watch.iter().flat_map(|watch| watch.iter()).any(|field| protection.forbids(field)) {
                continue;
            }
            let situation = Situation {
                has_original: self.event.original.is_some(),
                original_matches,
                original_readable,
                current_matches,
                current_readable,
                watched_changed: self.watched_changed(key),
            };
            let Some(decision) = self.decision(situation) else { continue };
            if self.present.as_ref().is_some_and(|present| !present.is_for(class, hit.opened.op, rights)) {
                self.withheld.set(true);
                return;
            }
            if let Some(mask) = &for_calls {
                calls.extend(recipients.iter().map(|recipient| Call {
                    decision,
                    audience: audience.clone(),
                    key: key.clone(),
                    recipient: recipient.clone(),
                    mask: mask.clone(),
                }));
                continue;
            }
            let object = renderer.render(decision.object_is_original, &mask, key.keys.as_ref());
            let original = decision.with_original.then(|| renderer.render(true, &mask, key.keys.as_ref()));
            let parcel = Parcel::Event { event: decision.event, object, original, id: None };
            push(outbox, key, recipients.clone(), parcel);
        }
    }

    /// Whether the audience may hear of this session: of its user's as long as its own session lasts, of its own one
    /// in any case. The query names the user, but as the rights were when it was opened, and a session holds a token.
    fn is_own_session(&self, audience: &Audience, rights: &Rights) -> bool {
        let object = &self.event.object;
        let user = object.get("user").and_then(|user| user.get("objectId")).and_then(Value::as_str);
        let token = object.get("sessionToken").and_then(Value::as_str);
        rights.auth.is_master()
            || (user.is_some() && user == rights.auth.user_id())
            || token.is_some_and(|token| audience.tokens.iter().any(|own| own == token))
    }

    fn decision(&self, situation: Situation) -> Option<Decision> {
        match self.event.kind {
            // With a state before: subscribers whose query matched that state know of the deletion (see `order`).
            ObjectEventKind::Deleted => {
                let knows = situation.original_matches && situation.original_readable;
                (situation.current_matches && situation.current_readable && !knows).then_some(Decision {
                    event: Event::Delete,
                    object_is_original: false,
                    with_original: false,
                })
            }
            ObjectEventKind::Saved => decide(situation),
        }
    }

    /// Whether the state before and the one now satisfy the query, for this audience.
    async fn matches_for(&self, class: &ClassSnapshot, hit: &Hit, rights: &Rights) -> (bool, bool) {
        let plain = |state: Match| state == Match::Yes;
        let Some(mut asker) = Asker::new(self.shared.services(), class, rights, &hit.opened).await else {
            return (plain(hit.original), plain(hit.current));
        };
        let original = match (hit.original, self.event.original.as_deref()) {
            (Match::Asks, Some(object)) => asker.matches(object).await,
            (known, _) => plain(known),
        };
        let current = match hit.current {
            Match::Asks => asker.matches(&self.event.object).await,
            known => plain(known),
        };
        (original, current)
    }

    fn watched_changed(&self, key: &GroupKey) -> bool {
        let Some(watch) = &key.watch else { return true };
        let value = |object: Option<&Object>, field: &str| {
            object.and_then(|object| object.get(field)).cloned().unwrap_or(Value::Null)
        };
        watch.iter().any(|field| {
            let now = value(Some(&*self.event.object), field);
            !json_equals(&now, &value(self.event.original.as_deref(), field))
        })
    }

    fn tell_error(&self, error: &Error, groups: &[Group], outbox: &mut Outbox) {
        for Group { key, recipients } in groups {
            push(outbox, key, recipients.clone(), error_parcel(self.shared.services(), error));
        }
    }
}
