//! The PostgreSQL adapter.

pub mod sql;
