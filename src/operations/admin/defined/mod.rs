//! Defined schemas (option `schema`): classes that the configuration defines are made and changed before the
//! server is healthy, by requests to the schema API that [`plan`] works out. parse-server's `DefinedSchemas`.
//!
//! Of several servers on one database, one works at a time, and the others find nothing left to do. parse-server
//! may do the same beside us; then what it did a moment ago is found after a pause.

pub mod file;
pub mod plan;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use self::plan::{ClassPlan, Permissions, Step, class_of};
use super::schema;
use crate::cloud::CallbackId;
use crate::config::DefinedSchemas;
use crate::error::{Error, ErrorCode};
use crate::operations::services::Services;
use crate::operations::{Ctx, gate};
use crate::types::names::{SYSTEM_CLASSES, VOLATILE_CLASSES};
use crate::types::{ClassName, ClassSchema};

/// Between the attempts: another server may be changing the same classes.
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3)];

/// Why the process should end, if it should; the log has said so.
pub type Outcome = Result<(), String>;

/// Makes the classes what they are defined to be. What fails is in the log, and ends the process where the
/// application runs in production; two definitions of one class end it anywhere, if the definitions are strict.
///
/// # Errors
/// The process should end.
pub async fn run(services: &Arc<Services>, in_production: bool) -> Outcome {
    let Some(options) = &services.config.schema.defined else { return Ok(()) };
    tracing::info!("Running Migrations");
    match run_in_turn(services, options, in_production).await {
        Ok(()) => {
            tracing::info!("Running Migrations Completed");
            Ok(())
        }
        Err(Stop::Failed(reason)) => failed(&reason, in_production),
        Err(Stop::End(reason)) => Err(reason),
    }
}

fn failed(reason: &str, in_production: bool) -> Outcome {
    tracing::error!("Failed to run migrations: {reason}");
    if in_production { Err(format!("Failed to run migrations: {reason}")) } else { Ok(()) }
}

enum Stop {
    /// To be logged.
    Failed(String),
    /// Logged already.
    End(String),
}

async fn run_in_turn(
    services: &Arc<Services>,
    options: &DefinedSchemas,
    in_production: bool,
) -> Result<(), Stop> {
    let turn = services.storage.migration_turn().await;
    let _turn = turn.map_err(|error| Stop::Failed(shown(&error.into())))?;
    call(services, options.before_migration.map(|id| id.0)).await?;
    let ctx = gate::own_work(services);
    if let Err(reason) = migrate(&ctx, options).await? {
        failed(&reason, in_production).map_err(Stop::End)?;
    }
    call(services, options.after_migration.map(|id| id.0)).await
}

async fn call(services: &Arc<Services>, callback: Option<u64>) -> Result<(), Stop> {
    let Some(id) = callback.and_then(|id| u32::try_from(id).ok()) else { return Ok(()) };
    let called = services.cloud.call_callback(CallbackId(id), Vec::new()).await;
    called.map(drop).map_err(|error| Stop::Failed(shown(&error)))
}

/// An error as JavaScript shows it in a text.
fn shown(error: &Error) -> String {
    match error.code() {
        Some(ErrorCode::SCRIPT_FAILED) | None => format!("Error: {}", error.public_message(false)),
        Some(_) if matches!(error, Error::Internal(_) | Error::Database(_)) => format!("Error: {error}"),
        Some(code) => format!("ParseError: {code} {}", error.public_message(false)),
    }
}

/// The inner result is what the last attempt failed with.
async fn migrate(ctx: &Ctx, options: &DefinedSchemas) -> Result<Result<(), String>, Stop> {
    check_duplicates(options)?;
    let mut pauses = PAUSES.iter();
    loop {
        let error = match apply(ctx, options).await {
            Ok(()) => return Ok(Ok(())),
            Err(error) => error,
        };
        let Some(pause) = pauses.next() else { return Ok(Err(error)) };
        tracing::debug!("migrations are tried again: {error}");
        tokio::time::sleep(*pause).await;
    }
}

