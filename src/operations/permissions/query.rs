//! A parsed query against permissions: every class it looks at, however deep, is admitted, its
//! protected fields are kept out of the conditions, and every sub-query learns whose rows it may see.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;

use super::clp::{self, Action, RowRestriction};
use super::protected::Protection;
use super::special::{Verb, check_class_exists, enforce};
use crate::error::{Error, ErrorCode, Result};
use crate::operations::{ClassSnapshot, Ctx};
use crate::query::{Access, Constraint, Filter, Operand, OrderKey, RelatedTo, SubQuery};
use crate::types::{ClassName, Operation};

/// Refuses hidden fields in the conditions and resolves sub-queries. What the server itself adds to a
/// query (rows of the caller, pointer permissions) is added afterwards.
///
/// # Errors
/// 119 for hidden fields and denied classes; those of the classes' own rules.
pub async fn authorize_filter(
    ctx: &Ctx,
    class: &ClassSnapshot,
    protection: &Protection,
    filter: &mut Filter,
) -> Result<()> {
    visit(ctx, class.name().clone(), protection, filter).await
}

/// # Errors
/// 119 when a sort key is protected.
pub fn authorize_order(class: &ClassName, protection: &Protection, order: &[OrderKey]) -> Result<()> {
    for key in order {
        if let OrderKey::Field { path, .. } = key {
            let path = path.to_dotted();
            if protection.forbids(&path) {
                return Err(refused_sort(class, &path));
            }
        }
    }
    Ok(())
}

