//! `_Installation`: which row a device's write belongs to, and what happens to rows that say the same
//! device (`RestWrite.handleInstallation`).

use async_trait::async_trait;
use serde_json::Value;

use crate::config::{DuplicateAction, MergePriority};
use crate::error::{Error, ErrorCode, Result};
use crate::on_session;
use crate::operations::object::write::{ClassRules, Draft, Saved};
use crate::operations::permissions::clp;
use crate::operations::permissions::clp::{Action, RowRestriction};
use crate::operations::{ClassSnapshot, Ctx};
use crate::query::{Constraint, Filter, FindSpec, Operand};
use crate::storage::{Returning, WriteFilter};
use crate::types::javascript::is_truthy;
use crate::types::time::Millis;
use crate::types::update::Op;
use crate::types::{ClassName, FieldName, Object, ObjectId, Operation, Update};

/// Tokens of this length are iOS tokens: hexadecimal, and stored in lower case.
const IOS_TOKEN_LENGTH: usize = 64;
/// More rows with one device token than this are not looked at.
const MOST_MATCHES: u64 = 1000;

fn refused(code: i32, text: &'static str) -> Error {
    Error::parse(ErrorCode(code), text)
}

fn text<'o>(object: &'o Object, key: &str) -> Option<&'o str> {
    object.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn id_of(object: &Object) -> &str {
    text(object, "objectId").unwrap_or_default()
}

#[derive(Debug)]
pub struct InstallationRules;

#[async_trait(?Send)]
impl ClassRules for InstallationRules {
    async fn prepare(&mut self, ctx: &Ctx, draft: &mut Draft) -> Result<Option<Saved>> {
        find_row(ctx, draft).await.map(|()| None)
    }
}

/// May turn a create into an update of the row that is this device's already.
///
/// # Errors
/// 135, 136, 132 and 101 (facts on installations).
async fn find_row(ctx: &Ctx, draft: &mut Draft) -> Result<()> {
    let given = |key: &str| draft.data.get(key).is_some_and(is_truthy);
    let from_header = ctx.info.acting_installation().map(str::to_owned).filter(|id| !id.is_empty());
    if draft.is_create() && !given("deviceToken") && !given("installationId") && from_header.is_none() {
        return Err(refused(
            135,
            "at least one ID field (deviceToken, installationId) must be specified in this operation",
        ));
    }
    lower_case(draft);
    let own_id = text(&draft.data, "installationId").map(str::to_owned);
    let from_header = from_header.filter(|_| !ctx.auth.is_unrestricted()).map(|id| id.to_lowercase());
    let installation_id = own_id.or(from_header);
    let token = text(&draft.data, "deviceToken").map(str::to_owned);
    let changes_type = draft.data.get("deviceType").is_some_and(is_truthy);
    if draft.id.is_some() && token.is_none() && installation_id.is_none() && !changes_type {
        return Ok(());
    }
    // A row without a device, as a dashboard begins one.
    if draft.is_create() && token.is_none() && installation_id.is_none() {
        return Ok(());
    }
    let device = Device { installation_id, token };
    let known = find(ctx, draft, &device).await?;
    let matches = Matches::among(draft, &device, known)?;
    if let Some(id) = resolve(ctx, draft, &device, &matches).await? {
        draft.id = ObjectId::new(&id);
        draft.data.shift_remove("objectId");
        draft.data.shift_remove("createdAt");
    }
    Ok(())
}

fn lower_case(draft: &mut Draft) {
    if let Some(Value::String(token)) = draft.data.get_mut("deviceToken")
        && token.encode_utf16().count() == IOS_TOKEN_LENGTH
    {
        *token = token.to_lowercase();
    }
    if let Some(Value::String(id)) = draft.data.get_mut("installationId") {
        *id = id.to_lowercase();
    }
}

/// What identifies the device in this request.
struct Device {
    installation_id: Option<String>,
    token: Option<String>,
}

fn eq(column: &'static str, text: &str) -> Filter {
    Filter::eq(column, Operand::Text(text.to_owned()))
}

