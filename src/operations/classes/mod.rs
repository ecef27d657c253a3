//! What is special about parse-server's own classes when they are written.
pub mod installation;
pub mod session;
pub mod user;
