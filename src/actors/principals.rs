//! `PrincipalRegistry`: the handle through which requests reach the owners of sessions and roles. One for each
//! app, shared by all workers; implements [`PrincipalDirectory`].
//!
//! Each worker remembers weakly what owners published, and where they are: a known token costs a look into this
//! worker's own table as long as the published principal counts. Otherwise its owner is asked, whose address the
//! [`SessionDirectory`] knows; a token without an owner is looked up on the thread of whoever asked first.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use actix::{Actor, Addr, MailboxError, WeakAddr};
use async_trait::async_trait;

use super::directory::{
    Abandoned, Find, Found, Hearing, Landed, OwnerOf, SessionDirectory, SessionsChanged, Verdict,
};
use super::lookup::{Failure, Lookup};
use super::published::NumberOwner;
use super::role::Roles;
use super::session::{Authenticate, Owner, Prolong, Published, SessionActor, Stop};
use super::{ASK_DEADLINE, ask, mail};
use crate::config::AppConfig;
use crate::error::{Error, Result};
use crate::metrics::{Counter, Page};
use crate::operations::Principal;
use crate::operations::ports::{ClassDirectory, PrincipalDirectory};
use crate::pubsub::{Notice, PubSub};
use crate::storage::StorageAdapter;

pub use super::directory::hash_of;

/// Longer tokens are nobody's: ours have 34 characters.
const LONGEST_TOKEN: usize = 1024;
/// So many owners in a row may stop while they are asked.
const ATTEMPTS: usize = 3;

pub struct PrincipalRegistry {
    /// Tells this app's sessions from another's on the same thread.
    number: u64,
    lookup: Arc<Lookup>,
    pubsub: Arc<dyn PubSub>,
    directory: Addr<SessionDirectory>,
    /// Tokens that this worker knew, and those that had to be asked for.
    hits: Counter,
    misses: Counter,
}

/// What a worker remembers of a session.
struct Remembered {
    owner: WeakAddr<SessionActor>,
    published: Weak<Published>,
}

thread_local! {
    /// What this worker knows without asking: app → token → session.
    static NEAR: RefCell<HashMap<u64, HashMap<Arc<str>, Remembered>>> = RefCell::new(HashMap::new());
}

