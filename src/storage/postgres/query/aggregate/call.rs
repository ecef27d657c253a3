//! Functions of expressions in SQL: those that are operators of PostgreSQL, and a table of templates.

use super::JSON;
use super::typed::{Typed, applied, joined, unified};
use crate::query::pipeline::function::Function as F;
use crate::storage::StorageResult;
use crate::storage::postgres::sql::Sql;
use crate::types::FieldType;

/// How a template reads an argument.
#[derive(Clone, Copy)]
enum As {
    Number,
    Int,
    Text,
    /// Numbers, booleans and dates as texts too.
    Shown,
    Json,
}

use As::{Int, Json, Number, Shown, Text};

/// The members of `a0`, and of `a1`: none unless it is an array.
macro_rules! members {
    ($of:literal) => {
        concat!("jsonb_array_elements(CASE WHEN jsonb_typeof(", $of, ") = 'array' THEN ", $of, " END)")
    };
}

macro_rules! if_arrays {
    ($then:expr) => {
        concat!("CASE WHEN jsonb_typeof(a0) = 'array' AND jsonb_typeof(a1) = 'array' THEN ", $then, " END")
    };
}

/// A list, or a value as the only member of one.
macro_rules! folded {
    ($what:literal, $rest:literal) => {
        concat!(
            "(SELECT ",
            $what,
            " FROM jsonb_array_elements(CASE WHEN jsonb_typeof(a0) = 'array' THEN a0 \
             WHEN a0 IS NOT NULL THEN jsonb_build_array(a0) END) e(v) ",
            $rest,
            ")"
        )
    };
}

/// One list for each place: the members that the lists of `a0` have there.
macro_rules! zipped {
    ($length:literal) => {
        concat!(
            "CASE WHEN jsonb_typeof(a0) = 'array' AND NOT EXISTS (SELECT 1 FROM ",
            members!("a0"),
            " e(v) WHERE jsonb_typeof(e.v) <> 'array') THEN (SELECT coalesce(jsonb_agg(z.r ORDER BY z.i), '[]') \
             FROM (SELECT i, (SELECT jsonb_agg(coalesce(e.v -> i, a1 -> (e.n::int - 1), 'null') ORDER BY e.n) FROM ",
            members!("a0"),
            " WITH ORDINALITY e(v, n)) AS r FROM generate_series(0, (SELECT ",
            $length,
            "(jsonb_array_length(CASE WHEN jsonb_typeof(e.v) = 'array' THEN e.v END)) FROM ",
            members!("a0"),
            " e(v)) - 1) i) z) END"
        )
    };
}

const NUMERAL: &str = "^\\s*[-+]?\\d{1,255}(\\.\\d{1,255})?([eE][-+]?\\d{1,2})?\\s*$";

/// How the arguments are read, the template, and the type of its value.
type Template = (&'static [As], &'static str, FieldType);

