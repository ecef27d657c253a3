//! Reads: find, get, count, aggregate. A flat list of steps: beforeFind → class rules → class and
//! pointer permissions → protected fields → storage → includes → answer → afterFind.
//!
//! Without triggers rows go from storage to the answer's bytes and are never a JSON tree.

mod addresses;
pub mod aggregate;
pub mod encode;
pub mod include;
mod json_text;
pub mod keyset;
pub mod plan;
pub mod request;
mod subqueries;
pub mod triggers;
pub mod view;

use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

pub use aggregate::aggregate;
use keyset::Cursors;
pub use request::{Request, parse_context};
pub use view::{Projection, View};

use crate::error::{Error, ErrorCode, Result};
use crate::on_session;
use crate::operations::budget::Budget;
use crate::operations::permissions::query::{
    authorize_filter, authorize_order, redirect_target, restrict_rows_for,
};
use crate::operations::permissions::special::{Verb, check_class_exists, enforce};
use crate::operations::permissions::{Protection, clp};
use crate::operations::{ClassSnapshot, Ctx};
use crate::query::Filter;
use crate::storage::{StorageError, is_stale_schema};
use crate::types::{ClassName, FieldName, Object, ObjectId, Operation, RowSet};

/// `GET /classes/:C`: `{"results":[…]}`, with `count` when asked, or the plan for `explain`.
///
/// # Errors
/// 102, 105, 107 for malformed queries, 119 for permissions, and what beforeFind threw.
pub async fn find(ctx: &Ctx, class: &ClassName, params: &Object) -> Result<Bytes> {
    enforce(ctx, class, Verb::Find)?;
    let answer = run(ctx, class, params, Mode::Find).await?;
    answer.into_find_body(ctx.budget())
}

/// `GET /classes/:C/:id`: the object.
///
/// # Errors
/// 101 `Object not found.` and those of [`find`].
pub async fn get(ctx: &Ctx, class: &ClassName, id: &str, params: &Object) -> Result<Bytes> {
    enforce(ctx, class, Verb::Get)?;
    let id = ObjectId::new(id).ok_or_else(Error::object_not_found)?;
    let own = class.is_user() && ctx.auth.user_id() == Some(id.as_str());
    let answer = run(ctx, class, params, Mode::Get(&id)).await?;
    let token = ctx.auth.principal.as_ref().map(|principal| principal.session_token.as_str());
    answer.into_object_body(token.filter(|_| own), ctx.budget())
}

