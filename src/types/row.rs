//! Rows as storage hands them over: one shared column layout, one arena for the bytes of a whole
//! result, small `Copy` cells. No JSON tree is built unless somebody asks for one ([`RowRef::to_object`]).
//!
//! Adapters fill a [`RowSet`] with the `push_*` methods, column by column, row by row; serialisers,
//! masks and matchers read it through [`RowRef`] and [`CellRef`].

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::geo::GeoPoint;
use super::names::{ClassName, FieldName};
use super::room::{Lent, Taken};
use super::schema::{ClassSchema, FieldType};
use super::time::Millis;
use super::{Acl, Object};
use crate::types::number::number_json;

/// The columns of a result, shared by its rows and by every result of the same shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    pub class: ClassName,
    pub columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: FieldName,
    pub kind: ColumnKind,
    /// `"name":`, ready to be copied into an answer.
    pub json_key: Box<[u8]>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ColumnKind {
    Field(FieldType),
    /// `_rperm` or `_wperm`.
    Permissions,
    /// Relevance of a text search.
    Score,
}

impl Column {
    pub fn new(name: FieldName, kind: ColumnKind) -> Self {
        let json_key = format!("\"{name}\":").into_bytes().into_boxed_slice();
        Self { name, kind, json_key }
    }
}

impl Layout {
    /// Every stored column of the class, in schema order: `objectId`, `createdAt`, `updatedAt`,
    /// the permission columns, then the rest. Relations have no column.
    pub fn of(schema: &ClassSchema) -> Self {
        Self::selecting(schema, |_| true)
    }

    /// As [`Layout::of`], keeping the optional columns that `wanted` names.
    pub fn selecting(schema: &ClassSchema, wanted: impl Fn(&FieldName) -> bool) -> Self {
        let mut columns = Vec::with_capacity(schema.fields.len() + 2);
        let always = ["objectId", "createdAt", "updatedAt"];
        for name in always {
            if let Some((key, field)) = schema.fields.get_key_value(name) {
                columns.push(Column::new(key.clone(), ColumnKind::Field(field.ty.clone())));
            }
        }
        if has_permission_columns(&schema.name) {
            for name in ["_rperm", "_wperm"] {
                columns.push(Column::new(FieldName::known(name), ColumnKind::Permissions));
            }
        }
        for (name, field) in &schema.fields {
            let stored = !matches!(field.ty, FieldType::Relation(_) | FieldType::Acl);
            let virtual_password = schema.name.is_user() && name == "password";
            if stored && !virtual_password && !always.contains(&name.as_str()) && wanted(name) {
                columns.push(Column::new(name.clone(), ColumnKind::Field(field.ty.clone())));
            }
        }
        Self { class: schema.name.clone(), columns }
    }

    /// The columns of a find: everything, or the wanted ones beside those that every object shows. Internal columns
    /// come only when they are named.
    pub fn asked(schema: &ClassSchema, columns: Option<&[FieldName]>, with_score: bool) -> Self {
        let mut layout = match columns {
            None => Self::of(schema),
            Some(wanted) => Self::selecting(schema, |field| wanted.contains(field)),
        };
        for name in columns.unwrap_or_default() {
            if layout.index_of(name).is_none()
                && schema.field(name).is_none()
                && let Some(ty) = internal_type(&schema.name, name)
            {
                layout.columns.push(Column::new(name.clone(), ColumnKind::Field(ty)));
            }
        }
        if with_score {
            layout.columns.push(Column::new(FieldName::known("score"), ColumnKind::Score));
        }
        layout
    }

    pub fn index_of(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == *column)
    }
}

/// `_Hooks`, `_GlobalConfig` and `_GraphQLConfig` tables have no ACL columns.
pub fn has_permission_columns(class: &ClassName) -> bool {
    !matches!(class.as_str(), "_Hooks" | "_GlobalConfig" | "_GraphQLConfig") && !class.is_join()
}

