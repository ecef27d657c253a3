//! From what was asked to what storage reads: limits, columns, include paths.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::request::Request;
use super::view::Projection;
use crate::error::{Error, Result};
use crate::operations::permissions::Protection;
use crate::operations::{ClassSnapshot, Ctx};
use crate::query::{Filter, FindHints, FindSpec, PlanDetail};
use crate::types::{FieldName, Layout};

pub struct Plan {
    /// Everything but the filter, which the caller restricts first.
    pub spec: FindSpec,
    pub projection: Projection,
    pub layout: Arc<Layout>,
}

/// # Errors
/// 102 unless the caller is master or `databaseOptions.allowPublicExplain` is on.
pub fn check_explain(ctx: &Ctx) -> Result<()> {
    if ctx.auth.is_master() || ctx.config().database.options.allow_public_explain {
        return Ok(());
    }
    Err(Error::invalid_query("Using the explain query parameter requires the master key"))
}

/// Lays out the read.
pub fn build(ctx: &Ctx, class: &ClassSnapshot, protection: &Protection, request: &mut Request) -> Plan {
    let projection = Projection::new(request.keys.as_deref(), &request.exclude_keys);
    let mut spec = FindSpec::new(Filter::all());
    spec.readers = ctx.auth.acl_ids();
    spec.order = std::mem::take(&mut request.order);
    spec.limit = request.limit;
    spec.skip = request.skip;
    spec.with_score = request.with_score;
    spec.hints = FindHints {
        read_preference: request.read_preference,
        subquery_preference: request.subquery_read_preference,
        hint: request.hint.take(),
        comment: request.comment.take(),
        plan: PlanDetail::asked(request.explain.as_ref()),
        room: ctx.room(),
    };
    spec.columns = columns(class, protection, &projection);
    let layout = match &spec.columns {
        None => class.layout.clone(),
        Some(columns) => Arc::new(Layout::selecting(&class.schema, |name| columns.contains(name))),
    };
    // What the snapshot has ready for everybody.
    spec.layout = (spec.columns.is_none() && !spec.with_score).then(|| layout.clone());
    Plan { spec, projection, layout }
}

/// The optional columns to read: `None` reads all.
fn columns(
    class: &ClassSnapshot,
    protection: &Protection,
    projection: &Projection,
) -> Option<Vec<FieldName>> {
    if projection.is_everything() {
        return None;
    }
    let needed: BTreeSet<&str> = protection.needed_columns().collect();
    let wanted = |name: &&FieldName| projection.shows(name) || needed.contains(name.as_str());
    let known = class.schema.fields.keys().filter(wanted).cloned();
    // Documents of MongoDB may have fields that no schema knows.
    let strange = projection.named().filter(|key| class.schema.field(key).is_none());
    Some(known.chain(strange.filter_map(FieldName::valid)).collect())
}
