//! Class tables as they are made and changed: DDL, indexes, `_SCHEMA`, and what a new database needs.
pub(crate) mod builds;
pub(crate) mod concurrently;
pub(crate) mod ddl;
pub(crate) mod indexes;
pub(crate) mod init;
pub(crate) mod names;
pub(crate) mod on_demand;
pub(crate) mod preview;
pub(crate) mod table;
