//! Writes, each one command where it is one object: [`objects`] sends what [`update`] says in operators, [`apply`] works
//! out what they made of a document, [`relations`] keeps members.

mod apply;
mod objects;
mod relations;
mod update;