/// Arguments that are left out are null in a template.
fn template(function: F) -> Option<Template> {
    let of =
        |ty: FieldType| move |arguments: &'static [As], sql: &'static str| Some((arguments, sql, ty.clone()));
    let (number, text) = (of(FieldType::Number), of(FieldType::String));
    let (truth, json) = (of(FieldType::Boolean), of(JSON));
    match function {
        F::Round => number(&[Number, Int], "round(a0::numeric, a1)::float8"),
        F::Trunc => number(&[Number, Int], "trunc(a0::numeric, coalesce(a1, 0))::float8"),
        F::Pow => number(
            &[Number, Number],
            "CASE WHEN (a0 = 0 AND a1 < 0) OR (a0 < 0 AND a1 <> floor(a1)) THEN NULL ELSE power(a0, a1) END",
        ),
        F::Exp => number(&[Number], "exp(a0)"),
        F::Ln => number(&[Number], "CASE WHEN a0 > 0 THEN ln(a0) END"),
        F::Log10 => number(&[Number], "CASE WHEN a0 > 0 THEN log(a0) END"),
        F::Log => {
            number(&[Number, Number], "CASE WHEN a0 > 0 AND a1 > 0 AND a1 <> 1 THEN ln(a0) / ln(a1) END")
        }
        F::Sin => number(&[Number], "sin(a0)"),
        F::Cos => number(&[Number], "cos(a0)"),
        F::Tan => number(&[Number], "tan(a0)"),
        F::Acos => number(&[Number], "CASE WHEN a0 BETWEEN -1 AND 1 THEN acos(a0) END"),
        F::Asin => number(&[Number], "CASE WHEN a0 BETWEEN -1 AND 1 THEN asin(a0) END"),
        F::Atan => number(&[Number], "atan(a0)"),
        F::Atan2 => number(&[Number, Number], "atan2(a0, a1)"),
        F::Cosh => number(&[Number], "CASE WHEN abs(a0) < 710 THEN cosh(a0) END"),
        F::Sinh => number(&[Number], "CASE WHEN abs(a0) < 710 THEN sinh(a0) END"),
        F::Tanh => number(&[Number], "tanh(a0)"),
        F::BitNot => number(&[Int], "(~a0)::float8"),
        F::DegreesToRadians => number(&[Number], "radians(a0)"),
        F::RadiansToDegrees => number(&[Number], "degrees(a0)"),
        F::Substr => text(
            &[Shown, Int, Int],
            "CASE WHEN a1 < 0 THEN '' ELSE substr(coalesce(a0, ''), least(a1, 2147483646) + 1, \
             CASE WHEN a2 < 0 THEN 2147483647 ELSE a2 END) END",
        ),
        F::Length => number(&[Text], "length(a0)::float8"),
        F::Bytes => number(&[Text], "octet_length(a0)::float8"),
        F::Split => json(
            &[Text, Text],
            "CASE WHEN a1 = '' THEN NULL WHEN a0 = '' THEN '[\"\"]'::jsonb \
             ELSE to_jsonb(string_to_array(a0, a1)) END",
        ),
        F::Trim => text(&[Text, Text], "btrim(a0, coalesce(a1, E' \\t\\n\\x0b\\f\\r'))"),
        F::TrimStart => text(&[Text, Text], "ltrim(a0, coalesce(a1, E' \\t\\n\\x0b\\f\\r'))"),
        F::TrimEnd => text(&[Text, Text], "rtrim(a0, coalesce(a1, E' \\t\\n\\x0b\\f\\r'))"),
        F::IndexOf => number(
            &[Text, Text, Int],
            "CASE WHEN a0 IS NULL OR a1 IS NULL THEN NULL WHEN a2 IS NULL THEN position(a1 in a0) - 1 WHEN a2 < 0 OR a2 > length(a0) THEN -1 \
             ELSE coalesce(nullif(position(a1 in substr(a0, a2 + 1)), 0) + a2, 0) - 1 END::float8",
        ),
        F::CompareIgnoreCase => number(
            &[Shown, Shown],
            "CASE WHEN lower(coalesce(a0, '')) COLLATE \"C\" < lower(coalesce(a1, '')) THEN -1 \
             WHEN lower(coalesce(a0, '')) COLLATE \"C\" > lower(coalesce(a1, '')) THEN 1 ELSE 0 END::float8",
        ),
        F::ReplaceOne => text(
            &[Text, Text, Text],
            "CASE WHEN position(a1 in a0) > 0 \
             THEN overlay(a0 placing a2 from position(a1 in a0) for length(a1)) \
             WHEN a2 IS NOT NULL AND a1 IS NOT NULL THEN a0 END",
        ),
        F::ReplaceAll => text(&[Text, Text, Text], "replace(a0, a1, a2)"),
        F::Size => {
            number(&[Json], "CASE WHEN jsonb_typeof(a0) = 'array' THEN jsonb_array_length(a0)::float8 END")
        }
        F::ElementAt => json(&[Json, Int], "CASE WHEN jsonb_typeof(a0) = 'array' THEN a0 -> a1 END"),
        F::Contains => truth(
            &[Json, Json],
            concat!("EXISTS (SELECT 1 FROM ", members!("a1"), " e(v) WHERE v = coalesce(a0, 'null'))"),
        ),
        F::IndexOfElement => number(
            &[Json, Json],
            concat!(
                "CASE WHEN jsonb_typeof(a0) = 'array' THEN coalesce((SELECT min(e.n) - 1 FROM ",
                members!("a0"),
                " WITH ORDINALITY e(v, n) WHERE e.v = coalesce(a1, 'null')), -1)::float8 END"
            ),
        ),
        F::Reverse => json(
            &[Json],
            concat!(
                "CASE WHEN jsonb_typeof(a0) = 'array' THEN (SELECT coalesce(jsonb_agg(e.v ORDER BY e.n DESC), '[]') FROM ",
                members!("a0"),
                " WITH ORDINALITY e(v, n)) END"
            ),
        ),
        F::IsArray => truth(&[Json], "coalesce(jsonb_typeof(a0) = 'array', FALSE)"),
        F::Union => json(
            &[Json, Json],
            if_arrays!(
                "(SELECT coalesce(jsonb_agg(DISTINCT e.v), '[]') FROM jsonb_array_elements(a0 || a1) e(v))"
            ),
        ),
        F::Intersection => json(
            &[Json, Json],
            if_arrays!(
                "(SELECT coalesce(jsonb_agg(DISTINCT e.v), '[]') FROM jsonb_array_elements(a0) e(v) \
                 WHERE e.v IN (SELECT jsonb_array_elements(a1)))"
            ),
        ),
        F::Difference => json(
            &[Json, Json],
            if_arrays!(
                "(SELECT coalesce(jsonb_agg(DISTINCT e.v), '[]') FROM jsonb_array_elements(a0) e(v) \
                 WHERE e.v NOT IN (SELECT jsonb_array_elements(a1)))"
            ),
        ),
        F::IsSubset => truth(
            &[Json, Json],
            if_arrays!(
                "NOT EXISTS (SELECT 1 FROM jsonb_array_elements(a0) e(v) \
                 WHERE e.v NOT IN (SELECT jsonb_array_elements(a1)))"
            ),
        ),
        F::SetEquals => truth(
            &[Json, Json],
            if_arrays!(
                "NOT EXISTS (SELECT 1 FROM jsonb_array_elements(a0) e(v) \
                 WHERE e.v NOT IN (SELECT jsonb_array_elements(a1))) \
                 AND NOT EXISTS (SELECT 1 FROM jsonb_array_elements(a1) e(v) \
                 WHERE e.v NOT IN (SELECT jsonb_array_elements(a0)))"
            ),
        ),
        F::AnyTrue => truth(
            &[Json],
            concat!(
                "CASE WHEN jsonb_typeof(a0) = 'array' THEN EXISTS (SELECT 1 FROM ",
                members!("a0"),
                " e(v) WHERE e.v NOT IN ('null', 'false', '0')) END"
            ),
        ),
        F::AllTrue => truth(
            &[Json],
            concat!(
                "CASE WHEN jsonb_typeof(a0) = 'array' THEN NOT EXISTS (SELECT 1 FROM ",
                members!("a0"),
                " e(v) WHERE e.v IN ('null', 'false', '0')) END"
            ),
        ),
        F::SumOf => number(
            &[Json],
            folded!(
                "coalesce(sum(CASE WHEN jsonb_typeof(e.v) = 'number' THEN (e.v #>> '{}')::float8 END), 0)",
                ""
            ),
        ),
        F::AvgOf => number(
            &[Json],
            folded!("avg(CASE WHEN jsonb_typeof(e.v) = 'number' THEN (e.v #>> '{}')::float8 END)", ""),
        ),
        F::MinOf => json(&[Json], folded!("e.v", "WHERE e.v <> 'null' ORDER BY e.v LIMIT 1")),
        F::MaxOf => json(&[Json], folded!("e.v", "WHERE e.v <> 'null' ORDER BY e.v DESC LIMIT 1")),
        // As far as it can be known before the list is made.
        F::Range => json(
            &[Int, Int, Int],
            "CASE WHEN a0 IS NULL OR a1 IS NULL OR coalesce(a2, 1) = 0 \
             OR (a1::bigint - a0) / nullif(coalesce(a2, 1), 0) > 100000 THEN NULL \
             ELSE (SELECT coalesce(jsonb_agg(g.v ORDER BY g.n), '[]') FROM generate_series(a0::bigint, \
             a1::bigint - sign(coalesce(a2, 1))::bigint, nullif(coalesce(a2, 1), 0)::bigint) \
             WITH ORDINALITY g(v, n)) END",
        ),
        F::Zip => json(&[Json, Json], zipped!("min")),
        F::ZipLongest => json(&[Json, Json], zipped!("max")),
        F::Member => json(&[Json, Text], "CASE WHEN jsonb_typeof(a0) = 'object' THEN a0 -> a1 END"),
        F::WithoutMember => json(&[Json, Text], "CASE WHEN jsonb_typeof(a0) = 'object' THEN a0 - a1 END"),
        F::ObjectToArray => json(
            &[Json],
            "CASE WHEN jsonb_typeof(a0) = 'object' THEN (SELECT coalesce(jsonb_agg(\
             jsonb_build_object('k', e.key, 'v', e.value) ORDER BY e.key COLLATE \"C\"), '[]') \
             FROM jsonb_each(CASE WHEN jsonb_typeof(a0) = 'object' THEN a0 END) e) END",
        ),
        F::ArrayToObject => json(
            &[Json],
            concat!(
                "CASE WHEN jsonb_typeof(a0) = 'array' THEN (SELECT coalesce(jsonb_object_agg(\
                 coalesce(e.v ->> 'k', e.v ->> 0), coalesce(e.v -> 'v', e.v -> 1)), '{}') FROM ",
                members!("a0"),
                " e(v) WHERE coalesce(e.v ->> 'k', e.v ->> 0) IS NOT NULL) END"
            ),
        ),
        F::Type => text(
            &[Json],
            "CASE WHEN a0 IS NULL THEN 'missing' ELSE CASE jsonb_typeof(a0) WHEN 'boolean' THEN 'bool' \
             WHEN 'number' THEN CASE WHEN (a0 #>> '{}')::float8 <> floor((a0 #>> '{}')::float8) THEN 'double' \
             WHEN abs((a0 #>> '{}')::float8) < 2147483648 THEN 'int' ELSE 'double' END \
             WHEN 'object' THEN CASE WHEN a0 ->> '__type' = 'Date' THEN 'date' ELSE 'object' END \
             ELSE jsonb_typeof(a0) END END",
        ),
        F::IsNumber => truth(&[Json], "coalesce(jsonb_typeof(a0) = 'number', FALSE)"),
        F::ToText => text(&[Shown], "a0"),
        F::ToBool => truth(&[Json], "CASE WHEN a0 <> 'null' THEN a0 NOT IN ('false', '0') END"),
        _ => None,
    }
}

