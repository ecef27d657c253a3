//! One file for each way in which such servers were broken before, with the attack written out, and
//! with a proof that what is meant to work does.

mod audit;
mod batch;
mod budget;
mod cancellation;
mod database_names;
mod dawdling;
mod effects;
mod enumeration;
mod files;
mod fragments;
mod hidden;
mod injection;
mod internal_classes;
mod key_scopes;
mod leakage;
mod live_limits;
mod live_past;
mod live_query;
mod mass_assignment;
mod oracles;
mod panics;
mod parsers;
mod prototype;
mod races;
mod rate_limits;
mod round_trips;
mod schema_stalls;
mod sessions;
mod several_apps;
mod shifting_schemas;
mod slow_database;
mod sqlstate;
mod tokens;
mod transactions;
mod unused_files;
