//! Writes: create, update, delete. A flat list of steps, each in a file of its own:
//! authorize → special classes → beforeSave → validate against the schema → store → effects
//! (the order of parse-server's `RestWrite`).

pub mod bulk;
pub mod delete;
pub mod draft;
pub mod effects;
pub mod ops;
pub mod respond;
mod round_trip;
pub mod rules;
pub mod special;
pub mod store;
pub mod triggers;
pub mod validate;
pub mod withhold;

pub use bulk::{create_many, delete_many, update_many};
pub use delete::delete;
pub use draft::{Draft, Saved};

use std::sync::Arc;

use self::store::Outcome;
use super::transaction;
use crate::cloud::TriggerKind;
use crate::error::{Error, ErrorCode, Result};
use crate::operations::context::asks_for_transaction;
use crate::operations::permissions::special::{Verb, check_class_exists, enforce};
use crate::operations::transactions::Extent;
use crate::operations::{ClassSnapshot, Ctx};
use crate::storage::is_stale_schema;
use crate::types::javascript::is_truthy;
use crate::types::{ClassName, Object, ObjectId};

/// `POST /classes/:C`: 201 with `objectId`, `createdAt` and whatever the server changed.
///
/// # Errors
/// 105, 107, 111, 119, 137, 142 and those of the special classes; see facts on objects.
pub async fn create(ctx: &Ctx, class: &ClassName, body: Object) -> Result<Saved> {
    enforce(ctx, class, Verb::Create)?;
    check_client_ids(ctx, &body)?;
    let body = if class.is_system() { ops::without_conditions(body) } else { body };
    let draft = Draft::create(class.clone(), body);
    save(ctx, draft).await
}

/// `PUT /classes/:C/:id`: `updatedAt`, results of operators, changes made by a trigger.
///
/// # Errors
/// 101 when there is no such object, or none that the caller may write; else as [`create`].
pub async fn update(ctx: &Ctx, class: &ClassName, id: &str, body: Object) -> Result<Saved> {
    enforce(ctx, class, Verb::Update)?;
    let id = ObjectId::new(id).ok_or_else(Error::object_not_found)?;
    let draft = Draft::update(class.clone(), id, body);
    save(ctx, draft).await.map_err(|error| special::map_missing_object(ctx, class, error))
}

/// Runs the whole pipeline on a draft; special classes may turn a create into an update or a login.
///
/// Where a trigger of the class asks for it, everything up to the write (and afterSave, if that is the
/// one that asks) is one transaction with what the triggers save.
pub async fn save(ctx: &Ctx, draft: Draft) -> Result<Saved> {
    if !triggers::opens_transaction(ctx, &draft.class) {
        return match write(ctx, draft).await? {
            Step::Answered(saved) => Ok(saved),
            Step::Written(mut written) => {
                triggers::after_save(ctx, &mut written).await?;
                conclude(ctx, *written)
            }
        };
    }
    Box::pin(save_in_transaction(ctx, draft)).await
}

async fn save_in_transaction(ctx: &Ctx, draft: Draft) -> Result<Saved> {
    let asks = asks_for_transaction(&ctx.services, TriggerKind::AfterSave, &draft.class);
    let step = transaction::within(ctx, Extent::Triggers, async |inside: &Ctx| {
        let mut step = Box::pin(write(inside, draft)).await?;
        if asks && let Step::Written(written) = &mut step {
            triggers::after_save(inside, written).await?;
        }
        Ok(step)
    })
    .await?;
    match step {
        Step::Answered(saved) => Ok(saved),
        Step::Written(mut written) => {
            if !asks {
                triggers::after_save(ctx, &mut written).await?;
            }
            conclude(ctx, *written)
        }
    }
}

/// An object that was written, before anybody hears of it.
struct Written {
    draft: Draft,
    snapshot: Arc<ClassSnapshot>,
    outcome: Outcome,
    saved: Saved,
    /// What went wrong after the object was stored.
    failure: Option<Error>,
}

enum Step {
    /// A special class had an answer without a write of its own.
    Answered(Saved),
    Written(Box<Written>),
}

/// Steps that most writes do without are boxed: a future is as large as the largest of its steps, and is
/// moved as a whole.
async fn write(ctx: &Ctx, mut draft: Draft) -> Result<Step> {
    let is_special = draft.class.is_system();
    let snapshot = ctx.services.classes.admit(&draft.class).await?;
    check_class_exists(ctx, &draft.class, snapshot.as_deref())?;
    draft.context.clone_from(&ctx.info.context);
    if triggers::want_original(ctx, &draft) {
        Box::pin(triggers::load_original(ctx, &mut draft, snapshot.as_deref())).await?;
    }
    if is_special {
        ops::check_size(&draft.data)?;
    }
    if is_special && let Some(answer) = Box::pin(special::prepare(ctx, &mut draft)).await? {
        return Ok(Step::Answered(answer));
    }
    if triggers::has(ctx, TriggerKind::BeforeSave, &draft.class) {
        Box::pin(triggers::before_save(ctx, &mut draft, snapshot.as_ref())).await?;
    }
    if is_special {
        Box::pin(special::after_before_save(ctx, &mut draft)).await?;
    }
    let mut snapshot = validate::against_schema(ctx, &mut draft, snapshot).await?;
    special::check_names(ctx, &draft)?;
    if is_special {
        Box::pin(special::transform(ctx, &mut draft)).await?;
    }
    let outcome = match store::run(ctx, &mut draft, &snapshot).await {
        Err(error) if is_stale_schema(&error) && ctx.transaction.is_none() => {
            Box::pin(store_anew(ctx, &mut draft, &mut snapshot)).await?
        }
        outcome => outcome?,
    };
    let mut saved = respond::build(ctx, &draft, &outcome);
    let mut failure = None;
    if is_special {
        failure = Box::pin(special::after_store(ctx, &mut draft, &mut saved)).await.err();
    }
    // Only a transaction can take the write back. Else it is told, whatever comes after it.
    if ctx.transaction.is_some()
        && let Some(failure) = failure
    {
        return Err(failure);
    }
    effects::emit(ctx, &snapshot, &outcome);
    Ok(Step::Written(Box::new(Written { draft, snapshot, outcome, saved, failure })))
}

/// Tries of a write while fields of its class come and go.
const TRIES: u32 = 4;

/// The fields changed on some server after the object was checked, so nothing was stored: once more with
/// those that the class has now.
async fn store_anew(ctx: &Ctx, draft: &mut Draft, snapshot: &mut Arc<ClassSnapshot>) -> Result<Outcome> {
    let mut tries = 1;
    loop {
        let renewed = ctx.services.classes.renew(&draft.class, tries).await?;
        // What the check filled in, it fills in again.
        draft
            .data
            .retain(|key, value| !(matches!(key.as_str(), "createdAt" | "updatedAt") && value.is_string()));
        *snapshot = validate::against_schema(ctx, draft, renewed).await?;
        match store::run(ctx, draft, snapshot).await {
            Err(error) if is_stale_schema(&error) && tries < TRIES => tries += 1,
            outcome => return outcome,
        }
    }
}

fn conclude(ctx: &Ctx, written: Written) -> Result<Saved> {
    let Written { draft, snapshot, mut saved, failure, .. } = written;
    if let Some(failure) = failure {
        return Err(failure);
    }
    special::finish(ctx, &draft, &snapshot, &mut saved)?;
    Ok(saved)
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