pub(super) fn write(function: F, arguments: Vec<Typed>) -> StorageResult<Typed> {
    let numbers = |arguments: Vec<Typed>| arguments.into_iter().map(Typed::number).collect::<Vec<_>>();
    let number = |sql| Ok(Typed::new(sql, FieldType::Number));
    let truth = |sql| Ok(Typed::new(sql, FieldType::Boolean));
    match function {
        F::Add => return add(arguments),
        F::Subtract => return subtract(arguments),
        F::Multiply => return number(joined("(", " * ", numbers_or(arguments, "1"), ")")),
        F::Divide => return number(applied("a0 / nullif(a1, 0)", numbers(arguments))),
        F::Mod => {
            return number(applied("mod(a0::numeric, nullif(a1::numeric, 0))::float8", numbers(arguments)));
        }
        F::Abs => return number(joined("abs(", ", ", numbers(arguments), ")")),
        F::Ceil => return number(joined("ceil(", ", ", numbers(arguments), ")")),
        F::Floor => return number(joined("floor(", ", ", numbers(arguments), ")")),
        // `greatest` passes over nulls.
        F::Sqrt => {
            let root = "(SELECT sqrt(greatest(0, s.v)) FROM (SELECT (";
            let root = joined(root, ", ", numbers(arguments), ")::float8 AS v) s WHERE s.v IS NOT NULL)");
            return number(root);
        }
        F::Round if arguments.len() == 1 => return number(joined("round(", "", numbers(arguments), ")")),
        F::Concat => {
            let mut texts: Vec<Sql> = arguments.into_iter().map(Typed::text).collect();
            if texts.is_empty() {
                texts.push(Sql::new("''::text"));
            }
            return Ok(Typed::new(joined("(", " || ", texts, ")"), FieldType::String));
        }
        F::Lower | F::Upper => {
            let open = if function == F::Lower { "lower(" } else { "upper(" };
            let texts = arguments.into_iter().map(Typed::text).collect();
            return Ok(Typed::new(joined(open, ", ", texts, ")"), FieldType::String));
        }
        F::BitAnd | F::BitOr | F::BitXor => {
            let joint = match function {
                F::BitAnd => " & ",
                F::BitOr => " | ",
                _ => " # ",
            };
            let ints = arguments.into_iter().map(Typed::int).collect();
            return number(joined("(", joint, ints, ")::float8"));
        }
        F::IfNull => return Ok(unified(arguments, |parts| joined("coalesce(", ", ", parts, ")"))),
        F::Eq | F::Ne | F::Gt | F::Gte | F::Lt | F::Lte => return truth(comparison(function, arguments)),
        F::Compare => {
            let json = arguments.into_iter().map(|argument| null_last(argument.json())).collect();
            return number(applied("CASE WHEN a0 < a1 THEN -1 WHEN a0 > a1 THEN 1 ELSE 0 END::float8", json));
        }
        F::And | F::Or => {
            let (joint, none) = if function == F::And { (" AND ", "TRUE") } else { (" OR ", "FALSE") };
            let mut parts: Vec<Sql> = arguments.into_iter().map(Typed::condition).collect();
            if parts.is_empty() {
                parts.push(Sql::new(none));
            }
            return truth(joined("(", joint, parts, ")"));
        }
        F::Not => {
            let parts = arguments.into_iter().map(Typed::condition).collect();
            return truth(joined("(NOT ", "", parts, ")"));
        }
        // By itself, so that it is another number for each row.
        F::Random => return number(Sql::new("random()")),
        F::ConcatArrays | F::Merge => return Ok(concatenated(function, arguments)),
        F::Slice => return Ok(slice(arguments)),
        F::ToNumber | F::ToWhole => return number(to_number(function, arguments)),
        F::ToDate => return Ok(to_date(arguments)),
        F::DateFromParts => {
            let parts = arguments.into_iter().map(Typed::int).collect();
            let sql = applied(
                "CASE WHEN a0 BETWEEN 1 AND 9999 THEN (make_timestamp(a0, 1, 1, 0, 0, 0) \
                 + make_interval(months => a1 - 1) + make_interval(days => a2 - 1, hours => a3, mins => a4, \
                 secs => a5 + a6 / 1000.0::float8)) AT TIME ZONE 'UTC' END",
                parts,
            );
            return Ok(Typed::new(sql, FieldType::Date));
        }
        _ => {}
    }
    let Some((wanted, sql, ty)) = template(function) else {
        return Err(super::refused("This expression is not available"));
    };
    let mut given = arguments.into_iter();
    let read = |how: &As| {
        let argument = given.next().unwrap_or_else(Typed::null);
        match how {
            Number => argument.number(),
            Int => argument.int(),
            Text => argument.text(),
            Shown => argument.shown(),
            Json => argument.json(),
        }
    };
    Ok(Typed::new(applied(sql, wanted.iter().map(read).collect()), ty))
}

