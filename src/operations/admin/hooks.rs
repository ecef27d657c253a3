//! Webhooks as the hooks API keeps them: rows of `_Hooks` (parse-server's `HooksController`).
//!
//! Called by the routes below `/hooks`, and by `server` at the start and when another server changed a
//! hook ([`publish`]). Calling the hooks is the business of `cloud`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::cloud::TriggerKind;
use crate::cloud::webhooks::Hook;
use crate::error::{Error, ErrorCode, Result};
use crate::operations::context::Ctx;
use crate::operations::keywords;
use crate::operations::services::Services;
use crate::pubsub::Notice;
use crate::query::{Constraint, Filter, FindSpec, Operand};
use crate::storage::{Returning, WriteFilter};
use crate::types::{ClassName, ClassSchema, FieldName, Object, Update};

const CLASS: &str = "_Hooks";
/// Where servers tell each other that a hook changed.
pub const CHANNEL: &str = "hooks";

/// What a hook is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Function(String),
    Trigger { class: String, kind: String },
}

impl Address {
    fn filter(&self) -> Filter {
        match self {
            Self::Function(name) => Filter::eq("functionName", Operand::Text(name.clone())),
            Self::Trigger { class, kind } => Filter::eq("className", Operand::Text(class.clone()))
                .and(Filter::eq("triggerName", Operand::Text(kind.clone()))),
        }
    }

    fn missing(&self) -> Error {
        hook_error(match self {
            Self::Function(name) => format!("no function named: {name} is defined"),
            Self::Trigger { class, .. } => format!("class {class} does not exist"),
        })
    }

    fn taken(&self) -> Error {
        hook_error(match self {
            Self::Function(name) => format!("function name: {name} already exists"),
            Self::Trigger { class, kind } => format!("class {class} already has trigger {kind}"),
        })
    }

    fn hook(&self, url: &str) -> Object {
        let hook = match self {
            Self::Function(name) => json!({"functionName": name, "url": url}),
            Self::Trigger { class, kind } => json!({"className": class, "triggerName": kind, "url": url}),
        };
        match hook {
            Value::Object(hook) => hook,
            _ => Object::new(),
        }
    }

    /// The address a hook's own fields give, if they give one.
    fn of(hook: &Object) -> Option<Self> {
        let text = |key: &str| hook.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        match (text("functionName"), text("className"), text("triggerName")) {
            (Some(name), _, _) => Some(Self::Function(name.to_owned())),
            (None, Some(class), Some(kind)) => {
                Some(Self::Trigger { class: class.to_owned(), kind: kind.to_owned() })
            }
            _ => None,
        }
    }
}

/// Every function hook.
///
/// # Errors
/// When storage fails.
pub async fn functions(ctx: &Ctx) -> Result<Vec<Value>> {
    find(ctx, exists("functionName")).await
}

/// Every trigger hook.
///
/// # Errors
/// When storage fails.
pub async fn triggers(ctx: &Ctx) -> Result<Vec<Value>> {
    find(ctx, exists("className").and(exists("triggerName"))).await
}

/// # Errors
/// 143 when there is none.
pub async fn get(ctx: &Ctx, address: &Address) -> Result<Value> {
    find(ctx, address.filter()).await?.into_iter().next().ok_or_else(|| address.missing())
}

/// # Errors
/// 119 for the read-only master key, 143 when the hook exists, is no hook, or is a trigger that its class cannot have.
pub async fn create(ctx: &Ctx, hook: &Object) -> Result<Value> {
    if ctx.auth.is_read_only() {
        return Err(Error::forbidden("read-only masterKey isn't allowed to create a hook."));
    }
    keywords::check(ctx, hook)?;
    let address = Address::of(hook).ok_or_else(invalid)?;
    if !find(ctx, address.filter()).await?.is_empty() {
        return Err(address.taken());
    }
    save(ctx, &address, url_of(hook)?).await
}

/// Another URL; `{"__op": "Delete"}` removes the hook.
///
/// # Errors
/// 119 for the read-only master key, 143 when there is none, 101 when there is none to remove.
pub async fn change(ctx: &Ctx, address: &Address, body: &Object) -> Result<Value> {
    if ctx.auth.is_read_only() {
        return Err(Error::forbidden("read-only masterKey isn't allowed to modify a hook."));
    }
    keywords::check(ctx, body)?;
    if body.get("__op").and_then(Value::as_str) == Some("Delete") {
        let schema = schema(&ctx.services).await?;
        let target = WriteFilter { filter: address.filter(), writers: None };
        let gone = ctx.services.storage.as_session().delete(&schema, &target, false).await?;
        if gone.count == 0 {
            return Err(Error::object_not_found());
        }
        changed(ctx).await?;
        return Ok(json!({}));
    }
    let url = url_of(body)?;
    get(ctx, address).await?;
    save(ctx, address, url).await
}

