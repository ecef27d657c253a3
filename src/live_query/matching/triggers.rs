//! Cloud Code around live queries: beforeConnect, beforeSubscribe, afterLiveQueryEvent and the
//! observer onLiveQueryEvent.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value, json};

use super::subscription::Rights;
use crate::cloud::{CONNECT_CLASS, Caller, LiveQueryPayload, TriggerCall, TriggerKind};
use crate::error::Result;
use crate::live_query::listening::Counters;
use crate::live_query::protocol::{Event, Subscribe};
use crate::operations::Services;
use crate::types::{ClassName, Object};

/// The client a trigger is told about.
#[derive(Clone, Debug, Default)]
pub struct Client {
    pub id: Option<String>,
    pub session_token: Option<String>,
    pub installation_id: Option<String>,
    pub master: bool,
}

impl Client {
    fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "sessionToken": self.session_token,
            "installationId": self.installation_id,
            "hasMasterKey": self.master,
        })
    }
}

fn user_of(rights: &Rights) -> Option<Arc<Value>> {
    rights.auth.principal.as_ref().map(|principal| {
        let mut user = principal.user.clone();
        user.insert("sessionToken".to_owned(), principal.session_token.as_str().into());
        Arc::new(Value::Object(user))
    })
}

fn payload(event: &str, client: &Client, counters: &Counters) -> LiveQueryPayload {
    LiveQueryPayload {
        event: Some(event.to_owned()),
        clients: Some(counters.clients.load(Ordering::Relaxed)),
        subscriptions: Some(counters.subscriptions.load(Ordering::Relaxed)),
        session_token: client.session_token.clone(),
        use_master_key: Some(client.master),
        client: Some(client.to_json()),
        ..LiveQueryPayload::default()
    }
}

fn call(kind: TriggerKind, class: &str, rights: Option<&Rights>, client: &Client) -> TriggerCall {
    let mut call = TriggerCall::new(kind, class);
    call.caller = Caller {
        master: client.master,
        user: rights.and_then(user_of),
        roles: rights.and_then(|rights| {
            rights.auth.principal.as_ref().map(|principal| Arc::new(principal.roles.clone()))
        }),
        installation_id: client.installation_id.clone(),
        ..Caller::default()
    };
    call
}

/// # Errors
/// What the handler threw: the client is not connected.
pub async fn before_connect(
    services: &Services,
    rights: &Rights,
    client: &Client,
    counters: &Counters,
) -> Result<()> {
    if !services.cloud.registrations().has_trigger(TriggerKind::BeforeConnect, CONNECT_CLASS) {
        return Ok(());
    }
    let mut call = call(TriggerKind::BeforeConnect, CONNECT_CLASS, Some(rights), client);
    call.live = Some(payload("connect", client, counters));
    services.cloud.run_trigger(call).await.map(|_| ())
}

/// `op`: `subscribe` or `update`, as the message says. The query as the handler left it, or `None` when there is no handler.
///
/// # Errors
/// What the handler threw: there is no subscription.
pub async fn before_subscribe(
    services: &Services,
    rights: &Rights,
    client: &Client,
    counters: &Counters,
    op: &str,
    request: &Subscribe,
) -> Result<Option<Map<String, Value>>> {
    let class = &request.class;
    if !services.cloud.registrations().has_trigger(TriggerKind::BeforeSubscribe, class) {
        return Ok(None);
    }
    let mut call = call(TriggerKind::BeforeSubscribe, class, Some(rights), client);
    call.query = Some(Value::Object(request.query.clone()));
    let known = payload("subscribe", client, counters);
    call.live = Some(LiveQueryPayload {
        op: Some(op.to_owned()),
        request_id: Some(request.request_id.clone()),
        // A message may bring a session of its own.
        session_token: request.session_token.clone().or(known.session_token),
        ..known
    });
    Ok(services.cloud.run_trigger(call).await?.query)
}

pub fn has_after_event(services: &Services, class: &ClassName) -> bool {
    services.cloud.registrations().has_trigger(TriggerKind::AfterEvent, class)
}

/// One event for one subscriber on its way through afterLiveQueryEvent.
pub struct AfterEvent<'a> {
    pub class: &'a ClassName,
    pub event: Event,
    pub object: Option<&'a Object>,
    pub original: Option<&'a Object>,
    pub rights: &'a Rights,
    pub installation_id: Option<&'a str>,
    pub counters: &'a Counters,
}

/// The event and the states to send, or `None` when the handler drops the event.
///
/// # Errors
/// What the handler threw: the client gets an error frame.
pub async fn after_event(
    services: &Services,
    after: AfterEvent<'_>,
) -> Result<Option<(Event, Object, Option<Object>)>> {
    let client = Client {
        installation_id: after.installation_id.map(str::to_owned),
        session_token: after.rights.auth.principal.as_ref().map(|principal| principal.session_token.clone()),
        master: after.rights.auth.is_master(),
        id: None,
    };
    let value = |object: Option<&Object>| object.map(|object| Value::Object(object.clone()));
    let mut call = call(TriggerKind::AfterEvent, after.class, Some(after.rights), &client);
    call.object = value(after.object).map(Into::into);
    call.original = value(after.original).map(Into::into);
    call.live = Some(payload(after.event.name(), &client, after.counters));
    let answer = services.cloud.run_trigger(call).await?;
    if answer.send_event == Some(false) {
        return Ok(None);
    }
    // A handler may call it something else, but for a deletion; what no event is called is not sent.
    let event = match &answer.event {
        Some(name) if after.event != Event::Delete => Event::of(name),
        _ => Some(after.event),
    };
    let Some(event) = event else { return Ok(None) };
    let object = answer.object.or_else(|| after.object.cloned()).unwrap_or_default();
    let original = match after.original {
        None => None,
        Some(original) => Some(answer.original.unwrap_or_else(|| original.clone())),
    };
    // A handler may put an object of another class in its place.
    let named = |mut object: Object| {
        object.entry("className").or_insert_with(|| after.class.as_str().into());
        object
    };
    Ok(Some((event, named(object), original.map(named))))
}

/// Tells the observer, if there is one; nobody waits for it.
pub fn observe(
    services: &Arc<Services>,
    event: &'static str,
    client: &Client,
    counters: &Counters,
    error: Option<String>,
) {
    if !services.cloud.registrations().observes_live_query() {
        return;
    }
    let mut call = call(TriggerKind::OnLiveQueryEvent, CONNECT_CLASS, None, client);
    call.live = Some(LiveQueryPayload { error, ..payload(event, client, counters) });
    let services = services.clone();
    tokio::task::spawn_local(async move {
        if let Err(error) = services.cloud.run_trigger(call).await {
            tracing::warn!(%error, event, "onLiveQueryEvent failed");
        }
    });
}
