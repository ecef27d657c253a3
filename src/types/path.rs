//! Where in an object a query or an update looks: a column, or a path below one.

use super::names::FieldName;

/// A column, or a path into an Object (or Array) column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldPath {
    pub root: FieldName,
    /// Keys below the root; a segment of digits may also be an array index. Free text: bind it.
    pub rest: Vec<String>,
}

impl FieldPath {
    pub fn is(&self, column: &str) -> bool {
        self.rest.is_empty() && self.root == column
    }

    pub fn is_dotted(&self) -> bool {
        !self.rest.is_empty()
    }

    /// `root.a.b`.
    pub fn to_dotted(&self) -> String {
        let mut text = self.root.as_str().to_owned();
        for segment in &self.rest {
            text.push('.');
            text.push_str(segment);
        }
        text
    }
}

impl From<FieldName> for FieldPath {
    fn from(root: FieldName) -> Self {
        Self { root, rest: Vec::new() }
    }
}
