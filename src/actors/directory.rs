//! `SessionDirectory`: one actor for each app, which knows where the owner of a session is: addresses by token, by
//! user and by the token's hash, nothing of what the owners know. It also owns what has no owner yet: look-ups of
//! tokens that nobody has proven (one for each token), and tokens that were refused a moment ago.
//!
//! Tokens come from clients: one that nobody knows starts no actor. An invalidation is answered when every owner
//! concerned has withdrawn what it published; an evicted owner stays known until it says that it has stopped.
//!
//! Asked by [`super::principals`] alone. It waits for owners, owners never wait for it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Context, Handler, MailboxError, Message, ResponseFuture};
use futures_util::future::join_all;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::ASK_DEADLINE;
use super::flight::{Flights, answer_all};
use super::lookup::Failure;
use super::mail::{self, Mail, Mailed};
use super::published::NumberOwner;
use super::session::{Left, Owner, SessionActor, Stop, Usage, Withdraw};
use crate::error::Result;

/// How long a token that nobody knows is refused without asking again.
const UNKNOWN_FOR: Duration = Duration::from_millis(1000);
/// Unknown tokens remembered at most; beyond that they are looked up each time.
const MOST_UNKNOWN: usize = 10_000;
/// So many unknown tokens are looked up again before their time, in each [`UNKNOWN_FOR`].
pub(super) const SECOND_LOOKS: u32 = 100;
/// How long a principal counts at most while other servers cannot be heard.
const DEAF_LIMIT_MS: u64 = 1000;
const EVICT_FRACTION: usize = 64;

pub(super) type Outcome = Result<Owner, Failure>;

/// What servers tell each other instead of the token.
pub fn hash_of(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

struct Entry {
    address: Addr<SessionActor>,
    user_id: Arc<str>,
    hash: String,
    usage: Arc<Usage>,
}

/// An owner that was told to stop and may still have published something.
struct Leaving {
    token: Arc<str>,
    entry: Entry,
}

pub struct SessionDirectory {
    /// Generation of everything, and for how many milliseconds a principal counts.
    epoch: NumberOwner,
    limit: NumberOwner,
    ttl_ms: u64,
    /// Owners at most.
    most: usize,
    owners: HashMap<Arc<str>, Entry>,
    by_user: HashMap<Arc<str>, HashSet<Arc<str>>>,
    by_hash: HashMap<String, Arc<str>>,
    leaving: Vec<Leaving>,
    flights: Flights<Arc<str>, Outcome>,
    unknown: HashMap<Arc<str>, Instant>,
    /// Since when, and how many.
    second_looks: Option<(Instant, u32)>,
}

impl SessionDirectory {
    /// `limit` holds the milliseconds for which a principal counts while other servers are heard.
    pub fn new(epoch: NumberOwner, limit: NumberOwner, most: usize) -> Self {
        Self {
            ttl_ms: limit.reader().get(),
            epoch,
            limit,
            most: most.max(1),
            owners: HashMap::new(),
            by_user: HashMap::new(),
            by_hash: HashMap::new(),
            leaving: Vec::new(),
            flights: Flights::default(),
            unknown: HashMap::new(),
            second_looks: None,
        }
    }

    fn enter(&mut self, token: Arc<str>, owner: &Owner) {
        self.make_room();
        let user_id: Arc<str> = owner.published.principal().user_id.as_str().into();
        let hash = hash_of(&token);
        self.by_user.entry(user_id.clone()).or_default().insert(token.clone());
        self.by_hash.insert(hash.clone(), token.clone());
        let usage = owner.published.usage().clone();
        self.owners.insert(token, Entry { address: owner.address.clone(), user_id, hash, usage });
    }

    fn remove(&mut self, token: &str) -> Option<Entry> {
        let entry = self.owners.remove(token)?;
        self.by_hash.remove(&entry.hash);
        if let Some(tokens) = self.by_user.get_mut(&entry.user_id) {
            tokens.remove(token);
            if tokens.is_empty() {
                self.by_user.remove(&entry.user_id);
            }
        }
        Some(entry)
    }

    fn evict(&mut self, token: &Arc<str>) {
        let Some(entry) = self.remove(token) else { return };
        // An owner that takes no messages has stopped, and withdrew what it had published.
        if entry.address.connected() {
            let address = entry.address.clone();
            self.leaving.push(Leaving { token: token.clone(), entry });
            actix::spawn(async move { address.send(Stop).await });
        }
    }

    /// Drops owners that stopped by themselves, then those that were not used for longest.
    fn make_room(&mut self) {
        if self.owners.len() < self.most {
            return;
        }
        self.leaving.retain(|leaving| leaving.entry.address.connected());
        let mut by_use: Vec<(bool, i64, Arc<str>)> = self
            .owners
            .iter()
            .map(|(token, entry)| (entry.address.connected(), entry.usage.last_used_ms(), token.clone()))
            .collect();
        by_use.sort_unstable();
        let stopped = by_use.partition_point(|(connected, ..)| !connected);
        let surplus = match (self.owners.len() - stopped).checked_sub(self.most) {
            Some(over) => over + (self.most / EVICT_FRACTION).max(1),
            None => 0,
        };
        for (_, _, token) in by_use.iter().take(stopped + surplus) {
            self.evict(token);
        }
    }

    fn refuses(&mut self, token: &str) -> bool {
        match self.unknown.get(token) {
            Some(since) if since.elapsed() < UNKNOWN_FOR => true,
            Some(_) => {
                self.unknown.remove(token);
                false
            }
            None => false,
        }
    }

    fn remember_unknown(&mut self, token: Arc<str>) {
        if self.unknown.len() >= MOST_UNKNOWN {
            self.unknown.retain(|_, since| since.elapsed() < UNKNOWN_FOR);
        }
        if self.unknown.len() < MOST_UNKNOWN {
            self.unknown.insert(token, Instant::now());
        }
    }

    /// Lets an unknown token be looked up again at once, unless that was done too often.
    fn allow_second_look(&mut self, token: &str) {
        if !self.unknown.contains_key(token) {
            return;
        }
        let (since, count) = match self.second_looks {
            Some((since, count)) if since.elapsed() < UNKNOWN_FOR => (since, count),
            _ => (Instant::now(), 0),
        };
        if count < SECOND_LOOKS {
            self.unknown.remove(token);
            self.second_looks = Some((since, count + 1));
        }
    }

    /// Overtakes the look-ups concerned and names the owners.
    fn concerned(&mut self, change: &SessionsChanged) -> Vec<Addr<SessionActor>> {
        let tokens: Vec<Arc<str>> = match change {
            SessionsChanged::Token(token) => {
                self.unknown.remove(&**token);
                vec![token.clone()]
            }
            SessionsChanged::Hash(hash) => self.by_hash.get(hash).cloned().into_iter().collect(),
            SessionsChanged::User(user_id) => {
                self.by_user.get(&**user_id).into_iter().flatten().cloned().collect()
            }
        };
        self.flights.overtake(|token| match change {
            SessionsChanged::Token(changed) => token == changed,
            SessionsChanged::Hash(hash) => hash_of(token) == *hash,
            // Nobody knows yet whose these are.
            SessionsChanged::User(_) => true,
        });
        let leaving = self.leaving.iter().filter(|leaving| match change {
            SessionsChanged::Token(token) => leaving.token == *token,
            SessionsChanged::Hash(hash) => leaving.entry.hash == *hash,
            SessionsChanged::User(user_id) => *leaving.entry.user_id == **user_id,
        });
        let leaving = leaving.map(|leaving| &leaving.entry);
        let known = tokens.iter().filter_map(|token| self.owners.get(token));
        known.chain(leaving).map(|entry| entry.address.clone()).collect()
    }
}

impl Mailed for SessionDirectory {
    fn mail() -> &'static Mail {
        &mail::SESSION_DIRECTORY
    }
}

