//! The one statement type of the adapter: SQL text split at its binds, run through diesel-async. Builders append to it; every value travels as a bind, every name as an identifier.
//!
//! diesel's own `sql_query` is never prepared twice; this fragment is keyed by its text, so that
//! shapes seen again reuse their statement. What a client can vary without end is marked
//! [`Sql::uncacheable`] and stays out of the per-connection cache, which has no bound of its own.

mod bind;
mod column_values;
mod encoding;
mod shapes;
mod wanted;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use diesel::pg::{Pg, PgValue};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::row::{Field as _, Row as _};
use diesel::sql_types::Untyped;
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use futures_util::{Stream, TryStreamExt};

pub use self::bind::Bind;
use self::bind::{Stored, push};
pub use self::column_values::{ColumnValues, Element, array_literal};
pub use self::encoding::{millis_from_micros, sql_types};
pub use self::shapes::Shapes;
pub use self::wanted::{IndexKind, ON_DEMAND, WantedIndex};
use crate::types::{ClassName, FieldName};

/// A row in PostgreSQL's binary encoding.
pub type PgRow = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;

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
    /// Indexes that it could have used.
    wanted: Vec<WantedIndex>,
    /// It may take for ever, and is given up soon.
    hurried: bool,
    /// Something was left out, so it cannot be run.
    too_large: bool,
}

/// Bytes of a statement's text. Expressions that name each other twice double it with each step.
const MAX_TEXT: usize = 8 * 1024 * 1024;
/// Pieces of text and binds of a statement; PostgreSQL takes 65,535 binds.
const MAX_PARTS: usize = 500_000;

impl Sql {
    /// Starts with this text.
    pub fn new(text: &str) -> Self {
        let mut sql = Self::default();
        sql.push_sql(text);
        sql
    }

    /// A whole statement that this program spells, in which `?` stands for the next bind.
    pub fn filled(text: &str, binds: impl IntoIterator<Item = Bind>) -> Self {
        let mut sql = Self::default();
        let mut binds = binds.into_iter();
        for (index, piece) in text.split('?').enumerate() {
            if index > 0
                && let Some(bind) = binds.next()
            {
                sql.push_bind(bind);
            }
            sql.push_sql(piece);
        }
        sql
    }

    /// Text that this program spells; never a client's.
    pub fn push_sql(&mut self, text: &str) -> &mut Self {
        if text.is_empty() || !self.takes(text.len(), 1) {
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

    /// Room for so many more bytes of text, and the usual number of parts.
    pub fn reserve(&mut self, bytes: usize) -> &mut Self {
        self.text.reserve(bytes);
        self.parts.reserve(12);
        self.binds.reserve(4);
        self
    }

    pub fn push_bind(&mut self, bind: Bind) -> &mut Self {
        if !self.takes(0, 1) {
            return self;
        }
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
        self.too_large |= other.too_large;
        if !self.takes(other.text.len(), other.parts.len()) {
            return self;
        }
        self.known_shape = None;
        let (text_base, bind_base) = (self.text.len(), self.binds.len());
        self.text.push_str(&other.text);
        self.parts.extend(other.parts.into_iter().map(|part| match part {
            Part::Text(r) => Part::Text(r.start + text_base..r.end + text_base),
            Part::Bind(n) => Part::Bind(n + bind_base),
        }));
        self.binds.extend(other.binds);
        self.uncacheable |= other.uncacheable;
        self.wanted.extend(other.wanted);
        self.hurried |= other.hurried;
        self
    }

    /// Marks a statement that may take for ever, however little there is to look at.
    pub fn hurry(&mut self) {
        self.hurried = true;
    }

    pub fn is_hurried(&self) -> bool {
        self.hurried
    }

    /// Whether there is room for so much more.
    fn takes(&mut self, bytes: usize, parts: usize) -> bool {
        self.too_large |= self.text.len() + bytes > MAX_TEXT || self.parts.len() + parts > MAX_PARTS;
        !self.too_large
    }

    /// Pieces of text, and binds.
    pub fn piece_count(&self) -> usize {
        self.parts.len()
    }

    /// Whether it outgrew what a statement may be. It is not run then.
    pub fn is_too_large(&self) -> bool {
        self.too_large
    }

    /// Notes an index that the statement could have used.
    pub fn want(&mut self, index: WantedIndex) {
        self.wanted.push(index);
    }

    /// The indexes that the statement could have used.
    pub fn wanted(&self) -> &[WantedIndex] {
        &self.wanted
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
            binds: Vec::new(),
            uncacheable: false,
            known_shape: Some(self.shape()),
            wanted: Vec::new(),
            hurried: false,
            too_large: self.too_large,
        }
    }

    /// Another statement of this text, made by [`Sql::without_binds`], for so many binds.
    pub fn to_be_filled(&self, binds: usize) -> Self {
        Self { binds: Vec::with_capacity(binds), ..self.clone() }
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
        if self.too_large {
            return Err(diesel::result::Error::QueryBuilderError("the statement is too large".into()));
        }
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
    fn what_doubles_comes_to_an_end() {
        let mut sql = Sql::new("a");
        sql.push_bind(Bind::Bool(true));
        for _ in 0..64 {
            let twice = sql.clone();
            sql.append(twice);
        }
        assert!(sql.is_too_large() && sql.text.len() <= MAX_TEXT && sql.parts.len() <= MAX_PARTS);
        let mut outer = Sql::new("b");
        outer.append(sql);
        assert!(outer.is_too_large() && !Sql::new("b").is_too_large());
    }
}
