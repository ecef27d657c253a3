//! `$setWindowFields`: functions over one window of the statement. What a function of a window cannot be asked for is
//! made out of the list of all its values, one step later.

use super::group::groupable;
use super::project::inside;
use super::typed::{Typed, joined};
use super::{JSON, Relation};
use crate::query::pipeline::function::Function;
use crate::query::pipeline::window::{Bound, Frame, Ranking, Windowed};
use crate::query::pipeline::{Accumulate, Accumulator, Windows};
use crate::storage::StorageResult;
use crate::storage::postgres::sql::Sql;
use crate::types::{FieldName, FieldType};

/// What becomes of a list of all values.
type Finish = Vec<(FieldName, Function)>;

impl Relation {
    pub(super) fn windows(&mut self, windows: &Windows) -> StorageResult<()> {
        self.number_rows();
        let mut window = Sql::new(" WINDOW w AS (");
        if let Some(partition) = &windows.partition {
            window.push_sql("PARTITION BY ").append(groupable(self.expression(partition)?).sql);
        }
        let mut sorted = self.clone();
        sorted.sort(&windows.sort)?;
        window.append(sorted.order_by()).push_sql(")");
        let names: Vec<FieldName> = windows.fields.iter().map(|(name, _)| name.clone()).collect();
        let mut columns = self.kept_columns(&names);
        let mut finish = Finish::new();
        for (name, windowed) in &windows.fields {
            let value = match windowed {
                Windowed::Over { accumulator, frame } => {
                    let (value, of_list) = self.over(accumulator, *frame)?;
                    finish.extend(of_list.map(|function| (name.clone(), function)));
                    value
                }
                Windowed::Ranking(place) => Typed::new(Sql::new(place_of(*place)), FieldType::Number),
                Windowed::Shift { value, by, default } => {
                    let value = self.expression(value)?;
                    let default = if default.is_null() { None } else { Some(self.expression(default)?) };
                    shifted(value, *by, default)
                }
            };
            columns.push((name.clone(), value));
        }
        self.replace_columns_with(columns, window);
        for (name, function) in finish {
            let list = self.column(&name);
            let mut columns = self.kept_columns(std::slice::from_ref(&name));
            let arguments = if function == Function::Union { vec![list.clone(), list] } else { vec![list] };
            columns.push((name, super::call::write(function, arguments)?));
            self.replace_columns(columns);
        }
        if self.is_document {
            let mut root = self.root();
            for name in &names {
                root = inside(root, &[name.as_str().to_owned()], self.column(name).json());
            }
            self.replace_document(root);
        } else {
            self.keep_null.extend(names);
        }
        Ok(())
    }

    /// The accumulator over the frame, and what makes its value of a list of values.
    fn over(&self, accumulator: &Accumulator, frame: Frame) -> StorageResult<(Typed, Option<Function>)> {
        let value = self.expression(&accumulator.value)?;
        let over =
            format!(" OVER (w ROWS BETWEEN {} AND {})", bound(frame.from, false), bound(frame.upto, true));
        let of = |name: &str, value: Sql| joined(&format!("{name}("), "", vec![value], &format!("){over}"));
        let number = |open: &str, sql: Sql, close: &str| {
            Ok((Typed::new(joined(open, "", vec![sql], close), FieldType::Number), None))
        };
        match accumulator.kind {
            Accumulate::Count => number("(", of("count", Sql::new("*")), ")::float8"),
            Accumulate::Sum => number("coalesce(", of("sum", value.number()), ", 0)::float8"),
            Accumulate::Avg => number("(", of("avg", value.number()), ")::float8"),
            Accumulate::StdDevPop => number("(", of("stddev_pop", value.number()), ")::float8"),
            Accumulate::StdDevSamp => number("(", of("stddev_samp", value.number()), ")::float8"),
            Accumulate::First => Ok((Typed::new(of("first_value", value.sql), value.ty), None)),
            Accumulate::Last => Ok((Typed::new(of("last_value", value.sql), value.ty), None)),
            Accumulate::Min | Accumulate::Max => {
                let is_least = accumulator.kind == Accumulate::Min;
                if matches!(value.ty, FieldType::Number | FieldType::Date | FieldType::String) {
                    let name = if is_least { "min" } else { "max" };
                    return Ok((Typed::new(of(name, value.sql), value.ty), None));
                }
                let function = if is_least { Function::MinOf } else { Function::MaxOf };
                Ok((list_of(value, &over), Some(function)))
            }
            Accumulate::Push => Ok((list_of(value, &over), None)),
            Accumulate::AddToSet => Ok((list_of(value, &over), Some(Function::Union))),
        }
    }
}

fn list_of(value: Typed, over: &str) -> Typed {
    let json = value.json();
    let mut sql = Sql::new("coalesce(jsonb_agg(");
    sql.append(json.clone()).push_sql(") FILTER (WHERE ").append(json).push_sql(" IS NOT NULL)");
    sql.push_sql(over).push_sql(", '[]')");
    Typed::new(sql, FieldType::Array)
}

fn bound(bound: Bound, is_last: bool) -> String {
    match bound {
        Bound::Unbounded if is_last => "UNBOUNDED FOLLOWING".to_owned(),
        Bound::Unbounded => "UNBOUNDED PRECEDING".to_owned(),
        Bound::Rows(0) => "CURRENT ROW".to_owned(),
        Bound::Rows(by) if by < 0 => format!("{} PRECEDING", by.unsigned_abs()),
        Bound::Rows(by) => format!("{by} FOLLOWING"),
    }
}

fn place_of(place: Ranking) -> &'static str {
    match place {
        Ranking::Number => "(row_number() OVER w)::float8",
        Ranking::Rank => "(rank() OVER w)::float8",
        Ranking::DenseRank => "(dense_rank() OVER w)::float8",
    }
}

fn shifted(value: Typed, by: i32, default: Option<Typed>) -> Typed {
    let (value, default) = match default {
        Some(default) if default.ty == value.ty => (value, Some(default.sql)),
        Some(default) => (Typed::new(value.json(), JSON), Some(default.json())),
        None => (value, None),
    };
    let mut sql = Sql::new(if by < 0 { "lag(" } else { "lead(" });
    sql.append(value.sql).push_sql(&format!(", {}", by.unsigned_abs()));
    if let Some(default) = default {
        sql.push_sql(", ").append(default);
    }
    sql.push_sql(") OVER w");
    Typed::new(sql, value.ty)
}
