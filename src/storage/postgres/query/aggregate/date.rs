//! What expressions do with dates, in SQL. Clocks are looked at in the zone of the expression.

use super::JSON;
use super::typed::{Typed, applied};
use crate::query::pipeline::date::{DateFunction, DatePart, DateUnit, FormatPiece, Span, Zone};
use crate::storage::StorageResult;
use crate::storage::postgres::sql::Sql;
use crate::types::FieldType;

/// A part of the local time `a0`.
fn part(part: DatePart) -> &'static str {
    match part {
        DatePart::Year => "extract(year FROM a0)",
        DatePart::Month => "extract(month FROM a0)",
        DatePart::DayOfMonth => "extract(day FROM a0)",
        DatePart::DayOfYear => "extract(doy FROM a0)",
        DatePart::DayOfWeek => "1 + extract(dow FROM a0)",
        DatePart::IsoDayOfWeek => "extract(isodow FROM a0)",
        DatePart::IsoWeekYear => "extract(isoyear FROM a0)",
        DatePart::IsoWeek => "extract(week FROM a0)",
        DatePart::Week => "floor((extract(doy FROM a0) + 6 - extract(dow FROM a0)) / 7)",
        DatePart::Hour => "extract(hour FROM a0)",
        DatePart::Minute => "extract(minute FROM a0)",
        DatePart::Second => "floor(extract(second FROM a0))",
        DatePart::Millisecond => "mod(floor(extract(milliseconds FROM a0))::numeric, 1000)",
    }
}

/// ` AT TIME ZONE …`: from an instant to the clock's time, and back.
fn push_zone(sql: &mut Sql, zone: &Zone) {
    sql.push_sql(" AT TIME ZONE ");
    match zone {
        Zone::Offset(0) => {
            sql.push_sql("'UTC'");
        }
        Zone::Offset(minutes) => {
            sql.push_sql(&format!("make_interval(mins => {minutes})"));
        }
        Zone::Named(name) => {
            sql.push_text(name.clone()).push_sql("::text");
        }
    }
}

fn local(date: Typed, zone: &Zone) -> Sql {
    let mut sql = Sql::new("(");
    sql.append(date.date());
    push_zone(&mut sql, zone);
    sql.push_sql(")");
    sql
}

/// How many bins of the unit lie between the begin of 2000 and a local time.
fn bins(unit: DateUnit, bin: u32, of: &str) -> String {
    match unit.span() {
        Span::Months(months) => {
            let length = u64::from(months) * u64::from(bin);
            format!(
                "floor(((extract(year FROM {of}) - 2000) * 12 + extract(month FROM {of}) - 1) / {length})"
            )
        }
        Span::Millis(millis) => {
            let length = millis.saturating_mul(i64::from(bin));
            format!("floor(extract(epoch FROM ({of} - timestamp '{}')) * 1000 / {length})", origin(unit))
        }
    }
}

/// Weeks begin on Sundays.
fn origin(unit: DateUnit) -> &'static str {
    if unit == DateUnit::Week { "2000-01-02" } else { "2000-01-01" }
}

fn seconds(millis: i64) -> String {
    format!("{}.{:03}::float8", millis / 1000, millis % 1000)
}

pub(super) fn write(function: &DateFunction, arguments: Vec<Typed>, zone: &Zone) -> StorageResult<Typed> {
    let mut arguments = arguments.into_iter();
    let date = arguments.next().unwrap_or_else(Typed::null);
    Ok(match function {
        DateFunction::Part(which) => {
            let sql = applied(&format!("({})::float8", part(*which)), vec![local(date, zone)]);
            Typed::new(sql, FieldType::Number)
        }
        DateFunction::ToText(pieces) => {
            Typed::new(to_text(pieces, local(date, zone), zone)?, FieldType::String)
        }
        DateFunction::Trunc { unit, bin } => {
            let count = bins(*unit, *bin, "a0");
            let shift = match unit.span() {
                Span::Months(months) => {
                    let length = u64::from(months) * u64::from(*bin);
                    format!("make_interval(months => ({count} * {length})::int)")
                }
                Span::Millis(millis) => {
                    let length = seconds(millis.saturating_mul(i64::from(*bin)));
                    format!("make_interval(secs => {count}::float8 * {length})")
                }
            };
            let begin = format!("timestamp '{}' + {shift}", origin(*unit));
            Typed::new(back(applied(&begin, vec![local(date, zone)]), zone), FieldType::Date)
        }
        DateFunction::ToParts => {
            let mut parts = Vec::new();
            for (name, which) in [
                ("year", DatePart::Year),
                ("month", DatePart::Month),
                ("day", DatePart::DayOfMonth),
                ("hour", DatePart::Hour),
                ("minute", DatePart::Minute),
                ("second", DatePart::Second),
                ("millisecond", DatePart::Millisecond),
            ] {
                parts.push(format!("'{name}', ({})::float8", part(which)));
            }
            let object =
                format!("CASE WHEN a0 IS NOT NULL THEN jsonb_build_object({}) END", parts.join(", "));
            Typed::new(applied(&object, vec![local(date, zone)]), JSON)
        }
        DateFunction::Diff(unit) => {
            let end = arguments.next().unwrap_or_else(Typed::null);
            let difference = format!("({} - {})::float8", bins(*unit, 1, "a1"), bins(*unit, 1, "a0"));
            let sql = applied(&difference, vec![local(date, zone), local(end, zone)]);
            Typed::new(sql, FieldType::Number)
        }
        DateFunction::Add { unit, subtract } => {
            let amount = arguments.next().unwrap_or_else(Typed::null);
            let sign = if *subtract { "-" } else { "+" };
            let shift = match unit.span() {
                Span::Months(months) => format!("make_interval(months => a1 * {months})"),
                Span::Millis(millis) => format!("make_interval(secs => a1 * {})", seconds(millis)),
            };
            let sql = applied(&format!("a0 {sign} {shift}"), vec![local(date, zone), amount.int()]);
            Typed::new(back(sql, zone), FieldType::Date)
        }
    })
}

fn back(local: Sql, zone: &Zone) -> Sql {
    let mut sql = Sql::new("(");
    sql.append(local);
    push_zone(&mut sql, zone);
    sql.push_sql(")");
    sql
}

fn to_text(pieces: &[FormatPiece], local: Sql, zone: &Zone) -> StorageResult<Sql> {
    let mut sql = Sql::new("(SELECT CASE WHEN a0 IS NOT NULL THEN ''");
    for piece in pieces {
        sql.push_sql(" || ");
        match piece {
            FormatPiece::Literal(text) => {
                sql.push_text(super::super::storable::without_nul(text)).push_sql("::text");
            }
            FormatPiece::Part(which, width) => {
                sql.push_sql(&format!("lpad(({})::bigint::text, {width}, '0')", part(*which)));
            }
            FormatPiece::MonthName { short } => {
                sql.push_sql(if *short { "to_char(a0, 'Mon')" } else { "to_char(a0, 'FMMonth')" });
            }
            FormatPiece::Offset { in_minutes } => {
                let Zone::Offset(minutes) = zone else {
                    return Err(super::refused("%z and %Z want a time zone that is an offset"));
                };
                sql.push_sql("'").push_sql(&offset_text(*minutes, *in_minutes)).push_sql("'");
            }
        }
    }
    sql.push_sql(" END FROM (SELECT ").append(local).push_sql(" AS a0) s)");
    Ok(sql)
}

fn offset_text(minutes: i32, in_minutes: bool) -> String {
    if in_minutes {
        return format!("{minutes:+}");
    }
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}{:02}", minutes.abs() / 60, minutes.abs() % 60)
}