/// Columns of `_User` that are no REST fields; every stored `_User` has them.
pub const USER_COLUMNS: &[(&str, FieldType)] = &[
    ("_hashed_password", FieldType::String),
    ("_email_verify_token", FieldType::String),
    ("_email_verify_token_expires_at", FieldType::Date),
    ("_account_lockout_expires_at", FieldType::Date),
    ("_failed_login_count", FieldType::Number),
    ("_perishable_token", FieldType::String),
    ("_perishable_token_expires_at", FieldType::Date),
    ("_password_changed_at", FieldType::Date),
    ("_password_history", FieldType::Array),
];

/// The type of a column that parse-server keeps in its own classes without calling it a field.
pub fn internal_type(class: &ClassName, column: &str) -> Option<FieldType> {
    if class.is_join() {
        return matches!(column, "relatedId" | "owningId").then_some(FieldType::String);
    }
    if !class.is_user() {
        return None;
    }
    USER_COLUMNS.iter().find(|(name, _)| *name == column).map(|(_, ty)| ty.clone())
}

/// Bytes of the longest text that stands in the arena.
const LONGEST_IN_ARENA: usize = 64 * 1024;
/// As the length of a cell: `start` is the text's place among the long ones.
const APART: u32 = u32::MAX;

/// A result: `layout.columns.len()` cells for each row.
#[derive(Clone, Debug)]
pub struct RowSet {
    layout: Arc<Layout>,
    arena: Vec<u8>,
    /// Long texts, each in a place of its own: an arena that grows by them is copied again and again.
    long: Vec<Box<[u8]>>,
    long_bytes: usize,
    points: Vec<GeoPoint>,
    cells: Vec<Cell>,
    taken: Taken,
    is_cut: bool,
}

#[derive(Clone, Copy, Debug)]
enum Cell {
    Null,
    Bool(bool),
    Number(f64),
    Date(Millis),
    Text {
        start: u32,
        len: u32,
    },
    Json {
        start: u32,
        len: u32,
    },
    /// Length-prefixed strings in the arena: `count` entries of (u32 length, bytes).
    TextArray {
        start: u32,
        count: u32,
    },
    Point {
        index: u32,
    },
    Polygon {
        start: u32,
        len: u32,
    },
}

