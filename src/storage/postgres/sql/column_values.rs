//! The values of one column of many rows as one bind: an array in PostgreSQL's binary form, for `unnest`. A statement
//! for any number of rows has one text then, which is prepared once, and a bind for each column instead of one for
//! each value.

use diesel::pg::Pg;
use diesel::query_builder::AstPass;
use diesel::result::QueryResult;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Array, Bool, Double, Jsonb, Nullable, Text, Timestamptz};

use super::encoding::sql_types;

/// What the elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    Text,
    Double,
    Bool,
    Timestamptz,
    Jsonb,
    Point,
    Polygon,
}

impl Element {
    /// PostgreSQL's number of the type.
    fn oid(self) -> u32 {
        match self {
            Self::Text => 25,
            Self::Double => 701,
            Self::Bool => 16,
            Self::Timestamptz => 1184,
            Self::Jsonb => 3802,
            Self::Point => 600,
            Self::Polygon => 604,
        }
    }
}

/// Values of one type, or nothing in their places.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnValues {
    element: Element,
    count: i32,
    has_null: bool,
    bytes: Vec<u8>,
}

impl ColumnValues {
    pub fn new(element: Element, count: usize) -> Self {
        Self { element, count: 0, has_null: false, bytes: Vec::with_capacity(count * 16) }
    }

    pub fn element(&self) -> Element {
        self.element
    }

    /// Appends a value, whose encoding is these pieces together.
    pub fn push(&mut self, pieces: &[&[u8]]) {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.count = self.count.saturating_add(1);
        // No value is as long: bodies are bounded.
        self.bytes.extend_from_slice(&i32::try_from(length).unwrap_or(i32::MAX).to_be_bytes());
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
        }
    }

    pub fn push_null(&mut self) {
        self.count = self.count.saturating_add(1);
        self.has_null = true;
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    /// The elements, how many they are, and whether one is nothing; for tests.
    #[cfg(test)]
    pub fn parts(&self) -> (&[u8], i32, bool) {
        (&self.bytes, self.count, self.has_null)
    }

    fn write(&self, out: &mut Output<'_, '_, Pg>) -> serialize::Result {
        use std::io::Write;
        out.write_all(&1_i32.to_be_bytes())?;
        out.write_all(&i32::from(self.has_null).to_be_bytes())?;
        out.write_all(&self.element.oid().to_be_bytes())?;
        out.write_all(&self.count.to_be_bytes())?;
        out.write_all(&1_i32.to_be_bytes())?;
        out.write_all(&self.bytes)?;
        Ok(IsNull::No)
    }

    pub(super) fn bind<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match self.element {
            Element::Text => out.push_bind_param::<Array<Nullable<Text>>, _>(self),
            Element::Double => out.push_bind_param::<Array<Nullable<Double>>, _>(self),
            Element::Bool => out.push_bind_param::<Array<Nullable<Bool>>, _>(self),
            Element::Timestamptz => out.push_bind_param::<Array<Nullable<Timestamptz>>, _>(self),
            Element::Jsonb => out.push_bind_param::<Array<Nullable<Jsonb>>, _>(self),
            Element::Point => out.push_bind_param::<Array<Nullable<sql_types::Point>>, _>(self),
            Element::Polygon => out.push_bind_param::<Array<Nullable<sql_types::Polygon>>, _>(self),
        }
    }
}

macro_rules! array_of {
    ($($element:ty),*) => {$(
        impl ToSql<Array<Nullable<$element>>, Pg> for ColumnValues {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                self.write(out)
            }
        }
    )*};
}

array_of!(Text, Double, Bool, Timestamptz, Jsonb, sql_types::Point, sql_types::Polygon);

/// `{"a","b"}`: a list of texts as PostgreSQL reads it.
pub fn array_literal(texts: &[String]) -> String {
    let mut literal = String::from("{");
    for (index, text) in texts.iter().enumerate() {
        literal.push_str(if index > 0 { ",\"" } else { "\"" });
        for letter in text.chars() {
            if matches!(letter, '\\' | '"') {
                literal.push('\\');
            }
            literal.push(letter);
        }
        literal.push('"');
    }
    literal.push('}');
    literal
}
