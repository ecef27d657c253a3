//! What a change of a class would do to the database, told without doing it.

use crate::types::{ClassName, ClassSchema, Field, FieldName};

use super::IndexMap;

/// One change of a class, as [`super::StorageAdapter`] makes it.
#[derive(Clone, Copy, Debug)]
pub enum Planned<'a> {
    Create(&'a ClassSchema),
    AddFields(&'a ClassName, &'a [(FieldName, Field)]),
    DeleteFields(&'a ClassSchema, &'a [FieldName]),
    /// Of options and permissions nothing but the class's row in `_SCHEMA` knows.
    Note(&'a ClassName),
    Indexes(&'a ClassSchema, &'a IndexMap, &'a [String]),
}

/// What a statement means for whoever uses the table meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    MakesTable,
    /// The catalogue changes: everybody waits for a moment, and nothing is rewritten.
    LocksBriefly,
    /// The same, and data is gone.
    LosesData,
    /// Reads and writes go on.
    BuildsIndex,
    DropsIndex,
    ChangesRow,
}

impl Effect {
    pub fn words(self) -> &'static str {
        match self {
            Self::MakesTable => "a new table",
            Self::LocksBriefly => "locks the table for a moment, rewrites nothing",
            Self::LosesData => "locks the table for a moment, rewrites nothing; DATA IS LOST",
            Self::BuildsIndex => "reads the table, locks out nobody",
            Self::DropsIndex => "locks out nobody",
            Self::ChangesRow => "one row, locks out nobody",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub text: String,
    pub effect: Effect,
}

/// What every database can say of a change.
pub fn in_words(planned: Planned<'_>) -> Vec<Statement> {
    let say = |text: String, effect: Effect| Statement { text, effect };
    match planned {
        Planned::Create(schema) => vec![say(format!("create {}", schema.name), Effect::MakesTable)],
        Planned::AddFields(class, fields) => {
            fields.iter().map(|(name, _)| say(format!("note {class}.{name}"), Effect::ChangesRow)).collect()
        }
        Planned::DeleteFields(schema, fields) => {
            let of = &schema.name;
            fields.iter().map(|name| say(format!("remove {of}.{name}"), Effect::LosesData)).collect()
        }
        Planned::Note(class) => {
            vec![say(format!("note options and permissions of {class}"), Effect::ChangesRow)]
        }
        Planned::Indexes(schema, create, drop) => {
            let of = &schema.name;
            let gone = drop.iter().map(|name| say(format!("drop index {name} of {of}"), Effect::DropsIndex));
            let made = create.iter().map(|(name, columns)| {
                say(format!("create index {name} of {of} on {columns}"), Effect::BuildsIndex)
            });
            gone.chain(made).collect()
        }
    }
}
