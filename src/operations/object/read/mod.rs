//! Reads: find, get, count, aggregate. A flat list of steps: beforeFind → class rules → class and
//! pointer permissions → protected fields → storage → includes → answer → afterFind.
//!
//! Without triggers rows go from storage to the answer's bytes and are never a JSON tree.

mod addresses;
pub mod aggregate;
pub mod auth_shown;
pub mod encode;
mod found;
pub mod include;
pub mod internal_columns;
mod json_text;
pub mod keyset;
pub mod plan;
pub mod related;
pub mod request;
mod shown;
pub mod subqueries;
pub mod triggers;
mod values;
pub mod view;
mod weight;

use std::sync::Arc;

pub use aggregate::aggregate;
pub use found::Found;
use found::Results;
use keyset::Cursors;
pub use request::{Request, parse_context};
pub use view::{Projection, View};

use crate::error::{Error, ErrorCode, Result};
use crate::on_session;
use crate::operations::object::fresh::TRIES;
use crate::operations::permissions::query::{
    authorize_filter, authorize_names, authorize_order, redirect_target, restrict_rows_for,
};
use crate::operations::permissions::special::{Verb, check_class_exists, enforce};
use crate::operations::permissions::{Protection, clp};
use crate::operations::{ClassSnapshot, Ctx};
use crate::query::Filter;
use crate::storage::{StorageError, is_stale_schema};
use crate::types::{ClassName, FieldName, Object, ObjectId, Operation, RowSet};

/// The objects of a class that match: `GET /classes/:C`.
///
/// # Errors
/// 102, 105, 107 for malformed queries, 119 for permissions, and what beforeFind threw.
pub async fn find(ctx: &Ctx, class: &ClassName, params: Object) -> Result<Found> {
    enforce(ctx, class, Verb::Find)?;
    run(ctx, class, params, Mode::Find).await
}

/// One object: `GET /classes/:C/:id`.
///
/// # Errors
/// 101 `Object not found.` for what can be no id, and those of [`find`].
pub async fn get(ctx: &Ctx, class: &ClassName, id: &str, params: Object) -> Result<Found> {
    enforce(ctx, class, Verb::Get)?;
    let id = ObjectId::new(id).ok_or_else(Error::object_not_found)?;
    let own = class.is_user() && ctx.auth.user_id() == Some(id.as_str());
    let mut found = run(ctx, class, params, Mode::Get(&id)).await?;
    found.own = ctx.auth.principal.clone().filter(|_| own);
    Ok(found)
}

/// One object, or `None`; for the server's own needs with the caller's rights.
///
/// # Errors
/// As [`get`], except that a missing object is `None`.
pub async fn get_object(ctx: &Ctx, class: &ClassName, id: &str) -> Result<Option<Object>> {
    let found = match get(ctx, class, id, Object::new()).await {
        Ok(found) => found.into_object(ctx),
        Err(error) => Err(error),
    };
    match found {
        Ok(object) => Ok(Some(object)),
        Err(error) if error.is(ErrorCode::OBJECT_NOT_FOUND) => Ok(None),
        Err(error) => Err(error),
    }
}

#[derive(Clone, Copy)]
pub(super) enum Mode<'a> {
    Find,
    /// A find that `redirectClassNameForKey` led to another class: it is led no further.
    Redirected,
    Get(&'a ObjectId),
}

impl Mode<'_> {
    fn is_get(self) -> bool {
        matches!(self, Self::Get(_))
    }
}

async fn run(ctx: &Ctx, class: &ClassName, params: Object, mode: Mode<'_>) -> Result<Found> {
    ctx.budget().check_objects(0)?;
    if triggers::needed(ctx, class) {
        return triggers::find_with_triggers(ctx, class, params, mode).await;
    }
    find_plainly(ctx, class, params, mode).await
}

