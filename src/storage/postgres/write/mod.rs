//! INSERT, UPDATE and DELETE on class tables and join tables.
pub(crate) mod atomic;
pub(crate) mod copy;
pub(crate) mod delete;
pub(crate) mod insert;
pub(crate) mod insert_template;
pub(crate) mod relations;
pub(crate) mod target;
pub(crate) mod update;
