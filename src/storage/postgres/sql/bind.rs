//! Values in statements: what they are sent as.

use bytes::Bytes;
use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::result::QueryResult;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Array, BigInt, Binary, Bool, Double, Integer, Jsonb, Nullable, Text, Timestamptz};

use super::column_values::{ColumnValues, Element, array_literal};
use super::encoding::{micros_of, sql_types};
use crate::types::geo::GeoPoint;
use crate::types::time::Millis;

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

impl Bind {
    /// Appends it to the values of its column; nothing where it is of another type than they.
    pub fn push_to(&self, values: &mut ColumnValues) {
        match (values.element(), self) {
            (Element::Text, Self::Text(text)) => values.push(&[text.as_bytes()]),
            // There is no array of arrays of different lengths: each is sent as its text, and read by a cast.
            (Element::Text, Self::TextArray(texts)) => values.push(&[array_literal(texts).as_bytes()]),
            (Element::Double, Self::Double(number)) => values.push(&[&number.to_be_bytes()]),
            (Element::Bool, Self::Bool(is)) => values.push(&[&[u8::from(*is)]]),
            (Element::Timestamptz, Self::Timestamptz(at)) => values.push(&[&micros_of(*at).to_be_bytes()]),
            (Element::Jsonb, Self::Jsonb(text)) => values.push(&[&[1], text.as_bytes()]),
            (Element::Point, Self::Point(at)) => {
                values.push(&[&at.longitude.to_be_bytes(), &at.latitude.to_be_bytes()]);
            }
            (Element::Polygon, Self::Polygon(ring)) => {
                let points = i32::try_from(ring.len()).unwrap_or(i32::MAX).to_be_bytes();
                let numbers: Vec<[u8; 8]> =
                    ring.iter().flat_map(|at| [at.longitude, at.latitude]).map(f64::to_be_bytes).collect();
                let mut pieces: Vec<&[u8]> = vec![&points];
                pieces.extend(numbers.iter().map(|number| &number[..]));
                values.push(&pieces);
            }
            _ => values.push_null(),
        }
    }
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

impl ToSql<Timestamptz, Pg> for Instant {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        use std::io::Write;
        out.write_all(&micros_of(self.0).to_be_bytes())?;
        Ok(IsNull::No)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_column_stand_behind_each_other_with_their_lengths() {
        let mut values = ColumnValues::new(Element::Text, 3);
        Bind::Text("ab".to_owned()).push_to(&mut values);
        values.push_null();
        Bind::TextArray(vec!["*".to_owned(), "a\"\\b".to_owned()]).push_to(&mut values);
        let literal = br#"{"*","a\"\\b"}"#;
        let mut expected = vec![0, 0, 0, 2, b'a', b'b', 255, 255, 255, 255, 0, 0, 0, 14];
        expected.extend_from_slice(literal);
        assert_eq!(values.parts(), (&expected[..], 3, true));
        let mut points = ColumnValues::new(Element::Point, 1);
        if let Some(at) = GeoPoint::new(1.0, 2.0) {
            Bind::Point(at).push_to(&mut points);
        }
        assert_eq!(points.parts().0.len(), 20);
    }
}
