//! Parsimony: a Parse-Server-compatible backend on PostgreSQL. `docs/ARCHITECTURE.md` is the map.

pub mod actors;
pub mod app;
pub mod auth;
pub mod cloud;
pub mod config;
pub mod error;
pub mod files;
#[cfg(feature = "graphql")]
pub mod graphql;
pub mod http;
pub mod live_query;
pub mod logging;
pub mod mail;
pub mod migrate;
pub mod operations;
pub mod outbound;
pub mod pages;
pub mod pubsub;
pub mod push;
pub mod query;
pub mod rest;
pub mod server;
pub mod sockets;
pub mod storage;
pub mod tls;
pub mod types;
