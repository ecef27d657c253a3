//! Values in statements: what they are sent as.

use bytes::Bytes;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::result::QueryResult;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Double, Integer, Jsonb, Nullable, Text, Timestamptz};

use super::column_values::ColumnValues;
use crate::types::geo::GeoPoint;
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

/// A bound value and, by its variant, the SQL type it is sent as.
#[derive(Clone, Debug, PartialEq)]
pub enum Bind {
    Text(String),
    Double(f64),
    Int4(i32),
    Int8(i64),
    Bool(bool),
    Timestamptz(Millis),
    /// JSON text, sent as `jsonb`.
    Jsonb(String),
    /// Sent as `point`: (longitude, latitude).
    Point(GeoPoint),
    /// Sent as `polygon`: points (longitude, latitude), as they are; close the ring before.
    Polygon(Vec<GeoPoint>),
    TextArray(Vec<String>),
    DoubleArray(Vec<f64>),
    BoolArray(Vec<bool>),
    TimestamptzArray(Vec<Millis>),
    /// JSON texts, sent as `jsonb[]`.
    JsonbArray(Vec<String>),
    MaybeText(Option<String>),
    MaybeInt8(Option<i64>),
    /// Sent as `bytea`.
    Bytes(Bytes),
    MaybeBytes(Option<Bytes>),
    /// SQL NULL of type text; cast it where another type is wanted.
    Null,
    /// An array with a value, or nothing, for each of many rows.
    Column(ColumnValues),
}

#[derive(Clone, Debug)]
pub(super) struct JsonText(String);

impl ToSql<Jsonb, Pg> for JsonText {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        use std::io::Write;
        // Version 1 of the binary format: one byte, then the text.
        out.write_all(&[1])?;
        out.write_all(self.0.as_bytes())?;
        Ok(IsNull::No)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Instant(Millis);

/// Microseconds between 1970 and 2000, the epoch of PostgreSQL.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

impl ToSql<Timestamptz, Pg> for Instant {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        use std::io::Write;
        out.write_all(&micros_of(self.0).to_be_bytes())?;
        Ok(IsNull::No)
    }
}

/// An instant as `timestamptz` is sent.
pub(super) fn micros_of(at: Millis) -> i64 {
    at.0.saturating_mul(1000).saturating_sub(POSTGRES_EPOCH_MICROS)
}

/// The other direction of the `timestamptz` encoding.
pub fn millis_from_micros(micros: i64) -> Millis {
    Millis(micros.saturating_add(POSTGRES_EPOCH_MICROS).div_euclid(1000))
}

#[derive(Clone, Copy, Debug)]
pub(super) struct PointValue(GeoPoint);

fn write_point(out: &mut impl std::io::Write, point: GeoPoint) -> std::io::Result<()> {
    out.write_all(&point.longitude.to_be_bytes())?;
    out.write_all(&point.latitude.to_be_bytes())
}

impl ToSql<sql_types::Point, Pg> for PointValue {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        write_point(out, self.0)?;
        Ok(IsNull::No)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Ring(Vec<GeoPoint>);

impl ToSql<sql_types::Polygon, Pg> for Ring {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        use std::io::Write;
        out.write_all(&i32::try_from(self.0.len())?.to_be_bytes())?;
        for point in &self.0 {
            write_point(out, *point)?;
        }
        Ok(IsNull::No)
    }
}

/// Binds in the form diesel serialises them from.
#[derive(Clone, Debug)]
pub(super) enum Stored {
    Text(String),
    Double(f64),
    Int4(i32),
    Int8(i64),
    Bool(bool),
    Time(Instant),
    Json(JsonText),
    Point(PointValue),
    Polygon(Ring),
    Texts(Vec<String>),
    Doubles(Vec<f64>),
    Bools(Vec<bool>),
    Times(Vec<Instant>),
    Jsons(Vec<JsonText>),
    Int8OrNull(Option<i64>),
    Bytes(Bytes),
    BytesOrNull(Option<Vec<u8>>),
    Null(Option<String>),
    Column(ColumnValues),
}

impl From<Bind> for Stored {
    fn from(bind: Bind) -> Self {
        match bind {
            Bind::Text(text) => Self::Text(text),
            Bind::Double(n) => Self::Double(n),
            Bind::Int4(n) => Self::Int4(n),
            Bind::Int8(n) => Self::Int8(n),
            Bind::Bool(b) => Self::Bool(b),
            Bind::Timestamptz(at) => Self::Time(Instant(at)),
            Bind::Jsonb(text) => Self::Json(JsonText(text)),
            Bind::Point(point) => Self::Point(PointValue(point)),
            Bind::Polygon(ring) => Self::Polygon(Ring(ring)),
            Bind::TextArray(list) => Self::Texts(list),
            Bind::DoubleArray(list) => Self::Doubles(list),
            Bind::BoolArray(list) => Self::Bools(list),
            Bind::TimestamptzArray(list) => Self::Times(list.into_iter().map(Instant).collect()),
            Bind::JsonbArray(list) => Self::Jsons(list.into_iter().map(JsonText).collect()),
            Bind::MaybeText(text) => Self::Null(text),
            Bind::MaybeInt8(n) => Self::Int8OrNull(n),
            Bind::Bytes(bytes) => Self::Bytes(bytes),
            Bind::MaybeBytes(bytes) => Self::BytesOrNull(bytes.map(Vec::from)),
            Bind::Null => Self::Null(None),
            Bind::Column(values) => Self::Column(values),
        }
    }
}

pub(super) fn push<'b>(bind: &'b Stored, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
    match bind {
        Stored::Text(text) => out.push_bind_param::<Text, _>(text),
        Stored::Double(n) => out.push_bind_param::<Double, _>(n),
        Stored::Int4(n) => out.push_bind_param::<Integer, _>(n),
        Stored::Int8(n) => out.push_bind_param::<BigInt, _>(n),
        Stored::Bool(b) => out.push_bind_param::<Bool, _>(b),
        Stored::Time(at) => out.push_bind_param::<Timestamptz, _>(at),
        Stored::Json(json) => out.push_bind_param::<Jsonb, _>(json),
        Stored::Point(point) => out.push_bind_param::<sql_types::Point, _>(point),
        Stored::Polygon(ring) => out.push_bind_param::<sql_types::Polygon, _>(ring),
        Stored::Texts(list) => out.push_bind_param::<Array<Text>, _>(list),
        Stored::Doubles(list) => out.push_bind_param::<Array<Double>, _>(list),
        Stored::Bools(list) => out.push_bind_param::<Array<Bool>, _>(list),
        Stored::Times(list) => out.push_bind_param::<Array<Timestamptz>, _>(list),
        Stored::Jsons(list) => out.push_bind_param::<Array<Jsonb>, _>(list),
        Stored::Int8OrNull(n) => out.push_bind_param::<Nullable<BigInt>, _>(n),
        Stored::Bytes(bytes) => out.push_bind_param::<Binary, [u8]>(bytes),
        Stored::BytesOrNull(bytes) => out.push_bind_param::<Nullable<Binary>, _>(bytes),
        Stored::Null(none) => out.push_bind_param::<Nullable<Text>, _>(none),
        Stored::Column(values) => values.bind(out),
    }
}
