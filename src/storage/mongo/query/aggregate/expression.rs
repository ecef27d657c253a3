//! Expressions.

use bson::{Bson, Document, doc};

use super::Scope;
use crate::query::Operand;
use crate::query::pipeline::Expr;
use crate::query::pipeline::date::{DateFunction, DatePart, DateUnit, FormatPiece, Zone};
use crate::query::pipeline::function::Function;
use crate::storage::StorageResult;
use crate::storage::mongo::layout::value as stored;
use crate::storage::mongo::query::filter;

/// A value of a `$project` or `$set`.
pub(super) fn value(expr: &Expr, scope: &Scope) -> StorageResult<Bson> {
    match expr {
        // As bare values these would say something else.
        Expr::Object(pairs) if pairs.is_empty() => Ok(doc! { "$literal": {} }.into()),
        Expr::Literal(operand) => Ok(doc! { "$literal": bare(operand)? }.into()),
        other => expression(other, scope),
    }
}

pub(super) fn expression(expr: &Expr, scope: &Scope) -> StorageResult<Bson> {
    let inner = |expr: &Expr| expression(expr, scope);
    Ok(match expr {
        Expr::Literal(operand) => literal(operand)?,
        Expr::Field(path) => format!("${}", scope.key(path)).into(),
        Expr::Root => "$$ROOT".into(),
        Expr::Variable { name, rest } => {
            let path: String = rest.iter().map(|segment| format!(".{segment}")).collect();
            format!("$${name}{path}").into()
        }
        Expr::Object(pairs) => {
            let mut object = Document::new();
            for (key, expr) in pairs {
                object.insert(key.as_str(), value(expr, scope)?);
            }
            object.into()
        }
        Expr::Array(list) => Bson::Array(list.iter().map(inner).collect::<StorageResult<_>>()?),
        Expr::Call(function, arguments) => call(*function, arguments, scope)?,
        Expr::Switch { branches, otherwise } => {
            let mut cases = Vec::new();
            for (test, then) in branches {
                cases.push(doc! { "case": inner(test)?, "then": inner(then)? });
            }
            doc! { "$switch": { "branches": cases, "default": inner(otherwise)? } }.into()
        }
        Expr::Let { variables, body } => {
            let mut vars = Document::new();
            for (name, expr) in variables {
                vars.insert(name.as_str(), inner(expr)?);
            }
            doc! { "$let": { "vars": vars, "in": inner(body)? } }.into()
        }
        Expr::Map { input, name, body } => {
            doc! { "$map": { "input": inner(input)?, "as": name.as_str(), "in": inner(body)? } }.into()
        }
        Expr::Filter { input, name, condition } => {
            doc! { "$filter": { "input": inner(input)?, "as": name.as_str(), "cond": inner(condition)? } }
                .into()
        }
        Expr::Reduce { input, initial, body } => doc! {
            "$reduce": { "input": inner(input)?, "initialValue": inner(initial)?, "in": inner(body)? }
        }
        .into(),
        Expr::SortArray { input, keys } => {
            let order = |descending: bool| if descending { -1 } else { 1 };
            let by: Bson = match keys.as_slice() {
                [(path, descending)] if path.is_empty() => order(*descending).into(),
                keys => {
                    let mut by = Document::new();
                    for (path, descending) in keys {
                        by.insert(path.join("."), order(*descending));
                    }
                    by.into()
                }
            };
            doc! { "$sortArray": { "input": inner(input)?, "sortBy": by } }.into()
        }
        Expr::RegexMatch { input, regex } => {
            doc! { "$regexMatch": { "input": inner(input)?, "regex": filter::regex(regex)? } }.into()
        }
        Expr::Date { function, arguments, zone } => date(function, arguments, zone, scope)?,
    })
}

fn bare(operand: &Operand) -> StorageResult<Bson> {
    Ok(match operand {
        Operand::Number(n) => stored::number(*n),
        Operand::Date(at) => stored::date(*at),
        // As columns keep them.
        Operand::Pointer { class, id } => Bson::String(format!("{class}${id}")),
        other => stored::nested(&other.to_json())?,
    })
}

/// Where nothing but texts, objects and arrays could be taken for something else.
fn literal(operand: &Operand) -> StorageResult<Bson> {
    Ok(match bare(operand)? {
        plain @ (Bson::Int32(_) | Bson::Double(_) | Bson::Boolean(_) | Bson::Null | Bson::DateTime(_)) => {
            plain
        }
        other => doc! { "$literal": other }.into(),
    })
}