impl Actor for SessionDirectory {
    type Context = Context<Self>;
}

/// Who knows this token?
pub(super) struct Find {
    pub token: Arc<str>,
    /// An owner that answers no more.
    pub gone: Option<Addr<SessionActor>>,
    /// A token that was refused a moment ago may be somebody's by now.
    pub second_look: bool,
}

pub(super) enum Found {
    Owner(Addr<SessionActor>),
    /// Somebody looks already.
    Wait(oneshot::Receiver<Outcome>),
    /// The asker is the one who looks.
    Look(oneshot::Receiver<Outcome>),
    /// It was nobody's a moment ago.
    Refused,
}

impl Message for Find {
    type Result = Result<Found>;
}

impl Handler<Find> for SessionDirectory {
    type Result = Result<Found>;

    fn handle(&mut self, find: Find, _: &mut Self::Context) -> Self::Result {
        if let Some(entry) = self.owners.get(&find.token) {
            if entry.address.connected() && find.gone.as_ref() != Some(&entry.address) {
                return Ok(Found::Owner(entry.address.clone()));
            }
            self.remove(&find.token);
        }
        if find.second_look {
            self.allow_second_look(&find.token);
        }
        if self.refuses(&find.token) {
            return Ok(Found::Refused);
        }
        Ok(match self.flights.join(find.token) {
            (true, outcome) => Found::Look(outcome),
            (false, outcome) => Found::Wait(outcome),
        })
    }
}

/// Where the owner of this token is, when it has one.
pub(super) struct OwnerOf(pub Arc<str>);

impl Message for OwnerOf {
    type Result = Result<Option<Addr<SessionActor>>>;
}

