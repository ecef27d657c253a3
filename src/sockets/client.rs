//! One connected client: what its requests do and what they are answered. Knows no sockets.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value, json};

use super::speaker::{Said, Speaker};

use crate::actors::live_query::LiveQueryHub;
use crate::error::Error;
use crate::live_query::ledger::{Account, Charge, MAX_SUBSCRIPTIONS, Refused, Resource, Scope};
use crate::live_query::listening::CLASS_WEIGHT;
use crate::live_query::matching::class::{self, Ending, Resume};
use crate::live_query::matching::subscription::{Audience, open};
use crate::live_query::matching::subscriptions::Subscriber;
use crate::live_query::matching::triggers;
use crate::live_query::outlet;
use crate::live_query::parcel::{ConnectionId, Parcel, Worker};
use crate::live_query::protocol::{self, Addressee, Refusal, Request, Subscribe};
use crate::operations::gate;
use crate::operations::{Credentials, Ctx, Services};
use crate::types::{ClassName, Object};

pub struct Client {
    /// With several applications on the path, the first of them until the client has named one.
    hub: Arc<LiveQueryHub>,
    /// Where the process has several applications: those of which the client must name one.
    choice: Box<[Arc<LiveQueryHub>]>,
    pub id: ConnectionId,
    worker: Worker,
    address: IpAddr,
    account: Arc<Account>,
    /// What counts the socket among those that are open.
    _socket: Charge,
    /// From the URL or from `connect`; a subscription's own counts first.
    resume: Option<Resume>,
    connected: Option<Connected>,
    /// Request id → its subscription.
    subscriptions: HashMap<Arc<str>, Box<Held>>,
}

/// What is known of a socket before anything is said on it.
pub struct Door {
    /// Whose it is, as far as is known.
    pub hub: Arc<LiveQueryHub>,
    /// The applications of which the client must name one; empty where there is one alone.
    pub choice: Box<[Arc<LiveQueryHub>]>,
    pub address: IpAddr,
    /// `resumeAfter` of the URL, with which a client asks for event ids.
    pub resume: Option<String>,
}

struct Connected {
    addressee: Addressee,
    session_token: Option<String>,
    master: bool,
}

struct Held {
    class: ClassName,
    /// As JSON.
    condition: Arc<str>,
    keys: Option<Vec<String>>,
    session_token: Option<String>,
    with_ids: bool,
}

