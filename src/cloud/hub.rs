//! The engine of an application: its Cloud Code and its webhooks as one, with metrics.
//!
//! Where both define the same function or trigger, Cloud Code wins.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use serde_json::Value;

pub use super::metrics::CallStats;
use super::metrics::{Callee, Metrics};
use super::webhooks::{Hook, HookTable, HookTarget, WebhookClient};
use super::{
    AdapterArg, AdapterCall, CallbackId, CloudEngine, CloudState, FileAdapterCall, FunctionAnswer,
    FunctionCall, JobCall, Registrations, TriggerAnswer, TriggerCall, invalid_function,
};
use crate::error::{Error, ErrorCode, Result};
use crate::metrics::Page;
use crate::types::app_scope::carry;

const LOG_EVERY: Duration = Duration::from_secs(300);
/// Webhooks have no host that could count the depth of their calls.
const MAX_DEPTH: u16 = 32;
/// Where calls run, for the figures.
const NODE: &str = "node";
const WEBHOOK: &str = "webhook";

/// The joined registrations and what they were joined from.
struct Joined {
    code: Arc<Registrations>,
    hooks: Arc<HookTable>,
    all: Arc<Registrations>,
}

impl Joined {
    fn of(code: Arc<Registrations>, hooks: Arc<HookTable>) -> Self {
        let all = if hooks.is_empty() {
            code.clone()
        } else {
            let mut all = hooks.registrations.clone();
            all.extend(&code);
            Arc::new(all)
        };
        Self { code, hooks, all }
    }
}

pub struct CloudHub {
    code: Arc<dyn CloudEngine>,
    client: WebhookClient,
    hooks: ArcSwap<HookTable>,
    joined: ArcSwap<Joined>,
    metrics: Metrics,
}

impl CloudHub {
    /// Needs a tokio runtime, for the task that logs the metrics.
    pub fn new(code: Arc<dyn CloudEngine>, client: WebhookClient) -> Arc<Self> {
        let hooks = Arc::new(HookTable::default());
        let joined = Joined::of(code.registrations(), hooks.clone());
        let hub = Arc::new(Self {
            code,
            client,
            hooks: ArcSwap::new(hooks),
            joined: ArcSwap::from_pointee(joined),
            metrics: Metrics::default(),
        });
        tokio::spawn(carry(log_metrics(Arc::downgrade(&hub))));
        hub
    }

    /// Figures by name since the server started. Triggers read `beforeSave.Game`, jobs `job.nightly`.
    pub fn metrics(&self) -> BTreeMap<String, CallStats> {
        self.metrics.snapshot()
    }

    async fn measured<T>(&self, callee: Callee<'_>, call: impl Future<Output = Result<T>>) -> Result<T> {
        let begun = Instant::now();
        let answer = call.await;
        self.metrics.record(callee, begun.elapsed(), answer.is_err());
        answer
    }
}

async fn log_metrics(hub: Weak<CloudHub>) {
    let mut before = BTreeMap::new();
    loop {
        tokio::time::sleep(LOG_EVERY).await;
        let Some(hub) = hub.upgrade() else { return };
        hub.metrics.log_since(&mut before);
    }
}

fn check_depth(depth: u16) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::parse(
            ErrorCode::SCRIPT_FAILED,
            format!("Cloud Code calls are nested too deeply (limit {MAX_DEPTH})."),
        ));
    }
    Ok(())
}

impl CloudEngine for CloudHub {
    fn registrations(&self) -> Arc<Registrations> {
        let (code, hooks) = (self.code.registrations(), self.hooks.load_full());
        let joined = self.joined.load();
        if Arc::ptr_eq(&joined.code, &code) && Arc::ptr_eq(&joined.hooks, &hooks) {
            return joined.all.clone();
        }
        let fresh = Joined::of(code, hooks);
        let all = fresh.all.clone();
        self.joined.store(Arc::new(fresh));
        all
    }

    fn state(&self) -> CloudState {
        self.code.state()
    }

