//! Whether both sides hold the same: every object, in both directions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::TryStreamExt;
use serde_json::{Value, json};

use super::{PAGE, Progress, Side, by_id, columns, is_whole, join_class, members, relations, stored};
use crate::error::{Error, Result};
use crate::files::FileStore;
use crate::query::evaluate::json_equals;
use crate::query::{Filter, FindHints, FindSpec};
use crate::storage::StorageAdapter;
use crate::types::names::VOLATILE_CLASSES;
use crate::types::time::Millis;
use crate::types::{ClassSchema, Clp, Field, FieldName, Object};

/// One thing that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Difference {
    /// An object, and how it differs.
    Object {
        class: String,
        id: String,
        how: String,
    },
    Members {
        class: String,
        field: String,
        how: String,
    },
    /// Of a class as a whole.
    Class {
        class: String,
        how: String,
    },
    File(String),
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Object { class, id, how } => write!(f, "{class} {id}: {how}"),
            Self::Members { class, field, how } => write!(f, "members of {field} of {class}: {how}"),
            Self::Class { class, how } => write!(f, "{class}: {how}"),
            Self::File(how) => write!(f, "file {how}"),
        }
    }
}

/// A class as each side has it.
pub(super) struct Both {
    pub here: Arc<ClassSchema>,
    pub there: Arc<ClassSchema>,
}

impl Both {
    /// Where the target has no entry of the class, it may still have its objects.
    pub async fn of(to: &dyn StorageAdapter, class: &Arc<ClassSchema>) -> Result<Self> {
        let there = to.load_schema(&class.name).await?;
        Ok(Self { here: class.clone(), there: there.map_or_else(|| class.clone(), Arc::new) })
    }
}

