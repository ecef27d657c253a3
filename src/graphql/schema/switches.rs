//! The document of `/graphql-config`: which classes, fields, queries and mutations the schema has, and what they
//! are called. Validated before it was stored; read here as it stands.

use serde_json::Value;

use crate::types::ClassName;

/// The whole document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Switches {
    enabled: Option<Vec<String>>,
    disabled: Option<Vec<String>>,
    classes: Vec<(String, ClassSwitches)>,
}

/// What it says of one class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassSwitches {
    pub create_fields: Option<Vec<String>>,
    pub update_fields: Option<Vec<String>>,
    pub output_fields: Option<Vec<String>>,
    pub constraint_fields: Option<Vec<String>>,
    pub sort_fields: Option<Vec<SortField>>,
    pub get: Choice,
    pub find: Choice,
    pub create: Choice,
    pub update: Choice,
    pub destroy: Choice,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SortField {
    pub field: String,
    pub asc: bool,
    pub desc: bool,
}

/// Whether a query or mutation is there, and its other name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    pub off: bool,
    pub alias: Option<String>,
}

impl Switches {
    pub fn read(document: &Value) -> Self {
        let classes = document.get("classConfigs").and_then(Value::as_array).into_iter().flatten();
        let classes = classes.filter_map(|class| {
            Some((class.get("className")?.as_str()?.to_owned(), ClassSwitches::read(class)))
        });
        Self {
            enabled: texts(document.get("enabledForClasses")),
            disabled: texts(document.get("disabledForClasses")),
            classes: classes.collect(),
        }
    }

    /// Whether the schema has the class.
    pub fn shows(&self, class: &ClassName) -> bool {
        let lists = |list: &Option<Vec<String>>| {
            list.as_ref().is_some_and(|list| list.iter().any(|name| name == class.as_str()))
        };
        (self.enabled.is_none() || lists(&self.enabled)) && !lists(&self.disabled)
    }

    pub fn of(&self, class: &ClassName) -> ClassSwitches {
        let found = self.classes.iter().find(|(name, _)| name == class.as_str());
        found.map(|(_, switches)| switches.clone()).unwrap_or_default()
    }
}

fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    let list = value?.as_array()?;
    Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

impl ClassSwitches {
    fn read(class: &Value) -> Self {
        let at = |path: &str| class.pointer(path);
        let choice = |group: &str, name: &str| Choice {
            // The check of the document takes null for nothing said; parse-server's schema asks what is true.
            off: matches!(at(&format!("/{group}/{name}")), Some(Value::Bool(false) | Value::Null)),
            alias: at(&format!("/{group}/{name}Alias"))
                .and_then(Value::as_str)
                .filter(|alias| !alias.is_empty())
                .map(str::to_owned),
        };
        let sort = at("/type/sortFields").and_then(Value::as_array).map(|list| {
            let field = |entry: &Value| {
                let on = |key: &str| entry.get(key) == Some(&Value::Bool(true));
                let field = entry.get("field")?.as_str()?.to_owned();
                Some(SortField { field, asc: on("asc"), desc: on("desc") })
            };
            list.iter().filter_map(field).collect()
        });
        Self {
            create_fields: texts(at("/type/inputFields/create")),
            update_fields: texts(at("/type/inputFields/update")),
            output_fields: texts(at("/type/outputFields")),
            constraint_fields: texts(at("/type/constraintFields")),
            sort_fields: sort,
            get: choice("query", "get"),
            find: choice("query", "find"),
            create: choice("mutation", "create"),
            update: choice("mutation", "update"),
            destroy: choice("mutation", "destroy"),
        }
    }
}
