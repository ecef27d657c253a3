//! [`Signals`]: what the doors tell the runner of pushes of this server (`push::Runner`).

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::config::AppConfig;
use crate::push::options::QueueOptions;

/// What the doors tell the runner of this server.
#[derive(Debug, Default)]
pub struct Signals {
    wake: Notify,
    halted: Mutex<HashSet<String>>,
    /// Days for which the result of each device is kept; `None`: not at all.
    log_days: Option<f64>,
}

impl Signals {
    pub fn new(config: &AppConfig) -> Self {
        let push = config.push.push.as_ref();
        // What is wrong with them ends the start.
        let options = push.and_then(|push| QueueOptions::read(push.expose()).ok()).unwrap_or_default();
        Self { log_days: options.log_days, ..Self::default() }
    }

    pub fn log_days(&self) -> Option<f64> {
        self.log_days
    }

    /// Something may be due.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    pub fn halt(&self, push: &str) {
        self.halted.lock().unwrap_or_else(PoisonError::into_inner).insert(push.to_owned());
        self.wake();
    }

    pub fn take_halted(&self) -> HashSet<String> {
        std::mem::take(&mut self.halted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