impl Handler<OwnerOf> for SessionDirectory {
    type Result = Result<Option<Addr<SessionActor>>>;

    fn handle(&mut self, OwnerOf(token): OwnerOf, _: &mut Self::Context) -> Self::Result {
        Ok(self.owners.get(&token).map(|entry| entry.address.clone()))
    }
}

/// A look-up ended; an owner was started for what it found.
pub(super) struct Landed {
    pub token: Arc<str>,
    pub outcome: Outcome,
}

pub(super) enum Verdict {
    /// The owner that was started stays.
    Entered,
    /// Something changed meanwhile: look again.
    Again,
    /// There is no owner, or none that may stay.
    Passed,
}

impl Message for Landed {
    type Result = Result<Verdict>;
}

impl Handler<Landed> for SessionDirectory {
    type Result = Result<Verdict>;

    fn handle(&mut self, Landed { token, outcome }: Landed, _: &mut Self::Context) -> Self::Result {
        let Some((waiting, counts)) = self.flights.land(token.clone()) else { return Ok(Verdict::Again) };
        let mut verdict = Verdict::Passed;
        match &outcome {
            Ok(owner) if counts => {
                self.enter(token, owner);
                verdict = Verdict::Entered;
            }
            Err(Failure::Unknown) => self.remember_unknown(token),
            _ => {}
        }
        answer_all(waiting, &outcome);
        Ok(verdict)
    }
}

/// A look-up ended without an outcome.
pub(super) struct Abandoned(pub Arc<str>);

impl Message for Abandoned {
    type Result = ();
}

impl Handler<Abandoned> for SessionDirectory {
    type Result = ();

    fn handle(&mut self, Abandoned(token): Abandoned, _: &mut Self::Context) {
        self.flights.abandon(&token);
    }
}

impl Handler<Left> for SessionDirectory {
    type Result = ();

    fn handle(&mut self, left: Left, _: &mut Self::Context) {
        self.leaving.retain(|leaving| leaving.entry.address != left.owner);
        // Another one may have taken its place.
        if self.owners.get(&left.token).is_some_and(|entry| entry.address == left.owner) {
            self.remove(&left.token);
        }
    }
}

/// Sessions were changed or removed, here or by another server. Answered when no owner's older principal counts.
pub(super) enum SessionsChanged {
    Token(Arc<str>),
    Hash(String),
    User(String),
}

impl Message for SessionsChanged {
    type Result = ();
}

impl Handler<SessionsChanged> for SessionDirectory {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, change: SessionsChanged, _: &mut Self::Context) -> Self::Result {
        let owners = self.concerned(&change);
        Box::pin(async move {
            let told = owners.iter().map(|owner| owner.send(Withdraw).timeout(ASK_DEADLINE));
            for outcome in join_all(told).await {
                if let Err(MailboxError::Timeout) = outcome {
                    tracing::error!("a session was not withdrawn in time: its thread is busy");
                }
            }
        })
    }
}

/// What became of the connection on which other servers tell of changes.
#[derive(Clone, Copy)]
pub(super) enum Hearing {
    /// Nothing is heard for a while.
    Lost,
    /// It is heard again, and anything may have been missed.
    Back,
    /// Something was missed.
    Missed,
}

impl Message for Hearing {
    type Result = ();
}

impl Handler<Hearing> for SessionDirectory {
    type Result = ();

    fn handle(&mut self, hearing: Hearing, _: &mut Self::Context) {
        match hearing {
            Hearing::Lost => self.limit.set(self.ttl_ms.min(DEAF_LIMIT_MS)),
            Hearing::Back => {
                self.limit.set(self.ttl_ms);
                self.epoch.raise();
            }
            Hearing::Missed => self.epoch.raise(),
        }
    }
}

/// How many owners, look-ups and refused tokens there are.
#[cfg(test)]
pub(super) struct Census;

#[cfg(test)]
impl Message for Census {
    type Result = (usize, usize, usize);
}

#[cfg(test)]
impl Handler<Census> for SessionDirectory {
    type Result = actix::MessageResult<Census>;

    fn handle(&mut self, _: Census, _: &mut Self::Context) -> Self::Result {
        actix::MessageResult((self.owners.len(), self.flights.len(), self.unknown.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_tokens_get_few_second_looks() {
        let mut directory = SessionDirectory::new(NumberOwner::new(0), NumberOwner::new(5000), 10);
        for n in 0..=SECOND_LOOKS {
            let token: Arc<str> = format!("r:{n}").into();
            directory.remember_unknown(token.clone());
            assert!(directory.refuses(&token));
            directory.second_looks = directory.second_looks.map(|(_, count)| (Instant::now(), count));
            directory.allow_second_look(&token);
            assert_eq!(directory.refuses(&token), n == SECOND_LOOKS, "{n}");
        }
    }
}
