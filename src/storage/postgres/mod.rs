//! The PostgreSQL adapter.

pub mod embedded;
pub mod sql;
