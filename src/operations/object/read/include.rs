//! Includes: one statement for each level and target class, however many rows point there.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::request::{IncludeTree, Request};
use super::shown::as_pointer;
use super::view::{IncludeTarget, IncludedField, Projection, View};
use super::{Mode, triggers};
use crate::error::Result;
use crate::on_session;
use crate::operations::permissions::Protection;
use crate::operations::permissions::query::restrict_rows_for;
use crate::operations::permissions::special::{Verb, check_class_exists, enforce};
use crate::operations::{ClassSnapshot, Ctx};
use crate::query::{Constraint, Filter, FindHints, FindSpec, Operand};
use crate::types::row::{CellRef, ColumnKind};
use crate::types::{ClassName, FieldName, FieldType, Object, ObjectId, Operation, RowSet};

/// Rows whose pointers at the children of `tree` are to be replaced, and the view that will show them.
struct Site<'a> {
    rows: Arc<RowSet>,
    /// Which of the rows belong to this site; statements are shared between sites.
    indexes: Vec<usize>,
    tree: &'a IncludeTree,
    path: Vec<&'a str>,
    /// Leads to the view that shows these rows.
    way: Way,
}

/// The way from the root view to a nested one: column, nested keys, class.
type Way = Vec<(String, Vec<String>, ClassName)>;

/// Pointers found at one position.
#[derive(Default)]
struct Pointers<'a> {
    ids: HashMap<ClassName, Vec<String>>,
    nested: HashMap<&'a str, Pointers<'a>>,
}

/// One position with pointers to one class.
struct Slot<'a> {
    site: usize,
    column: String,
    nested: Vec<String>,
    class: ClassName,
    ids: Vec<String>,
    tree: &'a IncludeTree,
    path: Vec<&'a str>,
}

/// Fills `view.includes`, level by level.
///
/// # Errors
/// Permission errors of the included classes, as parse-server raises them for the whole find.
pub async fn load(ctx: &Ctx, rows: &Arc<RowSet>, view: &mut View, request: &Request) -> Result<()> {
    let hints = FindHints {
        read_preference: request.include_read_preference,
        room: ctx.room(),
        ..FindHints::default()
    };
    let mut sites = vec![Site {
        rows: rows.clone(),
        indexes: (0..rows.len()).collect(),
        tree: &request.include,
        path: Vec::new(),
        way: Vec::new(),
    }];
    while !sites.is_empty() {
        let slots: Vec<Slot<'_>> =
            sites.iter().enumerate().flat_map(|(index, site)| slots_of(index, site, view)).collect();
        let loaded = load_classes(ctx, &slots, request, &hints).await?;
        let mut next = Vec::new();
        for slot in slots {
            let way = sites[slot.site].way.clone();
            let Some(field) = field_at(view, &way, &slot.column, &slot.nested) else { continue };
            let Some(class) = loaded.get(&slot.class) else { continue };
            let target = class.target(ctx, &slot, request).await?;
            if let (IncludeTarget::Rows { rows, by_id, .. }, false) = (&target, slot.tree.is_empty()) {
                let indexes = slot.ids.iter().filter_map(|id| by_id.get(id).copied()).collect();
                let mut way = way;
                way.push((slot.column.clone(), slot.nested.clone(), slot.class.clone()));
                next.push(Site {
                    rows: rows.clone(),
                    indexes,
                    tree: slot.tree,
                    path: slot.path.clone(),
                    way,
                });
            }
            field.targets.insert(slot.class.clone(), target);
        }
        sites = next;
    }
    Ok(())
}

/// Where objects are to be put. A pointer that the caller does not see is not followed: whether its object
/// exists, and which rights it wants, would tell of it.
fn slots_of<'a>(index: usize, site: &Site<'a>, root: &View) -> Vec<Slot<'a>> {
    let mut slots = Vec::new();
    let Some(protection) = view_at(root, &site.way).map(|view| &view.protection) else { return slots };
    for (segment, tree) in &site.tree.children {
        if protection.withholds(segment) {
            continue;
        }
        let hides = protection.forbids(segment);
        let Some(column) = site.rows.layout().index_of(segment) else { continue };
        let mut found = Pointers::default();
        for row in site.indexes.iter().filter_map(|index| site.rows.get(*index)) {
            if hides && protection.hidden_in(row).contains(segment) {
                continue;
            }
            match (row.cell(column), &row.layout().columns[column].kind) {
                (CellRef::Text(id), ColumnKind::Field(FieldType::Pointer(class))) => {
                    push_id(&mut found.ids, class, id);
                }
                (CellRef::Json(bytes), _) => {
                    if let Ok(value) = serde_json::from_slice::<Value>(bytes) {
                        collect(&value, tree, &mut found);
                    }
                }
                _ => {}
            }
        }
        let mut path = site.path.clone();
        path.push(segment);
        flatten(index, segment, Vec::new(), found, tree, path, &mut slots);
    }
    slots
}

