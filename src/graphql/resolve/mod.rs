//! What stands behind the fields of the schema: each resolver is one of [`crate::operations`], with the rights of
//! the request. Mirrors the resolvers of parse-server's loaders.

mod account;
mod admin;
pub mod filter;
mod paging;
mod projection;
mod read;
pub mod upload;
mod write;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, join_all};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;

use super::errors::Failure;
use super::execute::collect::Names;
use super::execute::{Asked, Resolvers, leaf};
use super::input::Variables;
use super::limits::Fragments;
use super::schema::Schema;
use super::schema::class::Class;
use super::schema::types::{Code, Mutation, Query, Resolver};
use crate::error::{Error, ErrorCode};
use crate::operations::budget::json_size;
use crate::operations::functions::{self, Coded};
use crate::operations::ports::RateHeaders;
use crate::operations::{Ctx, RequestInfo, gate};
use crate::types::ClassName;
use upload::Uploads;

pub type Resolved = Result<Value, Failure>;

/// What one operation resolves its fields with.
pub struct Server<'e> {
    /// A login makes it another's for the mutations that follow.
    ctx: RefCell<Ctx>,
    pub schema: &'e Schema,
    pub fragments: &'e Fragments<'e>,
    pub variables: &'e Variables,
    pub uploads: Uploads,
    rate: RefCell<Option<RateHeaders>>,
    /// What a subscription tells of: the kind of event and the object.
    event: Option<(&'static str, Value)>,
    /// Operations under way: others want connections too.
    places: Semaphore,
    /// Objects that were created within others.
    nested: Cell<u32>,
    /// Of the request itself: a login changes who asks, not how much.
    info: Arc<RequestInfo>,
    held: Held,
}

/// Bytes of what was resolved and is no part of the answer yet: counted as the answer is.
#[derive(Default)]
struct Held {
    charged: Cell<usize>,
    /// Too few to be charged one by one.
    few: Cell<usize>,
}

/// Operations of one request at a time, as in a batch.
const CONCURRENCY: usize = 8;
/// Bytes that are charged together.
const FEW: usize = 64 * 1024;

/// What parse-server says where its own code fails on what a client sent.
fn internal() -> Failure {
    Failure::Coded(Error::parse(ErrorCode::INTERNAL_SERVER_ERROR, "Internal server error"))
}

fn text<'v>(value: &'v Map<String, Value>, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

impl<'e> Server<'e> {
    pub fn new(
        ctx: Ctx,
        schema: &'e Schema,
        fragments: &'e Fragments<'e>,
        variables: &'e Variables,
        uploads: Uploads,
    ) -> Self {
        Self {
            info: ctx.info.clone(),
            ctx: RefCell::new(ctx),
            schema,
            fragments,
            variables,
            uploads,
            rate: RefCell::default(),
            event: None,
            places: Semaphore::new(CONCURRENCY),
            nested: Cell::new(0),
            held: Held::default(),
        }
    }

    /// For an event of a subscription.
    #[must_use]
    pub fn with_event(self, event: &'static str, object: Value) -> Self {
        Self { event: Some((event, object)), ..self }
    }

    fn ctx(&self) -> Ctx {
        self.ctx.borrow().clone()
    }

    /// What is left of the rate limit that a field fell under.
    pub fn rate(&self) -> Option<RateHeaders> {
        *self.rate.borrow()
    }

    fn names(&self, asked: &Asked<'e>) -> Names<'e> {
        Names::of(&asked.fields, self.fragments, self.variables)
    }

    fn class(&self, class: &ClassName) -> Result<&'e Class, Failure> {
        self.schema.class_of(class).ok_or_else(internal)
    }

    /// Counts a field like the request of the REST API that does the same: a document with many aliases is as
    /// many requests.
    async fn count(&self, method: &str, path: &str) -> Result<(), Failure> {
        let ctx = self.ctx();
        if let Some(rate) = gate::count_operation(&ctx, method, path).await? {
            *self.rate.borrow_mut() = Some(rate);
        }
        Ok(())
    }

    /// Holds what was resolved until it is part of the answer.
    fn hold(&self, resolved: Resolved) -> Resolved {
        let value = resolved?;
        let budget = &self.info.budget;
        let few = self.held.few.get() + json_size(&value, budget.bytes_left());
        if few <= FEW {
            self.held.few.set(few);
            return Ok(value);
        }
        self.held.few.set(0);
        budget.charge_bytes(few)?;
        self.held.charged.set(self.held.charged.get() + few);
        Ok(value)
    }

    async fn one(&self, asked: Asked<'e>) -> Resolved {
        // Never closed.
        let _place = self.places.acquire().await;
        self.hold(self.resolved(asked).await)
    }

    async fn resolved(&self, asked: Asked<'e>) -> Resolved {
        match &asked.definition.resolver {
            Resolver::Query(query) => self.query(query, &asked).await,
            Resolver::Mutation(mutation) => self.mutation(mutation, &asked).await,
            Resolver::Relation { class, target } => self.relation(class, target, &asked).await,
            Resolver::Function(name) => {
                self.count("POST", &format!("/functions/{name}")).await?;
                self.call(name, (*asked.arguments).clone()).await
            }
            Resolver::Code(code) => self.coded(code, &asked).await,
            Resolver::Subscription(class) => self.happened(class, &asked).await,
            Resolver::Mock(value) => Ok(value.clone()),
            _ => Ok(asked.source.get(asked.name()).cloned().unwrap_or_default()),
        }
    }