async fn save(ctx: &Ctx, address: &Address, url: &str) -> Result<Value> {
    if let Address::Trigger { class, kind } = address {
        check_class(TriggerKind::from_name(kind).ok_or_else(invalid)?, class)?;
    }
    let schema = schema(&ctx.services).await?;
    let session = ctx.services.storage.as_session();
    let hook = address.hook(url);
    let update = Update::default().set(FieldName::known("url"), Value::String(url.to_owned()));
    let target = WriteFilter { filter: address.filter(), writers: None };
    let changed = session.update(&schema, &target, &update, Returning::default()).await?;
    if changed.count == 0 {
        session.create(&schema, std::slice::from_ref(&hook)).await?;
    }
    self::changed(ctx).await?;
    Ok(Value::Object(hook))
}

/// Refuses the triggers that code cannot register either (parse-server's `validateClassNameForTriggers`).
fn check_class(kind: TriggerKind, class: &str) -> Result<()> {
    let text = match kind {
        TriggerKind::BeforeSave if class == "_PushStatus" => "Only afterSave is allowed on _PushStatus",
        TriggerKind::BeforeLogin | TriggerKind::AfterLogin | TriggerKind::BeforePasswordResetRequest
            if class != "_User" =>
        {
            "Only the _User class is allowed for the beforeLogin, afterLogin, and beforePasswordResetRequest triggers"
        }
        TriggerKind::AfterLogout if class != "_Session" => {
            "Only the _Session class is allowed for the afterLogout trigger."
        }
        other if class == "_Session" && other != TriggerKind::AfterLogout => {
            "Only the afterLogout trigger is allowed for the _Session class."
        }
        _ => return Ok(()),
    };
    Err(hook_error(text.to_owned()))
}

/// Hands every stored hook to the engine that calls them.
///
/// # Errors
/// When storage fails.
pub async fn publish(services: &Services) -> Result<()> {
    let rows = load(services, Filter::all()).await?;
    services.cloud.set_webhooks(rows.iter().filter_map(Hook::from_row).collect());
    Ok(())
}

async fn changed(ctx: &Ctx) -> Result<()> {
    publish(&ctx.services).await?;
    let notice = Notice::Other { channel: CHANNEL.to_owned(), payload: String::new() };
    if let Err(error) = ctx.services.pubsub.notify(notice).await {
        tracing::warn!(%error, "other servers were not told of a changed hook");
    }
    Ok(())
}

async fn find(ctx: &Ctx, filter: Filter) -> Result<Vec<Value>> {
    Ok(load(&ctx.services, filter).await?.into_iter().map(Value::Object).collect())
}

async fn load(services: &Services, filter: Filter) -> Result<Vec<Object>> {
    let schema = schema(services).await?;
    let rows = services.storage.as_session().find(&schema, &FindSpec::new(filter)).await?;
    let hooks = rows.iter().map(|row| {
        let mut hook = row.to_object();
        hook.retain(|key, value| {
            matches!(key.as_str(), "functionName" | "className" | "triggerName" | "url") && !value.is_null()
        });
        hook
    });
    Ok(hooks.collect())
}

async fn schema(services: &Services) -> Result<Arc<ClassSchema>> {
    let snapshot = services.classes.admit(&ClassName::known(CLASS)).await?;
    snapshot.map(|class| class.schema.clone()).ok_or_else(|| Error::internal("_Hooks does not exist"))
}

fn exists(column: &'static str) -> Filter {
    Filter::field(FieldName::known(column), Constraint::Exists(true))
}

fn url_of(hook: &Object) -> Result<&str> {
    hook.get("url").and_then(Value::as_str).filter(|url| !url.is_empty()).ok_or_else(invalid)
}

fn invalid() -> Error {
    hook_error("invalid hook declaration".to_owned())
}

fn hook_error(text: String) -> Error {
    Error::parse(ErrorCode::WEBHOOK_ERROR, text)
}