fn push_id(ids: &mut HashMap<ClassName, Vec<String>>, class: &ClassName, id: &str) {
    match ids.get_mut(class) {
        Some(list) => list.push(id.to_owned()),
        None => {
            ids.insert(class.clone(), vec![id.to_owned()]);
        }
    }
}

fn collect<'a>(value: &Value, tree: &'a IncludeTree, found: &mut Pointers<'a>) {
    match value {
        Value::Array(elements) => elements.iter().for_each(|element| collect(element, tree, found)),
        Value::Object(object) => {
            if let Some((class, id)) = as_pointer(value) {
                push_id(&mut found.ids, &class, id);
                return;
            }
            for (segment, below) in &tree.children {
                if let Some(value) = object.get(segment) {
                    collect(value, below, found.nested.entry(segment).or_default());
                }
            }
        }
        _ => {}
    }
}

fn flatten<'a>(
    site: usize,
    column: &str,
    nested: Vec<String>,
    found: Pointers<'a>,
    tree: &'a IncludeTree,
    path: Vec<&'a str>,
    slots: &mut Vec<Slot<'a>>,
) {
    for (class, mut ids) in found.ids {
        ids.sort_unstable();
        ids.dedup();
        slots.push(Slot {
            site,
            column: column.to_owned(),
            nested: nested.clone(),
            class,
            ids,
            tree,
            path: path.clone(),
        });
    }
    for (segment, below) in found.nested {
        let Some(tree) = tree.children.get(segment) else { continue };
        let (mut nested, mut path) = (nested.clone(), path.clone());
        nested.push(segment.to_owned());
        path.push(segment);
        flatten(site, column, nested, below, tree, path, slots);
    }
}

/// The view at the end of the way.
fn view_at<'v>(root: &'v View, way: &Way) -> Option<&'v View> {
    let mut view = root;
    for (column, nested, class) in way {
        let mut field = view.includes.get(column)?;
        for segment in nested {
            field = field.nested.get(segment)?;
        }
        match field.targets.get(class)? {
            IncludeTarget::Rows { view: inner, .. } => view = inner,
            IncludeTarget::Values(_) => return None,
        }
    }
    Some(view)
}

/// Where a slot's objects go, positions on the way created.
fn field_at<'v>(
    view: &'v mut View,
    way: &Way,
    column: &str,
    nested: &[String],
) -> Option<&'v mut IncludedField> {
    let mut view = view;
    for (column, nested, class) in way {
        let mut field = view.includes.get_mut(column)?;
        for segment in nested {
            field = field.nested.get_mut(segment)?;
        }
        match field.targets.get_mut(class)? {
            IncludeTarget::Rows { view: inner, .. } => view = inner,
            IncludeTarget::Values(_) => return None,
        }
    }
    let mut field = view.includes.entry(column.to_owned()).or_default();
    for segment in nested {
        field = field.nested.entry(segment.clone()).or_default();
    }
    Some(field)
}

/// One class's objects for a whole level.
enum Loaded {
    Rows {
        class: Arc<ClassSnapshot>,
        rows: Arc<RowSet>,
        by_id: Arc<HashMap<String, usize>>,
    },
    /// Read one position at a time, through the class's triggers.
    Triggered(ClassName),
    Nothing,
}

