//! The GraphQL API: one more front door above `operations`, beside `rest`. The schema is made from the classes, as
//! parse-server makes it; a document is parsed, validated and executed here, in graphql-js's and Apollo's words.
//!
//! A request goes: [`Request`] → [`Endpoint::answer`] → `language` → `validate` → `limits` → `input` → `execute` →
//! `resolve` → operations. Called by `http`; knows no HTTP library.
//!
//! No GraphQL crate is behind this: types are to be built only when somebody asks for them, every text is one
//! that clients of parse-server know, and fields below a list are read for the whole list at once.

// The other variant is the answer that is sent next: it is made once for a request.
#![allow(clippy::result_large_err)]

pub mod errors;
mod execute;
mod input;
pub mod language;
mod limits;
mod persisted;
mod redact;
mod resolve;
pub mod schema;
mod subscription;
mod suggest;
mod validate;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use self::errors::{Code, Failure, GraphQLError};
use self::language::Lines;
use self::language::ast::{Definition, Document, Field, Operation, OperationKind, Selection, SelectionSet};
use self::persisted::Persisted;
pub use self::resolve::upload::{Part, Uploads};
use self::schema::custom::Additions;
use self::schema::switches::Switches;
use self::schema::types::OwnSchema;
use self::schema::{Ingredients, Schema};
pub use self::subscription::Subscription;
use crate::config::CallbackId;
use crate::error::{Error, Result};
use crate::operations::admin::graphql_config;
use crate::operations::budget::json_size;
use crate::operations::ports::RateHeaders;
use crate::operations::{Ctx, Services, functions};
use crate::pubsub::Notice;
use crate::types::ClassSchema;

/// Documents that are kept parsed and validated, their bytes in memory, and the length of the longest.
const KEPT_DOCUMENTS: usize = 500;
const KEPT_BYTES: usize = 16 * 1024 * 1024;
const LONGEST_KEPT: usize = 16 * 1024;
/// Bytes of an answer that tells of a write.
const LONGEST_RECEIPT: usize = 16 * 1024;

/// What a client asks.
#[derive(Debug, Default)]
pub struct Request {
    pub query: Option<String>,
    pub operation_name: Option<String>,
    pub variables: Map<String, Value>,
    pub extensions: Map<String, Value>,
    /// Came by GET, which only reads.
    pub is_get: bool,
    pub uploads: Uploads,
}

/// What it is answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub headers: Vec<(&'static str, &'static str)>,
    pub rate: Option<RateHeaders>,
}

impl Answer {
    /// An answer of errors alone.
    pub fn refused(status: u16, errors: &[GraphQLError], source: &str) -> Self {
        let lines = Lines::of(source);
        let errors: Vec<Value> = errors.iter().map(|error| error.to_json(&lines)).collect();
        Self { status, body: json!({ "errors": errors }), headers: Vec::new(), rate: None }
    }

    /// For a request that is none.
    pub fn bad_request(status: u16, message: impl Into<String>) -> Self {
        Self::refused(status, &[GraphQLError::new(Code::BadRequest, message)], "")
    }
}

/// A schema with the documents that fit it.
struct Loaded {
    key: Key,
    schema: Schema,
    documents: Mutex<Documents>,
}

#[derive(Default)]
struct Documents {
    by_source: HashMap<String, Arc<Document>>,
    /// In memory, about.
    bytes: usize,
}

/// What a schema was made from.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    classes: u64,
    config: u64,
    functions: Vec<String>,
}