/// The operator, and whether it takes names instead of places.
fn operator(function: Function) -> &'static str {
    use Function as F;
    match function {
        F::Add => "$add",
        F::Subtract => "$subtract",
        F::Multiply => "$multiply",
        F::Divide => "$divide",
        F::Mod => "$mod",
        F::Abs => "$abs",
        F::Ceil => "$ceil",
        F::Floor => "$floor",
        F::Sqrt => "$sqrt",
        F::Round => "$round",
        F::Trunc => "$trunc",
        F::Pow => "$pow",
        F::Exp => "$exp",
        F::Ln => "$ln",
        F::Log => "$log",
        F::Log10 => "$log10",
        F::Sin => "$sin",
        F::Cos => "$cos",
        F::Tan => "$tan",
        F::Acos => "$acos",
        F::Asin => "$asin",
        F::Atan => "$atan",
        F::Atan2 => "$atan2",
        F::Cosh => "$cosh",
        F::Sinh => "$sinh",
        F::Tanh => "$tanh",
        F::BitAnd => "$bitAnd",
        F::BitOr => "$bitOr",
        F::BitXor => "$bitXor",
        F::BitNot => "$bitNot",
        F::Range => "$range",
        F::Zip | F::ZipLongest => "$zip",
        F::Member => "$getField",
        F::WithoutMember => "$unsetField",
        F::DegreesToRadians => "$degreesToRadians",
        F::RadiansToDegrees => "$radiansToDegrees",
        F::Random => "$rand",
        F::Concat => "$concat",
        F::Lower => "$toLower",
        F::Upper => "$toUpper",
        F::Substr => "$substrCP",
        F::Length => "$strLenCP",
        F::Bytes => "$strLenBytes",
        F::Split => "$split",
        F::Trim => "$trim",
        F::TrimStart => "$ltrim",
        F::TrimEnd => "$rtrim",
        F::IndexOf => "$indexOfCP",
        F::CompareIgnoreCase => "$strcasecmp",
        F::ReplaceOne => "$replaceOne",
        F::ReplaceAll => "$replaceAll",
        F::Size => "$size",
        F::ElementAt => "$arrayElemAt",
        F::Contains => "$in",
        F::IndexOfElement => "$indexOfArray",
        F::ConcatArrays => "$concatArrays",
        F::Reverse => "$reverseArray",
        F::Slice => "$slice",
        F::IsArray => "$isArray",
        F::Union => "$setUnion",
        F::Intersection => "$setIntersection",
        F::Difference => "$setDifference",
        F::IsSubset => "$setIsSubset",
        F::SetEquals => "$setEquals",
        F::AnyTrue => "$anyElementTrue",
        F::AllTrue => "$allElementsTrue",
        F::SumOf => "$sum",
        F::AvgOf => "$avg",
        F::MinOf => "$min",
        F::MaxOf => "$max",
        F::ObjectToArray => "$objectToArray",
        F::ArrayToObject => "$arrayToObject",
        F::Merge => "$mergeObjects",
        F::Eq => "$eq",
        F::Ne => "$ne",
        F::Gt => "$gt",
        F::Gte => "$gte",
        F::Lt => "$lt",
        F::Lte => "$lte",
        F::Compare => "$cmp",
        F::And => "$and",
        F::Or => "$or",
        F::Not => "$not",
        F::IfNull => "$ifNull",
        F::Type => "$type",
        F::IsNumber => "$isNumber",
        F::ToText => "$toString",
        F::ToNumber => "$toDouble",
        F::ToWhole => "$toLong",
        F::ToBool => "$toBool",
        F::ToDate => "$toDate",
        F::DateFromParts => "$dateFromParts",
    }
}

fn call(function: Function, arguments: &[Expr], scope: &Scope) -> StorageResult<Bson> {
    let operator = operator(function);
    let named = |names: &[&str]| -> StorageResult<Bson> {
        let mut given = Document::new();
        for (name, argument) in names.iter().zip(arguments).filter(|(_, argument)| !argument.is_null()) {
            given.insert(*name, expression(argument, scope)?);
        }
        Ok(doc! { operator: given }.into())
    };
    match function {
        Function::Trim | Function::TrimStart | Function::TrimEnd => named(&["input", "chars"]),
        Function::ReplaceOne | Function::ReplaceAll => named(&["input", "find", "replacement"]),
        Function::DateFromParts => {
            named(&["year", "month", "day", "hour", "minute", "second", "millisecond"])
        }
        Function::Zip | Function::ZipLongest => {
            let mut given = Document::new();
            if let [inputs, defaults, ..] = arguments {
                given.insert("inputs", expression(inputs, scope)?);
                if function == Function::ZipLongest {
                    given.insert("useLongestLength", true);
                    if !defaults.is_null() {
                        given.insert("defaults", expression(defaults, scope)?);
                    }
                }
            }
            Ok(doc! { operator: given }.into())
        }
        Function::Member | Function::WithoutMember => named(&["input", "field"]),
        Function::Random => named(&[]),
        _ => {
            let mut values: Vec<Bson> =
                arguments.iter().map(|argument| expression(argument, scope)).collect::<StorageResult<_>>()?;
            if function == Function::Substr
                && let Some(length) = values.get_mut(2)
            {
                *length = length_of_part(std::mem::take(length));
            }
            let folds =
                matches!(function, Function::SumOf | Function::AvgOf | Function::MinOf | Function::MaxOf);
            let alone = match values.as_slice() {
                [Bson::Array(_)] => folds,
                [_] => true,
                _ => false,
            };
            let given = if alone { values.swap_remove(0) } else { Bson::Array(values) };
            Ok(doc! { operator: given }.into())
        }
    }
}

