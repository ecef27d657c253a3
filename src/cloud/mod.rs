//! Cloud Code: functions, triggers, jobs and adapters that an application writes itself.
//!
//! Owns the seam between the server and application code. [`CloudEngine`] is what operations and the
//! HTTP layer call; [`ServerApi`] is what an engine calls back when application code uses the SDK.
//! Engines: [`node`] (a pool of Node.js host processes) and [`hub`], which joins another engine with
//! [`webhooks`] (the hooks API). Nothing here knows of actix or of a storage.
//!
//! Objects, queries and results cross this seam in Parse REST encoding. Whoever calls looks at
//! [`Registrations`] first: a class without triggers costs a hash look-up and never leaves the process.

mod call;
pub mod hub;
mod mask;
mod merge;
mod metrics;
pub mod node;
mod registrations;
mod server_api;
pub mod watch;
pub mod webhooks;

pub use call::{
    AdapterArg, AdapterCall, CallbackId, Caller, Context, FileAdapterCall, FilePayload, Flow, Flowed,
    FunctionAnswer, FunctionCall, JobCall, LiveQueryPayload, Payload, Scope, TransactionId, TriggerAnswer,
    TriggerCall, plain_context,
};
pub use mask::mask;
pub use merge::{apply_at, merged};
pub use registrations::{
    AdapterInfo, CONFIG_CLASS, CONNECT_CLASS, FILE_CLASS, FunctionInfo, Registrations, TriggerInfo,
    TriggerKind, TriggerSet,
};
pub use server_api::{InternalRequest, InternalResponse, Method, ServerApi};

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::error::{Error, ErrorCode, Result};

/// Whether application code can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudState {
    /// The first registration is not complete: the health route answers `starting`.
    Starting,
    Ready,
    /// Every host died and a new one is on its way. Calls wait for it until their deadline.
    Recovering,
    /// The code could not be loaded (the text is for the log and the operator).
    Failed(String),
}

/// Application code, wherever it runs.
///
/// All calls end within their deadline. What the application throws arrives as [`Error::Parse`] with
/// the code and text the facts of parse-server prescribe; what happens to a host that dies, stalls or
/// is cut off while it runs a call is [`ErrorCode::SCRIPT_FAILED`] too, and such a call is never run a
/// second time. A trigger that is registered is never skipped because no host is alive.
///
/// # Cancel safety
/// Dropping a future withdraws a call that has not begun. One that has begun runs on, unheard.
pub trait CloudEngine: Send + Sync + 'static {
    /// What is registered now. Take it once per operation, so that a reload cannot change it half-way.
    fn registrations(&self) -> Arc<Registrations>;

    fn state(&self) -> CloudState;

    /// Runs the validator and the function. 141 `Invalid function: "<name>"` when there is none.
    fn run_function(&self, call: FunctionCall) -> BoxFuture<'_, Result<FunctionAnswer>>;

    /// Runs validator and handler of one trigger. Without such a trigger the answer is empty.
    fn run_trigger(&self, call: TriggerCall) -> BoxFuture<'_, Result<TriggerAnswer>>;

    /// Runs a job to its end; the text is what `_JobStatus.message` becomes, if the job gave one.
    /// 141 `Invalid job.` when there is none.
    fn run_job(&self, call: JobCall) -> BoxFuture<'_, Result<Option<String>>>;

    /// Calls a function that the JavaScript configuration file contained (`{"__callback": id}`).
    fn call_callback(&self, id: CallbackId, args: Vec<AdapterArg>) -> BoxFuture<'_, Result<Value>>;

    /// Calls a method of an adapter module (see [`Registrations::adapters`]).
    fn call_adapter(&self, call: AdapterCall) -> BoxFuture<'_, Result<Value>>;

    /// Calls a file adapter (see [`FileAdapterCall`]).
    fn call_file_adapter(&self, call: FileAdapterCall) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async move { Err(Error::internal(format!("no host knows adapter {}", call.adapter))) })
    }

    /// Replaces the webhooks. Engines without webhooks ignore it.
    fn set_webhooks(&self, _hooks: Vec<webhooks::Hook>) {}

    /// Loads the code again. Calls under way end on the old code; when the new code cannot be loaded
    /// the old one stays and the error says why.
    fn reload(&self) -> BoxFuture<'_, Result<()>>;

    /// Lets running calls end (bounded), then stops everything that was started.
    fn shutdown(&self) -> BoxFuture<'_, ()>;

    /// Tells the page of metrics of hosts and calls.
    fn report(&self, _page: &mut crate::metrics::Page) {}
}

/// The engine of an application without Cloud Code.
#[derive(Debug, Default)]
pub struct NoCloud {
    registrations: Arc<Registrations>,
}

impl CloudEngine for NoCloud {
    fn registrations(&self) -> Arc<Registrations> {
        self.registrations.clone()
    }

    fn state(&self) -> CloudState {
        CloudState::Ready
    }

    fn run_function(&self, call: FunctionCall) -> BoxFuture<'_, Result<FunctionAnswer>> {
        Box::pin(async move { Err(invalid_function(&call.name)) })
    }

    fn run_trigger(&self, _call: TriggerCall) -> BoxFuture<'_, Result<TriggerAnswer>> {
        Box::pin(async { Ok(TriggerAnswer::default()) })
    }

    fn run_job(&self, _call: JobCall) -> BoxFuture<'_, Result<Option<String>>> {
        Box::pin(async { Err(invalid_job()) })
    }

    fn call_callback(&self, id: CallbackId, _args: Vec<AdapterArg>) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async move { Err(Error::internal(format!("no host knows callback {}", id.0))) })
    }

    fn call_adapter(&self, call: AdapterCall) -> BoxFuture<'_, Result<Value>> {
        Box::pin(async move { Err(Error::internal(format!("no host knows adapter {}", call.adapter))) })
    }

    fn reload(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn shutdown(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// 141 for a function nobody defined.
pub fn invalid_function(name: &str) -> Error {
    Error::parse(ErrorCode::SCRIPT_FAILED, format!("Invalid function: \"{name}\""))
}

/// 141 for a job nobody defined.
pub fn invalid_job() -> Error {
    Error::parse(ErrorCode::SCRIPT_FAILED, "Invalid job.")
}

/// A JSON document that is already text: engines pass it on without parsing it.
pub type Raw = Box<RawValue>;
