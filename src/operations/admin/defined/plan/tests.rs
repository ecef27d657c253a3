use super::*;
use crate::types::{ClassName, FieldName};

fn options(given: &[&str]) -> DefinedSchemas {
    let on = |name: &str| given.contains(&name);
    DefinedSchemas {
        strict: on("strict"),
        delete_extra_fields: on("deleteExtraFields"),
        recreate_modified_fields: on("recreateModifiedFields"),
        keep_unknown_indexes: on("keepUnknownIndexes"),
        ..DefinedSchemas::default()
    }
}

fn game() -> ClassSchema {
    let mut schema = ClassSchema::with_defaults(ClassName::known("Game"));
    for (name, ty) in [("title", FieldType::String), ("score", FieldType::Number)] {
        schema.fields.insert(FieldName::known(name), Field::of(ty));
    }
    let permissions = json!({ "find": { "*": true }, "addField": {} });
    schema.clp = permissions.as_object().map(Clp::from_json);
    schema.indexes = json!({ "_id_": { "_id": 1 }, "parsimony_x": { "score": 1 }, "a": { "title": 1 } })
        .as_object()
        .cloned()
        .unwrap_or_default();
    schema
}

fn defined() -> Value {
    json!({
        "className": "Game", "fields": { "title": { "type": "String" }, "score": { "type": "Number" } },
        "indexes": { "a": { "title": 1 } }, "classLevelPermissions": { "find": { "*": true } },
    })
}

fn steps(given: &[&str], definition: &Value) -> Value {
    let plan = of_class(&options(given), Permissions::Closed, definition, Some(&game())).expect("a plan");
    plan.steps
        .into_iter()
        .map(|step| match step {
            Step::Create(body) | Step::Update(body) => Value::Object(body),
        })
        .collect()
}

#[test]
fn what_is_there_already_is_left_alone() {
    assert_eq!(steps(&[], &defined()), json!([]));
    assert_eq!(steps(&["deleteExtraFields", "recreateModifiedFields", "strict"], &defined()), json!([]));
}

#[test]
fn a_definition_without_a_class_makes_none() {
    for definition in [json!({}), json!({ "className": null }), json!({ "className": 1 })] {
        let plan = of_class(&options(&[]), Permissions::Closed, &definition, None);
        assert_eq!(plan, Err("Error: className must be a string.".to_owned()));
    }
}

#[test]
fn a_new_class_is_one_request() {
    let definition = json!({ "className": "New", "fields": {
        "objectId": { "type": "String" }, "at": { "type": "Date", "defaultValue": "2020-01-01T00:00:00.000Z" },
        "to": { "type": "Pointer", "targetClass": "Game", "required": true } } });
    let plan = of_class(&options(&[]), Permissions::Closed, &definition, None).expect("a plan");
    assert_eq!(plan.warnings, ["classLevelPermissions not provided for New."]);
    let Some(Step::Create(body)) = plan.steps.first() else { panic!("no creation") };
    let date = json!({ "__type": "Date", "iso": "2020-01-01T00:00:00.000Z" });
    let expected = json!({
        "fields": { "at": { "type": "Date", "defaultValue": date },
            "to": { "type": "Pointer", "targetClass": "Game", "required": true } },
        "classLevelPermissions": { "addField": {} },
    });
    assert_eq!(Value::Object(body.clone()), expected);
}

#[test]
fn fields_go_only_when_that_is_asked_for() {
    let mut definition = defined();
    definition["fields"] = json!({ "score": { "type": "String" }, "level": { "type": "Number" } });
    assert_eq!(steps(&[], &definition), json!([{ "fields": { "level": { "type": "Number" } } }]));
    assert_eq!(
        steps(&["deleteExtraFields", "recreateModifiedFields"], &definition),
        json!([
            { "fields": { "level": { "type": "Number" }, "title": { "__op": "Delete" } } },
            { "fields": { "score": { "__op": "Delete" } } },
            { "fields": { "score": { "type": "String" } } },
        ])
    );
    let plan =
        of_class(&options(&["strict"]), Permissions::Closed, &definition, Some(&game())).expect("a plan");
    assert_eq!(
        plan.warnings,
        [
            "The following fields exist in the database for \"Game\", but are missing in the schema : \"title\"",
            "The field \"score\" type differ between the schema and the database for \"Game\"; Schema is \
             defined as \"String\" and current database type is \"Number\"",
        ]
    );
}

#[test]
fn indexes_are_made_again_and_ours_are_left_alone() {
    let mut definition = defined();
    definition["indexes"] = json!({ "a": { "title": -1 }, "b": { "score": 1 } });
    assert_eq!(
        steps(&[], &definition),
        json!([
            { "indexes": { "b": { "score": 1 }, "a": { "__op": "Delete" } } },
            { "indexes": { "a": { "title": -1 } } },
        ])
    );
    definition["indexes"] = json!({});
    assert_eq!(steps(&[], &definition), json!([{ "indexes": { "a": { "__op": "Delete" } } }]));
    assert_eq!(steps(&["keepUnknownIndexes"], &definition), json!([]));
}

#[test]
fn options_of_a_field_and_permissions_are_set() {
    let mut definition = defined();
    definition["fields"]["score"] = json!({ "type": "Number", "required": true, "defaultValue": 5 });
    definition["classLevelPermissions"] = json!({ "get": { "*": true }, "addField": { "*": true } });
    assert_eq!(
        steps(&[], &definition),
        json!([{
            "fields": { "score": { "type": "Number", "required": true, "defaultValue": 5 } },
            "classLevelPermissions": { "get": { "*": true }, "addField": {} },
        }])
    );
}

#[test]
fn what_is_no_definition_is_refused_as_the_sdk_does() {
    for (field, reason) in [
        (json!({ "type": "Text" }), "Error: Text is not a valid type."),
        (json!({ "type": "Pointer" }), "Error: You need to set the targetClass of the Pointer."),
    ] {
        let definition = json!({ "className": "New", "fields": { "x": field } });
        assert_eq!(
            of_class(&options(&[]), Permissions::Closed, &definition, None).expect_err("refused"),
            reason
        );
    }
}
