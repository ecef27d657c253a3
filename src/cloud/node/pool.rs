//! The pool: which host gets a call, what happens while none lives, restarts and reloads.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::{oneshot, watch};

use super::NodeOptions;
use super::host::{Host, HostEvents, Pending, Reply, Running};
use super::launcher::{LaunchError, Launcher};
use super::line::Line;
use super::pipes::Pipes;
use super::protocol::{CallFrame, Summary};
use super::requests::{self, Served};
use crate::cloud::registrations::Registrations;
use crate::cloud::{CloudState, ServerApi};
use crate::error::{Error, ErrorCode, Result};
use crate::metrics::Page;
use crate::types::app_scope::carry;

/// A host whose socket is this far behind gets no further calls.
const MAX_BACKLOG: usize = 64 * 1024 * 1024;
/// A host that lived this long starts the back-off of its successor anew.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Dispatch {
    hosts: Vec<Arc<Host>>,
    /// Replaced by a reload, ending their work.
    draining: Vec<Arc<Host>>,
    waiting: Line,
    stopped: bool,
}

pub struct Pool {
    options: NodeOptions,
    api: Arc<dyn ServerApi>,
    launcher: Launcher,
    // A std mutex: never held across an await.
    dispatch: Mutex<Dispatch>,
    /// Length of the waiting line, so that an answer need not take the lock to see that it is empty.
    waiting: AtomicUsize,
    next_call: AtomicU32,
    generation: AtomicU32,
    started: AtomicBool,
    /// Hosts that are launched load the code of the application later.
    code_later: AtomicBool,
    /// Hosts that ended without having been told to.
    lost: AtomicU64,
    pub registrations: ArcSwap<Registrations>,
    pub state: watch::Sender<CloudState>,
    /// Contents on their way to and from file adapters.
    pub pipes: Arc<Pipes>,
    itself: Weak<Pool>,
}

impl Pool {
    pub fn new(options: NodeOptions, api: Arc<dyn ServerApi>) -> Result<Arc<Self>, LaunchError> {
        let launcher = Launcher::new(options.parent.clone())?;
        let code_later = AtomicBool::new(options.code_later);
        Ok(Arc::new_cyclic(|itself| Self {
            options,
            api,
            launcher,
            dispatch: Mutex::default(),
            waiting: AtomicUsize::new(0),
            next_call: AtomicU32::new(1),
            generation: AtomicU32::new(0),
            started: AtomicBool::new(false),
            code_later,
            lost: AtomicU64::new(0),
            registrations: ArcSwap::default(),
            state: watch::Sender::new(CloudState::Starting),
            pipes: Arc::default(),
            itself: itself.clone(),
        }))
    }

    pub fn options(&self) -> &NodeOptions {
        &self.options
    }

    fn dispatch(&self) -> MutexGuard<'_, Dispatch> {
        self.dispatch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells an attached host that the server serves.
    pub fn listening(&self) {
        if self.options.parent.is_some() {
            self.dispatch().hosts.iter().for_each(|host| host.listening());
        }
    }

    /// Processes that take calls now, for logs and tests.
    pub fn pids(&self) -> Vec<u32> {
        self.dispatch().hosts.iter().filter_map(|host| host.pid).collect()
    }