/// A find without this class's triggers. The parameters are used up on the way: what was asked is read once,
/// and nothing later can go back to it behind a trigger's back.
pub(super) async fn find_plainly(
    ctx: &Ctx,
    class: &ClassName,
    mut params: Object,
    mode: Mode<'_>,
) -> Result<Found> {
    let snapshot = match ctx.services.classes.admit(class).await? {
        None if class.is_join() && ctx.auth.is_unrestricted() => Some(related::table(ctx, class)),
        known => known,
    };
    check_class_exists(ctx, class, snapshot.as_deref())?;
    let Some(key) = take_redirect(&mut params, mode) else {
        return find_in(ctx, class, snapshot, params, mode).await;
    };
    let target = match &snapshot {
        Some(snapshot) => redirect_target(ctx, snapshot, &key)?.filter(|target| target != class),
        None => None,
    };
    let Some(target) = target else {
        let exists = snapshot.is_some();
        let mut answer = find_in(ctx, class, snapshot, params, mode).await?;
        answer.redirected_to = exists.then(|| class.clone());
        return Ok(answer);
    };
    enforce(ctx, &target, Verb::Find)?;
    let mut answer = if triggers::needed(ctx, &target) {
        Box::pin(triggers::find_with_triggers(ctx, &target, params, Mode::Redirected)).await?
    } else {
        let redirected = ctx.services.classes.admit(&target).await?;
        check_class_exists(ctx, &target, redirected.as_deref())?;
        find_in(ctx, &target, redirected, params, Mode::Redirected).await?
    };
    answer.redirected_to = Some(target);
    Ok(answer)
}

/// `redirectClassNameForKey`, taken out of the parameters of a find.
fn take_redirect(params: &mut Object, mode: Mode<'_>) -> Option<FieldName> {
    if mode.is_get() {
        return None;
    }
    let key = params.shift_remove("redirectClassNameForKey")?;
    let is_first = matches!(mode, Mode::Find) && crate::types::javascript::is_truthy(&key);
    key.as_str().filter(|_| is_first).and_then(FieldName::valid)
}

/// The find in the class whose rows it is about. It is sent again with the fields that the class has now when
/// they are not those it was planned for; the handlers of triggers have run then, and run no more.
async fn find_in(
    ctx: &Ctx,
    class: &ClassName,
    mut snapshot: Option<Arc<ClassSnapshot>>,
    params: Object,
    mode: Mode<'_>,
) -> Result<Found> {
    let params = subqueries::through_triggers(ctx, params, snapshot.as_deref()).await?;
    let mut tries = 1;
    loop {
        match find_once(ctx, class, snapshot.as_ref(), &params, mode).await {
            Err(error) if is_stale_schema(&error) && ctx.transaction.is_none() && tries < TRIES => {
                snapshot = ctx.services.classes.renew(class, tries).await?;
            }
            found => return found,
        }
        tries += 1;
    }
}

async fn find_once(
    ctx: &Ctx,
    class: &ClassName,
    snapshot: Option<&Arc<ClassSnapshot>>,
    params: &Object,
    mode: Mode<'_>,
) -> Result<Found> {
    let request = match Request::parse(ctx, params.clone(), mode, snapshot.map(|class| &**class)) {
        Ok(request) => request,
        // Whoever may not ask at all, or not after this field, is told so, and nothing of the field's type.
        Err(error) => {
            if let Some(class) = snapshot {
                let op = if mode.is_get() { Operation::Get } else { Operation::Find };
                clp::check(&ctx.auth, class, op, clp::Action::Read)?;
                authorize_names(ctx, class, params.get("where")).await?;
            }
            return Err(error);
        }
    };
    let Some(snapshot) = snapshot else {
        // Sessions are looked at before the class is: nobody's are nobody's to list.
        crate::operations::permissions::query::own_sessions(ctx, class, Filter::all())?;
        return Ok(Found::nothing(&request));
    };
    execute(ctx, snapshot, request, mode).await
}