    /// A field of the application's own code.
    async fn coded(&self, code: &Code, asked: &Asked<'e>) -> Resolved {
        let field = functions::Field {
            owner: &asked.parent.name,
            name: asked.name(),
            source: &asked.source,
            arguments: &asked.arguments,
            made_from: code.made_from.as_ref().map(|own| (own.key.as_str(), own.text.as_str())),
        };
        match functions::resolve_field(&self.ctx(), code.function, &field).await? {
            Coded::Value(value) => Ok(value),
            Coded::Own => self.own(&code.before, asked).await,
        }
    }

    /// A field whose code leaves it to the server.
    async fn own(&self, resolver: &Resolver, asked: &Asked<'e>) -> Resolved {
        match resolver {
            Resolver::Query(query) => self.query(query, asked).await,
            Resolver::Mutation(mutation) => self.mutation(mutation, asked).await,
            Resolver::Relation { class, target } => {
                let (id, relation) = (asked.source.get("objectId"), asked.source.get(asked.name()));
                let related = Asked {
                    source: json!({ "objectId": id, "relation": relation }),
                    parent: asked.parent,
                    definition: asked.definition,
                    fields: asked.fields.clone(),
                    arguments: asked.arguments.clone(),
                };
                self.relation(class, target, &related).await
            }
            other => Ok(leaf::of_object(other, &asked.source, asked.name())),
        }
    }

    async fn query(&self, query: &Query, asked: &Asked<'e>) -> Resolved {
        match query {
            Query::Health => Ok(true.into()),
            Query::Node => self.node(asked).await,
            Query::Viewer => self.viewer(asked).await,
            Query::Class => self.class_named(asked).await,
            Query::Classes => self.classes().await,
            Query::CloudConfig => self.cloud_config(asked).await,
            Query::Get(class) => self.get(class, asked).await,
            Query::Find(class) => self.find(class, asked).await,
        }
    }

    async fn mutation(&self, mutation: &Mutation, asked: &Asked<'e>) -> Resolved {
        let Some(Value::Object(input)) = asked.arguments.get("input") else { return Err(internal()) };
        let mut input = input.clone();
        let id = input.shift_remove("clientMutationId");
        let mut payload = match mutation {
            Mutation::Create(class, field) => self.create(class, field, input, asked).await,
            Mutation::Update(class, field) => self.update(class, field, input, asked).await,
            Mutation::Delete(class, field) => self.delete(class, field, input, asked).await,
            Mutation::CreateFile => self.create_file(input).await,
            Mutation::SignUp => self.sign_up(input, asked).await,
            Mutation::LogInWith => self.log_in_with(input, asked).await,
            Mutation::LogIn => self.log_in(input, asked).await,
            Mutation::LogOut => self.log_out().await,
            Mutation::ResetPassword => self.reset_password(input).await,
            Mutation::ConfirmResetPassword => self.confirm_reset_password(input).await,
            Mutation::SendVerificationEmail => self.send_verification_email(input).await,
            Mutation::Challenge => self.challenge(input).await,
            Mutation::CallCloudCode => self.call_cloud_code(input).await,
            Mutation::CreateClass => self.create_class(input).await,
            Mutation::UpdateClass => self.update_class(input).await,
            Mutation::DeleteClass => self.delete_class(input).await,
            Mutation::UpdateCloudConfig => self.update_cloud_config(input).await,
        }?;
        if let (Value::Object(payload), Some(id)) = (&mut payload, id) {
            payload.insert("clientMutationId".to_owned(), id);
        }
        Ok(payload)
    }

    async fn call(&self, name: &str, params: Map<String, Value>) -> Resolved {
        let answer = functions::call(&self.ctx(), name, params, Vec::new()).await?;
        match answer.result {
            None => Ok(Value::Null),
            Some(result) => serde_json::from_str(result.get()).map_err(|error| Error::internal(error).into()),
        }
    }

    async fn call_cloud_code(&self, mut input: Map<String, Value>) -> Resolved {
        let name = text(&input, "functionName").unwrap_or_default().to_owned();
        self.count("POST", &format!("/functions/{name}")).await?;
        let params = match input.shift_remove("params") {
            Some(Value::Object(params)) => params,
            _ => Map::new(),
        };
        Ok(json!({ "result": self.call(&name, params).await? }))
    }
}

impl<'e> Resolvers for Server<'e> {
    fn resolve<'a>(&'a self, asked: Vec<Asked<'a>>) -> LocalBoxFuture<'a, Vec<Resolved>> {
        // The fields are those of the operation, which outlives the call.
        async move {
            let this: &Server<'a> = self;
            let place = this.places.acquire().await;
            let at_once = this.relations_at_once(&asked).await;
            drop(place);
            match at_once {
                Some(resolved) => resolved.into_iter().map(|resolved| this.hold(resolved)).collect(),
                None => join_all(asked.into_iter().map(|asked| this.one(asked))).await,
            }
        }
        .boxed_local()
    }

    fn taken(&self) {
        self.held.few.set(0);
        let charged = self.held.charged.take();
        if charged > 0 {
            self.info.budget.refund_bytes(charged);
        }
    }

    fn sanitizes(&self) -> bool {
        self.ctx.borrow().config().http.sanitize_errors
    }
}
