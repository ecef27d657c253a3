//! `$setWindowFields`.

use serde_json::Value;

use super::group::{accumulated, groupable};
use super::stages::sort;
use super::value::at;
use super::{Runner, Variables, json_order};
use crate::query::evaluate::json_equals;
use crate::query::pipeline::window::{Bound, Frame, Ranking, Windowed};
use crate::query::pipeline::{SortKey, Windows};
use crate::storage::StorageResult;
use crate::types::Object;
use crate::types::number::number_json;

impl Runner<'_> {
    pub(super) fn windows(
        &self,
        rows: Vec<Object>,
        windows: &Windows,
        variables: &Variables,
    ) -> StorageResult<Vec<Object>> {
        let mut partitions: Vec<(Value, Vec<Object>)> = Vec::new();
        for row in rows {
            let key = match &windows.partition {
                Some(partition) => groupable(self.value(partition, &row, variables)?),
                None => Value::Null,
            };
            match partitions.iter_mut().find(|(known, _)| json_equals(known, &key)) {
                Some((_, members)) => members.push(row),
                None => partitions.push((key, vec![row])),
            }
        }
        let mut out = Vec::new();
        for (_, mut members) in partitions {
            sort(&mut members, &windows.sort)?;
            for place in 0..members.len() {
                let mut row = members[place].clone();
                for (name, windowed) in &windows.fields {
                    let value = self.windowed(windowed, &members, place, &windows.sort, variables)?;
                    row.insert(name.as_str().to_owned(), value);
                }
                out.push(row);
            }
        }
        Ok(out)
    }

    fn windowed(
        &self,
        windowed: &Windowed,
        rows: &[Object],
        place: usize,
        keys: &[SortKey],
        variables: &Variables,
    ) -> StorageResult<Value> {
        Ok(match windowed {
            Windowed::Over { accumulator, frame } => {
                let seen = rows.get(seen(*frame, place, rows.len())).unwrap_or_default();
                let values = seen.iter().map(|row| self.value(&accumulator.value, row, variables));
                accumulated(accumulator.kind, values.collect::<StorageResult<_>>()?)
            }
            Windowed::Ranking(kind) => number_json(place_of(*kind, rows, place, keys)),
            Windowed::Shift { value, by, default } => {
                let other = i64::try_from(place).ok().map(|place| place + i64::from(*by));
                let row = other.and_then(|other| rows.get(usize::try_from(other).ok()?));
                match row {
                    Some(row) => self.value(value, row, variables)?,
                    None => self.value(default, &rows[place], variables)?,
                }
            }
        })
    }
}

fn seen(frame: Frame, place: usize, count: usize) -> std::ops::Range<usize> {
    let away = |by: i32| i64::try_from(place).unwrap_or(i64::MAX).saturating_add(i64::from(by)).max(0);
    let from = match frame.from {
        Bound::Unbounded => 0,
        Bound::Rows(by) => usize::try_from(away(by)).unwrap_or(usize::MAX),
    };
    let end = match frame.upto {
        Bound::Unbounded => count,
        Bound::Rows(by) => usize::try_from(away(by.saturating_add(1))).unwrap_or(usize::MAX),
    };
    let end = end.min(count);
    from.min(end)..end
}

#[allow(clippy::cast_precision_loss)]
fn place_of(kind: Ranking, rows: &[Object], place: usize, keys: &[SortKey]) -> f64 {
    let same = |a: &Object, b: &Object| {
        keys.iter().all(|key| json_order(&at(a, &key.path), &at(b, &key.path)).is_eq())
    };
    let before = &rows[..place];
    let place = match kind {
        Ranking::Number => place,
        Ranking::Rank => before.iter().take_while(|row| !same(row, &rows[place])).count(),
        Ranking::DenseRank => rows[..=place].windows(2).filter(|pair| !same(&pair[0], &pair[1])).count(),
    };
    place as f64 + 1.0
}
