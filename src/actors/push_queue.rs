//! The actor that pumps pushes: claims what is due as long as there is room, and wakes when more is. What a push
//! is and who sends which part is decided in the database ([`Runner`]), so that servers that come and go need not
//! know of each other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, SpawnHandle, WrapFuture};

use super::ask;
use super::mail::{self, Mail, Mailed};
use crate::error::Result;
use crate::operations::Services;
use crate::operations::push::{CHANNEL, Runner, Taken};
use crate::pubsub::Notice;
use crate::push::PushAdapter;
use crate::types::app_scope::carry;
use crate::types::time::Millis;

/// How long a push may be stored before this server sees it, where the server that stored it cannot tell the others.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
const SHORTEST_SLEEP: Duration = Duration::from_millis(5);
/// While something is sent: how soon a pause elsewhere is heard of, at the latest.
const BUSY_SLEEP: Duration = Duration::from_millis(400);
/// A server that stops lets its batches end for so long.
const GRACE: Duration = Duration::from_secs(20);

/// Sends the pushes of one app, as long as it is not stopped.
pub struct PushQueue {
    actor: Addr<PushQueueActor>,
    runner: Arc<Runner>,
}

impl PushQueue {
    /// Starts on the current arbiter.
    pub fn start(services: &Arc<Services>, adapter: Arc<dyn PushAdapter>) -> Self {
        let runner = Runner::new(services.clone(), adapter);
        let actor = PushQueueActor {
            runner: runner.clone(),
            busy: HashMap::new(),
            under_way: 0,
            passing: false,
            wanted: false,
            timer: None,
        };
        let actor = actor.start();
        actix::spawn(carry(hear(services.clone(), actor.clone())));
        Self { actor, runner }
    }

    /// Begins nothing more, and waits for what is under way.
    pub async fn stop(&self) {
        self.runner.stop();
        let ended = async {
            while ask(&self.actor, UnderWay).await.is_ok_and(|count| count > 0) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(GRACE, ended).await.is_err() {
            tracing::warn!("Some batches of pushes did not end in time; other servers will go on with them.");
        }
    }
}

/// Wakes the actor when a push came, here or elsewhere.
async fn hear(services: Arc<Services>, actor: Addr<PushQueueActor>) {
    let mut notices = services.pubsub.notices();
    let mut deaf = false;
    loop {
        tokio::select! {
            () = services.state.pushes.woken() => {}
            notice = notices.recv(), if !deaf => match notice {
                Ok(Notice::Other { channel, .. }) if channel == CHANNEL => {}
                Ok(Notice::Lost) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Ok(_) => continue,
                Err(tokio::sync::broadcast::error::RecvError::Closed) => {
                    deaf = true;
                    continue;
                }
            },
        }
        if actor.try_send(Tick).is_err() && !actor.connected() {
            return;
        }
    }
}

struct PushQueueActor {
    runner: Arc<Runner>,
    /// Items under way of each push.
    busy: HashMap<String, usize>,
    under_way: usize,
    /// A pass is under way; `wanted`: another is to follow at once.
    passing: bool,
    wanted: bool,
    timer: Option<SpawnHandle>,
}

impl Mailed for PushQueueActor {
    fn mail() -> &'static Mail {
        &mail::PUSH_QUEUE
    }
}

impl Actor for PushQueueActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.notify(Tick);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Tick;

impl Handler<Tick> for PushQueueActor {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Self::Context) {
        if self.passing {
            self.wanted = true;
            return;
        }
        self.passing = true;
        let free = self.runner.slots().saturating_sub(self.under_way);
        let busy: Vec<String> = self.busy.keys().cloned().collect();
        let runner = self.runner.clone();
        let pass = async move {
            let taken = runner.pass(free, &busy).await?;
            let next = if taken.is_empty() { runner.next().await? } else { None };
            Ok::<_, crate::error::Error>((taken, next))
        };
        // A task of its own: what was claimed must not be dropped with the actor.
        let pass = actix::spawn(carry(pass));
        ctx.spawn(pass.into_actor(self).map(move |outcome, actor, ctx| {
            actor.passing = false;
            let mut sleep = if actor.busy.is_empty() { LONGEST_SLEEP } else { BUSY_SLEEP };
            match outcome {
                Ok(Ok((taken, next))) => {
                    let again = !taken.is_empty() && taken.len() < free;
                    taken.into_iter().for_each(|taken| actor.begin(taken, ctx));
                    if again {
                        actor.wanted = true;
                    }
                    if let Some(next) = next.filter(|_| free > 0) {
                        let wait = u64::try_from(next.0 - Millis::now().0).unwrap_or(0);
                        // What is due and was not taken is somebody's, or waits for its service.
                        let wait =
                            if wait == 0 { Duration::from_millis(200) } else { Duration::from_millis(wait) };
                        sleep = sleep.min(wait.max(SHORTEST_SLEEP));
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "pushes could not be looked at: {error}");
                    sleep = Duration::from_secs(1);
                }
                Err(error) => {
                    tracing::error!(%error, "a pass over the pushes panicked");
                    sleep = Duration::from_secs(1);
                }
            }
            if std::mem::take(&mut actor.wanted) {
                sleep = Duration::ZERO;
            }
            if !actor.runner.is_stopped() {
                if let Some(timer) = actor.timer.take() {
                    ctx.cancel_future(timer);
                }
                actor.timer = Some(ctx.notify_later(Tick, sleep));
            }
        }));
    }
}

impl PushQueueActor {
    fn begin(&mut self, taken: Taken, ctx: &mut Context<Self>) {
        *self.busy.entry(taken.push.clone()).or_default() += 1;
        self.under_way += 1;
        let (runner, push) = (self.runner.clone(), taken.push.clone());
        let sending = actix::spawn(carry(async move { runner.run(taken).await }));
        ctx.spawn(sending.into_actor(self).map(move |outcome, actor, ctx| {
            if let Err(error) = outcome {
                tracing::error!(%error, "sending a batch panicked");
            }
            actor.under_way = actor.under_way.saturating_sub(1);
            if let Some(count) = actor.busy.get_mut(&push) {
                *count -= 1;
                if *count == 0 {
                    actor.busy.remove(&push);
                }
            }
            ctx.notify(Tick);
        }));
    }
}

#[derive(Message)]
#[rtype(result = "Result<usize>")]
struct UnderWay;

impl Handler<UnderWay> for PushQueueActor {
    type Result = Result<usize>;

    fn handle(&mut self, _: UnderWay, _: &mut Self::Context) -> Self::Result {
        Ok(self.under_way)
    }
}