fn numbers_or(arguments: Vec<Typed>, none: &str) -> Vec<Sql> {
    if arguments.is_empty() {
        return vec![Sql::new(&format!("{none}::float8"))];
    }
    arguments.into_iter().map(Typed::number).collect()
}

/// Numbers, or a date and milliseconds.
fn add(arguments: Vec<Typed>) -> StorageResult<Typed> {
    let is_date = |argument: &Typed| argument.ty == FieldType::Date;
    if !arguments.iter().any(is_date) {
        return Ok(Typed::new(joined("(", " + ", numbers_or(arguments, "0"), ")"), FieldType::Number));
    }
    let (mut dates, millis): (Vec<Typed>, Vec<Typed>) = arguments.into_iter().partition(is_date);
    let Some(date) = dates.pop().filter(|_| dates.is_empty()) else {
        return Err(super::refused("only one date allowed in an $add expression"));
    };
    Ok(moved(date, " + ", joined("(", " + ", numbers_or(millis, "0"), ")")))
}

fn moved(date: Typed, sign: &str, millis: Sql) -> Typed {
    let mut sql = Sql::new("(");
    sql.append(date.sql).push_sql(sign).push_sql("make_interval(secs => (");
    sql.append(millis).push_sql(") / 1000))");
    Typed::new(sql, FieldType::Date)
}

