//! Reads. [`filter`] makes query documents of filters, after [`related`] has asked other collections what the filter
//! wants of them; [`find`], [`distinct`], [`explain`] and [`aggregate`] send them.

mod aggregate;
mod distinct;
mod explain;
pub mod filter;
pub mod find;
mod hints;
pub mod related;