impl PrincipalRegistry {
    /// Starts the directory, the role actor and the listener for what other servers change on the current arbiter.
    pub fn start(
        storage: Arc<dyn StorageAdapter>,
        pubsub: Arc<dyn PubSub>,
        classes: Arc<dyn ClassDirectory>,
        config: Arc<AppConfig>,
    ) -> Arc<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let (epoch, limit) = (NumberOwner::new(0), NumberOwner::new(config.cache.ttl_ms));
        let numbers = (limit.reader(), epoch.reader());
        let roles = Roles::start(storage.clone(), limit.reader(), config.cache.max_size);
        let directory = SessionDirectory::new(epoch, limit, config.cache.max_size).start();
        let registry = Arc::new(Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            lookup: Arc::new(Lookup::new(storage, classes, config, roles, numbers)),
            pubsub,
            directory,
            hits: Counter::default(),
            misses: Counter::default(),
        });
        let mut notices = registry.pubsub.notices();
        let listener = Arc::downgrade(&registry);
        actix::spawn(async move {
            use tokio::sync::broadcast::error::RecvError;
            loop {
                let notice = notices.recv().await;
                let Some(registry) = listener.upgrade() else { return };
                match notice {
                    Ok(Notice::Roles) => registry.lookup.roles().changed().await,
                    Ok(Notice::Session { token_hash }) => {
                        registry.changed(SessionsChanged::Hash(token_hash)).await;
                    }
                    Ok(Notice::User { user_id }) => registry.changed(SessionsChanged::User(user_id)).await,
                    Ok(Notice::Deaf) => registry.hearing(Hearing::Lost).await,
                    Ok(Notice::Lost) => registry.hearing(Hearing::Back).await,
                    Err(RecvError::Lagged(_)) => registry.hearing(Hearing::Missed).await,
                    Ok(_) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        });
        registry
    }

    /// The owner of a session that is in memory: for the buckets of the session zone.
    pub async fn owner_of(&self, token: &str) -> Option<Addr<SessionActor>> {
        if let Some(owner) = self.near_owner(token) {
            return Some(owner);
        }
        ask(&self.directory, OwnerOf(token.into())).await.ok().flatten()
    }

    /// What this worker remembers, when it still counts.
    fn near(&self, token: &str) -> Option<Arc<Published>> {
        let published = NEAR.with_borrow(|near| near.get(&self.number)?.get(token)?.published.upgrade())?;
        published.counts(&self.lookup).then_some(published)
    }

    fn near_owner(&self, token: &str) -> Option<Addr<SessionActor>> {
        let owner = NEAR.with_borrow(|near| near.get(&self.number)?.get(token)?.owner.upgrade())?;
        owner.connected().then_some(owner)
    }

    fn remember_near(&self, token: &Arc<str>, owner: &Owner) {
        let most = self.lookup.config().cache.max_size.max(16);
        let remembered =
            Remembered { owner: owner.address.downgrade(), published: Arc::downgrade(&owner.published) };
        NEAR.with_borrow_mut(|near| {
            let sessions = near.entry(self.number).or_default();
            if sessions.len() >= most {
                sessions.retain(|_, session| session.owner.upgrade().is_some_and(|owner| owner.connected()));
            }
            if sessions.len() < most {
                sessions.insert(token.clone(), remembered);
            } else if let Some(session) = sessions.get_mut(token) {
                *session = remembered;
            }
        });
    }

    fn prolong(&self, published: &Published, token: &str) {
        if !self.lookup.config().users.extend_session_on_use || !published.usage().takes_extension_check() {
            return;
        }
        if let Some(owner) = self.near_owner(token)
            && owner.try_send(Prolong).is_err()
        {
            tracing::debug!("a session was not prolonged: its actor is busy or gone");
        }
    }

    async fn authenticated(&self, token: &str, second_look: bool) -> Result<Arc<Principal>> {
        if token.is_empty() || token.len() > LONGEST_TOKEN {
            return Err(Error::invalid_session_token());
        }
        if let Some(published) = self.near(token) {
            self.hits.increment();
            published.usage().touch();
            self.prolong(&published, token);
            return Ok(published.principal().clone());
        }
        self.misses.increment();
        self.ask_owner(token, second_look).await
    }

    /// From the session's owner, or from storage when it has none.
    async fn ask_owner(&self, token: &str, second_look: bool) -> Result<Arc<Principal>> {
        let token: Arc<str> = token.into();
        let mut gone = None;
        for _ in 0..ATTEMPTS {
            let near = self.near_owner(&token).filter(|owner| gone.as_ref() != Some(owner));
            let address = match near {
                Some(owner) => owner,
                None => {
                    match ask(&self.directory, Find { token: token.clone(), gone: gone.take(), second_look })
                        .await?
                    {
                        Found::Owner(owner) => owner,
                        Found::Refused => return Err(Failure::Unknown.into()),
                        Found::Wait(outcome) => return self.landed(&token, outcome.await),
                        Found::Look(outcome) => {
                            // Its own task: whoever began it may go away while others wait.
                            actix::spawn(look_up(self.lookup.clone(), self.directory.clone(), token.clone()));
                            return self.landed(&token, outcome.await);
                        }
                    }
                }
            };
            let _letter = mail::letter(&address);
            match address.send(Authenticate).timeout(ASK_DEADLINE).await {
                Ok(answer) => return Ok(self.known(&token, Owner { address, published: answer? })),
                Err(MailboxError::Timeout) => break,
                Err(MailboxError::Closed) => gone = Some(address),
            }
        }
        Err(Error::internal("the owner of a session does not answer"))
    }

    fn landed<E>(
        &self,
        token: &Arc<str>,
        outcome: Result<Result<Owner, Failure>, E>,
    ) -> Result<Arc<Principal>> {
        match outcome {
            Ok(outcome) => Ok(self.known(token, outcome.map_err(Error::from)?)),
            Err(_) => Err(Error::internal("a session look-up was dropped")),
        }
    }

    fn known(&self, token: &Arc<str>, owner: Owner) -> Arc<Principal> {
        self.remember_near(token, &owner);
        self.prolong(&owner.published, token);
        owner.published.principal().clone()
    }

    async fn changed(&self, change: SessionsChanged) {
        if let Err(error) = self.directory.send(change).await {
            tracing::error!(%error, "a change of sessions was not heard: {error}");
        }
    }

    async fn hearing(&self, hearing: Hearing) {
        let heard = self.directory.send(hearing).await;
        if let (Ok(()), Hearing::Back | Hearing::Missed) = (heard, hearing) {
            self.lookup.roles().changed().await;
        }
    }

    async fn tell(&self, notice: Notice) {
        if let Err(error) = self.pubsub.notify(notice).await {
            tracing::warn!(%error, "could not announce a change of sessions or roles: {error}");
        }
    }
}

