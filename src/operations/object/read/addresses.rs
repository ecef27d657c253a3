//! Addresses of files that only an adapter of the application's own can tell: asked for all at once before
//! an answer is written, since writing does not wait.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::view::{IncludeTarget, IncludedField, View};
use crate::error::Result;
use crate::files::FileUrls;
use crate::operations::Ctx;
use crate::types::row::{CellRef, ColumnKind};
use crate::types::{FieldType, RowSet};

/// Gives the view, and those of what is included, the addresses of the files in the rows.
///
/// # Errors
/// What the adapter throws.
pub(super) async fn prepare(ctx: &Ctx, rows: &RowSet, view: &mut View) -> Result<()> {
    let files = &ctx.services.files;
    if !files.asks() {
        return Ok(());
    }
    let mut found = BTreeSet::new();
    collect(rows, view, &mut found);
    if let Some(known) = files.ask(&ctx.info.base_url, found).await? {
        hand_out(view, &known);
    }
    Ok(())
}

fn collect(rows: &RowSet, view: &View, found: &mut BTreeSet<String>) {
    let columns = rows.layout().columns.iter().enumerate();
    let holds = |kind: &ColumnKind| matches!(kind, ColumnKind::Field(FieldType::File));
    let columns: Vec<usize> = columns.filter(|(_, c)| holds(&c.kind)).map(|(index, _)| index).collect();
    for row in rows.iter().filter(|_| !columns.is_empty()) {
        for index in &columns {
            if let CellRef::Text(name) = row.cell(*index) {
                found.insert(name.to_owned());
            }
        }
    }
    let mut open: Vec<&IncludedField> = view.includes.values().collect();
    while let Some(field) = open.pop() {
        open.extend(field.nested.values());
        for target in field.targets.values() {
            if let IncludeTarget::Rows { rows, view, .. } = target {
                collect(rows, view, found);
            }
        }
    }
}

fn hand_out(view: &mut View, known: &Arc<dyn FileUrls>) {
    view.file_urls = known.clone();
    let mut open: Vec<&mut IncludedField> = view.includes.values_mut().collect();
    while let Some(field) = open.pop() {
        for target in field.targets.values_mut() {
            if let IncludeTarget::Rows { view, .. } = target {
                hand_out(view, known);
            }
        }
        open.extend(field.nested.values_mut());
    }
}