fn check_duplicates(options: &DefinedSchemas) -> Result<(), Stop> {
    let classes: Vec<String> = options.definitions.iter().map(class_of).collect();
    let is_twice = classes.iter().enumerate().any(|(at, class)| classes[..at].contains(class));
    if !options.strict || !is_twice {
        return Ok(());
    }
    let reason = format!(
        "The list of schemas provided contains duplicated \"className\"  \"{}\"",
        classes.join("\",\"")
    );
    tracing::error!("{reason}");
    Err(Stop::End(reason))
}

/// One attempt. Every class gets its chance; the first failure is answered.
async fn apply(ctx: &Ctx, options: &DefinedSchemas) -> Result<(), String> {
    // parse-server makes it with the first session; definitions may speak of it.
    let made = ctx.services.classes.evolve(&ClassName::known("_Session"), &[]).await;
    made.map_err(|error| shown(&error))?;
    let before = classes(ctx).await.map_err(|error| shown(&error))?;
    let mut outcome = Ok(());
    for definition in &options.definitions {
        let applied = apply_one(ctx, options, definition).await;
        outcome = outcome.and(applied);
    }
    outcome?;
    let is_defined = |class: &ClassName| {
        options.definitions.iter().any(|definition| class_of(definition) == class.as_str())
    };
    let undefined: Vec<&ClassSchema> = before.iter().filter(|class| !is_defined(&class.name)).collect();
    if options.strict {
        warn_of_missing(&undefined);
    }
    for class in undefined {
        if let Some(step) = plan::of_undefined(class) {
            take(ctx, &class.name, step).await.map_err(|error| shown(&error))?;
        }
    }
    Ok(())
}

async fn classes(ctx: &Ctx) -> crate::error::Result<Vec<ClassSchema>> {
    let classes = ctx.services.classes.list().await?;
    let of_schema = classes.iter().filter(|class| !VOLATILE_CLASSES.contains(&class.name().as_str()));
    Ok(of_schema.map(|class| ClassSchema::clone(&class.schema)).collect())
}

fn warn_of_missing(undefined: &[&ClassSchema]) {
    let missing: Vec<&str> = undefined
        .iter()
        .map(|class| class.name.as_str())
        // parse-server makes these, they need no definition.
        .filter(|class| !SYSTEM_CLASSES.contains(class))
        .collect();
    if !missing.is_empty() {
        tracing::warn!(
            "The following schemas are currently present in the database, but not explicitly defined in a schema: \
             \"{}\"",
            missing.join("\", \"")
        );
    }
}

async fn apply_one(ctx: &Ctx, options: &DefinedSchemas, definition: &Value) -> Result<(), String> {
    let class = class_of(definition);
    let current = match ClassName::valid(&class) {
        Some(name) => ctx.services.classes.reload(&name).await.map_err(|error| shown(&error))?,
        None => None,
    };
    let during = |reason: String| match &current {
        Some(_) => format!("Error during update of schema for type {class}: {reason}"),
        None => format!("Error while saving Schema for type {class}: {reason}"),
    };
    let current = current.as_ref().map(|current| &*current.schema);
    let ClassPlan { steps, warnings, .. } =
        plan::of_class(options, Permissions::Closed, definition, current).map_err(during)?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    for step in steps {
        take(ctx, &class, step).await.map_err(|error| during(shown(&error)))?;
    }
    Ok(())
}

/// Makes one step.
///
/// # Errors
/// Those of the schema API.
pub async fn take(ctx: &Ctx, class: &str, step: Step) -> crate::error::Result<()> {
    match step {
        Step::Create(body) => schema::create_defined(ctx, Some(class), "/schemas", &body).await.map(drop),
        Step::Update(body) => schema::update_defined(ctx, class, &body).await.map(drop),
    }
}
