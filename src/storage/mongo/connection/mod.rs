//! How a database is reached: the URI and the options that are parameters of it, and what the driver tells of its
//! connections.

mod events;
mod options;

pub use options::MongoOptions;