    /// Starts the hosts of the first generation, or of the next one.
    ///
    /// # Errors
    /// When the application cannot be loaded; hosts that run already stay.
    pub async fn start(self: &Arc<Self>) -> Result<(), LaunchError> {
        let launches = (0..self.options.workers.max(1)).map(|_| self.launch());
        let started = futures_util::future::join_all(launches).await;
        let mut fresh = Vec::new();
        let mut failure = None;
        for launched in started {
            match launched {
                Ok(launched) => fresh.push(launched),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            for (running, _) in fresh {
                running.host.leave();
                tokio::spawn(carry(running.run()));
            }
            if !self.started.load(Ordering::Relaxed) {
                self.dispatch().hosts.clear();
                let reason = match &error {
                    LaunchError::Failed(reason) => reason.clone(),
                    other => other.to_string(),
                };
                self.state.send_replace(CloudState::Failed(reason));
            }
            return Err(error);
        }
        self.take_over(fresh);
        Ok(())
    }

    /// Lets new hosts take the place of those there are.
    fn take_over(self: &Arc<Self>, fresh: Vec<(Running, Registrations)>) {
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        let registrations = joined(fresh.iter().map(|(_, of_host)| of_host));
        // First the table, then the hosts: a call that the new table allows may wait, not fail.
        self.registrations.store(Arc::new(registrations));
        self.started.store(true, Ordering::Relaxed);
        let old = {
            let mut dispatch = self.dispatch();
            let hosts: Vec<_> = fresh.iter().map(|(running, _)| running.host.clone()).collect();
            let fresh_ids: Vec<_> = hosts.iter().map(|host| host.id).collect();
            let mut old = std::mem::replace(&mut dispatch.hosts, hosts);
            old.retain(|host| !fresh_ids.contains(&host.id));
            dispatch.draining.extend(old.iter().cloned());
            old
        };
        for host in old {
            host.retire();
            tokio::spawn(carry(self.clone().drain(host)));
        }
        for (running, _) in fresh {
            tokio::spawn(carry(self.clone().keep(running, generation)));
        }
        self.state.send_replace(CloudState::Ready);
        self.pump();
    }

    async fn launch(&self) -> Result<(Running, Registrations), LaunchError> {
        let events: Arc<dyn HostEvents> =
            self.itself.upgrade().ok_or_else(|| LaunchError::Failed("the pool is gone".into()))?;
        let init = self.init();
        let (running, summary) = self.launcher.launch(&self.options, init, events).await?;
        match serde_json::from_slice::<Summary>(&summary) {
            Ok(summary) => Ok((running, summary.into_registrations())),
            Err(error) => {
                running.host.kill("it broke the protocol");
                running.run().await;
                Err(LaunchError::Failed(format!("unreadable registrations: {error}")))
            }
        }
    }

    fn init(&self) -> Map<String, Value> {
        let options = &self.options;
        let adapters: Vec<_> =
            options.adapters.iter().map(|(name, spec)| json!({"name": name, "spec": spec})).collect();
        let mut config = options.identity.clone();
        config.extend(self.api.config());
        let Value::Object(init) = json!({
            "cloud": options.cloud,
            "configFile": options.config_file,
            "codeLater": self.code_later.load(Ordering::Relaxed),
            "nodeModules": options.node_modules,
            "serverURL": options.server_url,
            "config": config,
            "adapters": adapters,
            "noticeMs": options.stall_notice().as_millis() as u64,
            "stallMs": options.stall().as_millis() as u64,
            "memoryLimitMb": options.memory_limit_mb.map_or(0, |limit| u64::from(limit) + 256),
        }) else {
            return Map::new();
        };
        init
    }

    /// Lets every host of a start in two steps load the code.
    ///
    /// # Errors
    /// When one of them cannot.
    pub async fn load_code(&self) -> Result<(), LaunchError> {
        // A host that takes another's place from now on loads it at once.
        self.code_later.store(false, Ordering::Relaxed);
        let hosts = self.dispatch().hosts.clone();
        let loads = hosts.iter().map(|host| self.load_code_in(host));
        let loaded = futures_util::future::try_join_all(loads).await?;
        self.registrations.store(Arc::new(joined(loaded.iter())));
        Ok(())
    }

    async fn load_code_in(&self, host: &Arc<Host>) -> Result<Registrations, LaunchError> {
        let failed = |reason: &str| LaunchError::Failed(reason.to_owned());
        let (reply, answer) = oneshot::channel();
        let payload = serde_json::to_vec(&CallFrame::Load { depth: 0 }).map_err(std::io::Error::from)?;
        let pending = Pending { id: self.next_call(), payload: payload.into(), reply, nested: false };
        host.call(pending).map_err(|_| failed("its host was lost"))?;
        let limit = self.options.start_timeout;
        let Ok(answer) = tokio::time::timeout(limit, answer).await else {
            return Err(failed(&format!("it took longer than {} s", limit.as_secs())));
        };
        match answer {
            Ok(Reply::Answer(summary)) => match serde_json::from_slice::<Summary>(&summary) {
                Ok(summary) => Ok(summary.into_registrations()),
                Err(error) => Err(failed(&format!("unreadable registrations: {error}"))),
            },
            Ok(Reply::Failed(error)) => Err(LaunchError::Failed(error.message)),
            Ok(Reply::Lost) | Err(_) => Err(failed("its host was lost")),
        }
    }

    fn next_call(&self) -> u32 {
        match self.next_call.fetch_add(1, Ordering::Relaxed) {
            // An empty entry of the journal.
            0 => self.next_call.fetch_add(1, Ordering::Relaxed),
            id => id,
        }
    }

    /// Watches over one place of the pool: whenever its host ends, another one is started.
    async fn keep(self: Arc<Self>, mut running: Running, generation: u32) {
        let mut backoff = Duration::ZERO;
        loop {
            let born = Instant::now();
            let host = running.host.clone();
            let end = running.run().await;
            let stalled = host.is_paused();
            self.remove(&host, end.unbegun);
            if let Some(parent) = &self.options.parent {
                return parent.end();
            }
            if host.is_retired() || self.is_over(generation) {
                return;
            }
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::error!(host = host.id, pid = host.pid, "a Cloud Code host was lost: {}", end.reason);
            // A host that had loaded and stalled later shows no fault of the start, and calls wait.
            if stalled || born.elapsed() > HEALTHY_AFTER {
                backoff = Duration::ZERO;
            }
            loop {
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).clamp(FIRST_BACKOFF, MAX_BACKOFF);
                if self.is_over(generation) {
                    return;
                }
                match self.launch().await {
                    Ok((next, _)) => {
                        running = next;
                        break;
                    }
                    Err(error) => tracing::error!(%error, "a Cloud Code host could not be replaced"),
                }
            }
            tracing::info!(
                host = running.host.id,
                pid = running.host.pid,
                duration_ms = born.elapsed().as_millis() as u64,
                "a Cloud Code host was replaced"
            );
            if !self.add(&running.host, generation) {
                running.host.leave();
            }
        }
    }

