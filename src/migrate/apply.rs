//! Changes of the source, taken over: what was changed is read anew there, and the target becomes the same. In any order
//! and more than once it leads to the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::verify::{named, relation};
use super::{Named, Report, Side, copy, is_whole, join_class, members, relations, stored, unless_refused};
use crate::error::Result;
use crate::query::{Constraint, Filter, FindSpec, Operand};
use crate::storage::changes::Change;
use crate::storage::{StorageAdapter, StorageError, StorageResult, WriteFilter};
use crate::types::update::RelationChange;
use crate::types::{ClassSchema, Field, FieldName, Object, ObjectId};

/// Most ids of one statement.
const CHUNK: usize = 500;

/// What is to be looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Touched {
    pub objects: BTreeMap<String, BTreeSet<String>>,
    pub relations: BTreeSet<(String, String)>,
    pub schemas: BTreeSet<String>,
    pub classes: BTreeSet<String>,
    pub files: bool,
    pub changes: u64,
}

impl Touched {
    pub fn note(&mut self, change: Change) {
        self.changes += 1;
        match change {
            Change::Object { class, id } => drop(self.objects.entry(class).or_default().insert(id)),
            Change::Relation { field, class } => drop(self.relations.insert((class, field))),
            Change::Schema { class } => drop(self.schemas.insert(class)),
            Change::Class { class } => drop(self.classes.insert(class)),
            Change::Files => self.files = true,
            Change::Mark(_) | Change::Other => self.changes -= 1,
        }
    }

    pub fn extend(&mut self, other: &Self) {
        for (class, ids) in &other.objects {
            self.objects.entry(class.clone()).or_default().extend(ids.iter().cloned());
        }
        self.relations.extend(other.relations.iter().cloned());
        self.schemas.extend(other.schemas.iter().cloned());
        self.classes.extend(other.classes.iter().cloned());
        self.files |= other.files;
        self.changes += other.changes;
    }

    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
            && self.relations.is_empty()
            && self.schemas.is_empty()
            && self.classes.is_empty()
            && !self.files
    }
}

/// Makes the target what the source is, in all that was touched; answers what the target refused, which may be because
/// of a change that is still to come.
pub(super) async fn apply(
    from: &Side<'_>,
    to: &Side<'_>,
    touched: &Touched,
    report: &mut Report,
) -> Result<Touched> {
    let mut left = Touched::default();
    for class in &touched.schemas {
        schema(from.storage, to.storage, class, report).await?;
    }
    let named_classes = touched.objects.keys().chain(&touched.classes);
    let named_classes = named_classes.chain(touched.relations.iter().map(|(class, _)| class));
    let mut classes: BTreeMap<&str, (Arc<ClassSchema>, Arc<ClassSchema>)> = BTreeMap::new();
    let known = super::classes(from.storage).await?;
    for name in named_classes {
        let Some(class) = known.iter().find(|class| class.name == *name.as_str()) else { continue };
        if !classes.contains_key(name.as_str())
            && let Some(target) = target_of(to.storage, class, report).await?
        {
            classes.insert(name.as_str(), (class.clone(), target));
        }
    }
    for name in &touched.classes {
        if let Some((class, target)) = classes.get(name.as_str()) {
            gone(from.storage, to.storage, class, target).await?;
        }
    }
    for (name, ids) in &touched.objects {
        let Some((class, target)) = classes.get(name.as_str()) else { continue };
        if is_whole(class) {
            whole(from.storage, to.storage, class, target, report).await?;
            continue;
        }
        let ids: Vec<String> = ids.iter().cloned().collect();
        for ids in ids.chunks(CHUNK) {
            let refused = objects(from.storage, to.storage, class, target, ids).await?;
            left.objects.entry(name.clone()).or_default().extend(refused);
        }
    }
    left.objects.retain(|_, ids| !ids.is_empty());
    for (name, field) in &touched.relations {
        let Some((class, _)) = classes.get(name.as_str()) else { continue };
        if let Some(field) = relations(class).find(|known| known.as_str() == field) {
            pairs(from.storage, to.storage, class, field, report).await?;
        }
    }
    if touched.files {
        copy::files(from, to, report, &mut |_| {}).await?;
    }
    Ok(left)
}

