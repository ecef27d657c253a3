//! The SELECT side: conditions, columns, rows, and which lane a read takes.
pub mod aggregate;
mod answers;
pub mod column;
pub mod compare;
pub mod distinct;
pub mod filter;
pub mod geo;
#[cfg(test)]
pub(crate) mod golden_tests;
pub mod indexed;
pub mod json;
pub(crate) mod length;
pub mod order;
pub mod pattern;
pub(crate) mod reads;
pub mod rest_json;
pub(crate) mod roles;
pub mod row;
pub mod select;
pub mod storable;
pub mod text;
pub(crate) mod texts;
pub(crate) mod within;
