//! A document that subscribes: which objects of which class, and what is shown of an event. Told over the sockets of
//! live queries, whose conditions are those of the REST API.

use std::sync::{Arc, Weak};

use serde_json::{Map, Value};

use super::errors::{Code, Failure, GraphQLError};
use super::language::ast::{Document, Operation, OperationKind};
use super::resolve::filter;
use super::schema::types::Resolver;
use super::{
    Answer, Endpoint, Loaded, Request, admit, execute, input, limits, operation_of, redact, resolve, schema,
};
use crate::operations::Ctx;
use crate::operations::budget::json_size;
use crate::types::{ClassName, Object};

/// Bytes of what is told of one event.
const LONGEST_EVENT: usize = 4 * 1024 * 1024;

/// A subscription that was read and found good.
pub struct Subscription {
    pub class: ClassName,
    /// In REST form.
    pub condition: Object,
    /// What it was read by. Schemas change, and a client that waits keeps none of them.
    loaded: Weak<Loaded>,
    document: Arc<Document>,
    source: String,
    name: Option<String>,
    variables: Map<String, Value>,
}

impl Subscription {
    pub(super) fn read(
        ctx: &Ctx,
        loaded: Arc<Loaded>,
        source: &str,
        request: Request,
    ) -> Result<Self, Answer> {
        let document = loaded.document(source).map_err(|errors| Answer::refused(400, &errors, source))?;
        let (class, condition) = {
            let schema = &loaded.schema;
            let fragments = limits::fragments(&document);
            let operation = operation_of(&document, request.operation_name.as_deref());
            let (operation, variables) =
                admit(ctx, schema, source, &document, operation, &fragments, &request.variables)?;
            if operation.kind != OperationKind::Subscription {
                let text = "Only subscriptions are served over WebSockets";
                return Err(Answer::refused(400, &[GraphQLError::new(Code::BadRequest, text)], source));
            }
            wanted(schema, operation, &fragments, &variables)
                .map_err(|error| Answer::refused(400, &[error], source))?
        };
        Ok(Self {
            class,
            condition,
            loaded: Arc::downgrade(&loaded),
            document,
            source: source.to_owned(),
            name: request.operation_name,
            variables: request.variables,
        })
    }

    /// Bytes in memory, roughly.
    pub fn weight(&self) -> usize {
        let variables: usize = self.variables.values().map(|value| json_size(value, usize::MAX)).sum();
        limits::parsed_size(&self.source) + variables
    }

    /// The result for an event of an object: `data`, `errors`. Objects that the selection asks for beside it are
    /// read with the rights of `ctx`.
    pub async fn shown(&self, endpoint: &Endpoint, ctx: Ctx, event: &'static str, object: Value) -> Value {
        let is_open = super::may_introspect(&ctx);
        let mut body = match self.told(endpoint, ctx, event, object).await {
            Ok(body) => body,
            Err(answer) => answer.body,
        };
        if !is_open {
            redact::body(&mut body, &self.source);
        }
        body
    }

    async fn told(
        &self,
        endpoint: &Endpoint,
        ctx: Ctx,
        event: &'static str,
        object: Value,
    ) -> Result<Value, Answer> {
        let source = &self.source;
        let loaded = endpoint.load(&ctx).await.map_err(|error| {
            let error = Failure::Coded(error).shown(true);
            Answer::refused(500, &[error], source)
        })?;
        let is_same = self.loaded.upgrade().is_some_and(|known| Arc::ptr_eq(&known, &loaded));
        let document = if is_same {
            self.document.clone()
        } else {
            loaded.document(source).map_err(|errors| Answer::refused(400, &errors, source))?
        };
        let fragments = limits::fragments(&document);
        let operation = operation_of(&document, self.name.as_deref());
        let schema = &loaded.schema;
        let (operation, variables) =
            admit(&ctx, schema, source, &document, operation, &fragments, &self.variables)?;
        let uploads = resolve::upload::Uploads::default();
        let room = ctx.budget().bytes_left().min(LONGEST_EVENT);
        let server =
            resolve::Server::new(ctx, schema, &fragments, &variables, uploads).with_event(event, object);
        let execution = execute::Execution::new(schema, &fragments, &variables, room);
        let outcome = execution.run(operation, &server).await;
        if outcome.is_cut {
            let error = GraphQLError::new(Code::Internal, "The event is too long to be told.");
            return Err(Answer::refused(400, &[error.at(operation.at)], source));
        }
        Ok(outcome.body(source))
    }
}

/// The class and the conditions of the one field that a subscription has.
fn wanted<'d>(
    schema: &schema::Schema,
    operation: &'d Operation,
    fragments: &limits::Fragments<'d>,
    variables: &input::Variables,
) -> Result<(ClassName, Object), GraphQLError> {
    let nothing = || GraphQLError::new(Code::BadRequest, "The subscription selects nothing").at(operation.at);
    let root = schema.get("Subscription").ok_or_else(nothing)?;
    let execution = execute::Execution::new(schema, fragments, variables, 0);
    let field = execution.first_root(root, operation).ok_or_else(nothing)?;
    let definition = schema::field_of(root, &field.name.text).ok_or_else(nothing)?;
    let Resolver::Subscription(class) = &definition.resolver else { return Err(nothing()) };
    let mut arguments = input::arguments(schema, &definition.args, &field.arguments, field.at, variables)?;
    let known = schema.class_of(class).ok_or_else(nothing)?;
    let condition = match arguments.shift_remove("where") {
        Some(Value::Object(given)) => {
            filter::conditions(schema, known, given).map_err(|failure| failure.shown(true).at(field.at))?
        }
        _ => Map::new(),
    };
    Ok((class.clone(), condition))
}
