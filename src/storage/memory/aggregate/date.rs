//! What expressions do with dates. Only offsets are known as time zones.

use chrono::{DateTime, Datelike, Duration, Months, NaiveDate, NaiveDateTime, Timelike};
use serde_json::{Value, json};

use super::refused;
use super::value::{date_value, number_of};
use crate::query::pipeline::date::{DateFunction, DatePart, DateUnit, FormatPiece, Span, Zone};
use crate::storage::StorageResult;
use crate::types::time::Millis;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) fn date_of(value: &Value) -> Option<Millis> {
    value.get("__type").filter(|tag| *tag == "Date")?;
    Millis::parse(value.get("iso")?.as_str()?)
}

fn local(value: Option<&Value>, minutes: i32) -> Option<NaiveDateTime> {
    let at = value.and_then(date_of)?;
    let local = DateTime::from_timestamp_millis(at.0)?.naive_utc();
    local.checked_add_signed(Duration::minutes(i64::from(minutes)))
}

fn back(local: NaiveDateTime, minutes: i32) -> Value {
    date_value(Millis(local.and_utc().timestamp_millis() - i64::from(minutes) * 60_000))
}

fn part(which: DatePart, at: NaiveDateTime) -> i64 {
    let sunday_first = i64::from(at.weekday().num_days_from_sunday());
    match which {
        DatePart::Year => i64::from(at.year()),
        DatePart::Month => i64::from(at.month()),
        DatePart::DayOfMonth => i64::from(at.day()),
        DatePart::DayOfYear => i64::from(at.ordinal()),
        DatePart::DayOfWeek => sunday_first + 1,
        DatePart::IsoDayOfWeek => i64::from(at.weekday().number_from_monday()),
        DatePart::IsoWeekYear => i64::from(at.iso_week().year()),
        DatePart::IsoWeek => i64::from(at.iso_week().week()),
        DatePart::Week => (i64::from(at.ordinal()) + 6 - sunday_first) / 7,
        DatePart::Hour => i64::from(at.hour()),
        DatePart::Minute => i64::from(at.minute()),
        DatePart::Second => i64::from(at.second()),
        DatePart::Millisecond => i64::from(at.and_utc().timestamp_subsec_millis()),
    }
}

fn origin(unit: DateUnit) -> NaiveDateTime {
    let day = if unit == DateUnit::Week { 2 } else { 1 };
    let date = NaiveDate::from_ymd_opt(2000, 1, day).unwrap_or_default();
    date.and_hms_opt(0, 0, 0).unwrap_or_default()
}

fn months_since(at: NaiveDateTime) -> i64 {
    (i64::from(at.year()) - 2000) * 12 + i64::from(at.month()) - 1
}

/// How many bins lie between the begin of 2000 and a local time.
fn bins(unit: DateUnit, bin: u32, at: NaiveDateTime) -> i64 {
    match unit.span() {
        Span::Months(months) => months_since(at).div_euclid(i64::from(months) * i64::from(bin)),
        Span::Millis(millis) => (at - origin(unit)).num_milliseconds().div_euclid(millis * i64::from(bin)),
    }
}

fn plus_months(at: NaiveDateTime, months: i64) -> Option<NaiveDateTime> {
    let count = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    if months < 0 { at.checked_sub_months(count) } else { at.checked_add_months(count) }
}

pub(super) fn call(function: &DateFunction, arguments: &[Value], zone: &Zone) -> StorageResult<Value> {
    let Zone::Offset(minutes) = zone else {
        return Err(refused("The in-memory storage knows no time zones by name"));
    };
    let Some(at) = local(arguments.first(), *minutes) else { return Ok(Value::Null) };
    Ok(match function {
        DateFunction::Part(which) => json!(part(*which, at)),
        DateFunction::ToText(pieces) => {
            Value::String(pieces.iter().map(|piece| piece_text(piece, at, *minutes)).collect())
        }
        DateFunction::Trunc { unit, bin } => {
            let count = bins(*unit, *bin, at);
            let begin = match unit.span() {
                Span::Months(months) => {
                    plus_months(origin(*unit), count * i64::from(months) * i64::from(*bin))
                }
                Span::Millis(millis) => {
                    Some(origin(*unit) + Duration::milliseconds(count * millis * i64::from(*bin)))
                }
            };
            begin.map_or(Value::Null, |begin| back(begin, *minutes))
        }
        DateFunction::ToParts => json!({
            "year": part(DatePart::Year, at), "month": part(DatePart::Month, at),
            "day": part(DatePart::DayOfMonth, at), "hour": part(DatePart::Hour, at),
            "minute": part(DatePart::Minute, at), "second": part(DatePart::Second, at),
            "millisecond": part(DatePart::Millisecond, at),
        }),
        DateFunction::Diff(unit) => match local(arguments.get(1), *minutes) {
            Some(end) => json!(bins(*unit, 1, end) - bins(*unit, 1, at)),
            None => Value::Null,
        },
        DateFunction::Add { unit, subtract } => {
            let amount = arguments.get(1).and_then(number_of).map(f64::trunc);
            #[allow(clippy::cast_possible_truncation)]
            let amount = amount.map(|amount| if *subtract { -(amount as i64) } else { amount as i64 });
            let moved = amount.and_then(|amount| match unit.span() {
                Span::Months(months) => plus_months(at, amount * i64::from(months)),
                Span::Millis(millis) => at.checked_add_signed(Duration::milliseconds(amount * millis)),
            });
            moved.map_or(Value::Null, |moved| back(moved, *minutes))
        }
    })
}

fn piece_text(piece: &FormatPiece, at: NaiveDateTime, minutes: i32) -> String {
    match piece {
        FormatPiece::Literal(text) => text.clone(),
        FormatPiece::Part(which, width) => format!("{:0width$}", part(*which, at), width = *width),
        FormatPiece::Offset { in_minutes: true } => format!("{minutes:+}"),
        FormatPiece::Offset { in_minutes: false } => {
            let sign = if minutes < 0 { '-' } else { '+' };
            format!("{sign}{:02}{:02}", minutes.abs() / 60, minutes.abs() % 60)
        }
        FormatPiece::MonthName { short } => {
            let month = usize::try_from(at.month0()).unwrap_or_default();
            let name = MONTHS.get(month).copied().unwrap_or_default();
            if *short { name.chars().take(3).collect() } else { name.to_owned() }
        }
    }
}

/// Year, month, day, hour, minute, second, millisecond; what is too much is carried over.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn from_parts(parts: &[f64]) -> Option<Millis> {
    let part = |index: usize| parts.get(index).map_or(0, |n| n.trunc() as i64);
    let year = i32::try_from(part(0)).ok().filter(|year| (1..=9999).contains(year))?;
    let begin = NaiveDate::from_ymd_opt(year, 1, 1)?.and_hms_opt(0, 0, 0)?;
    let months = plus_months(begin, part(1) - 1)?;
    let seconds = ((part(2) - 1) * 24 + part(3)) * 3600 + part(4) * 60 + part(5);
    let at = months.checked_add_signed(Duration::milliseconds(seconds * 1000 + part(6)))?;
    Some(Millis(at.and_utc().timestamp_millis()))
}