fn subtract(arguments: Vec<Typed>) -> StorageResult<Typed> {
    let Ok([a, b]) = <[Typed; 2]>::try_from(arguments) else { return Ok(Typed::null()) };
    Ok(match (&a.ty, &b.ty) {
        (FieldType::Date, FieldType::Date) => {
            let sql = applied("(extract(epoch FROM (a0 - a1)) * 1000)::float8", vec![a.sql, b.sql]);
            Typed::new(sql, FieldType::Number)
        }
        (FieldType::Date, _) => moved(a, " - ", b.number()),
        _ => Typed::new(joined("(", " - ", vec![a.number(), b.number()], ")"), FieldType::Number),
    })
}

/// Null is less than every value.
fn null_last(json: Sql) -> Sql {
    let mut sql = Sql::new("coalesce(");
    sql.append(json).push_sql(", 'null')");
    sql
}

fn comparison(function: F, operands: Vec<Typed>) -> Sql {
    let joint = match function {
        F::Eq => " IS NOT DISTINCT FROM ",
        F::Ne => " IS DISTINCT FROM ",
        F::Gt => " > ",
        F::Gte => " >= ",
        F::Lt => " < ",
        _ => " <= ",
    };
    let comparable = |ty: &FieldType| !matches!(ty, FieldType::GeoPoint | FieldType::Polygon);
    let first = operands.first().map_or(JSON, |operand| operand.ty.clone());
    let same = operands.iter().all(|operand| operand.ty == first) && comparable(&first);
    // A pointer equals its id, as MongoDB stores it.
    let is_id = |ty: &FieldType| matches!(ty, FieldType::Pointer(_) | FieldType::File | FieldType::String);
    let same = same || operands.iter().all(|operand| is_id(&operand.ty));
    let parts = operands.into_iter().map(|operand| if same { operand.sql } else { operand.json() });
    joined("((", joint, parts.collect(), ") IS TRUE)")
}

