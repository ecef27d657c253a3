//! What hangs off one application id, as the operations see it: its configuration, the [`Ports`] to what is
//! outside, and the [`State`] that this server keeps for it.
//!
//! Made by `server`.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::sync::watch;

use super::asked_options::MasterKey;
use super::budget::Pool;
use super::held::Held;
use super::ports::{ClassDirectory, EventSink, PrincipalDirectory, RateLimits};
use super::seal::Seal;
use super::transactions::Transactions;
use crate::config::AppConfig;
use crate::files::Files;
use crate::outbound::Outbound;
use crate::pubsub::PubSub;
use crate::storage::StorageAdapter;
use crate::types::ObjectId;

/// Owned by the `App`; cheap to share. Its ports are reached through it: `services.storage`.
pub struct Services {
    pub config: Arc<AppConfig>,
    pub ports: Ports,
    pub state: State,
}

/// The traits behind which everything lies that is not the operations' own.
pub struct Ports {
    pub storage: Arc<dyn StorageAdapter>,
    pub pubsub: Arc<dyn PubSub>,
    pub outbound: Arc<Outbound>,
    pub classes: Arc<dyn ClassDirectory>,
    pub principals: Arc<dyn PrincipalDirectory>,
    pub rate_limits: Arc<dyn RateLimits>,
    pub events: Arc<dyn EventSink>,
    pub cloud: Arc<dyn crate::cloud::CloudEngine>,
    pub mail: Option<Arc<dyn crate::mail::MailAdapter>>,
    /// `None`: option `push` is not set.
    pub push: Option<Arc<dyn crate::push::PushAdapter>>,
    pub auth: Arc<crate::auth::AuthProviders>,
    pub files: Arc<Files>,
}

/// What this server remembers for the application while it runs.
pub struct State {
    pub jobs: Arc<RunningJobs>,
    pub pushes: Arc<super::push_signals::Signals>,
    pub transactions: Arc<Transactions>,
    /// Memory for long answers.
    pub answers: Arc<Pool>,
    pub seal: Seal,
    pub master_key: MasterKey,
    /// Counts the changes of `/graphql-config` on this server.
    pub graphql_config: AtomicU64,
    /// This application among those of the process.
    pub presence: crate::logging::Presence,
    /// What went out of the house.
    pub figures: super::figures::Figures,
}

impl State {
    pub fn new(config: &AppConfig, presence: crate::logging::Presence) -> Self {
        Self {
            jobs: Arc::default(),
            pushes: Arc::new(super::push_signals::Signals::new(config)),
            transactions: Arc::default(),
            answers: Pool::new(config.http.limits.answer_memory),
            seal: Seal::new(config),
            master_key: MasterKey::default(),
            graphql_config: AtomicU64::default(),
            presence,
            figures: super::figures::Figures::default(),
        }
    }
}

impl Deref for Services {
    type Target = Ports;

    fn deref(&self) -> &Ports {
        &self.ports
    }
}

/// Jobs under way in this server, which a stop waits for.
pub struct RunningJobs {
    count: watch::Sender<usize>,
    /// This start of this server, among those that share the database.
    holder: Arc<str>,
    held: Arc<Held>,
}

impl Default for RunningJobs {
    fn default() -> Self {
        let holder = format!("{}.{}", std::process::id(), ObjectId::generate(20));
        Self { count: watch::Sender::new(0), holder: holder.into(), held: Arc::default() }
    }
}

impl RunningJobs {
    /// The items of the work queue that stand for them.
    pub fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// Waits until the results of all of them are stored.
    pub async fn ended(&self) {
        // The sender is here: this cannot fail.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }

    /// How many are under way.
    pub fn count(&self) -> usize {
        *self.count.borrow()
    }

    /// As whom this server holds items of the work queue.
    pub fn holder(&self) -> &Arc<str> {
        &self.holder
    }

    /// Counts until the answer is dropped.
    pub fn enter(self: &Arc<Self>) -> UnderWay {
        self.count.send_modify(|count| *count += 1);
        UnderWay(self.clone())
    }
}

pub struct UnderWay(Arc<RunningJobs>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.count.send_modify(|count| *count -= 1);
    }
}
