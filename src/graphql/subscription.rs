//! A document that subscribes: which objects of which class, and what is shown of an event. Told over the sockets of
//! live queries, whose conditions are those of the REST API.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::errors::{Code, GraphQLError};
use super::language::ast::{Document, Operation, OperationKind};
use super::resolve::filter;
use super::schema::types::Resolver;
use super::{Answer, Loaded, Request, admit, execute, input, limits, operation_of, redact, resolve, schema};
use crate::operations::Ctx;
use crate::types::{ClassName, Object};

/// Bytes that a document takes when it is parsed, for each of its own.
const PARSED: usize = 8;

/// A subscription that was read and found good, with the schema that it was read by.
pub struct Subscription {
    pub class: ClassName,
    /// In REST form.
    pub condition: Object,
    loaded: Arc<Loaded>,
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
            loaded,
            document,
            source: source.to_owned(),
            name: request.operation_name,
            variables: request.variables,
        })
    }

    /// Bytes in memory, roughly.
    pub fn weight(&self) -> usize {
        self.source.len() * PARSED + Value::Object(self.variables.clone()).to_string().len()
    }

    /// The result for an event of an object: `data`, `errors`. Objects that the selection asks for beside it are
    /// read with the rights of `ctx`.
    pub async fn shown(&self, ctx: Ctx, event: &'static str, object: Value) -> Value {
        let is_open = super::may_introspect(&ctx);
        let schema = &self.loaded.schema;
        let fragments = limits::fragments(&self.document);
        let operation = operation_of(&self.document, self.name.as_deref());
        let admitted =
            admit(&ctx, schema, &self.source, &self.document, operation, &fragments, &self.variables);
        let mut body = match admitted {
            Ok((operation, variables)) => {
                let uploads = resolve::upload::Uploads::default();
                let server = resolve::Server::new(ctx, schema, &fragments, &variables, uploads)
                    .with_event(event, object);
                let outcome = execute::Execution::new(schema, &fragments, &variables);
                outcome.run(operation, &server).await.body(&self.source)
            }
            Err(answer) => answer.body,
        };
        if !is_open {
            redact::body(&mut body, &self.source);
        }
        body
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
    let execution = execute::Execution::new(schema, fragments, variables);
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
