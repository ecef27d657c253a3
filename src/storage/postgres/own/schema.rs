//! The tables of schema `parsimony`. Made from the migrated database: after a migration run
//! `PARSIMONY_WRITE_SCHEMA=1 cargo nextest run --all-features own_tables`, or `diesel print-schema`; without
//! the variable the same test compares this file to the database.

// @generated automatically by Diesel CLI.

pub mod parsimony {
    diesel::table! {
        parsimony.file (id) {
            id -> Int8,
            app -> Text,
            name -> Text,
            version -> Nullable<Int8>,
            size -> Int8,
            chunk_size -> Int4,
            content_type -> Nullable<Text>,
            metadata -> Jsonb,
            tags -> Jsonb,
            digest -> Nullable<Bytea>,
            key_id -> Nullable<Text>,
            stored_at -> Timestamptz,
            touched_at -> Timestamptz,
        }
    }

    diesel::table! {
        parsimony.file_chunk (file, number) {
            file -> Int8,
            number -> Int4,
            data -> Bytea,
        }
    }

    diesel::table! {
        parsimony.live_capture (class) {
            class -> Text,
            mode -> Text,
            since -> Timestamptz,
        }
    }

    diesel::table! {
        parsimony.live_log (id) {
            id -> Int8,
            at -> Timestamptz,
            class -> Text,
            own -> Bool,
            state_before -> Nullable<Jsonb>,
            state_after -> Nullable<Jsonb>,
        }
    }

    diesel::table! {
        parsimony.push (app, id) {
            app -> Text,
            id -> Text,
            state -> Text,
            due_at -> Timestamptz,
            deadline -> Timestamptz,
            body -> Jsonb,
            condition -> Jsonb,
            settings -> Jsonb,
            hash -> Text,
            open -> Int4,
            reasons -> Jsonb,
            retried -> Int8,
            repeated -> Int8,
            created_at -> Timestamptz,
            changed_at -> Timestamptz,
        }
    }

    diesel::table! {
        parsimony.push_delivery (id) {
            id -> Int8,
            app -> Text,
            push -> Text,
            installation -> Text,
            device_type -> Nullable<Text>,
            result -> Text,
            reason -> Nullable<Text>,
            at -> Timestamptz,
        }
    }

    diesel::table! {
        parsimony.push_open (app, push, installation) {
            app -> Text,
            push -> Text,
            installation -> Text,
            at -> Timestamptz,
        }
    }

    diesel::table! {
        parsimony.work (id) {
            id -> Int8,
            app -> Text,
            queue -> Text,
            key -> Nullable<Text>,
            state -> Text,
            priority -> Int4,
            run_at -> Timestamptz,
            deadline -> Nullable<Timestamptz>,
            attempts -> Int4,
            backoff_ms -> Nullable<Int8>,
            holder -> Nullable<Text>,
            lease_until -> Nullable<Timestamptz>,
            payload -> Jsonb,
            progress -> Nullable<Jsonb>,
            outcome -> Nullable<Jsonb>,
            changed_at -> Timestamptz,
        }
    }

    diesel::allow_tables_to_appear_in_same_query!(
        file,
        file_chunk,
        live_capture,
        live_log,
        push,
        push_delivery,
        push_open,
        work,
    );
}
