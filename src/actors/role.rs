//! `RoleActor`: one for each app, the owner of what is known of users' roles. It owns the cached roles, the
//! look-ups under way (one for each user, however many ask) and the generation of all roles, which it publishes
//! and raises whenever a role was written here or elsewhere.
//!
//! Asked through [`Roles`] by the look-up of sessions and by operations; the statement itself runs on the thread
//! of whoever asked first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, Addr, Context, Handler, Message};
use tokio::sync::oneshot;

use super::ask;
use super::flight::{Flights, answer_all};
use super::mail::{self, Mail, Mailed};
use super::published::{Number, NumberOwner};
use crate::error::{Error, Result};
use crate::storage::StorageAdapter;

/// Names with the prefix `role:`, transitive; or why they could not be read.
type Outcome = Result<Arc<Vec<String>>, Arc<str>>;

struct CachedRoles {
    roles: Arc<Vec<String>>,
    at: Instant,
}

pub struct RoleActor {
    generation: NumberOwner,
    cached: HashMap<Arc<str>, CachedRoles>,
    flights: Flights<Arc<str>, Outcome>,
    /// Milliseconds for which roles count; owned by the session directory.
    limit: Number,
    most: usize,
}

impl RoleActor {
    fn known(&self, user_id: &str) -> Option<Arc<Vec<String>>> {
        let cached = self.cached.get(user_id)?;
        (cached.at.elapsed() < Duration::from_millis(self.limit.get())).then(|| cached.roles.clone())
    }

    fn remember(&mut self, user_id: Arc<str>, roles: Arc<Vec<String>>, at: Instant) {
        if self.cached.len() >= self.most {
            let limit = Duration::from_millis(self.limit.get());
            self.cached.retain(|_, cached| cached.at.elapsed() < limit);
        }
        if self.cached.len() < self.most {
            self.cached.insert(user_id, CachedRoles { roles, at });
        }
    }
}

impl Mailed for RoleActor {
    fn mail() -> &'static Mail {
        &mail::ROLE
    }
}

impl Actor for RoleActor {
    type Context = Context<Self>;
}

enum Found {
    Known(Arc<Vec<String>>),
    /// Somebody looks already.
    Wait(oneshot::Receiver<Outcome>),
    /// The asker is the one who looks.
    Look(oneshot::Receiver<Outcome>),
}

struct RolesOf(Arc<str>);

impl Message for RolesOf {
    type Result = Result<Found>;
}

impl Handler<RolesOf> for RoleActor {
    type Result = Result<Found>;

    fn handle(&mut self, RolesOf(user_id): RolesOf, _: &mut Self::Context) -> Self::Result {
        if let Some(roles) = self.known(&user_id) {
            return Ok(Found::Known(roles));
        }
        Ok(match self.flights.join(user_id) {
            (true, outcome) => Found::Look(outcome),
            (false, outcome) => Found::Wait(outcome),
        })
    }
}

/// A look-up ended. True when it has to be repeated.
struct RolesRead {
    user_id: Arc<str>,
    at: Instant,
    outcome: Outcome,
}

impl Message for RolesRead {
    type Result = bool;
}

impl Handler<RolesRead> for RoleActor {
    type Result = bool;

    fn handle(&mut self, read: RolesRead, _: &mut Self::Context) -> Self::Result {
        let Some((waiting, counts)) = self.flights.land(read.user_id.clone()) else {
            return true;
        };
        if let (Ok(roles), true) = (&read.outcome, counts) {
            self.remember(read.user_id, roles.clone(), read.at);
        }
        answer_all(waiting, &read.outcome);
        false
    }
}

/// A look-up ended without an outcome.
struct Abandoned(Arc<str>);

impl Message for Abandoned {
    type Result = ();
}

impl Handler<Abandoned> for RoleActor {
    type Result = ();

    fn handle(&mut self, Abandoned(user_id): Abandoned, _: &mut Self::Context) {
        self.flights.abandon(&user_id);
    }
}

/// Some role was written: nothing that was read so far counts.
struct Changed;

impl Message for Changed {
    type Result = Result<()>;
}

impl Handler<Changed> for RoleActor {
    type Result = Result<()>;

    fn handle(&mut self, _: Changed, _: &mut Self::Context) -> Self::Result {
        self.generation.raise();
        self.cached.clear();
        self.flights.overtake(|_| true);
        Ok(())
    }
}

/// The handle on an app's role actor.
pub struct Roles {
    actor: Addr<RoleActor>,
    generation: Number,
    storage: Arc<dyn StorageAdapter>,
}

impl Roles {
    /// Starts the actor on the current arbiter. Roles count for `limit` milliseconds; those of `most` users are
    /// remembered.
    pub fn start(storage: Arc<dyn StorageAdapter>, limit: Number, most: usize) -> Self {
        let generation = NumberOwner::new(0);
        let reader = generation.reader();
        let (cached, flights) = (HashMap::new(), Flights::default());
        let actor = RoleActor { generation, cached, flights, limit, most }.start();
        Self { actor, generation: reader, storage }
    }

    /// The generation that the actor published last.
    pub fn generation(&self) -> u64 {
        self.generation.get()
    }

    /// # Errors
    /// When storage fails.
    pub async fn of(&self, user_id: &str) -> Result<Arc<Vec<String>>> {
        let user_id: Arc<str> = user_id.into();
        let outcome = match ask(&self.actor, RolesOf(user_id.clone())).await? {
            Found::Known(roles) => return Ok(roles),
            Found::Wait(outcome) => outcome,
            Found::Look(outcome) => {
                // Its own task: whoever began it may go away while others wait.
                actix::spawn(look_up(self.storage.clone(), self.actor.clone(), user_id));
                outcome
            }
        };
        match outcome.await {
            Ok(outcome) => outcome.map_err(|text| Error::database(text.to_string())),
            Err(_) => Err(Error::internal("a look-up of roles was dropped")),
        }
    }

    /// Some role was written. When this returns, no principal with older roles counts on this server.
    pub async fn changed(&self) {
        if let Err(error) = ask(&self.actor, Changed).await {
            tracing::error!(%error, "a change of roles was not heard: {error}");
        }
    }
}

async fn look_up(storage: Arc<dyn StorageAdapter>, actor: Addr<RoleActor>, user_id: Arc<str>) {
    let ending = Ending(Some(user_id.clone()), actor.clone());
    loop {
        let at = Instant::now();
        let outcome = match storage.roles_of_user(&user_id).await {
            Ok(names) => Ok(Arc::new(names.into_iter().map(|name| format!("role:{name}")).collect())),
            Err(error) => Err(error.to_string().into()),
        };
        if !matches!(actor.send(RolesRead { user_id: user_id.clone(), at, outcome }).await, Ok(true)) {
            return ending.landed();
        }
    }
}

/// Tells the actor when the task of a look-up ends before its time.
struct Ending(Option<Arc<str>>, Addr<RoleActor>);

impl Ending {
    fn landed(mut self) {
        self.0 = None;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(user_id) = self.0.take() {
            // An actor that is gone has nobody waiting.
            let _ = self.1.try_send(Abandoned(user_id));
        }
    }
}
