//! PostgreSQL's binary encodings that diesel has no types for.

use crate::types::time::Millis;

/// PostgreSQL's own types that diesel does not name.
pub mod sql_types {
    use diesel::sql_types::SqlType;

    #[derive(Clone, Copy, Debug, SqlType, diesel::query_builder::QueryId)]
    #[diesel(postgres_type(oid = 600, array_oid = 1017))]
    pub struct Point;

    #[derive(Clone, Copy, Debug, SqlType, diesel::query_builder::QueryId)]
    #[diesel(postgres_type(oid = 604, array_oid = 1027))]
    pub struct Polygon;
}

/// Microseconds between 1970 and 2000, the epoch of PostgreSQL.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// An instant as `timestamptz` is sent.
pub(super) fn micros_of(at: Millis) -> i64 {
    at.0.saturating_mul(1000).saturating_sub(POSTGRES_EPOCH_MICROS)
}

/// The other direction of the `timestamptz` encoding.
pub fn millis_from_micros(micros: i64) -> Millis {
    Millis(micros.saturating_add(POSTGRES_EPOCH_MICROS).div_euclid(1000))
}
