//! GraphQL subscriptions over WebSockets: what [`crate::graphql`] knows of documents, brought to [`graphql_ws`].

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::graphql::{Endpoint, Request, Subscription};
use crate::http::credentials::header_text;
use crate::http::exchange::Front;
use crate::operations::Ctx;
use crate::sockets::connection::Dialect;
use crate::sockets::graphql_ws::{self, Engine, GraphQLClient, Prepared, Selection};
use crate::types::Object;

/// How the socket of an upgrade request speaks where it wants to speak GraphQL: at the path of the GraphQL API of
/// applications that offer subscriptions.
pub(in crate::http) fn dialect(http: &HttpRequest, front: &Front) -> Option<(Vec<Arc<App>>, Dialect)> {
    let protocols = header_text(http.headers(), header::SEC_WEBSOCKET_PROTOCOL)?;
    if !protocols.split(',').any(|protocol| protocol.trim() == graphql_ws::PROTOCOL) {
        return None;
    }
    let mut apps = front.registry.graphql_at(http.path())?;
    apps.retain(|app| app.config().graphql.subscriptions);
    if apps.is_empty() {
        return None;
    }
    let engine = |app: &Arc<App>| -> (String, Rc<dyn Engine>) {
        (app.config().app_id.clone(), Rc::new(Documents(front.graphql.of(app))))
    };
    let engines: HashMap<_, _> = apps.iter().map(engine).collect();
    let speaker = Box::new(move |client| Box::new(GraphQLClient::new(client, engines)) as Box<_>);
    Some((apps, Dialect { protocol: graphql_ws::PROTOCOL, speaker }))
}

struct Documents(Arc<Endpoint>);

/// The request in the payload of `subscribe`.
fn request_of(mut payload: Object) -> Request {
    let mut object = |key: &str| match payload.shift_remove(key) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    };
    let (variables, extensions) = (object("variables"), object("extensions"));
    let mut text = |key: &str| match payload.shift_remove(key) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    };
    let (query, operation_name) = (text("query"), text("operationName"));
    Request { query, operation_name, variables, extensions, ..Request::default() }
}

impl Engine for Documents {
    fn prepare(&self, ctx: Ctx, payload: Object) -> LocalBoxFuture<'_, Result<Prepared, Value>> {
        async move {
            match self.0.subscribe(ctx, request_of(payload)).await {
                Ok(Ok(subscription)) => Ok(Prepared {
                    class: subscription.class.clone(),
                    condition: subscription.condition.clone(),
                    weight: subscription.weight(),
                    selection: Rc::new(Selected(subscription, self.0.clone())),
                }),
                Ok(Err(mut answer)) => Err(answer.body["errors"].take()),
                Err(error) => {
                    tracing::error!(%error, "a GraphQL subscription failed");
                    Err(json!([{ "message": error.public_message(true), "extensions": { "code": "INTERNAL_SERVER_ERROR" } }]))
                }
            }
        }
        .boxed_local()
    }
}

struct Selected(Subscription, Arc<Endpoint>);

impl Selection for Selected {
    fn shown<'a>(&'a self, ctx: Ctx, event: &'static str, object: Value) -> LocalBoxFuture<'a, Value> {
        self.0.shown(&self.1, ctx, event, object).boxed_local()
    }
}
