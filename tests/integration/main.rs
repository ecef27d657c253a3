//! The integration tests: one binary, so that they link once. What they share is in `tests/support`.

#[path = "../support/mod.rs"]
mod support;

mod auth;
mod cloud_host;
mod cloud_types;
mod embedded;
mod environment;
mod files;
mod files_http;
mod files_triggers;
mod graphql;
mod http_admin;
mod http_batch;
mod http_cloud;
mod http_front;
mod http_input;
mod http_jobs;
mod http_process;
mod http_transactions;
mod http_wire;
mod index_on_demand;
mod live_query;
mod metrics;
mod migration;
#[cfg(feature = "mongo")]
mod mongo;
mod own_tables;
mod pubsub_redis;
mod push;
mod query_aggregate;
mod query_operators;
mod query_properties;
mod query_related;
mod query_support;
mod security;
mod silent_database;
mod start_page;
mod statements;
mod storage_conformance;
#[cfg(feature = "mongo")]
mod storage_differential;
mod storage_expressions;
mod storage_postgres;
mod storage_queries;
mod storage_writers;
mod trust;
mod users_auth_data;
mod users_custom_auth;
mod users_installations;
mod users_limits;
mod users_mail_module;
mod users_redis;
mod users_roles;
mod users_sign_up;
mod work_queue;
