//! Operations of a write as update operators: one command applies them all, atomically, on the server.

use bson::{Bson, Document};
use serde_json::Value;

use crate::storage::StorageResult;
use crate::storage::mismatch::mismatch;
use crate::storage::mongo::error::stale;
use crate::storage::mongo::layout::names::{self, AUTH_DATA, Kind};
use crate::storage::mongo::layout::value;
use crate::types::path::FieldPath;
use crate::types::update::Op;
use crate::types::{ClassSchema, Update};

/// Operators by name, each with its paths.
#[derive(Debug, Default)]
pub struct Operators(Document);

impl Operators {
    fn put(&mut self, operator: &str, key: String, value: impl Into<Bson>) {
        match self.0.get_document_mut(operator) {
            Ok(paths) => {
                paths.insert(key, value);
            }
            Err(_) => {
                let mut paths = Document::new();
                paths.insert(key, value);
                self.0.insert(operator, paths);
            }
        }
    }

    pub fn into_document(self) -> Document {
        self.0
    }
}

/// # Errors
/// 111 for operations and values that do not fit their column, `StaleSchema` for unknown columns.
pub fn operators(schema: &ClassSchema, update: &Update) -> StorageResult<Operators> {
    let mut operators = Operators::default();
    for (path, op) in &update.ops {
        push(&mut operators, schema, path, op)?;
    }
    push_legacy_acl(&mut operators, update);
    Ok(operators)
}

fn push(operators: &mut Operators, schema: &ClassSchema, path: &FieldPath, op: &Op) -> StorageResult<()> {
    let root = path.root.as_str();
    let key = names::path_key(schema, path);
    if names::is_auth_data(schema, root) {
        return push_auth_data(operators, path, key, op);
    }
    let unknown = || stale(format!("column \"{root}\" of class {} is not known", schema.name));
    let kind = names::kind_of(schema, root).ok_or_else(unknown)?;
    let sample = match op {
        Op::Set(value) | Op::SetOnInsert(value) => value.clone(),
        Op::Add(list) | Op::AddUnique(list) | Op::Remove(list) => Value::Array(list.clone()),
        Op::Increment(by) => Value::from(*by),
        Op::Unset => Value::Null,
    };
    let wrong = || mismatch(schema, root, &sample);
    if path.is_dotted() {
        if !kind.has_inside() {
            return Err(wrong());
        }
    } else {
        let fits = match op {
            Op::Increment(_) => kind == Kind::Number,
            Op::Add(_) | Op::AddUnique(_) | Op::Remove(_) => kind == Kind::Array,
            _ => !matches!(kind, Kind::Relation(_)),
        };
        if !fits {
            return Err(wrong());
        }
    }
    match op {
        // What the server itself keeps is there or not.
        Op::Set(Value::Null) if schema.name.is_system() && !path.is_dotted() => {
            operators.put("$unset", key, "");
        }
        Op::Set(new) if path.is_dotted() => operators.put("$set", key, value::nested(new)?),
        Op::Set(new) => operators.put("$set", key, value::column(schema, root, &kind, new)?),
        _ => push_nested(operators, key, op)?,
    }
    Ok(())
}

/// Operations that mean the same at every depth.
fn push_nested(operators: &mut Operators, key: String, op: &Op) -> StorageResult<()> {
    let each = |list: &[Value]| list.iter().map(value::nested).collect::<StorageResult<Vec<Bson>>>();
    match op {
        Op::Set(new) => operators.put("$set", key, value::nested(new)?),
        Op::Unset => operators.put("$unset", key, ""),
        Op::Increment(by) => operators.put("$inc", key, value::number(*by)),
        Op::Add(list) => operators.put("$push", key, bson::doc! { "$each": each(list)? }),
        Op::AddUnique(list) => operators.put("$addToSet", key, bson::doc! { "$each": each(list)? }),
        Op::Remove(list) => operators.put("$pullAll", key, each(list)?),
        // Nothing is ever inserted by an update.
        Op::SetOnInsert(_) => {}
    }
    Ok(())
}

/// Each provider has a key of its own; those that are not named stay.
fn push_auth_data(operators: &mut Operators, path: &FieldPath, key: String, op: &Op) -> StorageResult<()> {
    if path.is_dotted() {
        return push_nested(operators, key, op);
    }
    let Op::Set(Value::Object(providers)) = op else { return Ok(()) };
    for (provider, data) in providers {
        let op = if data.is_null() { Op::Unset } else { Op::Set(data.clone()) };
        push_nested(operators, format!("{AUTH_DATA}{provider}"), &op)?;
    }
    Ok(())
}

