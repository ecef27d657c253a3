//! Functions of expressions that take their arguments by place: one table of names and numbers of arguments.

/// What a function of an expression does. Arrays count from 0, texts by characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    // Numbers; `Add` and `Subtract` also of dates and milliseconds.
    Add,
    Subtract,
    Multiply,
    Divide,
    Mod,
    Abs,
    Ceil,
    Floor,
    Sqrt,
    Round,
    Trunc,
    Pow,
    Exp,
    Ln,
    Log,
    Log10,
    Sin,
    Cos,
    Tan,
    Acos,
    Asin,
    Atan,
    Atan2,
    Cosh,
    Sinh,
    Tanh,
    DegreesToRadians,
    RadiansToDegrees,
    Random,
    BitAnd,
    BitOr,
    BitXor,
    BitNot,
    // Texts.
    Concat,
    Lower,
    Upper,
    Substr,
    Length,
    Bytes,
    Split,
    Trim,
    TrimStart,
    TrimEnd,
    IndexOf,
    CompareIgnoreCase,
    ReplaceOne,
    ReplaceAll,
    // Arrays and sets.
    Size,
    ElementAt,
    Contains,
    IndexOfElement,
    ConcatArrays,
    Reverse,
    Slice,
    IsArray,
    Union,
    Intersection,
    Difference,
    IsSubset,
    SetEquals,
    AnyTrue,
    AllTrue,
    SumOf,
    AvgOf,
    MinOf,
    MaxOf,
    Range,
    /// A list of lists, and what stands for members that are missing.
    Zip,
    ZipLongest,
    // Objects.
    ObjectToArray,
    ArrayToObject,
    Merge,
    Member,
    WithoutMember,
    // Comparisons and conditions.
    Eq,
    Ne,
    Gt,
    Gte,
    Lt,
    Lte,
    Compare,
    And,
    Or,
    Not,
    IfNull,
    // Types.
    Type,
    IsNumber,
    ToText,
    ToNumber,
    ToWhole,
    ToBool,
    ToDate,
    DateFromParts,
}

/// No end of arguments.
pub const MANY: usize = usize::MAX;

use Function as F;

/// Name, function, least and most arguments.
const FUNCTIONS: &[(&str, Function, usize, usize)] = &[
    ("$abs", F::Abs, 1, 1),
    ("$acos", F::Acos, 1, 1),
    ("$add", F::Add, 0, MANY),
    ("$allElementsTrue", F::AllTrue, 1, 1),
    ("$and", F::And, 0, MANY),
    ("$anyElementTrue", F::AnyTrue, 1, 1),
    ("$arrayElemAt", F::ElementAt, 2, 2),
    ("$arrayToObject", F::ArrayToObject, 1, 1),
    ("$asin", F::Asin, 1, 1),
    ("$atan", F::Atan, 1, 1),
    ("$atan2", F::Atan2, 2, 2),
    ("$bitAnd", F::BitAnd, 1, MANY),
    ("$bitNot", F::BitNot, 1, 1),
    ("$bitOr", F::BitOr, 1, MANY),
    ("$bitXor", F::BitXor, 1, MANY),
    ("$ceil", F::Ceil, 1, 1),
    ("$cmp", F::Compare, 2, 2),
    ("$concat", F::Concat, 0, MANY),
    ("$concatArrays", F::ConcatArrays, 0, MANY),
    ("$cos", F::Cos, 1, 1),
    ("$cosh", F::Cosh, 1, 1),
    ("$degreesToRadians", F::DegreesToRadians, 1, 1),
    ("$divide", F::Divide, 2, 2),
    ("$eq", F::Eq, 2, 2),
    ("$exp", F::Exp, 1, 1),
    ("$floor", F::Floor, 1, 1),
    ("$gt", F::Gt, 2, 2),
    ("$gte", F::Gte, 2, 2),
    ("$ifNull", F::IfNull, 1, MANY),
    ("$in", F::Contains, 2, 2),
    ("$indexOfArray", F::IndexOfElement, 2, 2),
    ("$indexOfBytes", F::IndexOf, 2, 3),
    ("$indexOfCP", F::IndexOf, 2, 3),
    ("$isArray", F::IsArray, 1, 1),
    ("$isNumber", F::IsNumber, 1, 1),
    ("$ln", F::Ln, 1, 1),
    ("$log", F::Log, 2, 2),
    ("$log10", F::Log10, 1, 1),
    ("$lt", F::Lt, 2, 2),
    ("$lte", F::Lte, 2, 2),
    ("$mergeObjects", F::Merge, 0, MANY),
    ("$mod", F::Mod, 2, 2),
    ("$multiply", F::Multiply, 0, MANY),
    ("$ne", F::Ne, 2, 2),
    ("$not", F::Not, 1, 1),
    ("$objectToArray", F::ObjectToArray, 1, 1),
    ("$or", F::Or, 0, MANY),
    ("$pow", F::Pow, 2, 2),
    ("$radiansToDegrees", F::RadiansToDegrees, 1, 1),
    ("$range", F::Range, 2, 3),
    ("$reverseArray", F::Reverse, 1, 1),
    ("$round", F::Round, 1, 2),
    ("$setDifference", F::Difference, 2, 2),
    ("$setEquals", F::SetEquals, 2, 2),
    ("$setIntersection", F::Intersection, 2, 2),
    ("$setIsSubset", F::IsSubset, 2, 2),
    ("$setUnion", F::Union, 2, 2),
    ("$sin", F::Sin, 1, 1),
    ("$sinh", F::Sinh, 1, 1),
    ("$size", F::Size, 1, 1),
    ("$slice", F::Slice, 2, 3),
    ("$split", F::Split, 2, 2),
    ("$sqrt", F::Sqrt, 1, 1),
    ("$strLenBytes", F::Bytes, 1, 1),
    ("$strLenCP", F::Length, 1, 1),
    ("$strcasecmp", F::CompareIgnoreCase, 2, 2),
    ("$substr", F::Substr, 3, 3),
    ("$substrBytes", F::Substr, 3, 3),
    ("$substrCP", F::Substr, 3, 3),
    ("$subtract", F::Subtract, 2, 2),
    ("$tan", F::Tan, 1, 1),
    ("$tanh", F::Tanh, 1, 1),
    ("$toBool", F::ToBool, 1, 1),
    ("$toDate", F::ToDate, 1, 1),
    ("$toDecimal", F::ToNumber, 1, 1),
    ("$toDouble", F::ToNumber, 1, 1),
    ("$toInt", F::ToWhole, 1, 1),
    ("$toLong", F::ToWhole, 1, 1),
    ("$toLower", F::Lower, 1, 1),
    ("$toString", F::ToText, 1, 1),
    ("$toUpper", F::Upper, 1, 1),
    ("$trunc", F::Trunc, 1, 2),
    ("$type", F::Type, 1, 1),
];

impl Function {
    /// The function of that name, and how many arguments it takes.
    pub fn named(name: &str) -> Option<(Self, usize, usize)> {
        let index = FUNCTIONS.binary_search_by(|(known, ..)| (*known).cmp(name)).ok()?;
        FUNCTIONS.get(index).map(|(_, function, least, most)| (*function, *least, *most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found() {
        for (name, function, least, most) in FUNCTIONS {
            assert_eq!(
                Function::named(name),
                Some((*function, *least, *most)),
                "{name}: the table is sorted"
            );
        }
        assert_eq!(Function::named("$foo"), None);
    }
}