/// One cell, borrowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CellRef<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Date(Millis),
    /// String, File (its name), Pointer (the target's id).
    Text(&'a str),
    /// Object, Array, Bytes: REST JSON text.
    Json(&'a [u8]),
    TextArray(TextArray<'a>),
    Point(GeoPoint),
    /// Stored ring, closed.
    Polygon(&'a [GeoPoint]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextArray<'a> {
    bytes: &'a [u8],
    count: u32,
}

impl<'a> TextArray<'a> {
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        let mut rest = self.bytes;
        (0..self.count).map_while(move |_| {
            let (head, tail) = rest.split_first_chunk::<4>()?;
            let (text, tail) = tail.split_at_checked(u32::from_le_bytes(*head) as usize)?;
            rest = tail;
            std::str::from_utf8(text).ok()
        })
    }
}

impl RowSet {
    pub fn new(layout: Arc<Layout>) -> Self {
        Self::with_capacity(layout, 0)
    }

    pub fn with_capacity(layout: Arc<Layout>, rows: usize) -> Self {
        let cells = Vec::with_capacity(rows * layout.columns.len());
        let arena = Vec::with_capacity(rows * 64);
        Self {
            layout,
            arena,
            long: Vec::new(),
            long_bytes: 0,
            points: Vec::new(),
            cells,
            taken: Taken::default(),
            is_cut: false,
        }
    }

    /// Accounts what it holds to this room.
    pub fn account_to(&mut self, room: &Lent) {
        self.taken = Taken::from(room);
    }

    /// Asked after each row that is added: when there is no room for more, the result is cut here.
    pub fn has_room(&mut self) -> bool {
        let cells = self.cells.len() * size_of::<Cell>() + self.points.len() * size_of::<GeoPoint>();
        if !self.taken.grow(self.bytes() + cells) {
            self.is_cut = true;
        }
        !self.is_cut
    }

    /// Whether rows are missing because there was no room for them.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    pub fn len(&self) -> usize {
        self.cells.len().checked_div(self.layout.columns.len()).unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of texts and the like in all rows.
    pub fn bytes(&self) -> usize {
        self.arena.len() + self.long_bytes
    }

    /// About how long the rows are as JSON text, for buffers.
    pub fn json_size(&self) -> usize {
        let keys: usize = self.layout.columns.iter().map(|column| column.json_key.len() + 8).sum();
        self.bytes() + self.len() * keys
    }

    pub fn get(&self, index: usize) -> Option<RowRef<'_>> {
        (index < self.len()).then_some(RowRef { set: self, index })
    }

    pub fn first(&self) -> Option<RowRef<'_>> {
        self.get(0)
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = RowRef<'_>> {
        (0..self.len()).map(|index| RowRef { set: self, index })
    }

    pub fn push_null(&mut self) {
        self.cells.push(Cell::Null);
    }

    pub fn push_bool(&mut self, value: bool) {
        self.cells.push(Cell::Bool(value));
    }

    pub fn push_number(&mut self, value: f64) {
        self.cells.push(Cell::Number(value));
    }

    pub fn push_date(&mut self, value: Millis) {
        self.cells.push(Cell::Date(value));
    }

    pub fn push_text(&mut self, value: &str) {
        let (start, len) = self.store(value.as_bytes());
        self.cells.push(Cell::Text { start, len });
    }

    /// A text as the database holds it: what is no UTF-8 is read as nothing, and looked at when it is read.
    pub fn push_utf8(&mut self, value: &[u8]) {
        let (start, len) = self.store(value);
        self.cells.push(Cell::Text { start, len });
    }

    /// `value` is JSON text.
    pub fn push_json(&mut self, value: &[u8]) {
        let (start, len) = self.store(value);
        self.cells.push(Cell::Json { start, len });
    }

    pub fn push_text_array<'s>(&mut self, values: impl Iterator<Item = &'s str>) {
        let start = offset(self.arena.len());
        let mut count = 0;
        for value in values {
            self.arena.extend_from_slice(&offset(value.len()).to_le_bytes());
            self.arena.extend_from_slice(value.as_bytes());
            count += 1;
        }
        self.cells.push(Cell::TextArray { start, count });
    }

    pub fn push_point(&mut self, point: GeoPoint) {
        let index = offset(self.points.len());
        self.points.push(point);
        self.cells.push(Cell::Point { index });
    }

    pub fn push_polygon(&mut self, ring: impl Iterator<Item = GeoPoint>) {
        let start = offset(self.points.len());
        self.points.extend(ring);
        self.cells.push(Cell::Polygon { start, len: offset(self.points.len()) - start });
    }

    fn store(&mut self, bytes: &[u8]) -> (u32, u32) {
        if bytes.len() > LONGEST_IN_ARENA {
            self.long.push(bytes.into());
            self.long_bytes += bytes.len();
            return (offset(self.long.len() - 1), APART);
        }
        let start = offset(self.arena.len());
        self.arena.extend_from_slice(bytes);
        (start, offset(bytes.len()))
    }
}

/// Results stay far below 4 GiB (body and statement limits); a larger one would be cut, not unsound.
fn offset(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    set: &'a RowSet,
    index: usize,
}

