//! The one statement type of the adapter: SQL text split at its binds, run through diesel-async. Builders append to it; every value travels as a bind, every name as an identifier.
//!
//! diesel's own `sql_query` is never prepared twice; this fragment is keyed by its text, so that
//! shapes seen again reuse their statement. What a client can vary without end is marked
//! [`Sql::uncacheable`] and stays out of the per-connection cache, which has no bound of its own.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::sync::{Mutex, PoisonError, RwLock};

use diesel::pg::{Pg, PgValue};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::row::{Field as _, Row as _};
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Array, BigInt, Bool, Double, Integer, Jsonb, Nullable, Text, Timestamptz, Untyped};
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use futures_util::{Stream, TryStreamExt};

use crate::types::geo::GeoPoint;
use crate::types::time::Millis;
use crate::types::{ClassName, FieldName};

/// A row in PostgreSQL's binary encoding.
pub type PgRow = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;

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
    /// SQL NULL of type text; cast it where another type is wanted.
    Null,
}

#[derive(Clone, Debug)]
struct JsonText(String);

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
struct Instant(Millis);

/// Microseconds between 1970 and 2000, the epoch of PostgreSQL.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

impl ToSql<Timestamptz, Pg> for Instant {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        use std::io::Write;
        let micros = self.0.0.saturating_mul(1000).saturating_sub(POSTGRES_EPOCH_MICROS);
        out.write_all(&micros.to_be_bytes())?;
        Ok(IsNull::No)
    }
}

/// The other direction of the `timestamptz` encoding.
pub fn millis_from_micros(micros: i64) -> Millis {
    Millis(micros.saturating_add(POSTGRES_EPOCH_MICROS).div_euclid(1000))
}

#[derive(Clone, Copy, Debug)]
struct PointValue(GeoPoint);

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
struct Ring(Vec<GeoPoint>);

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

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(Range<usize>),
    Bind(usize),
}

/// SQL under construction, then a diesel query.
#[derive(Clone, Debug, Default)]
pub struct Sql {
    text: String,
    parts: Vec<Part>,
    binds: Vec<Stored>,
    uncacheable: bool,
    /// [`Sql::shape`], where it is known beforehand.
    known_shape: Option<u64>,
}

/// Binds in the form diesel serialises them from.
#[derive(Clone, Debug)]
enum Stored {
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
    Null(Option<String>),
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
            Bind::Null => Self::Null(None),
        }
    }
}

impl Sql {
    /// Starts with this text.
    pub fn new(text: &str) -> Self {
        let mut sql = Self::default();
        sql.push_sql(text);
        sql
    }

    /// Text that this program spells; never a client's.
    pub fn push_sql(&mut self, text: &str) -> &mut Self {
        if text.is_empty() {
            return self;
        }
        let start = self.text.len();
        self.known_shape = None;
        self.text.push_str(text);
        match self.parts.last_mut() {
            Some(Part::Text(range)) if range.end == start => range.end = self.text.len(),
            _ => self.parts.push(Part::Text(start..self.text.len())),
        }
        self
    }

    /// The class's table, with its schema: PostgreSQL looks for bare names among its own tables first,
    /// and a class may be called `pg_class`.
    pub fn push_class(&mut self, class: &ClassName) -> &mut Self {
        self.push_in_public(class.as_str())
    }

    /// A table or index of parse-server's schema `public`.
    pub fn push_in_public(&mut self, name: &str) -> &mut Self {
        self.push_sql("public.").push_identifier(name)
    }

    pub fn push_field(&mut self, field: &FieldName) -> &mut Self {
        self.push_identifier(field.as_str())
    }

    /// A table alias this program makes (`t0`), or an index name that was validated.
    pub fn push_identifier(&mut self, name: &str) -> &mut Self {
        // Quoted here: diesel would write every name by itself, each time the statement is run.
        self.push_sql("\"");
        for (index, piece) in name.split('"').enumerate() {
            if index > 0 {
                self.push_sql("\"\"");
            }
            self.push_sql(piece);
        }
        self.push_sql("\"")
    }