pub(super) type Tell<'t> = &'t mut (dyn FnMut(Progress<'_>) + Send);

/// Compares one class; shows what differs.
pub(super) async fn class(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    class: &Arc<ClassSchema>,
    see: &mut (dyn FnMut(Difference) + Send),
    tell: Tell<'_>,
) -> Result<()> {
    schema(to, class, see).await?;
    let both = Both::of(to, class).await?;
    if is_whole(class) {
        whole(from, to, &both, see).await?;
    } else if by_id(class) {
        objects(from, to, &both, see, tell).await?;
        strangers(from, to, &both, see).await?;
    }
    for field in relations(class) {
        relation(from, to, class, field, see).await?;
    }
    Ok(())
}

/// How many objects each side has: also of those that no page shows.
pub(super) async fn counts(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    class: &Arc<ClassSchema>,
    see: &mut (dyn FnMut(Difference) + Send),
) -> Result<()> {
    let both = Both::of(to, class).await?;
    let all = FindSpec::new(Filter::all());
    let (here, there) = (from.count(&both.here, &all).await?, to.count(&both.there, &all).await?);
    if here != there {
        let how = format!("{here} objects here, {there} there");
        see(Difference::Class { class: class.name.to_string(), how });
    }
    Ok(())
}

/// What the target's class lacks.
async fn schema(
    to: &dyn StorageAdapter,
    class: &ClassSchema,
    see: &mut (dyn FnMut(Difference) + Send),
) -> Result<()> {
    let mut say = |how: String| see(Difference::Class { class: class.name.to_string(), how });
    let Some(there) = to.load_schema(&class.name).await? else {
        if !VOLATILE_CLASSES.contains(&class.name.as_str()) {
            say("the class is not there".to_owned());
        }
        return Ok(());
    };
    let options = |field: &Field| (field.required, field.default_value.clone());
    for (name, field) in &class.fields {
        match there.field(name) {
            None => say(format!("field {name} is not there")),
            Some(other) if other.ty != field.ty => say(format!("field {name} has another type")),
            Some(other) if options(other) != options(field) => say(format!("field {name} has other options")),
            Some(_) => {}
        }
    }
    // A class without permissions is open.
    let meant = |schema: &ClassSchema| Clp::api_json(schema.clp.as_ref());
    if !json_equals(&meant(class), &meant(&there)) {
        say("the permissions differ".to_owned());
    }
    Ok(())
}

/// Few objects, which nothing tells apart.
async fn whole(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    both: &Both,
    see: &mut (dyn FnMut(Difference) + Send),
) -> Result<()> {
    let all = FindSpec::new(Filter::all());
    let class = &both.here;
    let here: Vec<Object> = from.find(class, &all).await?.iter().map(|row| stored(row, class)).collect();
    let there = to.find(&both.there, &all).await?;
    let mut there: Vec<Object> = there.iter().map(|row| stored(row, class)).collect();
    for object in &here {
        match there.iter().position(|other| first_difference(object, other).is_none()) {
            Some(place) => drop(there.swap_remove(place)),
            None => see(Difference::Class {
                class: class.name.to_string(),
                how: format!("an object is not there as it is here: {}", shortened(object)),
            }),
        }
    }
    if !there.is_empty() {
        let how = format!("{} objects are there that are not here", there.len());
        see(Difference::Class { class: class.name.to_string(), how });
    }
    Ok(())
}

fn shortened(object: &Object) -> String {
    Value::Object(object.clone()).to_string().chars().take(100).collect()
}

async fn objects(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    both: &Both,
    see: &mut (dyn FnMut(Difference) + Send),
    tell: Tell<'_>,
) -> Result<()> {
    let class = &both.here;
    let total = from.count(class, &FindSpec::new(Filter::all())).await?;
    let wanted = columns(class);
    let mut cursor: Option<String> = None;
    let mut done = 0;
    loop {
        let (page, next) = from.scan(class, cursor.as_deref(), wanted.as_deref(), PAGE).await?;
        let ids: Vec<String> = page.iter().map(|row| row.object_id().to_owned()).collect();
        let here = page.iter().map(|row| (row.object_id().to_owned(), stored(row, class))).collect();
        compare(to, both, &ids, here, see).await?;
        done += ids.len() as u64;
        tell(Progress::Verified { class: &class.name, done, total });
        if next.is_none() {
            return Ok(());
        }
        cursor = next;
    }
}

/// These objects on both sides.
pub(super) async fn ids(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    both: &Both,
    ids: &[String],
    see: &mut (dyn FnMut(Difference) + Send),
) -> Result<()> {
    for ids in ids.chunks(usize::try_from(PAGE).unwrap_or(usize::MAX)) {
        let here = named(from, &both.here, ids).await?;
        compare(to, both, ids, here, see).await?;
    }
    Ok(())
}

/// The objects of these ids, those that are there.
pub(super) async fn named(
    storage: &dyn StorageAdapter,
    class: &Arc<ClassSchema>,
    ids: &[String],
) -> Result<BTreeMap<String, Object>> {
    let wanted = columns(class);
    let rows = storage.find_by_ids(class, ids, None, wanted.as_deref(), &FindHints::default()).await?;
    Ok(rows.iter().map(|row| (row.object_id().to_owned(), stored(row, class))).collect())
}

async fn compare(
    to: &dyn StorageAdapter,
    both: &Both,
    ids: &[String],
    mut here: BTreeMap<String, Object>,
    see: &mut (dyn FnMut(Difference) + Send),
) -> Result<()> {
    let mut there = named(to, &both.there, ids).await?;
    for id in ids {
        let how = match (here.remove(id), there.remove(id)) {
            (Some(here), Some(there)) => first_difference(&here, &there).map(str::to_owned),
            (Some(_), None) => Some("not there".to_owned()),
            (None, Some(_)) => Some("there, but not here".to_owned()),
            (None, None) => None,
        };
        if let Some(how) = how {
            see(Difference::Object { class: both.here.name.to_string(), id: id.clone(), how });
        }
    }
    Ok(())
}

/// Objects that only the target has.
pub(super) async fn strangers(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    both: &Both,
    see: &mut (dyn FnMut(Difference) + Send),
) -> Result<()> {
    let mut cursor: Option<String> = None;
    loop {
        let (page, next) = to.scan(&both.there, cursor.as_deref(), Some(&[]), PAGE).await?;
        let ids: Vec<String> = page.iter().map(|row| row.object_id().to_owned()).collect();
        let here = from.find_by_ids(&both.here, &ids, None, Some(&[]), &FindHints::default()).await?;
        let here: BTreeSet<&str> = here.iter().map(|row| row.object_id()).collect();
        for id in ids.iter().filter(|id| !here.contains(id.as_str())) {
            let how = "there, but not here".to_owned();
            see(Difference::Object { class: both.here.name.to_string(), id: id.clone(), how });
        }
        if next.is_none() {
            return Ok(());
        }
        cursor = next;
    }
}

/// The members of one relation. Two databases may order texts differently, so all are held in memory.
pub(super) async fn relation(
    from: &dyn StorageAdapter,
    to: &dyn StorageAdapter,
    class: &ClassSchema,
    field: &FieldName,
    see: &mut (dyn FnMut(Difference) + Send),
) -> Result<()> {
    let join = join_class(field, &class.name);
    let (here, there) = (members(from, &join).await?, members(to, &join).await?);
    let example = |pair: &(String, String)| format!("{} in {}", pair.1, pair.0);
    for (one, other, what) in [(&here, &there, "not there"), (&there, &here, "there, but not here")] {
        let mut missing = one.difference(other);
        if let Some(first) = missing.next() {
            let how = format!("{} {what}, {} the first", 1 + missing.count(), example(first));
            see(Difference::Members { class: class.name.to_string(), field: field.to_string(), how });
        }
    }
    Ok(())
}

/// The first field in which two objects differ.
fn first_difference<'o>(here: &'o Object, there: &'o Object) -> Option<&'o str> {
    let differs = |name: &&String| {
        let (a, b) = (here.get(*name), there.get(*name));
        let (a, b) = (a.unwrap_or(&Value::Null), b.unwrap_or(&Value::Null));
        !json_equals(a, b) && !json_equals(&meant(a), &meant(b))
    };
    here.keys().chain(there.keys()).find(differs).map(String::as_str)
}

/// The value with its typed dates and bytes in one spelling: PostgreSQL keeps them inside of objects as they were
/// sent, MongoDB keeps what they mean.
fn meant(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(meant).collect(),
        Value::Object(object) => {
            let text = |key: &str| object.get(key).and_then(Value::as_str);
            let iso = text("iso").and_then(Millis::parse).map(Millis::to_iso);
            match (text("__type"), iso, text("base64")) {
                (Some("Date"), Some(iso), _) => json!({ "__type": "Date", "iso": iso }),
                (Some("Bytes"), _, Some(base64)) => {
                    json!({ "__type": "Bytes", "base64": base64.trim_end_matches('=') })
                }
                _ => object.iter().map(|(key, value)| (key.clone(), meant(value))).collect(),
            }
        }
        other => other.clone(),
    }
}

pub(super) async fn files(
    from: &Side<'_>,
    to: &Side<'_>,
    see: &mut (dyn FnMut(Difference) + Send),
) -> Result<()> {
    let (Some(from), Some(to)) = (from.files, to.files) else { return Ok(()) };
    let mut listed = from.list();
    while let Some(file) = listed.try_next().await.map_err(Error::internal)? {
        compare_file(to, &file.name, file.size, see).await;
    }
    Ok(())
}

async fn compare_file(to: &dyn FileStore, name: &str, size: u64, see: &mut (dyn FnMut(Difference) + Send)) {
    match to.stat(name).await {
        Ok(there) if there.size == size => {}
        Ok(there) => see(Difference::File(format!("{name}: {size} bytes here, {} there", there.size))),
        Err(error) => see(Difference::File(format!("{name}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_value_are_no_difference() {
        let object = |value: Value| Object::from_iter([("o".to_owned(), value)]);
        let date = |iso: &str| json!({ "k": [{ "__type": "Date", "iso": iso }] });
        let bytes = |base64: &str| json!({ "__type": "Bytes", "base64": base64 });
        for (here, there, differs) in [
            (date("2020-01-01T00:00:00Z"), date("2020-01-01T00:00:00.000Z"), false),
            (date("2020-01-01T00:00:00Z"), date("2020-01-01T00:00:01.000Z"), true),
            (bytes("AAE"), bytes("AAE="), false),
            (bytes("AAE"), bytes("AAI="), true),
            (json!({ "iso": "2020" }), json!({ "iso": "2020-01-01T00:00:00.000Z" }), true),
        ] {
            let found = first_difference(&object(here.clone()), &object(there)).is_some();
            assert_eq!(found, differs, "{here}");
        }
    }
}
