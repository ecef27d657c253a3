//! What each change of a class does in storage. The schema actor alone calls this, in the class's turn.

use crate::operations::ports::SchemaChange;
use crate::storage::{StorageAdapter, StorageError, StorageResult};
use crate::types::{ClassName, ClassSchema, Field, FieldName};

/// Adds what is missing; the class itself, too, unless it `exists`.
pub async fn add_fields(
    storage: &dyn StorageAdapter,
    class: &ClassName,
    fields: &[(FieldName, Field)],
    exists: bool,
) -> StorageResult<ClassSchema> {
    if exists {
        match storage.add_fields(class, fields).await {
            Err(StorageError::StaleSchema(_)) => {}
            answer => return answer,
        }
    }
    let mut schema = ClassSchema::with_defaults(class.clone());
    for (name, field) in fields {
        // The default columns stay what they are.
        schema.fields.entry(name.clone()).or_insert_with(|| field.clone());
    }
    let stored = storage.create_class(&schema).await?;
    if fields.iter().all(|(name, _)| stored.fields.contains_key(name)) {
        return Ok(stored);
    }
    // Another server created the class a moment ago, without our fields.
    storage.add_fields(class, fields).await
}

/// All of a change but its indexes; `None` when there was nothing to do.
pub async fn change(
    storage: &dyn StorageAdapter,
    class: &ClassName,
    change: SchemaChange,
) -> StorageResult<Option<ClassSchema>> {
    let mut latest = None;
    if !change.delete_fields.is_empty() {
        latest = Some(storage.delete_fields(class, &change.delete_fields).await?);
    }
    if !change.add_fields.is_empty() {
        latest = Some(storage.add_fields(class, &change.add_fields).await?);
    }
    if !change.set_options.is_empty() {
        latest = Some(storage.set_field_options(class, &change.set_options).await?);
    }
    if let Some(permissions) = &change.permissions {
        latest = Some(storage.set_permissions(class, permissions).await?);
    }
    Ok(latest)
}

pub async fn delete(storage: &dyn StorageAdapter, class: ClassName) -> StorageResult<()> {
    let schema = match storage.load_schema(&class).await? {
        Some(schema) => schema,
        None => ClassSchema::with_defaults(class),
    };
    storage.delete_class(&schema).await
}