/// The authorized find itself.
pub(super) async fn execute(
    ctx: &Ctx,
    class: &Arc<ClassSnapshot>,
    mut request: Request,
    mode: Mode<'_>,
) -> Result<Found> {
    let protection = Protection::of(ctx, class, request.filter.pinned_id());
    let op = match request.filter.exact_id() {
        Some(_) => Operation::Get,
        None => Operation::Find,
    };
    if request.explain.is_some() {
        plan::check_explain(ctx)?;
    }
    authorize_filter(ctx, class, &protection, &mut request.filter).await?;
    authorize_order(class.name(), &protection, &request.order)?;
    let total = request.filter.clone();
    let cursors_of = |order: &[_]| Cursors::of(ctx, class.name(), order);
    let cursors = request.paging.apply(&mut request.order, &mut request.filter, cursors_of)?;
    let asked = request.filter.clone();
    let plan = plan::build(ctx, class, &protection, &mut request);
    let count = match request.count {
        true => Some(count(ctx, class, total).await?),
        false => None,
    };
    let mut view = View::new(ctx, class, protection, plan.projection);
    if request.limit == Some(0) && !mode.is_get() {
        crate::operations::permissions::query::own_sessions(ctx, class.name(), Filter::all())?;
        let rows = Arc::new(RowSet::new(plan.layout));
        return Ok(Found::new(Results::Rows(rows, view), count));
    }
    let Some(filter) = restrict_rows_for(ctx, class, asked, op)? else {
        let rows = Arc::new(RowSet::new(plan.layout));
        return Ok(Found::new(Results::Rows(rows, view), count));
    };
    let mut spec = plan.spec;
    spec.filter = filter;
    // One more than the answer may show is enough to refuse it.
    let most = ctx.budget().objects_left().saturating_add(1);
    if request.explain.is_none() && spec.limit.is_none_or(|limit| limit > most) {
        spec.limit = Some(most);
    }
    if request.explain.is_some() {
        let plan = on_session!(ctx, |session| session.explain(&class.schema, &spec))?;
        return Ok(Found::new(Results::Plan(plan), count));
    }
    let rows = Arc::new(load(ctx, class, &mut spec).await?);
    ctx.budget().check_whole(&rows)?;
    let last = rows.len().checked_sub(1).and_then(|last| rows.get(last));
    let cursor = last.zip(cursors).and_then(|(row, cursors)| cursors.behind(row, &view, &spec.order));
    if !request.include.is_empty() && !rows.is_empty() {
        include::load(ctx, &rows, &mut view, &request).await?;
    }
    addresses::prepare(ctx, &rows, &mut view).await?;
    Ok(Found { cursor, ..Found::new(Results::Rows(rows, view), count) })
}

/// The rows themselves. The maintenance key sees the internal columns of users too, which are no fields
/// of the class; a database without users has not all of them yet.
async fn load(
    ctx: &Ctx,
    class: &Arc<ClassSnapshot>,
    spec: &mut crate::query::FindSpec,
) -> Result<crate::types::RowSet> {
    if ctx.auth.is_maintenance() && class.name().is_user() && spec.columns.is_none() {
        let mut whole = spec.clone();
        whole.columns = Some(internal_columns::all_columns(&class.schema));
        whole.layout = None;
        match on_session!(ctx, |session| session.find(&class.schema, &whole)) {
            Err(StorageError::StaleSchema(_)) => {}
            found => return Ok(found?),
        }
    }
    Ok(on_session!(ctx, |session| session.find(&class.schema, &*spec))?)
}

async fn count(ctx: &Ctx, class: &Arc<ClassSnapshot>, filter: Filter) -> Result<u64> {
    clp::check(&ctx.auth, class, Operation::Count, clp::Action::Read)?;
    let Some(filter) = restrict_rows_for(ctx, class, filter, Operation::Count)? else { return Ok(0) };
    let mut spec = crate::query::FindSpec::new(filter);
    spec.readers = ctx.auth.acl_ids();
    Ok(on_session!(ctx, |session| session.count(&class.schema, &spec))?)
}