    /// Room for so many more bytes of text.
    pub fn reserve(&mut self, bytes: usize) -> &mut Self {
        self.text.reserve(bytes);
        self
    }

    pub fn push_bind(&mut self, bind: Bind) -> &mut Self {
        self.known_shape = None;
        self.parts.push(Part::Bind(self.binds.len()));
        self.binds.push(bind.into());
        self
    }

    pub fn push_text(&mut self, value: impl Into<String>) -> &mut Self {
        self.push_bind(Bind::Text(value.into()))
    }

    pub fn push_text_array(&mut self, values: Vec<String>) -> &mut Self {
        self.push_bind(Bind::TextArray(values))
    }

    pub fn push_jsonb(&mut self, value: &serde_json::Value) -> &mut Self {
        self.push_bind(Bind::Jsonb(value.to_string()))
    }

    pub fn append(&mut self, other: Sql) -> &mut Self {
        self.known_shape = None;
        let (text_base, bind_base) = (self.text.len(), self.binds.len());
        self.text.push_str(&other.text);
        self.parts.extend(other.parts.into_iter().map(|part| match part {
            Part::Text(r) => Part::Text(r.start + text_base..r.end + text_base),
            Part::Bind(n) => Part::Bind(n + bind_base),
        }));
        self.binds.extend(other.binds);
        self.uncacheable |= other.uncacheable;
        self
    }

    /// The binds as text, for tests.
    #[cfg(test)]
    pub fn bound(&self) -> String {
        format!("{:?}", self.binds)
    }

    /// Keeps the statement out of the prepared-statement cache: a shape that is rare, huge, or that
    /// clients can vary at will.
    pub fn uncacheable(&mut self) -> &mut Self {
        self.uncacheable = true;
        self
    }

    pub fn is_cacheable(&self) -> bool {
        !self.uncacheable
    }

    pub fn bind_count(&self) -> usize {
        self.binds.len()
    }

    /// What PostgreSQL receives, binds as `$1`…; for tests and logs.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.text.len() + 16);
        for part in &self.parts {
            match part {
                Part::Text(range) => text.push_str(&self.text[range.clone()]),
                Part::Bind(index) => text.push_str(&format!("${}", index + 1)),
            }
        }
        text
    }

    /// The same text with its binds still to come, in the same order and of the same kinds.
    pub fn without_binds(&self) -> Self {
        Self {
            text: self.text.clone(),
            parts: self.parts.clone(),
            binds: Vec::with_capacity(self.binds.len()),
            uncacheable: false,
            known_shape: Some(self.shape()),
        }
    }

    /// The next bind of a text made by [`Sql::without_binds`].
    pub fn fill(&mut self, bind: Bind) -> &mut Self {
        self.binds.push(bind.into());
        self
    }

    /// Tells statements of different text or kinds of binds apart.
    pub fn shape(&self) -> u64 {
        if let Some(shape) = self.known_shape {
            return shape;
        }
        let mut hasher = DefaultHasher::new();
        self.text.hash(&mut hasher);
        for bind in &self.binds {
            std::mem::discriminant(bind).hash(&mut hasher);
        }
        self.parts.len().hash(&mut hasher);
        hasher.finish()
    }

    /// Runs a statement that answers no rows; the number of rows it touched.
    ///
    /// # Errors
    /// Whatever PostgreSQL says.
    pub async fn execute(&self, conn: &AsyncPgConnection) -> QueryResult<usize> {
        let mut conn = conn;
        AsyncConnectionCore::execute_returning_count(&mut conn, self).await
    }

    /// Runs the statement and streams its rows. Works on a shared connection (pipelining).
    ///
    /// # Errors
    /// Whatever PostgreSQL says.
    pub async fn stream(
        &self,
        conn: &AsyncPgConnection,
    ) -> QueryResult<impl Stream<Item = QueryResult<PgRow>> + Send + Unpin + use<>> {
        let mut conn = conn;
        AsyncConnectionCore::load(&mut conn, self).await
    }

    /// Runs the statement and collects its rows.
    ///
    /// # Errors
    /// Whatever PostgreSQL says.
    pub async fn load(&self, conn: &AsyncPgConnection) -> QueryResult<Vec<PgRow>> {
        self.stream(conn).await?.try_collect().await
    }
}