impl<'a> RowRef<'a> {
    pub fn layout(self) -> &'a Layout {
        &self.set.layout
    }

    pub fn cell(self, column: usize) -> CellRef<'a> {
        let width = self.set.layout.columns.len();
        let Some(cell) = self.set.cells.get(self.index * width + column).filter(|_| column < width) else {
            return CellRef::Null;
        };
        let bytes = |start: u32, len: u32| {
            let start = start as usize;
            if len == APART {
                return self.set.long.get(start).map(|text| &text[..]).unwrap_or_default();
            }
            self.set.arena.get(start..start + len as usize).unwrap_or_default()
        };
        match *cell {
            Cell::Null => CellRef::Null,
            Cell::Bool(b) => CellRef::Bool(b),
            Cell::Number(n) => CellRef::Number(n),
            Cell::Date(at) => CellRef::Date(at),
            Cell::Text { start, len } => {
                std::str::from_utf8(bytes(start, len)).map_or(CellRef::Null, CellRef::Text)
            }
            Cell::Json { start, len } => CellRef::Json(bytes(start, len)),
            Cell::TextArray { start, count } => CellRef::TextArray(TextArray {
                bytes: self.set.arena.get(start as usize..).unwrap_or_default(),
                count,
            }),
            Cell::Point { index } => {
                self.set.points.get(index as usize).map_or(CellRef::Null, |p| CellRef::Point(*p))
            }
            Cell::Polygon { start, len } => {
                let start = start as usize;
                CellRef::Polygon(self.set.points.get(start..start + len as usize).unwrap_or_default())
            }
        }
    }

    pub fn by_name(self, column: &str) -> CellRef<'a> {
        self.set.layout.index_of(column).map_or(CellRef::Null, |index| self.cell(index))
    }

    pub fn text(self, column: &str) -> Option<&'a str> {
        match self.by_name(column) {
            CellRef::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn object_id(self) -> &'a str {
        self.text("objectId").unwrap_or_default()
    }

    /// `None` when no ACL was ever set: public.
    pub fn acl(self) -> Option<Acl> {
        let list = |column| match self.by_name(column) {
            CellRef::TextArray(entries) => Some(entries.iter().map(str::to_owned).collect::<Vec<_>>()),
            _ => None,
        };
        let (read, write) = (list("_rperm"), list("_wperm"));
        (read.is_some() || write.is_some())
            .then(|| Acl { read: read.unwrap_or_default(), write: write.unwrap_or_default() })
    }

    /// The object in REST encoding: unset columns left out, permissions as `ACL`, internal `_…`
    /// columns under their storage names.
    pub fn to_object(self) -> Object {
        let mut object = Map::new();
        for (index, column) in self.set.layout.columns.iter().enumerate() {
            if column.kind == ColumnKind::Permissions {
                continue;
            }
            let value = cell_json(self.cell(index), column);
            if !value.is_null() {
                object.insert(column.name.as_str().to_owned(), value);
            }
        }
        if let Some(acl) = self.acl() {
            object.insert("ACL".to_owned(), acl.to_json());
        }
        object
    }
}

/// REST JSON of one cell; `Null` when unset. `createdAt` and `updatedAt` are plain ISO strings.
pub fn cell_json(cell: CellRef<'_>, column: &Column) -> Value {
    match (cell, &column.kind) {
        (CellRef::Null, _) => Value::Null,
        (CellRef::Bool(b), _) => Value::Bool(b),
        (CellRef::Number(n), _) => number_json(n),
        (CellRef::Date(at), _) if column.name == "createdAt" || column.name == "updatedAt" => {
            at.to_iso().into()
        }
        (CellRef::Date(at), _) => json!({ "__type": "Date", "iso": at.to_iso() }),
        (CellRef::Text(id), ColumnKind::Field(FieldType::Pointer(class))) => {
            json!({ "__type": "Pointer", "className": class.as_str(), "objectId": id })
        }
        (CellRef::Text(name), ColumnKind::Field(FieldType::File)) => {
            json!({ "__type": "File", "name": name })
        }
        (CellRef::Text(text), _) => text.into(),
        (CellRef::Json(bytes), _) => serde_json::from_slice(bytes).unwrap_or(Value::Null),
        (CellRef::TextArray(entries), _) => entries.iter().collect(),
        (CellRef::Point(point), _) => point.to_json(),
        (CellRef::Polygon(ring), _) => {
            let points: Vec<_> =
                ring.iter().map(|p| json!([number_json(p.latitude), number_json(p.longitude)])).collect();
            json!({ "__type": "Polygon", "coordinates": points })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn long_texts_stand_apart() {
        let text = Column::new(FieldName::known("text"), ColumnKind::Field(FieldType::String));
        let layout = Layout { class: ClassName::known("A"), columns: vec![text] };
        let mut rows = RowSet::new(Arc::new(layout));
        let long = "x".repeat(100_000);
        rows.push_text("short");
        rows.push_utf8(long.as_bytes());
        rows.push_utf8(&[0xff]);
        let read = rows.iter().map(|row| row.text("text"));
        assert!(read.eq([Some("short"), Some(long.as_str()), None]) && rows.bytes() == 100_006);
    }
}