/// One object as a JSON tree, or `None`; for the server's own needs with the caller's rights.
///
/// # Errors
/// As [`get`], except that a missing object is `None`.
pub async fn get_object(ctx: &Ctx, class: &ClassName, id: &str) -> Result<Option<Object>> {
    match get(ctx, class, id, &Object::new()).await {
        Ok(body) => Ok(serde_json::from_slice(&body).ok()),
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

/// What a find found, before it is written down.
pub(super) struct Answer {
    pub results: Results,
    pub count: Option<u64>,
    /// The objects' class, when it is not the one that was asked for.
    pub redirected_to: Option<ClassName>,
    /// Where the next page begins, when the client asked for it and there was a row.
    pub cursor: Option<String>,
}

#[allow(clippy::large_enum_variant, reason = "one for each find")]
pub(super) enum Results {
    /// Rows and how to show them.
    Rows(Arc<RowSet>, View),
    /// Objects that code of the server went through.
    Values(Vec<Value>),
    /// A JSON array of objects that went through a trigger, each with its class name.
    Raw(Box<RawValue>),
    Plan(Value),
}

/// Tries of a read while fields of its classes come and go.
const TRIES: u32 = 4;

/// Without triggers, a find is sent again with the fields that the class has now when they are not those it
/// was built for.
async fn run(ctx: &Ctx, class: &ClassName, params: &Object, mode: Mode<'_>) -> Result<Answer> {
    ctx.budget().check_objects(0)?;
    if triggers::needed(ctx, class) {
        return triggers::find_with_triggers(ctx, class, params.clone(), mode).await;
    }
    let mut tries = 1;
    loop {
        match find_plainly(ctx, class, params.clone(), mode).await {
            Err(error) if is_stale_schema(&error) && ctx.transaction.is_none() && tries < TRIES => {
                ctx.services.classes.renew(class, tries).await?;
            }
            answer => return answer,
        }
        tries += 1;
    }
}

/// A find without this class's triggers. The parameters are used up on the way: what was asked is read once,
/// and nothing later can go back to it behind a trigger's back.
pub(super) async fn find_plainly(
    ctx: &Ctx,
    class: &ClassName,
    mut params: Object,
    mode: Mode<'_>,
) -> Result<Answer> {
    let snapshot = ctx.services.classes.admit(class).await?;
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

/// The find in the class whose rows it is about.
async fn find_in(
    ctx: &Ctx,
    class: &ClassName,
    snapshot: Option<Arc<ClassSnapshot>>,
    params: Object,
    mode: Mode<'_>,
) -> Result<Answer> {
    let params = subqueries::through_triggers(ctx, params, snapshot.as_deref()).await?;
    let request = Request::parse(ctx, params, mode, snapshot.as_deref())?;
    let Some(snapshot) = snapshot else {
        // Sessions are looked at before the class is: nobody's are nobody's to list.
        crate::operations::permissions::query::own_sessions(ctx, class, Filter::all())?;
        return Ok(Answer::empty(&request));
    };
    execute(ctx, &snapshot, request, mode).await
}

/// The authorized find itself.
pub(super) async fn execute(
    ctx: &Ctx,
    class: &Arc<ClassSnapshot>,
    mut request: Request,
    mode: Mode<'_>,
) -> Result<Answer> {
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
        return Ok(Answer { results: Results::Rows(rows, view), count, redirected_to: None, cursor: None });
    }
    let Some(filter) = restrict_rows_for(ctx, class, asked, op)? else {
        let rows = Arc::new(RowSet::new(plan.layout));
        return Ok(Answer { results: Results::Rows(rows, view), count, redirected_to: None, cursor: None });
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
        return Ok(Answer { results: Results::Plan(plan), count, redirected_to: None, cursor: None });
    }
    let rows = Arc::new(load(ctx, class, &mut spec).await?);
    ctx.budget().check_whole(&rows)?;
    let last = rows.len().checked_sub(1).and_then(|last| rows.get(last));
    let cursor = last.zip(cursors).and_then(|(row, cursors)| cursors.behind(row, &view, &spec.order));
    if !request.include.is_empty() && !rows.is_empty() {
        include::load(ctx, &rows, &mut view, &request).await?;
    }
    addresses::prepare(ctx, &rows, &mut view).await?;
    Ok(Answer { results: Results::Rows(rows, view), count, redirected_to: None, cursor })
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
        whole.columns = Some(crate::operations::classes::user::all_columns(&class.schema));
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

impl Answer {
    fn empty(request: &Request) -> Self {
        let count = request.count.then_some(0);
        Self { results: Results::Values(Vec::new()), count, redirected_to: None, cursor: None }
    }

    fn into_find_body(self, budget: &Budget) -> Result<Bytes> {
        let expected = match &self.results {
            Results::Rows(rows, _) => rows.json_size(),
            _ => 0,
        };
        let meter = budget.meter();
        let mut out = Vec::with_capacity(256 + expected.min(budget.bytes_left()));
        out.extend_from_slice(b"{\"results\":");
        let class = self.redirected_to.as_ref();
        match &self.results {
            Results::Rows(rows, view) => encode::write_rows(&mut out, rows, view, class, &meter),
            Results::Values(values) => encode::write_values(&mut out, values, class, &meter),
            Results::Raw(objects) => out.extend_from_slice(objects.get().as_bytes()),
            Results::Plan(plan) => encode::write_json(&mut out, plan),
        }
        if let Some(count) = self.count {
            out.extend_from_slice(b",\"count\":");
            out.extend_from_slice(count.to_string().as_bytes());
        }
        if let Some(cursor) = &self.cursor {
            out.extend_from_slice(b",\"cursor\":");
            encode::write_string(&mut out, cursor);
        }
        out.push(b'}');
        budget.settle(&meter, out.len())?;
        Ok(Bytes::from(out))
    }

    /// The objects as JSON trees, for triggers.
    ///
    /// # Errors
    /// 102 for more than the request may be answered.
    pub(super) fn into_values(self, budget: &Budget) -> Result<Vec<Value>> {
        Ok(match self.results {
            Results::Values(values) => values,
            Results::Raw(objects) => serde_json::from_str(objects.get()).unwrap_or_default(),
            Results::Plan(plan) => vec![plan],
            Results::Rows(rows, view) => {
                let (mut out, meter) = (Vec::new(), budget.meter());
                encode::write_rows(&mut out, &rows, &view, None, &meter);
                budget.settle(&meter, out.len())?;
                serde_json::from_slice(&out).unwrap_or_default()
            }
        })
    }

    /// The objects as a JSON array for afterFind, each with its class name.
    ///
    /// # Errors
    /// 102 for more than the request may be answered.
    pub(super) fn to_named_json(&self, class: &ClassName, budget: &Budget) -> Result<Box<RawValue>> {
        let class = self.redirected_to.as_ref().unwrap_or(class);
        let (mut out, meter) = (Vec::with_capacity(1024), budget.meter());
        match &self.results {
            Results::Raw(objects) => return Ok(objects.clone()),
            Results::Rows(rows, view) => encode::write_rows(&mut out, rows, view, Some(class), &meter),
            Results::Values(values) => encode::write_values(&mut out, values, Some(class), &meter),
            Results::Plan(plan) => encode::write_json(&mut out, plan),
        }
        budget.settle(&meter, out.len())?;
        let text = String::from_utf8(out).map_err(Error::internal)?;
        RawValue::from_string(text).map_err(Error::internal)
    }

    fn into_object_body(self, session_token: Option<&str>, budget: &Budget) -> Result<Bytes> {
        let (mut out, meter) = (Vec::with_capacity(256), budget.meter());
        match &self.results {
            Results::Rows(rows, view) => {
                let row = rows.first().ok_or_else(Error::object_not_found)?;
                encode::write_row(&mut out, row, view, None, &meter);
                budget.settle(&meter, out.len())?;
            }
            Results::Values(values) => {
                let object = values.first().ok_or_else(Error::object_not_found)?;
                encode::write_json(&mut out, object);
            }
            Results::Raw(objects) => {
                let objects: Vec<&RawValue> = serde_json::from_str(objects.get()).map_err(Error::internal)?;
                let object = objects.first().ok_or_else(Error::object_not_found)?;
                out.extend_from_slice(object.get().as_bytes());
            }
            Results::Plan(plan) => encode::write_json(&mut out, plan),
        }
        if let Some(token) = session_token
            && out.last() == Some(&b'}')
        {
            out.pop();
            out.extend_from_slice(if out.len() > 1 { b",\"sessionToken\":" } else { b"\"sessionToken\":" });
            encode::write_string(&mut out, token);
            out.push(b'}');
        }
        Ok(Bytes::from(out))
    }
}
