//! Apps that were opened by a push: each installation counts once for each push.

use std::sync::Arc;

use serde_json::Value;

use super::{campaign, status};
use crate::error::{Error, Result};
use crate::operations::context::Ctx;
use crate::query::{Filter, FindSpec, Operand};
use crate::storage::{Returning, WriteFilter};
use crate::types::time::Millis;
use crate::types::update::Op;
use crate::types::{FieldName, Object, Update};

/// Bytes of what names a push.
const LONGEST: usize = 64;

/// `POST /push/opened`: `pushId` (or `objectId`), or `push_hash`. Who calls is an installation, by its header.
///
/// # Errors
/// 107 when it names no push, or no installation.
pub async fn opened(ctx: &Ctx, body: &Object) -> Result<()> {
    let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| text.len() <= LONGEST);
    let id = text("pushId").or_else(|| text("objectId")).or_else(|| text("pushStatusId"));
    let installation = ctx.info.installation_id.as_deref().or_else(|| text("installationId"));
    let installation = installation
        .ok_or_else(|| Error::invalid_json("X-Parse-Installation-Id or installationId is needed"))?;
    match (id, text("push_hash").or_else(|| text("pushHash"))) {
        (Some(id), _) => note(ctx, id, installation).await,
        (None, Some(hash)) => note_hash(ctx, hash, installation).await,
        (None, None) => Err(Error::invalid_json("pushId or push_hash is needed")),
    }
}

/// The analytics event of the SDKs (`AppOpened` with `push_hash`); whatever goes wrong is not the client's
/// business.
pub async fn by_hash(ctx: &Ctx, body: &Object) {
    let hash = body.get("push_hash").or_else(|| body.get("pushHash")).and_then(Value::as_str);
    let (Some(hash), Some(installation)) =
        (hash.filter(|hash| hash.len() <= LONGEST), &ctx.info.installation_id)
    else {
        return;
    };
    if let Err(error) = note_hash(ctx, hash, installation).await {
        tracing::debug!(%error, "an app that was opened could not be counted");
    }
}

async fn note_hash(ctx: &Ctx, hash: &str, installation: &str) -> Result<()> {
    let Some(ledger) = ctx.services.storage.push_ledger() else { return Ok(()) };
    match ledger.push_of_hash(&ctx.config().app_id, hash).await? {
        Some(id) => note(ctx, &id, installation).await,
        None => Ok(()),
    }
}

/// Nobody learns whether there is such a push, or such an installation.
async fn note(ctx: &Ctx, id: &str, installation: &str) -> Result<()> {
    let services = &ctx.services;
    let (Some(ledger), Some(class)) =
        (services.storage.push_ledger(), campaign::installations(services).await?)
    else {
        return Ok(());
    };
    let app = &services.config.app_id;
    let own = Filter::eq("installationId", Operand::Text(installation.to_owned()));
    let found = services.storage.as_session().find(&class.schema, &FindSpec::new(own).limit(1)).await?;
    let Some(row) = found.first() else { return Ok(()) };
    if ledger.push(app, id).await?.is_none() || !ledger.note_opened(app, id, row.object_id()).await? {
        return Ok(());
    }
    let schema: Arc<_> = status::schema(services).await?;
    let mut update = Update::default().set(FieldName::known("updatedAt"), Millis::now().to_iso().into());
    update.ops.push((FieldName::known("opened").into(), Op::Increment(1.0)));
    let target = WriteFilter { filter: status::by_id(id), writers: None };
    services.storage.as_session().update(&schema, &target, &update, Returning::default()).await?;
    Ok(())
}