fn ne(column: &'static str, text: &str) -> Filter {
    Filter::field(FieldName::known(column), Constraint::Ne(Operand::Text(text.to_owned())))
}

async fn find(ctx: &Ctx, draft: &Draft, device: &Device) -> Result<Vec<Object>> {
    let Some(class) = class(ctx).await? else { return Ok(Vec::new()) };
    let by_id = draft.id.as_ref().map(Filter::by_id);
    let by_installation = device.installation_id.as_deref().map(|id| eq("installationId", id));
    let by_token = device.token.as_deref().map(|token| eq("deviceToken", token));
    let any: Vec<Filter> = by_id.into_iter().chain(by_installation).chain(by_token).collect();
    if any.is_empty() {
        return Ok(Vec::new());
    }
    let spec = FindSpec::new(Filter::Or(any)).limit(MOST_MATCHES);
    let rows = on_session!(ctx, |session| session.find(&class.schema, &spec))?;
    Ok(rows.iter().map(|row| row.to_object()).collect())
}

async fn class(ctx: &Ctx) -> Result<Option<std::sync::Arc<ClassSnapshot>>> {
    ctx.services.classes.admit(&ClassName::known("_Installation")).await
}

/// The stored rows that say they are this device.
struct Matches {
    /// By `objectId` or `installationId`; the latter wins.
    by_id: Option<Object>,
    by_token: Vec<Object>,
}

impl Matches {
    /// # Errors
    /// 101, 136 for an update that would change what may not change; 135 for a new row without type.
    fn among(draft: &Draft, device: &Device, known: Vec<Object>) -> Result<Self> {
        let mut matches = Self { by_id: None, by_token: Vec::new() };
        let (mut target, mut same_installation) = (None, None);
        for row in known {
            if draft.id.as_ref().is_some_and(|id| id.as_str() == id_of(&row)) {
                target = Some(row.clone());
            }
            if device.installation_id.is_some()
                && text(&row, "installationId") == device.installation_id.as_deref()
            {
                same_installation = Some(row.clone());
            }
            if device.token.is_some() && text(&row, "deviceToken") == device.token.as_deref() {
                matches.by_token.push(row);
            }
        }
        if draft.id.is_some() {
            let message = "Object not found for update.";
            let missing = || Error::parse(ErrorCode::OBJECT_NOT_FOUND, message);
            check_immutable(draft, target.as_ref().ok_or_else(missing)?)?;
        }
        matches.by_id = same_installation.or(target);
        let has_type = draft.data.get("deviceType").is_some_and(is_truthy);
        if draft.is_create() && !has_type && matches.by_id.is_none() {
            return Err(refused(135, "deviceType must be specified in this operation"));
        }
        Ok(matches)
    }
}

fn check_immutable(draft: &Draft, stored: &Object) -> Result<()> {
    let differs = |key: &str| match (text(&draft.data, key), text(stored, key)) {
        (Some(new), Some(old)) => new != old,
        _ => false,
    };
    if differs("installationId") {
        return Err(refused(136, "installationId may not be changed in this operation"));
    }
    let anonymous = text(&draft.data, "installationId").is_none() && text(stored, "installationId").is_none();
    if differs("deviceToken") && anonymous {
        return Err(refused(136, "deviceToken may not be changed in this operation"));
    }
    let new_type = draft.data.get("deviceType").filter(|value| is_truthy(value));
    if new_type.is_some() && new_type != stored.get("deviceType") {
        return Err(refused(136, "deviceType may not be changed in this operation"));
    }
    Ok(())
}