impl Client {
    /// # Errors
    /// When too many sockets are open.
    pub fn new(door: Door, worker: Worker) -> Result<Self, Refused> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let Door { hub, choice, address, resume } = door;
        let (account, socket) = hub.ledger.admit(address)?;
        let client = Self {
            hub,
            choice,
            id: IDS.fetch_add(1, Ordering::Relaxed),
            worker,
            address,
            account,
            _socket: socket,
            resume: resume.map(resume_after),
            connected: None,
            subscriptions: HashMap::new(),
        };
        if client.choice.is_empty() {
            client.observe_opened();
        }
        Ok(client)
    }

    fn observe_opened(&self) {
        if let Ok(services) = self.hub.services() {
            let nobody = triggers::Client::default();
            triggers::observe(services, "ws_connect", &nobody, &self.hub.counters, None);
        }
    }

    /// Does what is asked.
    ///
    /// # Returns
    /// The frame that answers it.
    ///
    /// # Errors
    /// What is answered instead.
    pub async fn perform(&mut self, request: Request) -> Result<String, Refusal> {
        match request {
            Request::Connect(keys) => self.connect(&keys).await,
            Request::Subscribe(subscribe) => self.subscribe(subscribe, "subscribe").await,
            Request::Update(subscribe) => self.subscribe(subscribe, "update").await,
            Request::Unsubscribe { request_id } => self.unsubscribe(&request_id).await,
            Request::Query { request_id } => self.query(&request_id).await,
        }
    }

    /// What the client's own reads run with, its session looked up as it is now.
    ///
    /// # Errors
    /// Before it is connected.
    pub async fn ctx(&self) -> Result<Ctx, Refusal> {
        let unknown = || Refusal::new(2, "Can not find this client", true);
        let connected = self.connected.as_ref().ok_or_else(unknown)?;
        let services = self.services()?;
        let audience = Audience::new(connected.master, None, connected.session_token.as_deref());
        let rights = audience.resolve(&services).await;
        let installation_id = connected.addressee.installation_id.clone();
        let base_url = services.config.http.server_url.clone();
        Ok(gate::listening(&services, rights.auth, installation_id, base_url))
    }

    /// Counts a frame that was made elsewhere.
    pub fn count_frame(&self) {
        self.hub.counters.frames.increment();
    }

    fn refusal(&self, error: &Error, request_id: &Value) -> Refusal {
        let sanitize = self.hub.config().http.sanitize_errors;
        let code = error.code().map_or(141, |code| code.0);
        if matches!(error, Error::Internal(_) | Error::Database(_)) {
            tracing::error!(%error, "a live query request failed");
        }
        Refusal::new(code, error.public_message(sanitize), false).for_request(request_id)
    }

    fn services(&self) -> Result<Arc<Services>, Refusal> {
        self.hub.services().cloned().map_err(|error| self.refusal(&error, &Value::Null))
    }

    /// Of several applications the one that is named; never another one later on.
    fn choose(&mut self, name: Option<&str>) -> Result<(), Refusal> {
        if self.choice.is_empty() {
            return Ok(());
        }
        let unknown = || Refusal::new(4, "Key in request is not valid", true);
        let named = self.choice.iter().find(|hub| Some(hub.config().app_id.as_str()) == name);
        let hub = named.cloned().ok_or_else(unknown)?;
        if !Arc::ptr_eq(&hub, &self.hub) {
            let admitted = hub.ledger.admit(self.address);
            let (account, socket) = admitted.map_err(refusal_of)?;
            (self.account, self._socket, self.hub) = (account, socket, hub.clone());
        }
        if self.choice.len() > 1 || self.connected.is_none() {
            self.observe_opened();
        }
        self.choice = Box::new([hub]);
        Ok(())
    }

    async fn connect(&mut self, keys: &Map<String, Value>) -> Result<String, Refusal> {
        self.choose(keys.get("applicationId").and_then(Value::as_str))?;
        let text = |key: &str| keys.get(key).and_then(Value::as_str);
        let shown = gate::socket_keys(self.hub.config(), keys);
        let shown = shown.ok_or_else(|| Refusal::new(4, "Key in request is not valid", true))?;
        let master = shown == Credentials::Master;
        let services = self.services()?;
        let client = triggers::Client {
            id: Some(uuid::Uuid::new_v4().to_string()),
            session_token: text("sessionToken").map(str::to_owned),
            installation_id: text("installationId").map(str::to_owned),
            master,
        };
        let rights = Audience::new(master, None, client.session_token.as_deref()).resolve(&services).await;
        triggers::before_connect(&services, &rights, &client, &self.hub.counters)
            .await
            .map_err(|error| self.refusal(&error, &Value::Null))?;
        let addressee = Addressee {
            client_id: client.id.clone().unwrap_or_default(),
            installation_id: client.installation_id.clone(),
        };
        let frame = addressee.answer("connected", None);
        if let Some(after) = text("resumeAfter") {
            self.resume = Some(resume_after(after.to_owned()));
        }
        if self.connected.is_none() {
            self.hub.counters.clients.fetch_add(1, Ordering::Relaxed);
        }
        triggers::observe(&services, "connect", &client, &self.hub.counters, None);
        self.connected = Some(Connected { addressee, session_token: client.session_token, master });
        Ok(frame)
    }

    async fn subscribe(&mut self, mut request: Subscribe, op: &str) -> Result<String, Refusal> {
        let request_id = request.request_id.clone();
        let Some(connected) = &self.connected else {
            let text = "Can not find this client, make sure you connect to server before subscribing";
            return Err(Refusal::new(2, text, true));
        };
        let key: Arc<str> = request_id.to_string().into();
        let too_many = self.account.used(Resource::Subscriptions) >= MAX_SUBSCRIPTIONS;
        if too_many && !self.subscriptions.contains_key(&key) {
            let refused = Refused { resource: Resource::Subscriptions, scope: Scope::Socket };
            return Err(refusal_of(refused).for_request(&request_id));
        }
        let services = self.services()?;
        let mut audience = Audience::new(
            connected.master,
            request.session_token.as_deref(),
            connected.session_token.as_deref(),
        );
        let addressee = connected.addressee.clone();
        let installation_id = addressee.installation_id.clone();
        let observed = self.trigger_client();
        let rights = audience.resolve(&services).await;
        audience.users = rights.users();
        let changed =
            triggers::before_subscribe(&services, &rights, &observed, &self.hub.counters, op, &request)
                .await
                .map_err(|error| self.refusal(&error, &request_id))?;
        if let Some(query) = changed {
            take_over(&mut request, &query);
        }
        let opened = open(&services, &rights, &request, installation_id.clone())
            .await
            .map_err(|error| self.refusal(&error, &request_id))?;
        self.drop_subscription(&request_id).await;
        let weight = opened.weight
            + request.session_token.as_ref().map_or(0, String::len)
            + key.len()
            + request.beside;
        let charge =
            self.charge(&opened.class, weight).map_err(|refusal| refusal.for_request(&request_id))?;
        let held = Box::new(Held {
            class: opened.class.clone(),
            condition: opened.identity.clone(),
            keys: request.keys.clone(),
            session_token: request.session_token.clone(),
            with_ids: request.resume_after.is_some() || self.resume.is_some(),
        });
        let resume = request.resume_after.map(resume_after).or_else(|| self.resume.clone());
        let subscriber = Subscriber {
            connection: self.id,
            worker: self.worker.clone(),
            request_id: key.clone(),
            installation_id: installation_id.as_deref().map(Into::into),
            with_ids: resume.is_some(),
            keys: opened.keys.clone().map(Arc::new),
            watch: opened.watch.clone().map(Arc::new),
        };
        let message = class::Request { opened, audience, subscriber, resume };
        // Known before it is made: a client that goes away in between leaves nothing behind.
        self.subscriptions.insert(key.clone(), held);
        let resumed = match self.hub.subscribe(message, charge).await {
            Ok(resumed) => resumed,
            Err(error) => {
                self.subscriptions.remove(&key);
                return Err(self.refusal(&error, &request_id));
            }
        };
        triggers::observe(&services, "subscribe", &observed, &self.hub.counters, None);
        Ok(addressee.subscribed(&request_id, resumed.as_ref()))
    }

    /// Takes what one more subscription takes.
    fn charge(&self, class: &ClassName, weight: usize) -> Result<Charge, Refusal> {
        // The first subscription to a class pays for the class.
        let weight = if self.hub.has_subscribers(class) { weight } else { weight + CLASS_WEIGHT };
        let limit = self.account.ledger().limits().subscription;
        if weight > limit {
            return Err(Refusal::new(155, format!("A subscription may take {limit} bytes"), false));
        }
        let wanted = [(Resource::Subscriptions, 1), (Resource::Bytes, weight)];
        self.account.take(&wanted).map_err(refusal_of)
    }

    fn trigger_client(&self) -> triggers::Client {
        let connected = self.connected.as_ref();
        triggers::Client {
            id: connected.map(|c| c.addressee.client_id.clone()),
            session_token: connected.and_then(|c| c.session_token.clone()),
            installation_id: connected.and_then(|c| c.addressee.installation_id.clone()),
            master: connected.is_some_and(|c| c.master),
        }
    }

    async fn drop_subscription(&mut self, request_id: &Value) -> bool {
        let Some(held) = self.subscriptions.remove(request_id.to_string().as_str()) else { return false };
        let request_id = Some(request_id.to_string().into());
        let message = Ending { connection: self.id, request_id };
        self.hub.unsubscribe(&held.class, message).await;
        true
    }

    async fn unsubscribe(&mut self, request_id: &Value) -> Result<String, Refusal> {
        let Some(connected) = &self.connected else {
            let text = "Can not find this client, make sure you connect to server before unsubscribing";
            return Err(Refusal::new(2, text, true));
        };
        let frame = connected.addressee.answer("unsubscribed", Some(request_id));
        let client_id = connected.addressee.client_id.clone();
        if !self.drop_subscription(request_id).await {
            let text = format!(
                "Cannot find subscription with clientId {client_id} subscriptionId {request_id}. Make sure you subscribe to live query server before unsubscribing."
            );
            return Err(Refusal::new(2, text, true));
        }
        let services = self.services()?;
        triggers::observe(&services, "unsubscribe", &self.trigger_client(), &self.hub.counters, None);
        Ok(frame)
    }

    /// The subscription's present results, with its own rights.
    async fn query(&self, request_id: &Value) -> Result<String, Refusal> {
        let (Some(connected), Some(held)) =
            (&self.connected, self.subscriptions.get(request_id.to_string().as_str()))
        else {
            return Err(Refusal::new(2, "Cannot find this subscription", true).for_request(request_id));
        };
        let services = self.services()?;
        let audience = Audience::new(
            connected.master,
            held.session_token.as_deref(),
            connected.session_token.as_deref(),
        );
        let rights = audience.resolve(&services).await;
        let installation_id = connected.addressee.installation_id.clone();
        let base_url = services.config.http.server_url.clone();
        let ctx = gate::listening(&services, rights.auth, installation_id, base_url);
        let mut params = Object::new();
        params
            .insert("where".to_owned(), serde_json::from_str(&held.condition).unwrap_or_else(|_| json!({})));
        if let Some(keys) = &held.keys {
            params.insert("keys".to_owned(), keys.join(",").into());
        }
        let found = crate::operations::object::read::find(&ctx, &held.class, params).await;
        let results = found.and_then(|found| found.into_values(&ctx));
        let mut results = results.map_err(|error| self.refusal(&error, request_id))?;
        for object in results.iter_mut().filter_map(Value::as_object_mut) {
            object.insert("className".to_owned(), held.class.as_str().into());
        }
        Ok(json!({
            "op": "result",
            "clientId": connected.addressee.client_id,
            "requestId": request_id,
            "results": results,
        })
        .to_string())
    }
}

