//! Reads and writes on objects, as [`Session`] names them.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::rows::selection;
use super::{MemoryAdapter, aggregate, apply, matching, may, unsupported};
use crate::query::{FindHints, FindSpec, Pipeline};
use crate::storage::{
    AggregateOptions, Changed, Related, RelationQuery, RelationSide, Returning, Session, StorageError,
    StorageResult, WriteFilter,
};
use crate::types::path::FieldPath;
use crate::types::update::RelationChange;
use crate::types::{ClassName, ClassSchema, FieldName, Object, ObjectId, RowSet, Update};

#[async_trait]
impl Session for MemoryAdapter {
    async fn find(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<RowSet> {
        let state = self.state();
        let mut rows = state.matching(class, spec);
        matching::sort(&mut rows, &spec.filter, &spec.order);
        let skip = usize::try_from(spec.skip).unwrap_or(usize::MAX);
        let limit = spec.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let layout = selection(class, spec.columns.as_deref());
        Ok(Self::set(layout, rows.into_iter().skip(skip).take(limit)))
    }

    async fn find_by_ids(
        &self,
        class: &Arc<ClassSchema>,
        ids: &[String],
        readers: Option<&Arc<[String]>>,
        columns: Option<&[FieldName]>,
        _hints: &FindHints,
    ) -> StorageResult<RowSet> {
        let state = self.state();
        let table = state.rows.get(&class.name);
        let rows = ids.iter().filter_map(|id| table?.get(id)).filter(|row| may(row, "_rperm", readers));
        Ok(Self::set(selection(class, columns), rows))
    }

    async fn count(&self, class: &Arc<ClassSchema>, spec: &FindSpec) -> StorageResult<u64> {
        Ok(self.state().matching(class, spec).len() as u64)
    }

    async fn distinct(
        &self,
        class: &Arc<ClassSchema>,
        path: &FieldPath,
        spec: &FindSpec,
    ) -> StorageResult<Vec<Value>> {
        let state = self.state();
        let mut seen = Vec::new();
        for value in state.matching(class, spec).into_iter().filter_map(|row| matching::at(row, path)) {
            let elements = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            for element in elements.iter().filter(|e| !e.is_null()) {
                if !seen.contains(element) {
                    seen.push(element.clone());
                }
            }
        }
        seen.sort_by(aggregate::json_order);
        Ok(seen)
    }

    async fn aggregate(
        &self,
        class: &Arc<ClassSchema>,
        pipeline: &Pipeline,
        options: &AggregateOptions,
    ) -> StorageResult<Vec<Object>> {
        if options.explain {
            return Err(unsupported("explain"));
        }
        aggregate::run(&self.state(), class, pipeline, options)
    }

    async fn explain(&self, _class: &Arc<ClassSchema>, _spec: &FindSpec) -> StorageResult<Value> {
        Err(unsupported("explain"))
    }

    async fn create(&self, class: &Arc<ClassSchema>, rows: &[Object]) -> StorageResult<()> {
        let mut state = self.state();
        // All rows or none: they go to a copy first.
        let mut next = state.clone();
        for row in rows {
            let row = apply::stored(class, row)?;
            let id = row.get("objectId").and_then(Value::as_str).map(str::to_owned);
            let table = next.rows.entry(class.name.clone()).or_default();
            let id = id.unwrap_or_else(|| format!("row {}", table.len()));
            if table.contains_key(&id) {
                return Err(StorageError::Duplicate { field: Some("objectId".into()), provider: None });
            }
            next.refuse_duplicate(&class.name, &id, &row)?;
            next.rows.entry(class.name.clone()).or_default().insert(id, row);
        }
        next.version += 1;
        *state = next;
        Ok(())
    }

    async fn update(
        &self,
        class: &Arc<ClassSchema>,
        target: &WriteFilter,
        update: &Update,
        returning: Returning,
    ) -> StorageResult<Changed> {
        let mut state = self.state();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let ids = state.targets(class, target);
        for id in &ids {
            let Some(old) = state.rows.get(&class.name).and_then(|rows| rows.get(id)).cloned() else {
                continue;
            };
            let mut new = old.clone();
            apply::update(class, &mut new, update)?;
            state.refuse_duplicate(&class.name, id, &new)?;
            before.push(old);
            after.push(new);
        }
        state.version += 1;
        if let Some(rows) = state.rows.get_mut(&class.name) {
            for (id, row) in ids.into_iter().zip(&after) {
                rows.insert(id, row.clone());
            }
        }
        Ok(Self::changed(class, &before, &after, returning, state.version))
    }

    async fn delete(
        &self,
        class: &Arc<ClassSchema>,
        target: &WriteFilter,
        returning_before: bool,
    ) -> StorageResult<Changed> {
        let mut state = self.state();
        let ids = state.targets(class, target);
        state.version += 1;
        let version = state.version;
        let table = state.rows.get_mut(&class.name);
        let gone: Vec<Object> = match table {
            Some(rows) => ids.iter().filter_map(|id| rows.shift_remove(id)).collect(),
            None => Vec::new(),
        };
        let returning = Returning { before: returning_before, ..Returning::default() };
        Ok(Self::changed(class, &gone, &[], returning, version))
    }

    async fn change_relations(
        &self,
        class: &ClassName,
        owner: &ObjectId,
        changes: &[RelationChange],
    ) -> StorageResult<()> {
        let mut state = self.state();
        state.version += 1;
        for change in changes {
            let members = state.joins.entry(ClassName::join(&change.field, class)).or_default();
            let pair = |member: &ObjectId| (owner.as_str().to_owned(), member.as_str().to_owned());
            for member in &change.remove {
                members.remove(&pair(member));
            }
            members.extend(change.add.iter().map(pair));
        }
        Ok(())
    }

    async fn create_related(
        &self,
        class: &Arc<ClassSchema>,
        row: &Object,
        related: &Related,
    ) -> StorageResult<()> {
        self.create(class, std::slice::from_ref(row)).await?;
        self.change_relations(&class.name, &related.owner, &related.changes).await
    }

    async fn update_related(
        &self,
        class: &Arc<ClassSchema>,
        target: &WriteFilter,
        update: &Update,
        returning: Returning,
        related: &Related,
    ) -> StorageResult<Changed> {
        let changed = self.update(class, target, update, returning).await?;
        if changed.count > 0 {
            self.change_relations(&class.name, &related.owner, &related.changes).await?;
        }
        Ok(changed)
    }

    async fn relation_ids(&self, query: &RelationQuery) -> StorageResult<Vec<String>> {
        let state = self.state();
        let pairs = state.joins.get(&ClassName::join(&query.field, &query.class)).into_iter().flatten();
        let ids: BTreeSet<&String> = match &query.by {
            RelationSide::Owners(ids) => pairs.filter(|(o, _)| ids.contains(o)).map(|(_, m)| m).collect(),
            RelationSide::Members(ids) => pairs.filter(|(_, m)| ids.contains(m)).map(|(o, _)| o).collect(),
        };
        Ok(ids.into_iter().cloned().collect())
    }

    async fn roles_of_user(&self, user_id: &str) -> StorageResult<Vec<String>> {
        let role = ClassName::known("_Role");
        let ask = async |field: &'static str, members: Vec<String>| {
            let by = RelationSide::Members(members);
            self.relation_ids(&RelationQuery { class: role.clone(), field: FieldName::known(field), by })
                .await
        };
        let mut held: BTreeSet<String> = BTreeSet::new();
        // A role that is gone passes nothing on, though its membership rows are still there.
        let exists = |id: &String| self.state().rows.get(&role).is_some_and(|rows| rows.contains_key(id));
        let mut fresh = ask("users", vec![user_id.to_owned()]).await?;
        fresh.retain(exists);
        while !fresh.is_empty() {
            held.extend(fresh.iter().cloned());
            fresh = ask("roles", fresh).await?;
            fresh.retain(|id| exists(id) && !held.contains(id));
        }
        let state = self.state();
        let table = state.rows.get(&role);
        let name = |id: &String| Some(table?.get(id)?.get("name")?.as_str()?.to_owned());
        Ok(held.iter().filter_map(name).collect())
    }
}
