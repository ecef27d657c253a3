//! Writes: create, update, delete. A flat list of steps, each in a file of its own:
//! authorize → the class's rules → beforeSave → the schema → store → effects → afterSave (the order of
//! parse-server's `RestWrite`). What is known after each step is a type of its own, see [`stages`].
//!
//! No class is named here: what is special about one are the [`ClassRules`] that the caller hands in, and
//! [`crate::operations::classes`] is where they come from.

mod after_save;
mod answer;
mod before_save;
pub mod bulk;
pub mod class_rules;
pub mod contents;
pub mod delete;
pub mod effects;
pub mod ops;
mod round_trip;
pub mod stages;
pub mod statement;
mod store;
pub mod triggers;
pub mod validate;
mod withhold;
mod writable;

pub use bulk::{create_many, delete_many, update_many};
pub use class_rules::{ClassRules, Rules};
pub use delete::delete;
pub use stages::{Checked, Draft, Saved, Stored};

use super::transaction;
use crate::cloud::TriggerKind;
use crate::error::{Error, ErrorCode, Result};
use crate::operations::Ctx;
use crate::operations::context::asks_for_transaction;
use crate::operations::permissions::Protection;
use crate::operations::permissions::special::{Verb, check_class_exists, enforce};
use crate::operations::transactions::Extent;
use crate::storage::is_stale_schema;
use crate::types::javascript::is_truthy;
use crate::types::{ClassName, Object, ObjectId};

/// `POST /classes/:C`: 201 with `objectId`, `createdAt` and whatever the server changed.
///
/// # Errors
/// 105, 107, 111, 119, 137, 142 and those of the class's rules; see facts on objects.
pub async fn create(ctx: &Ctx, class: &ClassName, body: Object, mut rules: Rules) -> Result<Saved> {
    enforce(ctx, class, Verb::Create)?;
    check_client_ids(ctx, &body)?;
    let body = if class.is_system() { ops::without_conditions(body) } else { body };
    save(ctx, Draft::create(class.clone(), body), &mut rules).await
}

/// `PUT /classes/:C/:id`: `updatedAt`, results of operators, changes made by a trigger.
///
/// # Errors
/// 101 when there is no such object, or none that the caller may write; else as [`create`].
pub async fn update(ctx: &Ctx, class: &ClassName, id: &str, body: Object, mut rules: Rules) -> Result<Saved> {
    enforce(ctx, class, Verb::Update)?;
    let id = ObjectId::new(id).ok_or_else(Error::object_not_found)?;
    let saved = save(ctx, Draft::update(class.clone(), id, body), &mut rules).await;
    saved.map_err(|error| match rules.filter(|_| error.is(ErrorCode::OBJECT_NOT_FOUND)) {
        Some(rules) => rules.map_missing(ctx, error),
        None => error,
    })
}

/// Runs the whole pipeline on a draft; rules may turn a create into an update or a login.
///
/// Where a trigger of the class asks for it, everything up to the write (and afterSave, if that is the
/// one that asks) is one transaction with what the triggers save.
pub async fn save(ctx: &Ctx, draft: Draft, rules: &mut Rules) -> Result<Saved> {
    if !triggers::opens_transaction(ctx, &draft.class) {
        return match write(ctx, draft, rules).await? {
            Step::Answered(saved) => Ok(saved),
            Step::Written(mut written) => {
                after_save::run(ctx, &written.stored, &mut written.saved, rules.as_deref()).await?;
                conclude(ctx, *written, rules)
            }
        };
    }
    Box::pin(save_in_transaction(ctx, draft, rules)).await
}

async fn save_in_transaction(ctx: &Ctx, draft: Draft, rules: &mut Rules) -> Result<Saved> {
    let asks = asks_for_transaction(&ctx.services, TriggerKind::AfterSave, &draft.class);
    let step = transaction::within(ctx, Extent::Triggers, async |inside: &Ctx| {
        let mut step = Box::pin(write(inside, draft, rules)).await?;
        if asks && let Step::Written(written) = &mut step {
            after_save::run(inside, &written.stored, &mut written.saved, rules.as_deref()).await?;
        }
        Ok(step)
    })
    .await?;
    match step {
        Step::Answered(saved) => Ok(saved),
        Step::Written(mut written) => {
            if !asks {
                after_save::run(ctx, &written.stored, &mut written.saved, rules.as_deref()).await?;
            }
            conclude(ctx, *written, rules)
        }
    }
}

/// An object that was written, before anybody hears of it.
struct Written {
    stored: Stored,
    saved: Saved,
    /// What went wrong after the object was stored.
    failure: Option<Error>,
}

enum Step {
    /// The class's rules had an answer without a write of this object.
    Answered(Saved),
    Written(Box<Written>),
}

