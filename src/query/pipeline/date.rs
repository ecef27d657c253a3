//! What expressions do with dates. Time zones are constants: an offset, or a name that the database knows.

#[derive(Clone, Debug, PartialEq)]
pub enum DateFunction {
    /// `$year` and its like.
    Part(DatePart),
    /// `$dateToString`.
    ToText(Vec<FormatPiece>),
    /// `$dateTrunc`: to the begin of so many units, counted from 2000.
    Trunc { unit: DateUnit, bin: u32 },
    /// `$dateToParts`.
    ToParts,
    /// `$dateDiff` of two dates: how many begins of the unit lie between them.
    Diff(DateUnit),
    /// `$dateAdd`, or `$dateSubtract`: a date and an amount.
    Add { unit: DateUnit, subtract: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatePart {
    Year,
    Month,
    DayOfMonth,
    DayOfYear,
    /// Sunday is 1.
    DayOfWeek,
    IsoDayOfWeek,
    IsoWeekYear,
    IsoWeek,
    /// Weeks begin on Sundays; days before the first one are week 0.
    Week,
    Hour,
    Minute,
    Second,
    Millisecond,
}

impl DatePart {
    pub fn named(operator: &str) -> Option<Self> {
        Some(match operator {
            "$year" => Self::Year,
            "$month" => Self::Month,
            "$dayOfMonth" => Self::DayOfMonth,
            "$dayOfYear" => Self::DayOfYear,
            "$dayOfWeek" => Self::DayOfWeek,
            "$isoDayOfWeek" => Self::IsoDayOfWeek,
            "$isoWeekYear" => Self::IsoWeekYear,
            "$isoWeek" => Self::IsoWeek,
            "$week" => Self::Week,
            "$hour" => Self::Hour,
            "$minute" => Self::Minute,
            "$second" => Self::Second,
            "$millisecond" => Self::Millisecond,
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateUnit {
    Year,
    Quarter,
    Month,
    /// Begins on Sundays.
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
}

/// How long a unit is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Span {
    Months(u32),
    Millis(i64),
}

impl DateUnit {
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "year" => Self::Year,
            "quarter" => Self::Quarter,
            "month" => Self::Month,
            "week" => Self::Week,
            "day" => Self::Day,
            "hour" => Self::Hour,
            "minute" => Self::Minute,
            "second" => Self::Second,
            "millisecond" => Self::Millisecond,
            _ => return None,
        })
    }

    pub fn span(self) -> Span {
        match self {
            Self::Year => Span::Months(12),
            Self::Quarter => Span::Months(3),
            Self::Month => Span::Months(1),
            Self::Week => Span::Millis(604_800_000),
            Self::Day => Span::Millis(86_400_000),
            Self::Hour => Span::Millis(3_600_000),
            Self::Minute => Span::Millis(60_000),
            Self::Second => Span::Millis(1_000),
            Self::Millisecond => Span::Millis(1),
        }
    }
}

/// A piece of a `$dateToString` format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FormatPiece {
    Literal(String),
    /// A part, with leading zeros to this width.
    Part(DatePart, usize),
    /// `%z` (`+0200`) or, as a number of minutes, `%Z`.
    Offset {
        in_minutes: bool,
    },
    /// `%b` (`Feb`) or `%B` (`February`).
    MonthName {
        short: bool,
    },
}

/// The pieces of a format; `None` for letters that mean nothing.
pub fn read_format(format: &str) -> Option<Vec<FormatPiece>> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            literal.push(c);
            continue;
        }
        let piece = match chars.next()? {
            '%' => {
                literal.push('%');
                continue;
            }
            'Y' => FormatPiece::Part(DatePart::Year, 4),
            'm' => FormatPiece::Part(DatePart::Month, 2),
            'd' => FormatPiece::Part(DatePart::DayOfMonth, 2),
            'H' => FormatPiece::Part(DatePart::Hour, 2),
            'M' => FormatPiece::Part(DatePart::Minute, 2),
            'S' => FormatPiece::Part(DatePart::Second, 2),
            'L' => FormatPiece::Part(DatePart::Millisecond, 3),
            'j' => FormatPiece::Part(DatePart::DayOfYear, 3),
            'w' => FormatPiece::Part(DatePart::DayOfWeek, 1),
            'u' => FormatPiece::Part(DatePart::IsoDayOfWeek, 1),
            'U' => FormatPiece::Part(DatePart::Week, 2),
            'V' => FormatPiece::Part(DatePart::IsoWeek, 2),
            'G' => FormatPiece::Part(DatePart::IsoWeekYear, 4),
            'z' => FormatPiece::Offset { in_minutes: false },
            'Z' => FormatPiece::Offset { in_minutes: true },
            'b' => FormatPiece::MonthName { short: true },
            'B' => FormatPiece::MonthName { short: false },
            _ => return None,
        };
        if !literal.is_empty() {
            pieces.push(FormatPiece::Literal(std::mem::take(&mut literal)));
        }
        pieces.push(piece);
    }
    if !literal.is_empty() {
        pieces.push(FormatPiece::Literal(literal));
    }
    Some(pieces)
}

/// Where a clock is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Minutes east of Greenwich.
    Offset(i32),
    /// `Europe/Berlin`.
    Named(String),
}

impl Zone {
    pub const UTC: Self = Self::Offset(0);

    /// `+02:00`, `-0530`, `+05`, `Z`, `UTC`, `GMT`, or letters of a name.
    pub fn named(text: &str) -> Option<Self> {
        if matches!(text, "Z" | "UTC" | "GMT" | "Etc/UTC") {
            return Some(Self::UTC);
        }
        if let Some(sign) = text.chars().next().filter(|c| matches!(c, '+' | '-')) {
            let digits: String = text.chars().skip(1).filter(|c| *c != ':').collect();
            let number = |part: Option<&str>| part.and_then(|part| part.parse::<i32>().ok());
            if !digits.bytes().all(|digit| digit.is_ascii_digit()) || !matches!(digits.len(), 2 | 4) {
                return None;
            }
            let hours = number(digits.get(..2))?;
            let minutes = if digits.len() == 4 { number(digits.get(2..))? } else { 0 };
            let offset = hours * 60 + minutes;
            return (offset < 24 * 60).then_some(Self::Offset(if sign == '-' { -offset } else { offset }));
        }
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
        let is_name = text.len() <= 64 && text.starts_with(|c: char| c.is_ascii_alphabetic());
        (is_name && text.chars().all(letters)).then(|| Self::Named(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_offsets_or_names() {
        for (text, zone) in [
            ("+02:00", Some(Zone::Offset(120))),
            ("-0530", Some(Zone::Offset(-330))),
            ("+05", Some(Zone::Offset(300))),
            ("Europe/Berlin", Some(Zone::Named("Europe/Berlin".into()))),
            ("+5", None),
            ("+99:00", None),
            ("Europe'; --", None),
            ("", None),
        ] {
            assert_eq!(Zone::named(text), zone, "{text}");
        }
    }

    #[test]
    fn formats_are_read_whole_or_not_at_all() {
        let pieces = read_format("%Y-%m %% x");
        let literal = |text: &str| FormatPiece::Literal(text.to_owned());
        let expected = vec![
            FormatPiece::Part(DatePart::Year, 4),
            literal("-"),
            FormatPiece::Part(DatePart::Month, 2),
            literal(" % x"),
        ];
        assert_eq!(pieces, Some(expected));
        assert_eq!(read_format("%q"), None);
        assert_eq!(read_format("50%"), None);
    }
}
