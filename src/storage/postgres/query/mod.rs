//! The SELECT side: conditions, columns, rows, and which lane a read takes.
pub mod aggregate;
pub mod column;
pub mod compare;
pub mod distinct;
pub mod filter;
pub mod geo;
#[cfg(test)]
pub(crate) mod golden_tests;
pub mod json;
pub(crate) mod length;
pub(crate) mod reads;
pub mod related;
pub(crate) mod roles;
pub mod row;
pub mod select;
pub mod text;
pub(crate) mod texts;
