//! `PrincipalRegistry`: the handle through which requests reach session actors. One for each app,
//! shared by all workers; implements [`PrincipalDirectory`].
//!
//! Tokens come from clients: one nobody knows starts no actor, is looked up once however many ask at
//! the same time, and is remembered for a moment as unknown. A known one costs a look into this
//! worker's own table while it is fresh.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use actix::{Actor, Addr};
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;

use super::ask;
use super::lookup::{Failure, Lookup};
use super::session::{Authenticate, SessionActor, SessionCell, Stop, Touch};
use crate::config::AppConfig;
use crate::error::{Error, Result};
use crate::operations::Principal;
use crate::operations::ports::{ClassDirectory, PrincipalDirectory};
use crate::pubsub::{Notice, PubSub};
use crate::storage::StorageAdapter;

/// How long a token that nobody knows is refused without asking again.
const UNKNOWN_FOR: Duration = Duration::from_millis(1000);
/// Unknown tokens remembered at most; beyond that they are looked up each time.
const MOST_UNKNOWN: usize = 10_000;
/// So many unknown tokens are looked up again before their time, in each [`UNKNOWN_FOR`].
const SECOND_LOOKS: u32 = 100;
/// Longer tokens are nobody's: ours have 34 characters.
const LONGEST_TOKEN: usize = 1024;
const EVICT_FRACTION: usize = 64;

type Waiter = oneshot::Sender<Result<Arc<Principal>, Failure>>;

struct Entry {
    cell: Arc<SessionCell>,
    user_id: String,
    actor: Addr<SessionActor>,
}

struct Flight {
    cell: Arc<SessionCell>,
    waiting: Vec<Waiter>,
}

#[derive(Default)]
struct Table {
    sessions: HashMap<Arc<str>, Entry>,
    by_user: HashMap<String, HashSet<Arc<str>>>,
    flights: HashMap<Arc<str>, Flight>,
    unknown: HashMap<Arc<str>, Instant>,
    /// Since when, and how many.
    second_looks: Option<(Instant, u32)>,
}

pub struct PrincipalRegistry {
    /// Tells this app's sessions from another's on the same thread.
    number: u64,
    lookup: Arc<Lookup>,
    pubsub: Arc<dyn PubSub>,
    table: Arc<Mutex<Table>>,
}

type Cells = HashMap<Arc<str>, Weak<SessionCell>>;

thread_local! {
    /// What this worker knows without asking: app → token → cell.
    static NEAR: RefCell<HashMap<u64, Cells>> = RefCell::new(HashMap::new());
}

