//! What the relations of many objects lead to, by two statements however many they are: which members belong to
//! which owner, and the members.

use std::collections::HashMap;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::on_session;
use crate::operations::{ClassSnapshot, Ctx};
use crate::query::{Constraint, Filter, FindSpec, Operand};
use crate::storage::StorageError;
use crate::types::{ClassName, ClassSchema, Field, FieldName, FieldType, Object};

/// Members that are told apart in memory; of more, each owner's are read for themselves.
const MOST: u64 = 1000;

/// The members that the caller may see for each owner, in the order of `params`, whose paging is the caller's
/// business. The owners and the field are known to be visible. `None`: there are too many.
///
/// # Errors
/// Those of a find in the class of the members.
pub async fn of_many(
    ctx: &Ctx,
    class: &ClassName,
    field: &str,
    target: &ClassName,
    owners: &[&str],
    mut params: Object,
) -> Result<Option<Vec<Vec<Value>>>> {
    let Some(field) = FieldName::valid(field) else { return Ok(None) };
    let members = members(ctx, class, &field, owners).await?;
    if members.len() as u64 > MOST {
        return Ok(None);
    }
    let mut ids: Vec<&str> = members.iter().map(|(_, member)| member.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut by_owner: HashMap<&str, Vec<Value>> = HashMap::new();
    if !ids.is_empty() {
        let among = json!({ "objectId": { "$in": ids } });
        let condition = match params.shift_remove("where") {
            Some(condition) => json!({ "$and": [condition, among] }),
            None => among,
        };
        params.insert("where".to_owned(), condition);
        params.insert("limit".to_owned(), ids.len().into());
        params.shift_remove("skip");
        params.shift_remove("count");
        if let Some(Value::String(keys)) = params.get_mut("keys")
            && !keys.split(',').any(|key| key == "objectId")
        {
            keys.push_str(",objectId");
        }
        if ctx.config().query.max_limit.is_some_and(|most| (ids.len() as u64) > most) {
            return Ok(None);
        }
        let mut owners_of: HashMap<&str, Vec<&str>> = HashMap::new();
        for (owner, member) in &members {
            owners_of.entry(member).or_default().push(owner);
        }
        for object in super::find(ctx, target, params).await?.into_values(ctx)? {
            let Some(id) = object.get("objectId").and_then(Value::as_str) else { return Ok(None) };
            for owner in owners_of.get(id).into_iter().flatten() {
                by_owner.entry(owner).or_default().push(object.clone());
            }
        }
    }
    Ok(Some(owners.iter().map(|owner| by_owner.get(owner).cloned().unwrap_or_default()).collect()))
}

/// The table behind a relation as a class, which no schema lists: the master key reads it by its name.
pub fn table(ctx: &Ctx, join: &ClassName) -> Arc<ClassSnapshot> {
    Arc::new(ClassSnapshot::build(schema_of(join.clone()), ctx.config(), 0))
}

fn schema_of(name: ClassName) -> ClassSchema {
    let text = || Field::of(FieldType::String);
    let (owning, related) = (FieldName::known("owningId"), FieldName::known("relatedId"));
    let fields = IndexMap::from_iter([(owning, text()), (related, text())]);
    ClassSchema { name, fields, clp: None, indexes: Map::new() }
}

/// Owners with their members.
async fn members(
    ctx: &Ctx,
    class: &ClassName,
    field: &FieldName,
    owners: &[&str],
) -> Result<Vec<(String, String)>> {
    let schema = Arc::new(schema_of(ClassName::join(field, class)));
    let ids = owners.iter().map(|id| Operand::Text((*id).to_owned())).collect();
    let owned = Filter::field(FieldName::known("owningId"), Constraint::In(ids));
    let mut spec = FindSpec::new(owned).limit(MOST + 1);
    spec.hints.room = ctx.room();
    let rows = match on_session!(ctx, |session| session.find(&schema, &spec)) {
        Ok(rows) => rows,
        // The table is made with the first member.
        Err(StorageError::StaleSchema(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    ctx.budget().check_whole(&rows)?;
    let pairs = rows.iter().filter_map(|row| {
        let mut row = row.to_object();
        match (row.shift_remove("owningId"), row.shift_remove("relatedId")) {
            (Some(Value::String(owner)), Some(Value::String(member))) => Some((owner, member)),
            _ => None,
        }
    });
    Ok(pairs.collect())
}
