//! From what clients write to what resolvers get: literals and variables by their types, in graphql-js's words
//! where they do not fit.

mod literal;
mod scalar;
mod shown;
mod variables;

use serde_json::{Map, Value};

pub use literal::arguments;
pub use scalar::{UPLOAD, scalar_literal};
pub use shown::{inspect, number_text};
pub use variables::{enum_hint, variables};

/// Variables of a request by name, as resolvers get them; absent where nothing was given.
pub type Variables = Map<String, Value>;

/// Why a scalar refuses a value.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// In these words.
    Said(String),
    /// In the words of whoever asked, followed by these.
    Explained(String),
    /// Without a word.
    Undefined,
}
