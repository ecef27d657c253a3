//! Every layer of permission in one place: class-level permissions, pointer permissions, protected
//! fields and the table of special classes. Reads, writes, live queries and GraphQL all ask here.
//!
//! ACLs are not looked at here: they are part of the SQL (`Ctx::auth.acl_ids`).

pub mod clp;
pub mod protected;
pub mod query;
pub mod special;

pub use clp::{RowRestriction, check, pointer_restriction};
pub use protected::Protection;
