//! Handlers, one file for each of parse-server's routers. They read parameters and call operations;
//! nothing is decided here.

pub mod aggregate;
pub mod analytics;
pub mod audiences;
pub mod batch;
pub mod classes;
pub mod cloud_code;
pub mod config;
pub mod features;
pub mod functions;
pub mod graphql_config;
pub mod hooks;
pub mod jobs;
pub mod logs;
pub mod openapi;
pub mod purchase;
pub mod push;
pub mod schemas;
pub mod security;
pub mod users;