/// `$substr` takes the whole rest where the length is negative; `$substrCP` would refuse it.
fn length_of_part(length: Bson) -> Bson {
    match &length {
        Bson::Int32(n) if *n >= 0 => length,
        Bson::Double(n) if *n >= 0.0 => length,
        Bson::Int32(_) | Bson::Double(_) => Bson::Int32(i32::MAX),
        _ => doc! { "$cond": [{ "$lt": [length.clone(), 0] }, i32::MAX, length] }.into(),
    }
}

fn unit_name(unit: DateUnit) -> &'static str {
    match unit {
        DateUnit::Year => "year",
        DateUnit::Quarter => "quarter",
        DateUnit::Month => "month",
        DateUnit::Week => "week",
        DateUnit::Day => "day",
        DateUnit::Hour => "hour",
        DateUnit::Minute => "minute",
        DateUnit::Second => "second",
        DateUnit::Millisecond => "millisecond",
    }
}

fn zone_text(zone: &Zone) -> Option<String> {
    match zone {
        Zone::Offset(0) => None,
        Zone::Offset(minutes) => {
            let sign = if *minutes < 0 { '-' } else { '+' };
            Some(format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60))
        }
        Zone::Named(name) => Some(name.clone()),
    }
}

fn part_operator(part: DatePart) -> &'static str {
    match part {
        DatePart::Year => "$year",
        DatePart::Month => "$month",
        DatePart::DayOfMonth => "$dayOfMonth",
        DatePart::DayOfYear => "$dayOfYear",
        DatePart::DayOfWeek => "$dayOfWeek",
        DatePart::IsoDayOfWeek => "$isoDayOfWeek",
        DatePart::IsoWeekYear => "$isoWeekYear",
        DatePart::IsoWeek => "$isoWeek",
        DatePart::Week => "$week",
        DatePart::Hour => "$hour",
        DatePart::Minute => "$minute",
        DatePart::Second => "$second",
        DatePart::Millisecond => "$millisecond",
    }
}

fn format_text(pieces: &[FormatPiece]) -> String {
    let letter = |part: DatePart| match part {
        DatePart::Year => "%Y",
        DatePart::Month => "%m",
        DatePart::DayOfMonth => "%d",
        DatePart::DayOfYear => "%j",
        DatePart::DayOfWeek => "%w",
        DatePart::IsoDayOfWeek => "%u",
        DatePart::IsoWeekYear => "%G",
        DatePart::IsoWeek => "%V",
        DatePart::Week => "%U",
        DatePart::Hour => "%H",
        DatePart::Minute => "%M",
        DatePart::Second => "%S",
        DatePart::Millisecond => "%L",
    };
    let piece = |piece: &FormatPiece| match piece {
        FormatPiece::Literal(text) => text.replace('%', "%%"),
        FormatPiece::Part(part, _) => letter(*part).to_owned(),
        FormatPiece::Offset { in_minutes: false } => "%z".to_owned(),
        FormatPiece::Offset { in_minutes: true } => "%Z".to_owned(),
        FormatPiece::MonthName { short: true } => "%b".to_owned(),
        FormatPiece::MonthName { short: false } => "%B".to_owned(),
    };
    pieces.iter().map(piece).collect()
}

fn date(function: &DateFunction, arguments: &[Expr], zone: &Zone, scope: &Scope) -> StorageResult<Bson> {
    let mut given = Document::new();
    let names: &[&str] = match function {
        DateFunction::Diff(_) => &["startDate", "endDate"],
        DateFunction::Add { .. } => &["startDate", "amount"],
        _ => &["date"],
    };
    for (name, argument) in names.iter().zip(arguments) {
        given.insert(*name, expression(argument, scope)?);
    }
    let operator = match function {
        DateFunction::Part(part) => part_operator(*part),
        DateFunction::ToText(pieces) => {
            given.insert("format", format_text(pieces));
            "$dateToString"
        }
        DateFunction::Trunc { unit, bin } => {
            given.insert("unit", unit_name(*unit));
            given.insert("binSize", i64::from(*bin));
            "$dateTrunc"
        }
        DateFunction::ToParts => "$dateToParts",
        DateFunction::Diff(unit) => {
            given.insert("unit", unit_name(*unit));
            "$dateDiff"
        }
        DateFunction::Add { unit, subtract } => {
            given.insert("unit", unit_name(*unit));
            if *subtract { "$dateSubtract" } else { "$dateAdd" }
        }
    };
    if let Some(zone) = zone_text(zone) {
        given.insert("timezone", zone);
    }
    Ok(doc! { operator: given }.into())
}
