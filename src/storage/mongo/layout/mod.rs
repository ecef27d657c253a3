//! Where a field is kept and how, as parse-server's Mongo adapter has it: keys ([`names`]), values ([`value`]), whole
//! documents into rows ([`row`]), fields that no schema has ([`strangers`]), and JSON that has no meaning beyond itself ([`rest_json`], [`plain`]).

pub mod names;
pub mod plain;
pub mod rest_json;
pub mod row;
pub mod strangers;
pub mod value;