impl Speaker for Client {
    fn id(&self) -> ConnectionId {
        self.id
    }

    fn account(&self) -> &Arc<Account> {
        &self.account
    }

    fn is_connected(&self) -> bool {
        self.connected.is_some()
    }

    fn hear(&mut self, message: Option<String>) -> LocalBoxFuture<'_, Vec<Said>> {
        async move {
            // What is not JSON is dropped without an answer.
            let Some(request) =
                message.as_deref().map_or_else(|| Some(protocol::without_op()), protocol::parse)
            else {
                return Vec::new();
            };
            let done = match request {
                Ok(request) => self.perform(request).await,
                Err(refusal) => Err(refusal),
            };
            vec![Said::Frame(done.unwrap_or_else(|refusal| refusal.to_frame()))]
        }
        .boxed_local()
    }

    fn event_frame(&self, parcel: &Parcel, request_id: &str) -> Option<String> {
        let to = &self.connected.as_ref()?.addressee;
        self.hub.counters.frames.increment();
        Some(match parcel {
            Parcel::Event { event, object, original, id } => {
                to.event(event.name(), request_id, object, original.as_deref(), id.as_deref())
            }
            Parcel::Error { code, message } => {
                let request_id = serde_json::from_str(request_id).unwrap_or_default();
                Refusal::new(*code, message.as_str(), false).for_request(&request_id).to_frame()
            }
        })
    }

    fn disconnected(&self) {
        let Ok(services) = self.hub.services() else { return };
        let (event, error) = if self.is_connected() {
            ("ws_disconnect", None)
        } else {
            ("ws_disconnect_error", Some("Unable to find client undefined".to_owned()))
        };
        triggers::observe(services, event, &self.trigger_client(), &self.hub.counters, error);
    }
}