/// What servers tell each other instead of the token.
pub fn hash_of(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

impl PrincipalRegistry {
    /// Starts listening for what other servers change. Call it on an actix arbiter.
    pub fn start(
        storage: Arc<dyn StorageAdapter>,
        pubsub: Arc<dyn PubSub>,
        classes: Arc<dyn ClassDirectory>,
        config: Arc<AppConfig>,
    ) -> Arc<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let registry = Arc::new(Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            lookup: Arc::new(Lookup::new(storage, classes, config)),
            pubsub,
            table: Arc::default(),
        });
        let mut notices = registry.pubsub.notices();
        let listener = Arc::downgrade(&registry);
        actix::spawn(async move {
            use tokio::sync::broadcast::error::RecvError;
            loop {
                let notice = notices.recv().await;
                let Some(registry) = listener.upgrade() else { return };
                match notice {
                    Ok(Notice::Roles) => registry.lookup.forget_roles(),
                    Ok(Notice::Session { token_hash }) => registry.drop_hash(&token_hash),
                    Ok(Notice::User { user_id }) => registry.drop_user(&user_id),
                    Ok(Notice::Lost) | Err(RecvError::Lagged(_)) => registry.lookup.forget_everything(),
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        });
        registry
    }

    /// The actor of a session that is in memory: for the buckets of the session zone.
    pub fn actor_of(&self, token: &str) -> Option<Addr<SessionActor>> {
        self.lock().sessions.get(token).map(|entry| entry.actor.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }

    fn near(&self, token: &str) -> Option<Arc<SessionCell>> {
        NEAR.with_borrow(|near| near.get(&self.number)?.get(token)?.upgrade())
    }

    fn remember_near(&self, cell: &Arc<SessionCell>) {
        let most = self.lookup.config().cache.max_size.max(16);
        NEAR.with_borrow_mut(|near| {
            let cells = near.entry(self.number).or_default();
            if cells.len() >= most {
                cells.retain(|_, cell| cell.strong_count() > 0);
            }
            if cells.len() < most {
                cells.insert(cell.token.clone(), Arc::downgrade(cell));
            }
        });
    }

    async fn prolong(&self, cell: &SessionCell) {
        if !self.lookup.config().users.extend_session_on_use || !cell.takes_extension_check() {
            return;
        }
        if let Some(actor) = self.actor_of(&cell.token)
            && actor.try_send(Touch).is_err()
        {
            tracing::debug!("a session was not prolonged: its actor is busy or gone");
        }
    }

    /// Through the session's actor; `None` when it has none.
    async fn ask_actor(&self, token: &str) -> Option<Result<Arc<Principal>>> {
        let (actor, cell) = {
            let table = self.lock();
            let entry = table.sessions.get(token)?;
            (entry.actor.clone(), entry.cell.clone())
        };
        if !actor.connected() {
            lock(&self.table).forget(token);
            return None;
        }
        let answer = ask(&actor, Authenticate).await;
        if answer.is_ok() {
            self.remember_near(&cell);
            self.prolong(&cell).await;
        } else if !actor.connected() {
            lock(&self.table).forget(token);
        }
        Some(answer)
    }

    /// Looks the token up once for all who ask, and starts its actor when it is somebody's.
    async fn look_up(&self, token: &str) -> Result<Arc<Principal>> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut table = self.lock();
            if let Some(since) = table.unknown.get(token) {
                if since.elapsed() < UNKNOWN_FOR {
                    return Err(Failure::Unknown.into());
                }
                table.unknown.remove(token);
            }
            if let Some(flight) = table.flights.get_mut(token) {
                flight.waiting.push(sender);
            } else {
                let token: Arc<str> = token.into();
                let cell = SessionCell::new(token.clone());
                table.flights.insert(token, Flight { cell: cell.clone(), waiting: vec![sender] });
                // Its own task: whoever began it may go away while others wait.
                actix::spawn(fly(self.lookup.clone(), self.table.clone(), cell));
            }
        }
        match receiver.await {
            Ok(outcome) => outcome.map_err(Error::from),
            Err(_) => Err(Error::internal("a session look-up was dropped")),
        }
    }

    fn drop_token(&self, token: &str) {
        let mut table = self.lock();
        table.unknown.remove(token);
        if let Some(flight) = table.flights.get(token) {
            flight.cell.invalidate();
        }
        if let Some(entry) = table.sessions.get(token) {
            entry.cell.invalidate();
        }
    }

    fn drop_hash(&self, hash: &str) {
        let token = {
            let table = self.lock();
            let known = table.sessions.values().map(|entry| &entry.cell);
            let mut cells = known.chain(table.flights.values().map(|flight| &flight.cell));
            cells.find(|cell| cell.hash == hash).map(|cell| cell.token.clone())
        };
        if let Some(token) = token {
            self.drop_token(&token);
        }
    }

    fn drop_user(&self, user_id: &str) {
        let table = self.lock();
        for token in table.by_user.get(user_id).into_iter().flatten() {
            if let Some(entry) = table.sessions.get(token) {
                entry.cell.invalidate();
            }
        }
        // Nobody knows yet whose these are.
        for flight in table.flights.values() {
            flight.cell.invalidate();
        }
    }

    async fn tell(&self, notice: Notice) {
        if let Err(error) = self.pubsub.notify(notice).await {
            tracing::warn!(%error, "could not announce a change of sessions or roles: {error}");
        }
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn fly(lookup: Arc<Lookup>, table: Arc<Mutex<Table>>, cell: Arc<SessionCell>) {
    let outcome = lookup.load_into(&cell).await;
    let mut table = lock(&table);
    let waiting = table.flights.remove(&cell.token).map(|flight| flight.waiting).unwrap_or_default();
    match &outcome {
        Ok(principal) => {
            table.make_room(lookup.config().cache.max_size.max(1));
            let user_id = principal.user_id.as_str().to_owned();
            table.by_user.entry(user_id.clone()).or_default().insert(cell.token.clone());
            let actor = SessionActor::new(cell.clone(), lookup.clone()).start();
            table.sessions.insert(cell.token.clone(), Entry { cell, user_id, actor });
        }
        Err(Failure::Unknown) => table.remember_unknown(cell.token.clone()),
        Err(_) => {}
    }
    drop(table);
    for waiter in waiting {
        // Whoever stopped waiting needs no answer.
        let _ = waiter.send(outcome.clone());
    }
}

impl Table {
    fn forget(&mut self, token: &str) {
        let Some(entry) = self.sessions.remove(token) else { return };
        entry.cell.evict();
        // The actor may be gone already.
        let _ = entry.actor.try_send(Stop);
        if let Some(tokens) = self.by_user.get_mut(&entry.user_id) {
            tokens.remove(token);
            if tokens.is_empty() {
                self.by_user.remove(&entry.user_id);
            }
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

    /// Drops actors that stopped by themselves, then those that were not used for longest.
    fn make_room(&mut self, most: usize) {
        if self.sessions.len() < most {
            return;
        }
        let mut by_use: Vec<(i64, Arc<str>)> =
            self.sessions.iter().map(|(token, entry)| (entry.cell.last_used_ms(), token.clone())).collect();
        by_use.sort_unstable();
        let gone = by_use
            .iter()
            .filter(|(_, token)| self.sessions.get(token).is_some_and(|entry| !entry.actor.connected()));
        let mut victims: HashSet<Arc<str>> = gone.map(|(_, token)| token.clone()).collect();
        if self.sessions.len() - victims.len() >= most {
            let surplus = self.sessions.len() - victims.len() - most + (most / EVICT_FRACTION).max(1);
            let oldest =
                by_use.iter().map(|(_, token)| token.clone()).filter(|token| !victims.contains(token));
            let oldest: Vec<_> = oldest.take(surplus).collect();
            victims.extend(oldest);
        }
        for token in &victims {
            self.forget(token);
        }
    }
}

#[async_trait(?Send)]
impl PrincipalDirectory for PrincipalRegistry {
    async fn authenticate(&self, token: &str) -> Result<Arc<Principal>> {
        if token.is_empty() || token.len() > LONGEST_TOKEN {
            return Err(Error::invalid_session_token());
        }
        if let Some(cell) = self.near(token)
            && let Some(loaded) = cell.fresh(&self.lookup)
        {
            cell.touch();
            self.prolong(&cell).await;
            return Ok(loaded.principal.clone());
        }
        if let Some(answer) = self.ask_actor(token).await {
            return answer;
        }
        self.look_up(token).await
    }

    async fn authenticate_for_event(&self, token: &str) -> Result<Arc<Principal>> {
        self.lock().allow_second_look(token);
        self.authenticate(token).await
    }

    async fn roles_of(&self, user_id: &str) -> Result<Vec<String>> {
        Ok(self.lookup.roles(user_id).await.map_err(Error::from)?.as_ref().clone())
    }

    async fn forget_session(&self, token: &str) {
        self.drop_token(token);
        self.tell(Notice::Session { token_hash: hash_of(token) }).await;
    }

    async fn forget_user(&self, user_id: &str) {
        self.drop_user(user_id);
        self.tell(Notice::User { user_id: user_id.to_owned() }).await;
    }

    async fn roles_changed(&self) {
        self.lookup.forget_roles();
        self.tell(Notice::Roles).await;
    }
}

#[cfg(test)]
mod tests;
