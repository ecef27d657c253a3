//! PostgreSQL's binary rows into a [`RowSet`], without a JSON tree: bytes are copied, numbers read.
//!
//! Values are read by the type PostgreSQL says they have, so that columns another program made with
//! a neighbouring type (`varchar`, `int4`, `json`) read as well.

use diesel::result::QueryResult;
use futures_util::{Stream, TryStreamExt};

use crate::storage::postgres::sql::{PgRow, millis_from_micros, with_typed_bytes};
use crate::types::aside::{Turns, next_turn};
use crate::types::geo::GeoPoint;
use crate::types::row::RowSet;

mod oid {
    pub const BOOL: u32 = 16;
    pub const INT8: u32 = 20;
    pub const INT2: u32 = 21;
    pub const INT4: u32 = 23;
    pub const TEXT: u32 = 25;
    pub const JSON: u32 = 114;
    pub const POINT: u32 = 600;
    pub const POLYGON: u32 = 604;
    pub const FLOAT4: u32 = 700;
    pub const FLOAT8: u32 = 701;
    pub const TEXT_ARRAY: u32 = 1009;
    pub const VARCHAR_ARRAY: u32 = 1015;
    pub const BPCHAR: u32 = 1042;
    pub const VARCHAR: u32 = 1043;
    pub const TIMESTAMP: u32 = 1114;
    pub const TIMESTAMPTZ: u32 = 1184;
    pub const JSONB: u32 = 3802;
}

/// What is read in one go.
const TURN_BYTES: usize = 256 * 1024;

/// Reads every row of a statement whose columns are those of `rows`' layout.
///
/// It stops where there is no room for more. Long results come as fast as they are read: now and then the other
/// requests of the thread have their turn, and before the first of these `is_long` hears of it.
///
/// # Errors
/// Whatever PostgreSQL says while rows arrive.
pub async fn collect(
    mut stream: impl Stream<Item = QueryResult<PgRow>> + Unpin,
    rows: &mut RowSet,
    is_long: impl Fn(),
) -> QueryResult<()> {
    let width = rows.layout().columns.len();
    let (mut turn, mut lane) = (rows.bytes(), None);
    while let Some(row) = stream.try_next().await? {
        push_row(rows, &row, 0, width);
        if !rows.has_room() {
            break;
        }
        if rows.bytes() - turn > TURN_BYTES {
            if lane.is_none() {
                is_long();
            }
            next_turn(&mut lane, Turns::Read).await;
            turn = rows.bytes();
        }
    }
    Ok(())
}

/// Appends `width` cells, read from the row's fields `first..`.
pub fn push_row(rows: &mut RowSet, row: &PgRow, first: usize, width: usize) {
    for index in first..first + width {
        let pushed = with_typed_bytes(row, index, |oid, bytes| push_value(rows, oid, bytes));
        if pushed != Some(true) {
            rows.push_null();
        }
    }
}

fn push_value(rows: &mut RowSet, oid: u32, bytes: &[u8]) -> bool {
    match oid {
        oid::TEXT | oid::VARCHAR | oid::BPCHAR => rows.push_utf8(bytes),
        oid::FLOAT8 => match bytes.try_into() {
            Ok(bits) => rows.push_number(f64::from_be_bytes(bits)),
            Err(_) => return false,
        },
        oid::BOOL => rows.push_bool(bytes.first() == Some(&1)),
        oid::TIMESTAMPTZ | oid::TIMESTAMP => match bytes.try_into() {
            Ok(bits) => rows.push_date(millis_from_micros(i64::from_be_bytes(bits))),
            Err(_) => return false,
        },
        // The binary form is a version byte, then the text.
        oid::JSONB => match bytes.split_first() {
            Some((1, json)) => rows.push_json(json),
            _ => return false,
        },
        oid::JSON => rows.push_json(bytes),
        oid::TEXT_ARRAY | oid::VARCHAR_ARRAY => match text_array(bytes) {
            Some(entries) => rows.push_text_array(entries.into_iter()),
            None => return false,
        },
        oid::POINT => match Reader(bytes).point() {
            Some(point) => rows.push_point(point),
            None => return false,
        },
        oid::POLYGON => match polygon(bytes) {
            Some(ring) => rows.push_polygon(ring.into_iter()),
            None => return false,
        },
        oid::INT2 | oid::INT4 | oid::INT8 | oid::FLOAT4 => match narrow_number(oid, bytes) {
            Some(n) => rows.push_number(n),
            None => return false,
        },
        _ => return false,
    }
    true
}

#[allow(clippy::cast_precision_loss)]
fn narrow_number(oid: u32, bytes: &[u8]) -> Option<f64> {
    Some(match oid {
        oid::INT2 => f64::from(i16::from_be_bytes(bytes.try_into().ok()?)),
        oid::INT4 => f64::from(i32::from_be_bytes(bytes.try_into().ok()?)),
        oid::FLOAT4 => f64::from(f32::from_be_bytes(bytes.try_into().ok()?)),
        _ => i64::from_be_bytes(bytes.try_into().ok()?) as f64,
    })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn int(&mut self) -> Option<i32> {
        self.chunk().map(i32::from_be_bytes)
    }

    fn point(&mut self) -> Option<GeoPoint> {
        let longitude = f64::from_be_bytes(self.chunk()?);
        let latitude = f64::from_be_bytes(self.chunk()?);
        Some(GeoPoint { latitude, longitude })
    }

    fn text(&mut self, length: usize) -> Option<&'a str> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        std::str::from_utf8(head).ok()
    }
}

/// One-dimensional `text[]`; NULL entries are left out.
fn text_array(bytes: &[u8]) -> Option<Vec<&str>> {
    let mut reader = Reader(bytes);
    let dimensions = reader.int()?;
    let (_has_null, _element_type) = (reader.int()?, reader.int()?);
    if dimensions == 0 {
        return Some(Vec::new());
    }
    let (count, _lower_bound) = (reader.int()?, reader.int()?);
    let mut entries = Vec::new();
    for _ in 0..count {
        if let Ok(length) = usize::try_from(reader.int()?) {
            entries.push(reader.text(length)?);
        }
    }
    Some(entries)
}

fn polygon(bytes: &[u8]) -> Option<Vec<GeoPoint>> {
    let mut reader = Reader(bytes);
    let count = reader.int()?;
    (0..count).map(|_| reader.point()).collect()
}