/// `a || b …` of arrays or of objects; nulls count as nothing in objects and make no array.
fn concatenated(function: F, arguments: Vec<Typed>) -> Typed {
    let count = arguments.len();
    let (none, kind) =
        if function == F::Merge { ("'{}'::jsonb", "object") } else { ("'[]'::jsonb", "array") };
    if count == 0 {
        return Typed::new(Sql::new(none), JSON);
    }
    let each = |index: usize| {
        if function == F::Merge {
            format!("CASE WHEN jsonb_typeof(a{index}) = 'object' THEN a{index} ELSE '{{}}'::jsonb END")
        } else {
            format!("CASE WHEN jsonb_typeof(a{index}) = '{kind}' THEN a{index} END")
        }
    };
    let template = (0..count).map(each).collect::<Vec<_>>().join(" || ");
    Typed::new(applied(&template, arguments.into_iter().map(Typed::json).collect()), JSON)
}

/// `[array, count]` or `[array, position, count]`, either counted from the end when negative.
fn slice(arguments: Vec<Typed>) -> Typed {
    let which = if arguments.len() == 2 {
        "CASE WHEN a1 >= 0 THEN e.n <= a1 ELSE e.n > jsonb_array_length(a0) + a1 END"
    } else {
        "e.n > CASE WHEN a1 < 0 THEN greatest(jsonb_array_length(a0) + a1, 0) ELSE a1 END \
         AND e.n <= a2::bigint + CASE WHEN a1 < 0 THEN greatest(jsonb_array_length(a0) + a1, 0) ELSE a1 END"
    };
    let sql = concat!(
        "CASE WHEN jsonb_typeof(a0) = 'array' THEN (SELECT coalesce(jsonb_agg(e.v ORDER BY e.n), '[]') FROM ",
        members!("a0"),
        " WITH ORDINALITY e(v, n) WHERE "
    );
    let mut arguments = arguments.into_iter();
    let list = arguments.next().unwrap_or_else(Typed::null).json();
    let parts = std::iter::once(list).chain(arguments.map(Typed::int)).collect();
    Typed::new(applied(&format!("{sql}{which}) END"), parts), JSON)
}

