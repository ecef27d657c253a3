//! Indexes that a statement would have used, had they been there.

use crate::types::{ClassName, FieldName};

/// What the names of indexes on demand begin with in a class's map.
pub const ON_DEMAND: &str = "parsimony_";
/// Indexes on demand of a class; of them of texts, each in one language; and of one text.
const MOST: usize = 16;
const MOST_OF_TEXTS: usize = 6;
const MOST_OF_A_TEXT: usize = 2;

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
    /// Whether it may be built beside those that a class has, by their names.
    pub fn fits_beside<'n>(&self, built: impl Iterator<Item = &'n str> + Clone) -> bool {
        let of_text = |name: &&str| {
            let rest = name.strip_prefix(ON_DEMAND).unwrap_or_default();
            rest.starts_with("text_") || rest.starts_with("folded_")
        };
        let of_this = |name: &&str| {
            let field = self.field.as_str();
            // A configuration's name has no underscore.
            name.rsplit_once('_').is_some_and(|(name, _)| {
                name == format!("{ON_DEMAND}text_{field}") || name == format!("{ON_DEMAND}folded_{field}")
            })
        };
        let all = built.clone().count() < MOST;
        match self.kind {
            IndexKind::Near | IndexKind::Area => all,
            IndexKind::Text(_) | IndexKind::Folded(_) => {
                all && built.clone().filter(of_text).count() < MOST_OF_TEXTS
                    && built.filter(of_this).count() < MOST_OF_A_TEXT
            }
        }
    }

    /// Its name in the class's map, told apart from an application's own by its beginning.
    pub fn name(&self) -> String {
        match self.kind {
            IndexKind::Near => format!("{ON_DEMAND}near_{}", self.field),
            IndexKind::Area => format!("{ON_DEMAND}area_{}", self.field),
            IndexKind::Text(configuration) => format!("{ON_DEMAND}text_{}_{configuration}", self.field),
            IndexKind::Folded(configuration) => format!("{ON_DEMAND}folded_{}_{configuration}", self.field),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_gets_a_few() {
        let wanted = |field: &'static str, kind| WantedIndex {
            class: ClassName::known("Place"),
            field: FieldName::known(field),
            kind,
        };
        let fits =
            |wanted: &WantedIndex, built: &[String]| wanted.fits_beside(built.iter().map(String::as_str));
        let languages = ["english", "german", "french", "danish"];
        let mut built: Vec<String> = Vec::new();
        for field in ["a", "a_b", "c", "d", "e"] {
            for language in languages {
                let wanted = wanted(field, IndexKind::Text(language));
                if fits(&wanted, &built) {
                    built.push(wanted.name());
                }
            }
        }
        assert_eq!(built.len(), MOST_OF_TEXTS);
        assert_eq!(built.iter().filter(|name| name.contains("_a_b_")).count(), MOST_OF_A_TEXT);
        let near = wanted("at", IndexKind::Near);
        assert!(fits(&near, &built));
        built.extend((0..10).map(|n| format!("parsimony_near_{n}")));
        assert!(!fits(&near, &built));
    }
}
