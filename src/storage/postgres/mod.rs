//! The PostgreSQL adapter.

pub mod column;
pub mod compare;
pub mod embedded;
pub mod filter;
pub mod geo;
pub mod json;
pub mod related;
pub mod row;
pub mod select;
pub mod sql;
pub mod text;