/// The GraphQL API of one application.
pub struct Endpoint {
    services: Arc<Services>,
    loaded: Mutex<Option<Arc<Loaded>>>,
    /// The document of `/graphql-config` with the number under which it was read.
    switches: Mutex<Option<(u64, Arc<Switches>)>>,
    notices: Mutex<Receiver<Notice>>,
    /// Documents by their hash, or what is wrong with the file of those that are allowed.
    persisted: std::result::Result<Persisted, String>,
    /// Types of the application's own, or what is wrong with them.
    additions: std::result::Result<Option<Additions>, String>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Endpoint {
    /// Call it inside a runtime.
    pub fn new(services: Arc<Services>) -> Self {
        let notices = Mutex::new(services.pubsub.notices());
        let given = services.config.graphql.schema.as_ref().filter(|given| given.make.is_none());
        let additions = given.map(Additions::read).transpose();
        let persisted = Persisted::new(services.config.graphql.persisted_queries.as_deref());
        Self { services, loaded: Mutex::default(), switches: Mutex::default(), notices, persisted, additions }
    }

    /// Whether other servers told of a new document since.
    fn hear(&self) {
        let mut notices = locked(&self.notices);
        loop {
            let is_changed = match notices.try_recv() {
                Ok(Notice::Other { channel, .. }) => channel == graphql_config::CHANNEL,
                Ok(Notice::Lost) | Err(TryRecvError::Lagged(_)) => true,
                Ok(_) => false,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            };
            if is_changed {
                self.services.state.graphql_config.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    async fn switches(&self, ctx: &Ctx) -> Result<(u64, Arc<Switches>)> {
        self.hear();
        let number = self.services.state.graphql_config.load(Ordering::Acquire);
        if let Some((known, switches)) = &*locked(&self.switches)
            && *known == number
        {
            return Ok((number, switches.clone()));
        }
        let document = graphql_config::get(&ctx.as_master()).await?;
        let switches = Arc::new(Switches::read(&document));
        *locked(&self.switches) = Some((number, switches.clone()));
        Ok((number, switches))
    }

    /// The schema as it is now.
    async fn load(&self, ctx: &Ctx) -> Result<Arc<Loaded>> {
        let (config, switches) = self.switches(ctx).await?;
        let (classes, known) = self.services.classes.known().await?;
        let registrations = self.services.cloud.registrations();
        let functions: Vec<String> = registrations.function_names().map(str::to_owned).collect();
        let key = Key { classes, config, functions };
        if let Some(loaded) = &*locked(&self.loaded)
            && loaded.key == key
        {
            return Ok(loaded.clone());
        }
        let classes: Vec<Arc<ClassSchema>> = known
            .iter()
            .filter(|class| !class.name().is_volatile() && !class.name().is_join())
            .map(|class| class.schema.clone())
            .collect();
        let functions = key.functions.clone();
        let config = &self.services.config;
        let is_live = config.graphql.subscriptions && config.live_query_server.enabled;
        let names = classes.iter().map(|class| class.name.clone());
        let subscriptions =
            names.filter(|class| is_live && config.live_query.publishes(class.as_str())).collect();
        let ingredients = Ingredients { classes, switches: (*switches).clone(), functions, subscriptions };
        let mut schema = schema::build(ingredients);
        match &self.additions {
            Ok(Some(additions)) => additions.apply(&mut schema),
            Ok(None) => {}
            Err(text) => return Err(Error::internal(text.clone())),
        }
        if let Some(function) = config.graphql.schema.as_ref().and_then(|given| given.make) {
            make(ctx, function, &mut schema).await?;
        }
        let loaded = Arc::new(Loaded { key, schema, documents: Mutex::default() });
        *locked(&self.loaded) = Some(loaded.clone());
        Ok(loaded)
    }

    /// Answers a request of whoever is in `ctx`.
    ///
    /// # Errors
    /// When the schema cannot be made.
    pub async fn answer(&self, ctx: Ctx, request: Request) -> Result<Answer> {
        let is_open = may_introspect(&ctx);
        let source = match self.source(&ctx, &request)? {
            Ok(source) => source,
            Err(answer) => return Ok(answer),
        };
        let mut answer = self.answer_to(ctx, &source, request).await?;
        if !is_open {
            redact::body(&mut answer.body, &source);
        }
        Ok(answer)
    }

    async fn answer_to(&self, ctx: Ctx, source: &str, request: Request) -> Result<Answer> {
        let loaded = self.load(&ctx).await?;
        let document = match loaded.document(source) {
            Ok(document) => document,
            Err(errors) => return Ok(Answer::refused(400, &errors, source)),
        };
        let operation = operation_of(&document, request.operation_name.as_deref());
        if let Ok(operation) = operation
            && request.is_get
            && operation.kind != OperationKind::Query
        {
            let kind = operation.kind.as_str();
            let text = format!("GET requests only support query operations, not {kind} operations");
            let mut answer = Answer::bad_request(405, text);
            answer.headers.push(("allow", "POST"));
            return Ok(answer);
        }
        if let Ok(operation) = operation
            && operation.kind == OperationKind::Subscription
            && loaded.schema.has_subscriptions()
        {
            return Ok(Answer::bad_request(400, "Subscriptions are served over WebSockets"));
        }
        let fragments = limits::fragments(&document);
        let admitted =
            admit(&ctx, &loaded.schema, source, &document, operation, &fragments, &request.variables);
        let (operation, variables) = match admitted {
            Ok(admitted) => admitted,
            Err(answer) => return Ok(answer),
        };
        let info = ctx.info.clone();
        let budget = &info.budget;
        let server = resolve::Server::new(ctx, &loaded.schema, &fragments, &variables, request.uploads);
        let room = budget.bytes_left();
        let execution = execute::Execution::new(&loaded.schema, &fragments, &variables, room);
        let outcome = execution.run(operation, &server).await;
        let (rate, is_cut) = (server.rate(), outcome.is_cut);
        drop(server);
        let mut body = outcome.body(source);
        let size = json_size(&body, budget.bytes_left());
        let charged = if is_cut { Err(budget.too_many_bytes()) } else { budget.charge_bytes(size) };
        match charged {
            // A write that was done is not called a failure because of the few bytes of its answer.
            Err(_) if !is_cut && operation.kind == OperationKind::Mutation && size <= LONGEST_RECEIPT => {}
            Err(error) if error.status() == 503 => return Err(error),
            Err(error) => {
                let lines = Lines::of(source);
                let error = Failure::Coded(error).shown(true).at(operation.at).to_json(&lines);
                body = json!({ "errors": [error], "data": null });
            }
            Ok(()) => {}
        }
        Ok(Answer { status: 200, body, headers: Vec::new(), rate })
    }

    /// Reads a document that subscribes to something.
    ///
    /// # Errors
    /// When the schema cannot be made.
    ///
    /// # Returns
    /// The subscription, or the answer that refuses it.
    pub async fn subscribe(
        &self,
        ctx: Ctx,
        request: Request,
    ) -> Result<std::result::Result<Subscription, Answer>> {
        let is_open = may_introspect(&ctx);
        let source = match self.source(&ctx, &request)? {
            Ok(source) => source,
            Err(answer) => return Ok(Err(answer)),
        };
        let loaded = self.load(&ctx).await?;
        Ok(Subscription::read(&ctx, loaded, &source, request).map_err(|mut answer| {
            if !is_open {
                redact::body(&mut answer.body, &source);
            }
            answer
        }))
    }

    fn source(&self, ctx: &Ctx, request: &Request) -> Result<std::result::Result<String, Answer>> {
        if let Some(Err(error)) = request.query.as_deref().map(limits::check_length) {
            return Ok(Err(Answer::refused(400, &[error], "")));
        }
        let persisted = self.persisted.as_ref().map_err(|text| Error::internal(text.clone()))?;
        Ok(persisted.source(request, ctx.auth.is_unrestricted()))
    }

    /// The schema as text, for whoever may see it.
    ///
    /// # Errors
    /// When the schema cannot be made.
    pub async fn sdl(&self, ctx: &Ctx) -> Result<String> {
        Ok(schema::sdl::print(&self.load(ctx).await?.schema))
    }
}

/// Hands the schema to the application's function, which makes its own out of it.
async fn make(ctx: &Ctx, function: CallbackId, schema: &mut Schema) -> Result<()> {
    let text = schema::sdl::print(schema);
    let own = Arc::new(OwnSchema { key: blake3::hash(text.as_bytes()).to_hex().to_string(), text });
    let told = functions::make_schema(ctx, function, &own.key, &own.text).await;
    let told = told.map_err(|error| Error::internal(format!("graphQLSchema: {error}")))?;
    Additions::made(&told, function, own).map_err(Error::internal)?.apply(schema);
    Ok(())
}

impl Loaded {
    /// The document, parsed and validated.
    fn document(&self, source: &str) -> std::result::Result<Arc<Document>, Vec<GraphQLError>> {
        if let Some(known) = locked(&self.documents).by_source.get(source) {
            return Ok(known.clone());
        }
        let document = language::parse(source).map_err(|error| vec![GraphQLError::from(error)])?;
        let errors = validate::validate(&self.schema, &document);
        if !errors.is_empty() {
            return Err(errors);
        }
        let document = Arc::new(document);
        if source.len() <= LONGEST_KEPT {
            let size = limits::parsed_size(source);
            let mut documents = locked(&self.documents);
            if documents.by_source.len() >= KEPT_DOCUMENTS || documents.bytes + size > KEPT_BYTES {
                *documents = Documents::default();
            }
            if documents.by_source.insert(source.to_owned(), document.clone()).is_none() {
                documents.bytes += size;
            }
        }
        Ok(document)
    }
}

/// What stands between a document and its execution: introspection, limits, variables.
fn admit<'d>(
    ctx: &Ctx,
    schema: &Schema,
    source: &str,
    document: &'d Document,
    operation: std::result::Result<&'d Operation, GraphQLError>,
    fragments: &limits::Fragments<'d>,
    given: &Map<String, Value>,
) -> std::result::Result<(&'d Operation, input::Variables), Answer> {
    if !may_introspect(ctx) && introspects(source, document) {
        let error = GraphQLError::new(Code::Internal, "Introspection is not allowed");
        return Err(Answer::refused(403, &[error], source));
    }
    let operation = operation.map_err(|error| Answer::refused(400, &[error], source))?;
    let complexity = &ctx.config().request_complexity;
    let limits = if ctx.auth.is_unrestricted() {
        limits::Limits::default()
    } else {
        limits::Limits {
            depth: complexity.graphql_depth,
            fields: complexity.graphql_fields,
            operations: complexity.batch_request_limit,
        }
    };
    if let Err(error) = limits::check(operation, fragments, limits) {
        tracing::warn!("{}", error.message);
        return Err(Answer::refused(400, &[error], source));
    }
    let variables = input::variables(schema, operation, given);
    let variables = variables.map_err(|errors| Answer::refused(400, &errors, source))?;
    limits::check_given(document, &variables).map_err(|error| Answer::refused(400, &[error], source))?;
    Ok((operation, variables))
}

fn may_introspect(ctx: &Ctx) -> bool {
    ctx.auth.is_unrestricted() || ctx.config().graphql.public_introspection
}

fn operation_of<'d>(
    document: &'d Document,
    name: Option<&str>,
) -> std::result::Result<&'d Operation, GraphQLError> {
    let mut operations = document.definitions.iter().filter_map(|definition| match definition {
        Definition::Operation(operation) => Some(operation),
        _ => None,
    });
    let fail = |text: String| Err(GraphQLError::new(Code::OperationResolutionFailure, text));
    match name {
        Some(name) => {
            let named = |operation: &&Operation| operation.name.as_ref().is_some_and(|own| own.text == name);
            match operations.find(named) {
                Some(operation) => Ok(operation),
                None => fail(format!("Unknown operation named \"{name}\".")),
            }
        }
        None => match (operations.next(), operations.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => fail("Must provide an operation.".to_owned()),
            _ => fail("Must provide operation name if query contains multiple operations.".to_owned()),
        },
    }
}

/// Whether a document asks for the schema, in any of its definitions.
fn introspects(source: &str, document: &Document) -> bool {
    fn asks(set: &SelectionSet) -> bool {
        set.items.iter().any(|selection| match selection {
            Selection::Field(Field { name, arguments, selection, .. }) => {
                (name.text == "__type" && !arguments.is_empty()) || selection.as_ref().is_some_and(asks)
            }
            Selection::Inline(inline) => asks(&inline.selection),
            Selection::Spread(_) => false,
        })
    }
    if source.contains("__schema") {
        return true;
    }
    source.contains("__type")
        && document.definitions.iter().any(|definition| match definition {
            Definition::Operation(operation) => asks(&operation.selection),
            Definition::Fragment(fragment) => asks(&fragment.selection),
            _ => false,
        })
}