/// The bytes of one field; `None` for SQL NULL (or a column that is not there).
pub fn with_bytes<T>(row: &PgRow, index: usize, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
    let field = diesel::row::Row::get(row, index)?;
    let value: PgValue<'_> = field.value()?;
    Some(read(value.as_bytes()))
}

/// The field's bytes and the OID of its type.
pub fn with_typed_bytes<T>(row: &PgRow, index: usize, read: impl FnOnce(u32, &[u8]) -> T) -> Option<T> {
    let field = diesel::row::Row::get(row, index)?;
    let value: PgValue<'_> = field.value()?;
    Some(read(value.get_oid().get(), value.as_bytes()))
}

/// How many columns the row has.
pub fn width(row: &PgRow) -> usize {
    row.field_count()
}

impl QueryId for Sql {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Sql {
    type SqlType = Untyped;
}

impl QueryFragment<Pg> for Sql {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if self.uncacheable {
            out.unsafe_to_cache_prepared();
        }
        for part in &self.parts {
            match part {
                Part::Text(range) => out.push_sql(&self.text[range.clone()]),
                Part::Bind(index) => {
                    if let Some(bind) = self.binds.get(*index) {
                        push(bind, &mut out)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn push<'b>(bind: &'b Stored, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
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
        Stored::Null(none) => out.push_bind_param::<Nullable<Text>, _>(none),
    }
}

/// Which statement shapes may be prepared: those seen before, and no more than a fixed number of
/// them. Shared by all connections of an adapter, so it bounds every connection's cache.
#[derive(Debug, Default)]
pub struct Shapes {
    admitted: RwLock<HashSet<u64>>,
    seen_once: Mutex<HashSet<u64>>,
}

/// Shapes prepared per connection at most.
const MAX_SHAPES: usize = 500;
/// Bound of the memory of shapes seen once.
const MAX_SEEN_ONCE: usize = 4096;

impl Shapes {
    /// Leaves the statement cacheable when its shape was seen before and there is room for it.
    pub fn admit(&self, sql: &mut Sql) {
        if sql.uncacheable {
            return;
        }
        let shape = sql.shape();
        if self.admitted.read().unwrap_or_else(PoisonError::into_inner).contains(&shape) {
            return;
        }
        let mut seen_once = self.seen_once.lock().unwrap_or_else(PoisonError::into_inner);
        if seen_once.remove(&shape) {
            let mut admitted = self.admitted.write().unwrap_or_else(PoisonError::into_inner);
            if admitted.len() < MAX_SHAPES {
                admitted.insert(shape);
                return;
            }
        }
        if seen_once.len() >= MAX_SEEN_ONCE {
            seen_once.clear();
        }
        seen_once.insert(shape);
        sql.uncacheable = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_and_identifiers_stay_apart_from_text() {
        let mut inner = Sql::new("a = ");
        inner.push_text("x'y");
        let mut sql = Sql::new("SELECT ");
        sql.push_identifier("we\"ird").push_sql(" FROM t WHERE ").push_bind(Bind::Bool(true));
        sql.push_sql(" AND ").append(inner);
        assert_eq!(sql.to_text(), "SELECT \"we\"\"ird\" FROM t WHERE $1 AND a = $2");
    }

    #[test]
    fn shapes_are_admitted_on_second_sight() {
        let shapes = Shapes::default();
        let make = || {
            let mut sql = Sql::new("SELECT ");
            sql.push_text("v");
            sql
        };
        let (mut first, mut second, mut third) = (make(), make(), make());
        shapes.admit(&mut first);
        shapes.admit(&mut second);
        shapes.admit(&mut third);
        assert!(!first.is_cacheable() && second.is_cacheable() && third.is_cacheable());
    }
}
