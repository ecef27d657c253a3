//! What integration tests share: real components found or started, and a database per test.
//!
//! `make test` starts the components (`scripts/test-env.sh`) and tells of them in `PARSIMONY_TEST_*`
//! variables. Under a bare `cargo test` nothing is set: then [`database`] borrows a PostgreSQL that
//! ends by itself after the last test process, and tests that need another component say so.

#![allow(dead_code, reason = "each test module uses its part")]

pub mod certificates;
pub mod database;
pub mod live;
#[cfg(feature = "mongo")]
pub mod mongo;
pub mod server;
pub mod wait;

/// Address of a component that only `make test` starts.
///
/// # Panics
/// With the remedy, if it was not started.
pub fn component(variable: &str) -> String {
    std::env::var(variable)
        .unwrap_or_else(|_| panic!("{variable} is not set: run `make test`, or `scripts/test-env.sh start`"))
}
