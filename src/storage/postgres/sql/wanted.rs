//! Indexes that a statement would have used, had they been there.

use crate::types::{ClassName, FieldName};

/// What an index on demand is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IndexKind {
    /// The point as a unit vector: distances over the sphere, nearest first.
    Near,
    /// The point or polygon in the plane: boxes and areas.
    Area,
    /// The words of a text, in this text-search configuration.
    Text(&'static str),
    /// The same without combining marks (`$diacriticSensitive: false`).
    Folded(&'static str),
}

/// An index on one field of a class.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WantedIndex {
    pub class: ClassName,
    pub field: FieldName,
    pub kind: IndexKind,
}

impl IndexKind {
    /// As the class's map of indexes says it.
    pub fn word(self) -> String {
        match self {
            Self::Near => "near".to_owned(),
            Self::Area => "2dsphere".to_owned(),
            Self::Text(configuration) => format!("text:{configuration}"),
            Self::Folded(configuration) => format!("folded:{configuration}"),
        }
    }
}

impl WantedIndex {
    /// Its name in the class's map, told apart from an application's own by its beginning.
    pub fn name(&self) -> String {
        match self.kind {
            IndexKind::Near => format!("parsimony_near_{}", self.field),
            IndexKind::Area => format!("parsimony_area_{}", self.field),
            IndexKind::Text(configuration) => format!("parsimony_text_{}_{configuration}", self.field),
            IndexKind::Folded(configuration) => format!("parsimony_folded_{}_{configuration}", self.field),
        }
    }
}