    /// Hosts, what they work on, and what waits for them.
    pub fn report(&self, page: &mut Page) {
        // By their places: ids grow with every host that is replaced.
        let loads: Vec<usize> = self.dispatch().hosts.iter().map(|host| host.in_flight()).collect();
        page.count("parsimony_cloud_hosts", "Cloud Code hosts that take calls.", &[], loads.len());
        let help = "Hosts that ended unasked for, or stood still and were replaced.";
        let lost = self.lost.load(Ordering::Relaxed);
        page.counter("parsimony_cloud_host_restarts_total", help, &[], lost);
        let help = "Calls a host works on.";
        for (place, load) in loads.into_iter().enumerate() {
            let place = place.to_string();
            page.count("parsimony_cloud_host_calls", help, &[("host", &place)], load);
        }
        let waiting = self.waiting.load(Ordering::Relaxed);
        page.count("parsimony_cloud_calls_waiting", "Calls that no host has room for.", &[], waiting);
    }

    fn is_over(&self, generation: u32) -> bool {
        self.generation.load(Ordering::Relaxed) != generation || self.dispatch().stopped
    }

    fn add(&self, host: &Arc<Host>, generation: u32) -> bool {
        if self.is_over(generation) {
            return false;
        }
        self.dispatch().hosts.push(host.clone());
        self.state.send_replace(CloudState::Ready);
        self.pump();
        true
    }

    /// Forgets a dead host; calls it had not begun go to the front of the line.
    fn remove(&self, host: &Arc<Host>, unbegun: Vec<Pending>) {
        let mut dispatch = self.dispatch();
        dispatch.hosts.retain(|known| known.id != host.id);
        dispatch.draining.retain(|known| known.id != host.id);
        if !dispatch.stopped {
            dispatch.waiting.put_back(unbegun);
        }
        let empty = dispatch.hosts.is_empty() && !dispatch.stopped;
        drop(dispatch);
        if empty {
            self.state.send_replace(CloudState::Recovering);
        }
        self.pump();
    }

    /// Sends a call to the least busy host, or puts it in line.
    pub fn submit(&self, payload: Vec<u8>, nested: bool) -> Result<(u32, oneshot::Receiver<Reply>)> {
        let (reply, answer) = oneshot::channel();
        let id = self.next_call();
        let pending = Pending { id, payload: payload.into(), reply, nested };
        let mut dispatch = self.dispatch();
        if dispatch.stopped {
            return Err(Error::parse(ErrorCode::SCRIPT_FAILED, "Cloud Code has been shut down."));
        }
        if let Some(pending) = self.hand_out(&dispatch, pending) {
            if dispatch.waiting.len() >= self.options.max_waiting {
                dispatch.waiting.forget_closed();
                if dispatch.waiting.len() >= self.options.max_waiting {
                    return Err(Error::http(503, "Cloud Code is overloaded."));
                }
            }
            dispatch.waiting.push(pending);
            self.waiting.store(dispatch.waiting.len(), Ordering::Relaxed);
        }
        Ok((id, answer))
    }

