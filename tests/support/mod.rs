//! What integration tests share: real components found or started, and a database per test.
//!
//! `make test` starts the components (`scripts/test-env.sh`) and tells of them in `PARSIMONY_TEST_*`
//! variables. Under a bare `cargo test` nothing is set: PostgreSQL is then started here, once for all
//! test processes of the repository.

#![allow(dead_code, reason = "each test module uses its part")]

pub mod wait;
