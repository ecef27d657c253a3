//! Addresses of files that only an adapter of the application's own can tell: asked for all at once before
//! an answer is written, since writing does not wait.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::files::Place;
use crate::operations::Ctx;
use crate::operations::object::read::view::{IncludedField, Target, View};
use crate::operations::services::FileUrls;
use crate::types::row::{CellRef, ColumnKind};
use crate::types::{FieldType, RowSet};

/// What was asked for, and the way the rest goes.
struct Known {
    urls: HashMap<String, String>,
    others: Arc<dyn FileUrls>,
}

impl FileUrls for Known {
    fn url(&self, base: &str, name: &str) -> String {
        self.urls.get(name).cloned().unwrap_or_else(|| self.others.url(base, name))
    }

    fn refreshes(&self) -> bool {
        self.others.refreshes()
    }

    fn refresh(&self, base: &str, value: &mut Value) {
        self.others.refresh(base, value);
    }
}

/// The address of one file.
///
/// # Errors
/// What the adapter throws.
pub async fn of(ctx: &Ctx, file: &str) -> Result<String> {
    let files = &ctx.services.files;
    let base = ctx.info.base_url.as_str();
    if !files.is_asked(file) {
        return Ok(files.url(base, file));
    }
    let names = [file.to_owned()];
    let place = Place { server: base, app_id: &files.app_id };
    match files.store.locate(place, &names) {
        None => Ok(files.url(base, file)),
        Some(asked) => {
            let urls = asked.await.map_err(Error::internal)?;
            Ok(urls.into_iter().next().unwrap_or_default())
        }
    }
}

/// Gives the view, and those of what is included, the addresses of the files in the rows.
///
/// # Errors
/// What the adapter throws.
pub async fn prepare(ctx: &Ctx, rows: &RowSet, view: &mut View) -> Result<()> {
    let files = &ctx.services.files;
    if !files.asks {
        return Ok(());
    }
    let mut found = BTreeSet::new();
    collect(rows, view, &mut found);
    let names: Vec<String> = found.into_iter().filter(|name| files.is_asked(name)).collect();
    let place = Place { server: &ctx.info.base_url, app_id: &files.app_id };
    if names.is_empty() {
        return Ok(());
    }
    let Some(asked) = files.store.locate(place, &names) else { return Ok(()) };
    let urls = asked.await.map_err(Error::internal)?;
    let others: Arc<dyn FileUrls> = files.clone();
    let known: Arc<dyn FileUrls> = Arc::new(Known { urls: names.into_iter().zip(urls).collect(), others });
    hand_out(view, &known);
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
            if let Target::Rows { rows, view, .. } = target {
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
            if let Target::Rows { view, .. } = target {
                hand_out(view, known);
            }
        }
        open.extend(field.nested.values_mut());
    }
}
