//! The vocabulary every layer shares: names, field types, class schemas, parsed queries and
//! updates, rows. Nothing here does I/O or knows a database, an actor or HTTP.

pub mod acl;
pub mod app_scope;
pub mod aside;
pub mod auth_data;
pub mod clp;
pub mod geo;
pub mod javascript;
pub mod json;
pub mod limits;
pub mod member;
pub mod names;
pub mod number;
pub mod path;
pub mod percent;
pub mod room;
pub mod row;
pub mod schema;
pub mod time;
pub mod update;

pub use acl::Acl;
pub use clp::{Clp, Operation};
pub use geo::GeoPoint;
pub use names::{ClassName, FieldName, ObjectId};
pub use path::FieldPath;
pub use row::{CellRef, Layout, RowRef, RowSet};
pub use schema::{ClassSchema, Field, FieldType};
pub use update::{Op, Update};

/// An object in REST encoding (`{"__type": "Date", …}` and so on), keys in their order of arrival.
pub type Object = serde_json::Map<String, serde_json::Value>;