/// The target's class; made there when it is missing.
async fn target_of(
    to: &dyn StorageAdapter,
    class: &Arc<ClassSchema>,
    report: &mut Report,
) -> Result<Option<Arc<ClassSchema>>> {
    if let Some(target) = to.load_schema(&class.name).await?
        && class.fields.keys().all(|name| target.field(name).is_some())
    {
        return Ok(Some(Arc::new(target)));
    }
    // What is refused was said when the class was copied.
    let mut refused = Named::default();
    let target = copy::schema(to, class, &mut refused).await?;
    if report.refused.count == 0 {
        report.refused.append(refused);
    }
    Ok(target.map(Arc::new))
}

/// A class as the source has it now, its fields and indexes too; none where it has none.
async fn schema(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    name: &str,
    report: &mut Report,
) -> Result<()> {
    let Some(name) = crate::types::ClassName::valid(name) else { return Ok(()) };
    let Some(class) = from.load_schema(&name).await? else {
        if let Some(there) = to.load_schema(&name).await? {
            to.delete_class(&there).await?;
        }
        return Ok(());
    };
    if let Some(there) = to.load_schema(&name).await? {
        // Objects with a field that was made anew with another type were changed since, and so are looked at as well.
        let stays =
            |name: &FieldName, field: &Field| class.field(name).is_some_and(|here| here.ty == field.ty);
        let gone = there.fields.iter().filter(|(name, field)| !stays(name, field));
        let gone: Vec<FieldName> = gone.map(|(name, _)| name.clone()).collect();
        if !gone.is_empty() {
            to.delete_fields(&name, &gone).await?;
        }
    }
    let mut refused = Named::default();
    let Some(target) = copy::schema(to, &class, &mut refused).await? else { return Ok(()) };
    let options = class.fields.iter().filter(|(name, field)| {
        target.field(name).is_some_and(|there| {
            there.ty == field.ty
                && (there.required, &there.default_value) != (field.required, &field.default_value)
        })
    });
    let options: Vec<_> = options.map(|(name, field)| (name.clone(), field.clone())).collect();
    if !options.is_empty() {
        to.set_field_options(&name, &options).await?;
    }
    copy::indexes(to, &class, &mut refused).await;
    report.refused.append(refused);
    Ok(())
}

/// These objects; answers the ids of those that the target refused.
async fn objects(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    class: &Arc<ClassSchema>,
    target: &Arc<ClassSchema>,
    ids: &[String],
) -> Result<Vec<String>> {
    let here = named(from, class, ids).await?;
    let rows: Vec<Object> = ids.iter().filter_map(|id| here.get(id).cloned()).collect();
    if unless_refused(replace(to, target, ids, &rows).await)?.is_ok() {
        return Ok(Vec::new());
    }
    let mut refused = Vec::new();
    for id in ids {
        let rows: Vec<Object> = here.get(id).cloned().into_iter().collect();
        if unless_refused(replace(to, target, std::slice::from_ref(id), &rows).await)?.is_err() {
            refused.push(id.clone());
        }
    }
    Ok(refused)
}

/// Why the target refuses an object, if it does.
pub(super) async fn refusal(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    class: &Arc<ClassSchema>,
    id: &str,
) -> Result<Option<String>> {
    let ids = [id.to_owned()];
    let rows: Vec<Object> = named(from, class, &ids).await?.into_values().collect();
    let target = to.load_schema(&class.name).await?.map_or_else(|| class.clone(), Arc::new);
    Ok(unless_refused(replace(to, &target, &ids, &rows).await)?.err())
}

/// Puts the rows in the place of whatever has these ids; all or none.
async fn replace(
    to: &dyn StorageAdapter,
    target: &Arc<ClassSchema>,
    ids: &[String],
    rows: &[Object],
) -> StorageResult<()> {
    let operands = ids.iter().map(|id| Operand::Text(id.clone())).collect();
    let filter = Filter::field(FieldName::known("objectId"), Constraint::In(operands));
    let old = WriteFilter { filter, writers: None };
    let open = match to.begin().await {
        Ok(open) => open,
        // A server without transactions.
        Err(StorageError::Refused(_)) => {
            to.delete(target, &old, false).await?;
            return to.create(target, rows).await;
        }
        Err(error) => return Err(error),
    };
    open.delete(target, &old, false).await?;
    if !rows.is_empty() {
        open.create(target, rows).await?;
    }
    open.commit().await
}