    fn run_function(&self, call: FunctionCall) -> BoxFuture<'_, Result<FunctionAnswer>> {
        Box::pin(async move {
            let name = call.name.clone();
            if self.code.registrations().function(&name).is_some() {
                let callee = Callee { host: NODE, kind: "function", name: &name };
                return self.measured(callee, self.code.run_function(call)).await;
            }
            let hooks = self.hooks.load_full();
            let Some(url) = hooks.url(&HookTarget::Function(name.clone())) else {
                return Err(invalid_function(&name));
            };
            check_depth(call.scope.depth)?;
            let callee = Callee { host: WEBHOOK, kind: "function", name: &name };
            self.measured(callee, self.client.run_function(url, call)).await
        })
    }

    fn run_trigger(&self, call: TriggerCall) -> BoxFuture<'_, Result<TriggerAnswer>> {
        Box::pin(async move {
            let name = format!("{}.{}", call.kind.as_str(), call.class_name);
            if self.code.registrations().is_registered(call.kind, &call.class_name) {
                let callee = Callee { host: NODE, kind: "trigger", name: &name };
                return self.measured(callee, self.code.run_trigger(call)).await;
            }
            let hooks = self.hooks.load_full();
            let target = HookTarget::Trigger { kind: call.kind, class: call.class_name.clone() };
            let Some(url) = hooks.url(&target) else { return Ok(TriggerAnswer::default()) };
            check_depth(call.scope.depth)?;
            let callee = Callee { host: WEBHOOK, kind: "trigger", name: &name };
            self.measured(callee, self.client.run_trigger(url, call)).await
        })
    }

    fn run_job(&self, call: JobCall) -> BoxFuture<'_, Result<Option<String>>> {
        Box::pin(async move {
            let name = call.name.clone();
            let callee = Callee { host: NODE, kind: "job", name: &name };
            self.measured(callee, self.code.run_job(call)).await
        })
    }

    fn call_callback(&self, id: CallbackId, args: Vec<AdapterArg>) -> BoxFuture<'_, Result<Value>> {
        self.code.call_callback(id, args)
    }

    fn call_adapter(&self, call: AdapterCall) -> BoxFuture<'_, Result<Value>> {
        self.code.call_adapter(call)
    }

    fn call_file_adapter(&self, call: FileAdapterCall) -> BoxFuture<'_, Result<Value>> {
        self.code.call_file_adapter(call)
    }

    fn set_webhooks(&self, hooks: Vec<Hook>) {
        self.hooks.store(Arc::new(HookTable::new(hooks)));
    }

    fn reload(&self) -> BoxFuture<'_, Result<()>> {
        self.code.reload()
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        self.code.shutdown()
    }

    fn report(&self, page: &mut Page) {
        self.code.report(page);
        self.metrics.report(page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::NoCloud;
    use crate::cloud::webhooks::loopback::{client, function, serve, text_of};

    #[tokio::test]
    async fn the_hub_calls_hooks_while_they_are_there() {
        let server = serve(200, r#"{"success": "from hook"}"#).await;
        let hub = CloudHub::new(Arc::new(NoCloud::default()), client());
        assert!(hub.registrations().function("hello").is_none());
        let target = HookTarget::Function("hello".into());
        hub.set_webhooks(vec![Hook { target, url: server.url.clone() }]);
        assert!(hub.registrations().function("hello").is_some());
        let answer = hub.run_function(function()).await.unwrap();
        assert_eq!(answer.result.unwrap().get(), r#""from hook""#);
        assert_eq!(hub.metrics()["hello"].count, 1);
        let mut deep = function();
        deep.scope.depth = 33;
        assert!(
            text_of(hub.run_function(deep).await).1.starts_with("Cloud Code calls are nested too deeply")
        );
        hub.set_webhooks(Vec::new());
        assert_eq!(text_of(hub.run_function(function()).await), (141, "Invalid function: \"hello\"".into()));
    }
}