    /// Gives the call back if no host can take it now.
    fn hand_out(&self, dispatch: &Dispatch, mut pending: Pending) -> Option<Pending> {
        loop {
            let loads = dispatch.hosts.iter().filter_map(|host| Some((host.load()?, host)));
            let Some((load, host)) = loads.min_by_key(|(load, _)| *load) else { return Some(pending) };
            let full = load >= self.options.max_in_flight || host.backlog() > MAX_BACKLOG;
            if full && !pending.nested {
                return Some(pending);
            }
            match host.call(pending) {
                Ok(()) => return None,
                // It died this moment; another may live.
                Err(refused) => pending = refused,
            }
        }
    }

    /// Hands out what is in line, as far as hosts have room.
    fn pump(&self) {
        let mut dispatch = self.dispatch();
        while let Some(pending) = dispatch.waiting.pop() {
            if pending.reply.is_closed() {
                continue;
            }
            if let Some(pending) = self.hand_out(&dispatch, pending) {
                dispatch.waiting.put_back(vec![pending]);
                break;
            }
        }
        self.waiting.store(dispatch.waiting.len(), Ordering::Relaxed);
    }

    /// Withdraws a call nobody waits for any more.
    pub fn cancel(&self, id: u32) {
        let hosts: Vec<_> = {
            let dispatch = self.dispatch();
            dispatch.hosts.iter().chain(&dispatch.draining).cloned().collect()
        };
        if hosts.iter().any(|host| host.cancel(id)) && self.waiting.load(Ordering::Relaxed) > 0 {
            self.pump();
        }
    }

    /// Since when a host has the call; `None` when it waits in line for one.
    pub fn since(&self, id: u32) -> Option<Instant> {
        let dispatch = self.dispatch();
        dispatch.hosts.iter().chain(&dispatch.draining).find_map(|host| host.since(id))
    }

    async fn drain(self: Arc<Self>, host: Arc<Host>) {
        let deadline = Instant::now() + self.options.drain_timeout;
        while host.in_flight() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        host.leave();
    }

    /// Ends all hosts, letting their calls end first.
    pub async fn shutdown(self: &Arc<Self>) {
        let hosts = {
            let mut dispatch = self.dispatch();
            dispatch.stopped = true;
            dispatch.waiting.clear();
            std::mem::take(&mut dispatch.hosts)
        };
        self.dispatch().draining.extend(hosts.iter().cloned());
        for host in &hosts {
            host.retire();
        }
        let drains = hosts.into_iter().map(|host| self.clone().drain(host));
        futures_util::future::join_all(drains).await;
        let deadline = Instant::now() + Duration::from_secs(5);
        while !self.dispatch().draining.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.launcher.close();
    }
}

/// What the hosts of one generation registered.
fn joined<'r>(hosts: impl Iterator<Item = &'r Registrations>) -> Registrations {
    let mut all = Registrations::default();
    for of_host in hosts {
        // Rate limits are the same in every host; joining them would count each several times.
        let limits = of_host.rate_limits.clone();
        all.extend(of_host);
        all.rate_limits = limits;
    }
    all
}

impl HostEvents for Pool {
    fn answered(&self, _host: &Arc<Host>) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.pump();
        }
    }

    fn withdrawn(&self, host: &Arc<Host>, unbegun: Vec<Pending>) {
        tracing::debug!(host = host.id, calls = unbegun.len(), "a Cloud Code host stands still");
        let mut dispatch = self.dispatch();
        if !dispatch.stopped {
            dispatch.waiting.put_back(unbegun);
        }
        drop(dispatch);
        self.pump();
    }

    fn requested(&self, host: &Arc<Host>, id: u32, payload: Bytes) {
        let served = Served { api: self.api.clone(), pipes: self.pipes.clone() };
        requests::serve(served, host.clone(), self.options.sanitize_errors, id, payload);
    }

    fn registered(&self, host: &Arc<Host>, payload: Bytes) {
        match serde_json::from_slice::<Summary>(&payload) {
            Ok(summary) => self.registrations.store(Arc::new(summary.into_registrations())),
            Err(error) => tracing::error!(%error, "unreadable registrations from a Cloud Code host"),
        }
        // Code may save objects while it loads; the triggers it has by then run, in this host.
        let mut dispatch = self.dispatch();
        if !self.started.load(Ordering::Relaxed) && dispatch.hosts.iter().all(|known| known.id != host.id) {
            dispatch.hosts.push(host.clone());
        }
    }

    fn logged(&self, payload: Bytes) {
        requests::log(&payload);
    }

    fn leaves(&self) {
        if let Some(parent) = &self.options.parent {
            parent.end();
        }
    }
}
