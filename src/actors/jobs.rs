//! The actor that runs job schedules, and looks after runs of jobs whose server died. It only pumps: what is
//! due, and who runs it, is decided in the database ([`Runner`]), so that servers that come and go need not
//! know of each other.

use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};

use super::ask;
use super::mail::{self, Mail, Mailed};
use crate::error::Result;
use crate::operations::Services;
use crate::operations::jobs::schedules;
use crate::operations::jobs::schedules::Runner;
use crate::types::time::Millis;

/// How long a schedule may be stored before it is seen; what is known to be due sooner is run in time.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
const SHORTEST_SLEEP: Duration = Duration::from_millis(20);
/// Where no schedules are run: well within the leases of runs.
const WATCH: Duration = Duration::from_secs(20);

/// The schedules of one app, as long as it is not stopped.
pub struct JobScheduler {
    actor: Addr<JobActor>,
    runner: Arc<Runner>,
}

impl JobScheduler {
    /// Starts on the current arbiter, if there is anything to look after.
    pub fn start(services: &Arc<Services>) -> Option<Self> {
        let runs_schedules = services.config.cloud.job_schedules;
        if !runs_schedules {
            actix::spawn(tell_of_schedules(services.clone()));
        }
        if !runs_schedules && services.cloud.registrations().job_names().next().is_none() {
            return None;
        }
        let sleep = if runs_schedules { LONGEST_SLEEP } else { WATCH };
        let runner = Runner::new(services.clone());
        let actor = JobActor { runner: runner.clone(), sleep, passing: false };
        Some(Self { actor: actor.start(), runner })
    }

    /// Begins nothing more. Jobs under way go on.
    pub async fn stop(&self) {
        self.runner.stop().await;
        if let Err(error) = ask(&self.actor, Stop).await {
            tracing::warn!(%error, "the job schedules did not stop");
        }
    }
}

/// Logs how many job schedules are stored that this server does not run: an operator who migrated may expect that it
/// does.
async fn tell_of_schedules(services: Arc<Services>) {
    if services.cloud.registrations().job_names().next().is_none() {
        return;
    }
    match schedules::count(&services).await {
        Ok(count) if count > 0 => tracing::info!(
            "{count} job schedules are stored, which this server does not run: see option jobSchedules."
        ),
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, "could not count the job schedules"),
    }
}

struct JobActor {
    runner: Arc<Runner>,
    /// Between two passes at most.
    sleep: Duration,
    /// A pass is under way; the next one is set off when it ends.
    passing: bool,
}

impl Mailed for JobActor {
    fn mail() -> &'static Mail {
        &mail::JOB
    }
}

impl Actor for JobActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.notify(Tick);
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Tick;

impl Handler<Tick> for JobActor {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Self::Context) {
        if std::mem::replace(&mut self.passing, true) {
            return;
        }
        let runner = self.runner.clone();
        // A task of its own: a pass that has begun a run must not be dropped before the job is called.
        let pass = actix::spawn(async move { runner.pass(Millis::now()).await });
        ctx.spawn(pass.into_actor(self).map(|outcome, actor, ctx| {
            actor.passing = false;
            let sleep = match outcome {
                Ok(Ok(next)) => sleep_until(next, Millis::now(), actor.sleep),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "job schedules could not be run: {error}");
                    actor.sleep
                }
                Err(error) => {
                    tracing::error!(%error, "a pass over the job schedules panicked");
                    actor.sleep
                }
            };
            ctx.notify_later(Tick, sleep);
        }));
    }
}

fn sleep_until(next: Option<Millis>, now: Millis, longest: Duration) -> Duration {
    let wait = next.map(|next| Duration::from_millis(u64::try_from(next.0 - now.0).unwrap_or(0)));
    wait.map_or(longest, |wait| wait.clamp(SHORTEST_SLEEP, longest))
}

#[derive(Message)]
#[rtype(result = "Result<()>")]
struct Stop;

impl Handler<Stop> for JobActor {
    type Result = Result<()>;

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) -> Self::Result {
        actix::ActorContext::stop(ctx);
        Ok(())
    }
}