async fn load_classes(
    ctx: &Ctx,
    slots: &[Slot<'_>],
    request: &Request,
    hints: &FindHints,
) -> Result<HashMap<ClassName, Loaded>> {
    let mut by_class: HashMap<&ClassName, Vec<&Slot<'_>>> = HashMap::new();
    for slot in slots {
        by_class.entry(&slot.class).or_default().push(slot);
    }
    let loads = by_class.into_iter().map(|(class, slots)| async move {
        let loaded = load_class(ctx, class, &slots, request, hints).await?;
        Ok::<_, crate::error::Error>((class.clone(), loaded))
    });
    Ok(try_join_all(loads).await?.into_iter().collect())
}

async fn load_class(
    ctx: &Ctx,
    class: &ClassName,
    slots: &[&Slot<'_>],
    request: &Request,
    hints: &FindHints,
) -> Result<Loaded> {
    let mut ids: Vec<String> = slots.iter().flat_map(|slot| slot.ids.iter().cloned()).collect();
    ids.sort_unstable();
    ids.dedup();
    ctx.budget().check_objects(ids.len())?;
    let op = if ids.len() == 1 { Operation::Get } else { Operation::Find };
    enforce(ctx, class, if op == Operation::Get { Verb::Get } else { Verb::Find })?;
    let snapshot = ctx.services.classes.admit(class).await?;
    check_class_exists(ctx, class, snapshot.as_deref())?;
    let Some(snapshot) = snapshot else { return Ok(Loaded::Nothing) };
    if triggers::needed(ctx, class) {
        return Ok(Loaded::Triggered(class.clone()));
    }
    let Some(rows_filter) = restrict_rows_for(ctx, &snapshot, Filter::all(), op)? else {
        return Ok(Loaded::Nothing);
    };
    let columns = columns(ctx, &snapshot, slots, request);
    let readers = ctx.auth.acl_ids();
    let rows = if rows_filter.is_all() {
        on_session!(ctx, |session| session.find_by_ids(
            &snapshot.schema,
            &ids,
            readers.as_ref(),
            columns.as_deref(),
            hints
        ))?
    } else {
        let wanted = Constraint::In(ids.into_iter().map(Operand::Text).collect());
        let mut spec = FindSpec::new(Filter::field(FieldName::known("objectId"), wanted).and(rows_filter));
        spec.readers = readers;
        spec.columns = columns;
        spec.hints = hints.clone();
        on_session!(ctx, |session| session.find(&snapshot.schema, &spec))?
    };
    ctx.budget().check_whole(&rows)?;
    let by_id = rows.iter().enumerate().map(|(index, row)| (row.object_id().to_owned(), index)).collect();
    Ok(Loaded::Rows { class: snapshot, rows: Arc::new(rows), by_id: Arc::new(by_id) })
}

/// The union of what the positions show; `None` when one of them shows everything.
fn columns(
    ctx: &Ctx,
    class: &ClassSnapshot,
    slots: &[&Slot<'_>],
    request: &Request,
) -> Option<Vec<FieldName>> {
    let projections: Vec<Projection> = slots.iter().map(|slot| projection(slot, request)).collect();
    if projections.iter().any(Projection::is_everything) {
        return None;
    }
    let protection = Protection::of(ctx, class, None);
    let needed: Vec<&str> = protection.needed_columns().collect();
    let shown = |name: &&FieldName| {
        projections.iter().any(|projection| projection.shows(name))
            || needed.contains(&name.as_str())
            || slots.iter().any(|slot| slot.tree.children.contains_key(name.as_str()))
    };
    Some(class.schema.fields.keys().filter(shown).cloned().collect())
}

fn projection(slot: &Slot<'_>, request: &Request) -> Projection {
    Projection::below(&slot.path, request.keys.as_deref(), &request.exclude_keys)
}

impl Loaded {
    async fn target(&self, ctx: &Ctx, slot: &Slot<'_>, request: &Request) -> Result<IncludeTarget> {
        match self {
            Self::Nothing => Ok(IncludeTarget::Values(HashMap::new())),
            Self::Rows { class, rows, by_id } => {
                let exact = if slot.ids.len() == 1 { slot.ids.first() } else { None };
                let protection = Protection::of(ctx, class, exact.map(String::as_str));
                let view = View::new(ctx, class, protection, projection(slot, request)).within_another(ctx);
                Ok(IncludeTarget::Rows { rows: rows.clone(), by_id: by_id.clone(), view })
            }
            Self::Triggered(class) => load_triggered(ctx, class, slot, request).await,
        }
    }
}

async fn load_triggered(
    ctx: &Ctx,
    class: &ClassName,
    slot: &Slot<'_>,
    request: &Request,
) -> Result<IncludeTarget> {
    let mut params = Object::new();
    // As parse-server has it, one object is got, several are found.
    let single = match slot.ids.as_slice() {
        [id] => ObjectId::new(id),
        _ => None,
    };
    if single.is_none() {
        params.insert("where".to_owned(), json!({ "objectId": { "$in": slot.ids } }));
        params.insert("limit".to_owned(), json!(slot.ids.len()));
    }
    for (key, value) in projection(slot, request).to_params() {
        params.insert(key.to_owned(), value.into());
    }
    if !slot.tree.is_empty() {
        params.insert("include".to_owned(), slot.tree.paths().join(",").into());
    }
    let mode = single.as_ref().map_or(Mode::Find, Mode::Get);
    let found = Box::pin(triggers::find_with_triggers(ctx, class, params, mode)).await?;
    let mut objects = HashMap::new();
    for value in found.into_values(ctx)? {
        if let Value::Object(mut object) = value
            && let Some(id) = object.get("objectId").and_then(Value::as_str).map(str::to_owned)
        {
            object.insert("__type".to_owned(), "Object".into());
            object.insert("className".to_owned(), class.as_str().into());
            if class.is_user() && !ctx.auth.is_master() {
                object.shift_remove("authData");
            }
            objects.insert(id, Value::Object(object));
        }
    }
    Ok(IncludeTarget::Values(objects))
}