/// Ends everything the client holds, also where its connection broke while a request was worked on.
impl Drop for Client {
    fn drop(&mut self) {
        outlet::forget(self.id);
        // One message for each class, however many subscriptions there are.
        let mut classes: HashMap<ClassName, bool> = HashMap::new();
        for (_, held) in self.subscriptions.drain() {
            *classes.entry(held.class).or_default() |= held.with_ids;
        }
        for (class, may_return) in classes {
            self.hub.leave(&class, self.id, may_return);
        }
        if self.connected.is_some() {
            self.hub.counters.clients.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What is said beyond a limit.
fn refusal_of(refused: Refused) -> Refusal {
    let text = match (refused.resource, refused.scope) {
        (Resource::Subscriptions, Scope::Socket) => {
            format!("A client may hold {MAX_SUBSCRIPTIONS} subscriptions")
        }
        (Resource::Sockets, _) => "Too many sockets are open".to_owned(),
        (_, Scope::Socket) => "The subscriptions of this client take too much memory".to_owned(),
        (_, Scope::Caller) => "The subscriptions of this address take too much memory".to_owned(),
        (_, Scope::App) => "The subscriptions of all clients take too much memory".to_owned(),
    };
    Refusal::new(155, text, false)
}

/// Empty: from now on.
fn resume_after(id: String) -> Resume {
    if id.is_empty() { Resume::Now } else { Resume::After(id) }
}

/// What beforeSubscribe made of the query.
fn take_over(request: &mut Subscribe, query: &Map<String, Value>) {
    if let Some(Value::Object(condition)) = query.get("where") {
        request.condition = condition.clone();
    }
    for (key, slot) in [("keys", &mut request.keys), ("watch", &mut request.watch)] {
        match query.get(key) {
            Some(Value::String(list)) => *slot = Some(list.split(',').map(str::to_owned).collect()),
            Some(Value::Array(list)) => {
                *slot = Some(list.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect());
            }
            _ => *slot = None,
        }
    }
}
