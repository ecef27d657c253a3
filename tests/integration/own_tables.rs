//! The tables of schema `parsimony` as Diesel's DSL knows them, held against the migrated database: every
//! table, primary key, column, type and whether it may be null. With `PARSIMONY_WRITE_SCHEMA` set, the file is
//! made anew instead, in the form of `diesel print-schema`.

use std::fmt::Write;

use parsimony::storage::StorageAdapter;
use parsimony::storage::postgres::{PostgresAdapter, PostgresOptions};

use crate::support::database::TestDatabase;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/storage/postgres/own/schema.rs");
/// Where what is generated begins; before it is said how.
const GENERATED: &str = "// @generated automatically by Diesel CLI.";

const COLUMNS: &str = "\
    SELECT c.relname::text, a.attname::text, t.typname::text, a.attnotnull, \
        coalesce(a.attnum = ANY(k.conkey::int[]), false) \
    FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
    LEFT JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p' \
    WHERE n.nspname = 'parsimony' AND c.relkind = 'r' AND c.relname NOT LIKE '\\_\\_diesel%' \
    ORDER BY c.relname COLLATE \"C\", a.attnum";

/// PostgreSQL's name of a type as `table!` has it: `timestamptz` is `Timestamptz`.
fn rust_name(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

async fn print_schema(database: &TestDatabase) -> String {
    let rows = database.connect().await.query(COLUMNS, &[]).await.unwrap();
    let mut tables: Vec<(String, Vec<String>, String)> = Vec::new();
    for row in rows {
        let (table, column, ty): (String, String, String) = (row.get(0), row.get(1), row.get(2));
        let (not_null, is_key): (bool, bool) = (row.get(3), row.get(4));
        if tables.last().is_none_or(|(name, ..)| *name != table) {
            tables.push((table, Vec::new(), String::new()));
        }
        let (_, key, columns) = tables.last_mut().unwrap();
        let ty = if not_null { rust_name(&ty) } else { format!("Nullable<{}>", rust_name(&ty)) };
        writeln!(columns, "            {column} -> {ty},").unwrap();
        if is_key {
            key.push(column);
        }
    }
    let mut text = format!("{GENERATED}\n\npub mod parsimony {{\n");
    for (table, key, columns) in &tables {
        let key = key.join(", ");
        writeln!(
            text,
            "    diesel::table! {{\n        parsimony.{table} ({key}) {{\n{columns}        }}\n    }}\n"
        )
        .unwrap();
    }
    let names: Vec<&str> = tables.iter().map(|(name, ..)| name.as_str()).collect();
    let line = format!("    diesel::allow_tables_to_appear_in_same_query!({},);", names.join(", "));
    // As rustfmt breaks it.
    let lines = match line.len() > 110 {
        false => line,
        true => format!(
            "    diesel::allow_tables_to_appear_in_same_query!(\n        {},\n    );",
            names.join(",\n        ")
        ),
    };
    writeln!(text, "{lines}\n}}").unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn are_those_of_the_dsl() {
    let database = TestDatabase::empty().await;
    let adapter = PostgresAdapter::connect(PostgresOptions::new(&database.uri)).await.unwrap();
    adapter.initialize().await.unwrap();
    let made = print_schema(&database).await;
    let file = std::fs::read_to_string(FILE).unwrap();
    let (head, written) = file.split_at(file.find(GENERATED).unwrap());
    if std::env::var_os("PARSIMONY_WRITE_SCHEMA").is_some() {
        std::fs::write(FILE, format!("{head}{made}")).unwrap();
    } else {
        assert_eq!(written, made, "see the head of {FILE}");
    }
}