/// The older form of the permissions follows the lists.
fn push_legacy_acl(operators: &mut Operators, update: &Update) {
    let written = |column: &str| {
        let op = update.ops.iter().find(|(path, _)| path.is(column)).map(|(_, op)| op);
        match op {
            Some(Op::Set(value)) => Some(value.clone()),
            Some(Op::Unset) => Some(Value::Null),
            _ => None,
        }
    };
    let (readers, writers) = (written("_rperm"), written("_wperm"));
    if readers.is_none() && writers.is_none() {
        return;
    }
    match value::legacy_acl(readers.as_ref(), writers.as_ref()) {
        Some(acl) => operators.put("$set", "_acl".to_owned(), acl),
        None => operators.put("$unset", "_acl".to_owned(), ""),
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;
    use serde_json::json;

    use super::*;
    use crate::storage::StorageError;
    use crate::types::{ClassName, Field, FieldName, FieldType};

    fn built(class: &'static str, ops: Vec<(&'static str, &[&str], Op)>) -> StorageResult<Document> {
        let mut schema = ClassSchema::with_defaults(ClassName::known(class));
        for (name, ty) in [
            ("n", FieldType::Number),
            ("o", FieldType::Object),
            ("list", FieldType::Array),
            ("owner", FieldType::Pointer(ClassName::known("_User"))),
        ] {
            schema.fields.insert(FieldName::known(name), Field::of(ty));
        }
        let op = |(root, rest, op): (&'static str, &[&str], Op)| {
            let rest = rest.iter().map(|segment| (*segment).to_owned()).collect();
            (FieldPath { root: FieldName::known(root), rest }, op)
        };
        let update = Update { ops: ops.into_iter().map(op).collect() };
        operators(&schema, &update).map(Operators::into_document)
    }

    #[test]
    fn operations_are_native() {
        let pointer = json!({"__type": "Pointer", "className": "_User", "objectId": "u"});
        let built = built(
            "Game",
            vec![
                ("n", &[], Op::Increment(2.0)),
                ("owner", &[], Op::Set(pointer)),
                ("list", &[], Op::AddUnique(vec![json!(1)])),
                ("o", &["a", "0"], Op::Set(json!("x"))),
                ("o", &["b"], Op::Unset),
                ("o", &["c"], Op::Remove(vec![json!(1), json!(2)])),
                ("_rperm", &[], Op::Set(json!(["u"]))),
                ("_wperm", &[], Op::Set(json!([]))),
            ],
        );
        let expected = doc! {
            "$inc": { "n": 2 },
            "$set": { "_p_owner": "_User$u", "o.a.0": "x", "_rperm": ["u"], "_wperm": [], "_acl": { "u": { "r": true } } },
            "$addToSet": { "list": { "$each": [1] } },
            "$unset": { "o.b": "" },
            "$pullAll": { "o.c": [1, 2] },
        };
        assert_eq!(built.unwrap(), expected);
    }

    #[test]
    fn providers_have_keys_of_their_own() {
        let data = json!({"fb": {"id": "1"}, "tw": null});
        let whole = built("_User", vec![("authData", &[], Op::Set(data))]).unwrap();
        assert_eq!(
            whole,
            doc! { "$set": { "_auth_data_fb": { "id": "1" } }, "$unset": { "_auth_data_tw": "" } }
        );
        let one = built("_User", vec![("authData", &["fb"], Op::Unset)]).unwrap();
        assert_eq!(one, doc! { "$unset": { "_auth_data_fb": "" } });
        let token = built("_User", vec![("_perishable_token", &[], Op::Set(Value::Null))]).unwrap();
        assert_eq!(token, doc! { "$unset": { "_perishable_token": "" } });
    }

    #[test]
    fn operations_on_the_wrong_type_are_refused() {
        for op in [
            ("o", &[] as &[&str], Op::Increment(1.0)),
            ("n", &["a"], Op::Set(json!(1))),
            ("n", &[], Op::Add(vec![])),
            ("n", &[], Op::Set(json!("7"))),
        ] {
            assert!(matches!(built("Game", vec![op]), Err(StorageError::Refused(_))));
        }
        let unknown = built("Game", vec![("nothere", &[], Op::Unset)]);
        assert!(matches!(unknown, Err(StorageError::StaleSchema(_))));
    }
}