/// Steps that most writes do without are boxed, and each stage lives in a block of its own, where the next one
/// takes its place: a future is as large as what is alive at once, and is moved as a whole.
async fn write(ctx: &Ctx, draft: Draft, rules: &mut Rules) -> Result<Step> {
    let stored = {
        let mut checked = {
            let mut draft = draft;
            let snapshot = ctx.services.classes.admit(&draft.class).await?;
            check_class_exists(ctx, &draft.class, snapshot.as_deref())?;
            if triggers::wants_original(ctx, &draft) {
                Box::pin(before_save::load_original(ctx, &mut draft, snapshot.as_deref())).await?;
            }
            if let Some(rules) = rules {
                ops::check_size(&draft.data)?;
                if let Some(answer) = rules.prepare(ctx, &mut draft).await? {
                    return Ok(Step::Answered(answer));
                }
            }
            if triggers::has(ctx, TriggerKind::BeforeSave, &draft.class) {
                Box::pin(before_save::run(ctx, &mut draft, snapshot.as_deref())).await?;
            }
            if let Some(rules) = rules {
                rules.after_before_save(ctx, &mut draft).await?;
            }
            let agreed = validate::agree(ctx, &draft, snapshot, rules.as_deref()).await?;
            validate::complete(ctx, draft, agreed)?
        };
        check_names(ctx, &checked.draft.data)?;
        if let Some(rules) = rules {
            rules.transform(ctx, &mut checked).await?;
        }
        match store::run(ctx, &mut checked, rules.as_deref()).await {
            Err(error) if is_stale_schema(&error) && ctx.transaction.is_none() => {
                Box::pin(store_anew(ctx, checked, rules.as_deref())).await?
            }
            outcome => Stored::new(checked, outcome?),
        }
    };
    let mut saved = answer::build(&stored, rules.as_deref());
    let mut failure = None;
    if let Some(rules) = rules {
        failure = rules.after_store(ctx, &stored, &mut saved).await.err();
    }
    // Only a transaction can take the write back. Else it is told, whatever comes after it.
    if ctx.transaction.is_some()
        && let Some(failure) = failure
    {
        return Err(failure);
    }
    effects::emit(ctx, &stored);
    Ok(Step::Written(Box::new(Written { stored, saved, failure })))
}

/// Tries of a write while fields of its class come and go.
const TRIES: u32 = 4;

/// The fields changed on some server after the object was checked, so nothing was stored: checked and stored
/// once more with those that the class has now.
async fn store_anew(ctx: &Ctx, mut checked: Checked, rules: Option<&dyn ClassRules>) -> Result<Stored> {
    let mut tries = 1;
    loop {
        let renewed = ctx.services.classes.renew(&checked.draft.class, tries).await?;
        checked = validate::check_anew(ctx, checked, renewed, rules).await?;
        match store::run(ctx, &mut checked, rules).await {
            Err(error) if is_stale_schema(&error) && tries < TRIES => tries += 1,
            outcome => return Ok(Stored::new(checked, outcome?)),
        }
    }
}

fn conclude(ctx: &Ctx, written: Written, rules: &Rules) -> Result<Saved> {
    let Written { stored, mut saved, failure } = written;
    if let Some(failure) = failure {
        return Err(failure);
    }
    if let Some(rules) = rules {
        rules.finish(ctx, &mut saved)?;
    }
    hide_protected(ctx, &stored, &mut saved.body);
    Ok(saved)
}

/// Answers of writes leave protected fields out where `protectedFieldsSaveResponseExempt` is off.
fn hide_protected(ctx: &Ctx, stored: &Stored, body: &mut Object) {
    if ctx.config().users.protected_fields_save_response_exempt {
        return;
    }
    let exact = stored.id.as_ref().map(|id| id.as_str());
    let protection = Protection::of(ctx, &stored.class, exact);
    for field in protection.static_fields().into_iter().flatten() {
        body.shift_remove(field);
    }
}

/// # Errors
/// 105 for internal columns that a client (or a trigger) names.
fn check_names(ctx: &Ctx, data: &Object) -> Result<()> {
    if !ctx.auth.is_maintenance()
        && let Some(key) = data.keys().find(|key| key.starts_with('_'))
    {
        return Err(Error::parse(ErrorCode::INVALID_KEY_NAME, format!("Invalid field name: {key}.")));
    }
    Ok(())
}

/// Ids are the server's unless `allowCustomObjectId` is on.
fn check_client_ids(ctx: &Ctx, body: &Object) -> Result<()> {
    let truthy = |key: &str| body.get(key).is_some_and(is_truthy);
    if ctx.config().schema.allow_custom_object_id {
        if body.contains_key("objectId") && !truthy("objectId") {
            return Err(Error::parse(
                ErrorCode::MISSING_OBJECT_ID,
                "objectId must not be empty, null or undefined",
            ));
        }
        return Ok(());
    }
    for (key, message) in
        [("objectId", "objectId is an invalid field name."), ("id", "id is an invalid field name.")]
    {
        if truthy(key) {
            return Err(Error::parse(ErrorCode::INVALID_KEY_NAME, message));
        }
    }
    Ok(())
}