/// Looks a token up for everybody who asked for it, and starts its owner when it is somebody's.
async fn look_up(lookup: Arc<Lookup>, directory: Addr<SessionDirectory>, token: Arc<str>) {
    let ending = Ending(Some(token.clone()), directory.clone());
    loop {
        let outcome = match lookup.read(&token).await {
            Ok(loaded) if loaded.is_expired() => Err(Failure::Expired),
            Ok(loaded) => {
                let leaving = directory.clone().recipient();
                Ok(SessionActor::begin(token.clone(), lookup.clone(), leaving, loaded))
            }
            Err(failure) => Err(failure),
        };
        let owner = outcome.as_ref().ok().map(|owner| owner.address.clone());
        let verdict = directory.send(Landed { token: token.clone(), outcome }).await;
        if let Ok(Ok(Verdict::Entered)) = verdict {
            return ending.landed();
        }
        if let Some(owner) = owner {
            // Nobody else has its address.
            let _ = owner.send(Stop).await;
        }
        if !matches!(verdict, Ok(Ok(Verdict::Again))) {
            return ending.landed();
        }
    }
}

/// Tells the directory when the task of a look-up ends before its time.
struct Ending(Option<Arc<str>>, Addr<SessionDirectory>);

impl Ending {
    fn landed(mut self) {
        self.0 = None;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(token) = self.0.take() {
            // A directory that is gone has nobody waiting.
            let _ = self.1.try_send(Abandoned(token));
        }
    }
}

#[async_trait(?Send)]
impl PrincipalDirectory for PrincipalRegistry {
    async fn authenticate(&self, token: &str) -> Result<Arc<Principal>> {
        self.authenticated(token, false).await
    }

    async fn authenticate_for_event(&self, token: &str) -> Result<Arc<Principal>> {
        self.authenticated(token, true).await
    }

    async fn roles_of(&self, user_id: &str) -> Result<Vec<String>> {
        Ok(self.lookup.roles().of(user_id).await?.as_ref().clone())
    }

    async fn forget_session(&self, token: &str) {
        self.changed(SessionsChanged::Token(token.into())).await;
        self.tell(Notice::Session { token_hash: hash_of(token) }).await;
    }

    async fn forget_user(&self, user_id: &str) {
        self.changed(SessionsChanged::User(user_id.to_owned())).await;
        self.tell(Notice::User { user_id: user_id.to_owned() }).await;
    }

    async fn roles_changed(&self) {
        self.lookup.roles().changed().await;
        self.tell(Notice::Roles).await;
    }

    fn report(&self, page: &mut Page) {
        let (name, help) = ("parsimony_cache_lookups_total", "Look-ups in caches, by cache and outcome.");
        for (outcome, count) in [("hit", &self.hits), ("miss", &self.misses)] {
            page.counter(name, help, &[("cache", "session"), ("outcome", outcome)], count.get());
        }
    }
}

#[cfg(test)]
mod tests;