/// The conditions of a query that could not be parsed: a client that may not query a class, or not by a field of it,
/// learns that and nothing else; the classes of sub-queries are looked at in the same way.
///
/// # Errors
/// 119 for hidden fields and denied classes.
pub async fn authorize_names(ctx: &Ctx, class: &ClassSnapshot, condition: Option<&Value>) -> Result<()> {
    let parsed: Value;
    let condition = match condition {
        Some(Value::String(text)) => {
            parsed = crate::types::json::from_outside(text.as_bytes()).unwrap_or_default();
            &parsed
        }
        Some(condition) => condition,
        None => return Ok(()),
    };
    let mut queries = vec![(class.name().clone(), Protection::of(ctx, class, None), condition)];
    let mut looked_at = 0;
    // Explicit stacks: nesting comes from the client.
    while let Some((class, protection, condition)) = queries.pop() {
        let mut open = vec![condition];
        while let Some(condition) = open.pop() {
            for (key, value) in condition.as_object().into_iter().flatten() {
                match key.as_str() {
                    "$or" | "$and" | "$nor" => open.extend(value.as_array().into_iter().flatten()),
                    // Internal columns are no names at all, which the parser says.
                    key if !key.starts_with('_') && protection.forbids(key) => {
                        return Err(refused_key(&class, key));
                    }
                    _ => {}
                }
                for sub in sub_queries(value) {
                    looked_at += 1;
                    let named = sub.get("className").and_then(Value::as_str).and_then(ClassName::valid);
                    if looked_at > MOST_LOOKED_AT {
                        return Ok(());
                    }
                    let Some(named) = named else { continue };
                    enforce(ctx, &named, Verb::Find)?;
                    let snapshot = ctx.services.classes.admit(&named).await?;
                    check_class_exists(ctx, &named, snapshot.as_deref())?;
                    let Some(snapshot) = snapshot else { continue };
                    clp::check(&ctx.auth, &snapshot, Operation::Find, Action::Read)?;
                    if let Some(condition) = sub.get("where") {
                        queries.push((named, Protection::of(ctx, &snapshot, None), condition));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Sub-queries of a query that is refused anyway.
const MOST_LOOKED_AT: usize = 100;

/// The sub-queries among the constraints of one field.
fn sub_queries(constraints: &Value) -> impl Iterator<Item = &Value> {
    let constraints = constraints.as_object().into_iter().flatten();
    constraints.filter_map(|(operator, operand)| match operator.as_str() {
        "$inQuery" | "$notInQuery" => Some(operand),
        "$select" | "$dontSelect" => operand.get("query"),
        _ => None,
    })
}

fn refused_key(class: &ClassName, path: &str) -> Error {
    Error::forbidden(format!("This user is not allowed to query {path} on class {class}"))
}

fn refused_sort(class: &ClassName, path: &str) -> Error {
    Error::forbidden(format!("This user is not allowed to sort by {path} on class {class}"))
}

type Visit<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Depth is bounded by the parser's limits.
fn visit<'a>(
    ctx: &'a Ctx,
    class: ClassName,
    protection: &'a Protection,
    filter: &'a mut Filter,
) -> Visit<'a> {
    Box::pin(async move {
        match filter {
            Filter::And(parts) | Filter::Or(parts) | Filter::Nor(parts) => {
                for part in parts {
                    visit(ctx, class.clone(), protection, part).await?;
                }
            }
            Filter::Field { path, constraints } => {
                let dotted = path.to_dotted();
                if protection.forbids(&dotted) {
                    return Err(refused_key(&class, &dotted));
                }
                for constraint in constraints {
                    match constraint {
                        Constraint::InQuery(sub)
                        | Constraint::NotInQuery(sub)
                        | Constraint::Select(sub)
                        | Constraint::DontSelect(sub) => authorize_sub_query(ctx, sub).await?,
                        _ => {}
                    }
                }
            }
            Filter::RelatedTo(related) => authorize_related(ctx, related).await?,
        }
        Ok(())
    })
}

async fn authorize_sub_query(ctx: &Ctx, sub: &mut SubQuery) -> Result<()> {
    if let Some(key) = sub.redirect_class_name_for_key.take()
        && let Some(class) = ctx.services.classes.admit(&sub.class).await?
        && let Some(target) = redirect_target(ctx, &class, &key)?
    {
        sub.class = target;
    }
    enforce(ctx, &sub.class, Verb::Find)?;
    let snapshot = ctx.services.classes.admit(&sub.class).await?;
    check_class_exists(ctx, &sub.class, snapshot.as_deref())?;
    let Some(snapshot) = snapshot else {
        own_sessions(ctx, &sub.class, Filter::all())?;
        sub.access = Access { schema: None, readers: ctx.auth.acl_ids(), denied: true };
        return Ok(());
    };
    if let Some(limit) = ctx.config().request_complexity.subquery_limit
        && !ctx.auth.is_unrestricted()
    {
        let limit = u64::from(limit);
        sub.limit = Some(sub.limit.map_or(limit, |asked| asked.min(limit)));
    }
    let protection = Protection::of(ctx, &snapshot, sub.filter.pinned_id());
    visit(ctx, sub.class.clone(), &protection, &mut sub.filter).await?;
    authorize_order(&sub.class, &protection, &sub.order)?;
    let mut denied = false;
    if let Some(key) = &sub.key {
        // A key the caller may not read selects nothing.
        denied = protection.forbids(&key.to_dotted());
    }
    let filter = std::mem::replace(&mut sub.filter, Filter::all());
    sub.filter = match restrict_rows(ctx, &snapshot, filter)? {
        Some(filter) => filter,
        None => {
            denied = true;
            Filter::all()
        }
    };
    sub.access = Access { schema: Some(snapshot.schema.clone()), readers: ctx.auth.acl_ids(), denied };
    Ok(())
}

/// The class that the relation `key` of `class` leads to: `redirectClassNameForKey`.
///
/// # Errors
/// 119 when the caller may not know of the relation.
pub fn redirect_target(ctx: &Ctx, class: &ClassSnapshot, key: &str) -> Result<Option<ClassName>> {
    if Protection::of(ctx, class, None).forbids(key) {
        return Err(refused_key(class.name(), key));
    }
    Ok(class.schema.relation_target(key).cloned())
}

/// The rules that decide which rows of a class a read may see besides ACLs: own sessions only, class
/// permission for find or get, pointer permissions. `None`: no rows.
///
/// # Errors
/// 119 and 101 of class permissions, 209 for sessions without a user.
pub fn restrict_rows(ctx: &Ctx, class: &ClassSnapshot, filter: Filter) -> Result<Option<Filter>> {
    let op = if filter.exact_id().is_some() { Operation::Get } else { Operation::Find };
    restrict_rows_for(ctx, class, filter, op)
}

/// As [`restrict_rows`], for an operation the caller knows.
///
/// # Errors
/// As [`restrict_rows`].
pub fn restrict_rows_for(
    ctx: &Ctx,
    class: &ClassSnapshot,
    filter: Filter,
    op: Operation,
) -> Result<Option<Filter>> {
    clp::check(&ctx.auth, class, op, Action::Read)?;
    let rows = match clp::pointer_restriction(&ctx.auth, class, op)? {
        RowRestriction::All => filter,
        RowRestriction::Rows(rows) => filter.and(rows),
        RowRestriction::None if op == Operation::Get => return Err(Error::object_not_found()),
        RowRestriction::None => return Ok(None),
    };
    own_sessions(ctx, class.name(), rows).map(Some)
}

/// All but the master key see their own sessions only. The maintenance key has none: it must not hand out the
/// tokens of everybody.
///
/// # Errors
/// 209 without a user.
pub fn own_sessions(ctx: &Ctx, class: &ClassName, filter: Filter) -> Result<Filter> {
    if !class.is_session() || ctx.auth.is_master() {
        return Ok(filter);
    }
    let user = ctx
        .auth
        .user_id()
        .ok_or_else(|| Error::denied(ErrorCode::INVALID_SESSION_TOKEN, "Invalid session token"))?;
    let pointer = Operand::Pointer { class: ClassName::known("_User"), id: user.to_owned() };
    Ok(filter.and(Filter::eq("user", pointer)))
}

async fn authorize_related(ctx: &Ctx, related: &mut RelatedTo) -> Result<()> {
    let denied = Access { schema: None, readers: ctx.auth.acl_ids(), denied: true };
    let Some(owner) = ctx.services.classes.admit(&related.owner_class).await? else {
        related.access = denied;
        return Ok(());
    };
    let protection = Protection::of(ctx, &owner, Some(&related.owner_id));
    if protection.forbids(&related.key) {
        return Err(refused_key(owner.name(), &related.key));
    }
    // Whoever may not get the owner sees no members, and is not told why.
    let may_get = enforce(ctx, owner.name(), Verb::Get)
        .and_then(|()| clp::check(&ctx.auth, &owner, Operation::Get, Action::Read));
    let rows = match may_get {
        Ok(()) => clp::pointer_restriction(&ctx.auth, &owner, Operation::Get)?,
        Err(error) if error.is(ErrorCode::OPERATION_FORBIDDEN) || error.is(ErrorCode::OBJECT_NOT_FOUND) => {
            RowRestriction::None
        }
        Err(error) => return Err(error),
    };
    related.access = match rows {
        RowRestriction::All => {
            Access { schema: Some(owner.schema.clone()), readers: ctx.auth.acl_ids(), denied: false }
        }
        RowRestriction::None => denied,
        // Owner rows that a pointer field gives: one look at the owner decides.
        RowRestriction::Rows(rows) => {
            if owner_is_readable(ctx, &owner, related, rows).await? {
                Access { schema: Some(owner.schema.clone()), readers: ctx.auth.acl_ids(), denied: false }
            } else {
                denied
            }
        }
    };
    Ok(())
}

async fn owner_is_readable(
    ctx: &Ctx,
    owner: &Arc<ClassSnapshot>,
    related: &RelatedTo,
    rows: Filter,
) -> Result<bool> {
    let by_id = Filter::eq("objectId", Operand::Text(related.owner_id.clone()));
    let mut spec = crate::query::FindSpec::new(by_id.and(rows)).limit(1);
    spec.readers = ctx.auth.acl_ids();
    let found = crate::on_session!(ctx, |session| session.count(&owner.schema, &spec))?;
    Ok(found > 0)
}