fn to_number(function: F, arguments: Vec<Typed>) -> Sql {
    let sql = format!(
        "CASE jsonb_typeof(a0) WHEN 'number' THEN (a0 #>> '{{}}')::float8 \
         WHEN 'boolean' THEN CASE WHEN a0 = 'true' THEN 1 ELSE 0 END \
         WHEN 'string' THEN CASE WHEN a0 #>> '{{}}' ~ '{NUMERAL}' THEN (a0 #>> '{{}}')::float8 END \
         WHEN 'object' THEN CASE WHEN a0 ->> '__type' = 'Date' \
         THEN round(extract(epoch FROM (a0 ->> 'iso')::timestamptz) * 1000)::float8 END END"
    );
    let number = applied(&sql, arguments.into_iter().map(Typed::json).collect());
    if function == F::ToWhole { joined("trunc(", "", vec![number], ")") } else { number }
}

fn to_date(arguments: Vec<Typed>) -> Typed {
    if let [argument] = arguments.as_slice()
        && argument.ty == FieldType::Date
    {
        return argument.clone();
    }
    let sql = applied(
        "CASE jsonb_typeof(a0) WHEN 'number' THEN to_timestamp((a0 #>> '{}')::float8 / 1000) \
         WHEN 'object' THEN CASE WHEN a0 ->> '__type' = 'Date' THEN (a0 ->> 'iso')::timestamptz END \
         WHEN 'string' THEN CASE \
         WHEN a0 #>> '{}' ~ '^\\d{4}-\\d\\d-\\d\\d([T ]\\d\\d:\\d\\d(:\\d\\d(\\.\\d{1,3})?)?)?$' \
         THEN (a0 #>> '{}')::timestamp AT TIME ZONE 'UTC' \
         WHEN a0 #>> '{}' ~ '^\\d{4}-\\d\\d-\\d\\d[T ]\\d\\d:\\d\\d(:\\d\\d(\\.\\d{1,3})?)?(Z|[-+]\\d\\d(:?\\d\\d)?)$' \
         THEN (a0 #>> '{}')::timestamptz END END",
        arguments.into_iter().map(Typed::json).collect(),
    );
    Typed::new(sql, FieldType::Date)
}