/// All objects of a class that has few.
async fn whole(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    class: &Arc<ClassSchema>,
    target: &Arc<ClassSchema>,
    report: &mut Report,
) -> Result<()> {
    let rows = from.find(class, &FindSpec::new(Filter::all())).await?;
    let rows: Vec<Object> = rows.iter().map(|row| stored(row, class)).collect();
    let old = WriteFilter { filter: Filter::all(), writers: None };
    to.delete(target, &old, false).await?;
    copy::create(to, target, &rows, report).await
}

/// Removes from the target what the source has no more.
async fn gone(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    class: &Arc<ClassSchema>,
    target: &Arc<ClassSchema>,
) -> Result<()> {
    if from.count(class, &FindSpec::new(Filter::all())).await? == 0 {
        to.purge_class(target).await?;
        return Ok(());
    }
    let mut strangers = Vec::new();
    let both = super::verify::Both { here: class.clone(), there: target.clone() };
    super::verify::strangers(from, to, &both, &mut |difference| strangers.push(difference)).await?;
    for difference in strangers {
        if let super::verify::Difference::Object { id, .. } = difference
            && let Some(id) = ObjectId::new(&id)
        {
            let target_row = WriteFilter { filter: Filter::by_id(&id), writers: None };
            to.delete(target, &target_row, false).await?;
        }
    }
    Ok(())
}

/// The members of a relation.
async fn pairs(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    class: &ClassSchema,
    field: &FieldName,
    report: &mut Report,
) -> Result<()> {
    let join = join_class(field, &class.name);
    let (here, there) = (members(from, &join).await?, members(to, &join).await?);
    let mut changes: BTreeMap<&str, (Vec<ObjectId>, Vec<ObjectId>)> = BTreeMap::new();
    for (owner, member) in here.difference(&there) {
        changes.entry(owner).or_default().0.extend(ObjectId::new(member));
    }
    for (owner, member) in there.difference(&here) {
        changes.entry(owner).or_default().1.extend(ObjectId::new(member));
    }
    for (owner, (add, remove)) in changes {
        let change = RelationChange { field: field.clone(), add, remove };
        copy::change_members(to, class, owner, change, &mut report.refused).await?;
    }
    Ok(())
}

/// What of it still differs.
pub(super) async fn differences(
    from: &Side<'_>,
    to: &Side<'_>,
    touched: &Touched,
) -> Result<Vec<super::verify::Difference>> {
    let mut found = Vec::new();
    let mut see = |difference| found.push(difference);
    let known = super::classes(from.storage).await?;
    for (name, ids) in &touched.objects {
        let Some(class) = known.iter().find(|class| class.name == *name.as_str()) else { continue };
        if is_whole(class) {
            super::verify::class(from.storage, to.storage, class, &mut see, &mut |_| {}).await?;
            continue;
        }
        let both = super::verify::Both::of(to.storage, class).await?;
        let ids: Vec<String> = ids.iter().cloned().collect();
        super::verify::ids(from.storage, to.storage, &both, &ids, &mut see).await?;
    }
    for (name, field) in &touched.relations {
        let Some(class) = known.iter().find(|class| class.name == *name.as_str()) else { continue };
        if let Some(field) = relations(class).find(|known| known.as_str() == field) {
            relation(from.storage, to.storage, class, field, &mut see).await?;
        }
    }
    for name in touched.classes.union(&touched.schemas) {
        if let Some(class) = known.iter().find(|class| class.name == *name.as_str()) {
            super::verify::class(from.storage, to.storage, class, &mut see, &mut |_| {}).await?;
        }
    }
    if touched.files {
        super::verify::files(from, to, &mut see).await?;
    }
    for class in &known {
        super::verify::counts(from.storage, to.storage, class, &mut see).await?;
    }
    found.sort();
    found.dedup();
    Ok(found)
}
