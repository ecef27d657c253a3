//! Objects of any class: reading, writing, many at once, and in one transaction.
pub mod batch;
pub mod fresh;
pub mod read;
pub mod transaction;
pub mod write;