/// The row to update; `None` leaves the draft as it is.
async fn resolve(ctx: &Ctx, draft: &Draft, device: &Device, matches: &Matches) -> Result<Option<String>> {
    let sent_id = text(&draft.data, "installationId");
    let Some(row) = &matches.by_id else {
        return match matches.by_token.as_slice() {
            [] => Ok(None),
            [only] if text(only, "installationId").is_none() || device.installation_id.is_none() => {
                Ok(Some(id_of(only).to_owned()))
            }
            _ if sent_id.is_none() => Err(refused(
                132,
                "Must specify installationId when deviceToken matches multiple Installation objects",
            )),
            _ => {
                let id = device.installation_id.as_deref().unwrap_or_default();
                clear_token(ctx, draft, device, ne("installationId", id)).await?;
                Ok(None)
            }
        };
    };
    if let [only] = matches.by_token.as_slice()
        && text(only, "installationId").is_none()
    {
        return merge(ctx, row, only).await.map(Some);
    }
    if device.token.is_some() && text(row, "deviceToken") != device.token.as_deref() {
        let sent_object_id = text(&draft.data, "objectId");
        let keep = match sent_id {
            Some(id) => Some(ne("installationId", id)),
            None if sent_object_id == Some(id_of(row)) => Some(ne("objectId", id_of(row))),
            None => None,
        };
        if let Some(keep) = keep {
            clear_token(ctx, draft, device, keep).await?;
        }
    }
    Ok(Some(id_of(row).to_owned()))
}

/// Other rows with the device's token lose it, or go.
async fn clear_token(ctx: &Ctx, draft: &Draft, device: &Device, others: Filter) -> Result<()> {
    let Some(token) = device.token.as_deref() else { return Ok(()) };
    let mut filter = eq("deviceToken", token).and(others);
    if let Some(app) = text(&draft.data, "appIdentifier") {
        filter = filter.and(eq("appIdentifier", app));
    }
    remove(ctx, filter, "deviceToken").await
}

/// Two rows are one device: the survivor's id.
async fn merge(ctx: &Ctx, by_id: &Object, by_token: &Object) -> Result<String> {
    if id_of(by_id) == id_of(by_token) {
        return Ok(id_of(by_id).to_owned());
    }
    let (survivor, loser, column) = match ctx.config().installation.duplicate_device_token_merge_priority {
        MergePriority::DeviceToken => (by_token, by_id, "installationId"),
        MergePriority::InstallationId => (by_id, by_token, "deviceToken"),
    };
    remove(ctx, eq("objectId", id_of(loser)), column).await?;
    Ok(id_of(survivor).to_owned())
}

/// Deletes the rows, or takes `column` away from them. With `duplicateDeviceTokenActionEnforceAuth`
/// rows that the caller has no right to stay as they are.
async fn remove(ctx: &Ctx, filter: Filter, column: &'static str) -> Result<()> {
    let Some(class) = class(ctx).await? else { return Ok(()) };
    let options = &ctx.config().installation;
    let action = options.duplicate_device_token_action;
    let mut target = WriteFilter { filter, writers: None };
    if options.duplicate_device_token_action_enforce_auth {
        let operation = match action {
            DuplicateAction::Delete => Operation::Delete,
            DuplicateAction::Update => Operation::Update,
        };
        let restriction = match clp::admit(&ctx.auth, &class, operation, Action::Update) {
            Ok(restriction) => restriction,
            Err(error)
                if error.is(ErrorCode::OPERATION_FORBIDDEN) || error.is(ErrorCode::OBJECT_NOT_FOUND) =>
            {
                tracing::warn!(%error, "an installation with the same device stays: {error}");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match restriction {
            RowRestriction::All => {}
            RowRestriction::None => return Ok(()),
            RowRestriction::Rows(rows) => target.filter = target.filter.and(rows),
        }
        target.writers = ctx.auth.acl_ids();
    }
    match action {
        DuplicateAction::Delete => {
            on_session!(ctx, |session| session.delete(&class.schema, &target, false))?;
        }
        DuplicateAction::Update => {
            let mut update = Update { ops: vec![(FieldName::known(column).into(), Op::Unset)] };
            update = update.set(FieldName::known("updatedAt"), Millis::now().to_iso().into());
            on_session!(ctx, |session| session.update(
                &class.schema,
                &target,
                &update,
                Returning::default()
            ))?;
        }
    }
    Ok(())
}
