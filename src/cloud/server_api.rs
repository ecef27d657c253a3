//! What application code asks of the server: the other direction of the seam.
//!
//! Implemented above (by whoever owns routes and operations) and handed to an engine when it starts.

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::call::{Context, Payload, TransactionId};
use crate::error::Result;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "GET" => Some(Self::Get),
            "POST" => Some(Self::Post),
            "PUT" => Some(Self::Put),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }
}

/// A REST request that application code makes through the SDK. Mirrors `ParseServerRESTController`.
///
/// Nothing is inherited from the request whose code is running: rights, session and context are what
/// the SDK call gave.
#[derive(Clone, Debug)]
pub struct InternalRequest {
    pub method: Method,
    /// Below the mount path, with a leading slash: `/classes/Game/x1`. `/batch` included.
    pub path: String,
    /// The SDK's data as it is: the query of a GET (`where` is an object here), else the body.
    pub data: Value,
    pub use_master_key: bool,
    pub session_token: Option<String>,
    /// `cloud` unless the call names another.
    pub installation_id: String,
    pub context: Context,
    /// The transaction of the calling trigger, if that was opted into.
    pub transaction: Option<TransactionId>,
    /// How many Cloud Code calls stand above this request: 1 for the first level.
    pub depth: u16,
}

#[derive(Clone, Debug)]
pub struct InternalResponse {
    pub status: u16,
    /// The JSON body; null for none.
    pub body: Payload,
    pub headers: Vec<(String, String)>,
}

/// The server, as application code sees it.
pub trait ServerApi: Send + Sync + 'static {
    /// Routes a request as if it had come in by HTTP, without the HTTP.
    ///
    /// # Errors
    /// What the route answers; the SDK sees `code` and text of [`crate::error::Error`].
    fn request(&self, request: InternalRequest) -> BoxFuture<'_, Result<InternalResponse>>;

    /// `Parse.Cloud.sendEmail`. `Ok(None)`: no email adapter is configured.
    fn send_email(&self, mail: Map<String, Value>) -> BoxFuture<'_, Result<Option<Value>>>;

    /// `request.message(text)` of a job: stores `_JobStatus.message`.
    fn job_message(&self, job_id: String, message: Value) -> BoxFuture<'_, Result<()>>;

    /// The options as `Parse.Server` and `request.config` show them, by parse-server's option names.
    fn config(&self) -> Map<String, Value>;

    /// `Parse.Server = {…}`: takes over the options that may change while running.
    fn set_config(&self, options: Map<String, Value>) -> BoxFuture<'_, Result<()>>;
}
