//! JSON that comes from outside, read as JavaScript engines read it: the one place for request bodies, parameters,
//! frames of sockets and hosts, and answers of webhooks.
//!
//! serde_json reads what it accepts. What V8 accepts beyond that takes the slow way: half a surrogate pair becomes
//! U+FFFD, a number beyond any double becomes null (as V8 writes it again). Whole numbers have one form whatever
//! they were written as: `3.0` is `3`, `1e2` is `100`, `-0` is `0`. Of equal keys the last counts. Nesting beyond
//! 128 levels is refused: values are written, compared and dropped level by level on the thread's stack.

use std::borrow::Cow;

use serde_json::Value;

use super::limits::MAX_VALUES;
use super::number::number_json;

const REPLACEMENT: &[u8] = b"\\ufffd";

/// Texts up to here hold too few values to be counted.
pub const FEW_VALUES: usize = 16 * 1024;

/// # Errors
/// What is wrong with the text, or that it holds too many values.
pub fn from_outside(text: &[u8]) -> serde_json::Result<Value> {
    if text.len() > FEW_VALUES && count_values(text) > MAX_VALUES {
        return Err(serde::de::Error::custom(format_args!("more than {MAX_VALUES} values")));
    }
    of_few_values(text)
}

/// As [`from_outside`], for a text whose values are known to be not too many.
///
/// # Errors
/// What is wrong with the text.
pub fn of_few_values(text: &[u8]) -> serde_json::Result<Value> {
    let mut value = match serde_json::from_slice(text) {
        Ok(value) => value,
        Err(error) => match repaired(text) {
            Some(repaired) => serde_json::from_slice(&repaired)?,
            None => return Err(error),
        },
    };
    if may_hold_fractions(text) {
        one_number_form(&mut value);
    }
    Ok(value)
}

/// The text with halves of surrogate pairs replaced: for texts that are read into something else than values.
pub fn with_whole_characters(text: &[u8]) -> Cow<'_, [u8]> {
    // A search for the rare backslash is many times faster than looking at every byte.
    let begins_surrogate = |at: usize| matches!(text.get(at + 1..at + 3), Some([b'u', b'd' | b'D']));
    if !memchr::memchr_iter(b'\\', text).any(begins_surrogate) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, from_escape) = rest.split_at(at);
        out.extend_from_slice(before);
        let taken = match escaped_unit(from_escape) {
            Some(0xD800..=0xDBFF) => {
                let low = from_escape.get(6..).and_then(escaped_unit);
                if low.is_some_and(|low| (0xDC00..=0xDFFF).contains(&low)) {
                    out.extend_from_slice(from_escape.get(..12).unwrap_or_default());
                    12
                } else {
                    out.extend_from_slice(REPLACEMENT);
                    6
                }
            }
            Some(0xDC00..=0xDFFF) => {
                out.extend_from_slice(REPLACEMENT);
                6
            }
            // Any other escape: two bytes at least, so that an escaped backslash begins nothing.
            _ => {
                let length = from_escape.len().min(2);
                out.extend_from_slice(from_escape.get(..length).unwrap_or_default());
                length
            }
        };
        rest = from_escape.get(taken..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// The UTF-16 unit of `\uXXXX` at the beginning.
fn escaped_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

/// What serde_json may read, of a text that it refused; `None` when nothing is to be repaired.
fn repaired(text: &[u8]) -> Option<Vec<u8>> {
    let whole = with_whole_characters(text);
    if let Cow::Owned(finite) = without_huge_numbers(&whole) {
        return Some(finite);
    }
    match whole {
        Cow::Owned(whole) => Some(whole),
        Cow::Borrowed(_) => None,
    }
}

/// Numbers that are infinite as doubles become null.
fn without_huge_numbers(text: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = end_of_string(text, at),
            b'-' | b'0'..=b'9' => {
                let end = text.get(at..).unwrap_or_default().iter().position(|byte| !is_number_byte(*byte));
                let end = end.map_or(text.len(), |length| at + length);
                if is_infinite(text.get(at..end).unwrap_or_default()) {
                    out.extend_from_slice(text.get(copied..at).unwrap_or_default());
                    out.extend_from_slice(b"null");
                    copied = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    if out.is_empty() {
        return Cow::Borrowed(text);
    }
    out.extend_from_slice(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

fn is_number_byte(byte: u8) -> bool {
    byte.is_ascii_digit() || b"+-.eE".contains(&byte)
}

/// JSON's grammar is stricter than that of Rust's numbers in ways that only digits with an exponent or very many
/// digits get to be infinite: those are checked.
fn is_infinite(number: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(number) else { return false };
    let digits = text.strip_prefix('-').unwrap_or(text);
    let leading_zero = digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    let well_formed = digits.starts_with(|first: char| first.is_ascii_digit())
        && !leading_zero
        && !digits.ends_with(|last: char| !last.is_ascii_digit())
        && !digits.contains(".e")
        && !digits.contains(".E");
    well_formed && text.parse::<f64>().is_ok_and(f64::is_infinite)
}

/// Behind the closing quote of the string that begins at `at`.
fn end_of_string(text: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'\\', b'"', rest)) {
        at += found;
        if text.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

/// No fewer values than the text holds, counted without reading it: each but the first stands behind a comma or
/// begins a list or an object.
pub fn count_values(text: &[u8]) -> usize {
    let (mut count, mut at) = (1, 0);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => at = end_of_string(text, at),
            b',' | b'[' | b'{' => {
                count += 1;
                at += 1;
            }
            _ => at += 1,
        }
    }
    count
}

/// Whether a digit is followed by a dot or an exponent, or a zero has a sign: cheap to see, and rarely so.
fn may_hold_fractions(text: &[u8]) -> bool {
    text.windows(2).any(|pair| match pair {
        [digit, b'.' | b'e' | b'E'] => digit.is_ascii_digit(),
        [b'-', b'0'] => true,
        _ => false,
    })
}

/// Whole numbers without a fraction, at any depth (which the parser has bounded).
fn one_number_form(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            if let Some(float) = number.as_f64() {
                *value = number_json(if float == 0.0 { 0.0 } else { float });
            }
        }
        Value::Array(items) => items.iter_mut().for_each(one_number_form),
        Value::Object(fields) => fields.values_mut().for_each(one_number_form),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn reads(text: &str, expected: &str) {
        let value = from_outside(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(value.to_string(), expected, "{text}");
    }

    #[test]
    fn halves_of_surrogate_pairs_become_replacement_characters() {
        reads(r#"["hi \ud83d"]"#, "[\"hi \u{fffd}\"]");
        reads(r#"["\uDE00 x \ud83d\ud83d\ude00"]"#, "[\"\u{fffd} x \u{fffd}\u{1f600}\"]");
        reads(r#"{"\ud83d": "\\ud83d"}"#, "{\"\u{fffd}\":\"\\\\ud83d\"}");
        reads(r#"["\ud83d\n", "\ud83d\u0041"]"#, "[\"\u{fffd}\\n\",\"\u{fffd}A\"]");
        assert!(matches!(with_whole_characters(br#"["plain \u00e9 \n"]"#), Cow::Borrowed(_)));
        for broken in [r#"["\ud83"]"#, r#"["\ud83d]"#, r#"["\ud83d" "#, r#"["\"#, r#"["\u"#] {
            assert!(from_outside(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn numbers_have_one_form() {
        reads("[3.0, 1e2, 1.5, -0, -0.0, 0.0, -2.0, 1e21]", "[3,100,1.5,0,0,0,-2,1e+21]");
        reads(r#"{"o":{"n":3.0,"s":"3.0 1e400"}}"#, r#"{"o":{"n":3,"s":"3.0 1e400"}}"#);
        reads("[1e400, -1e400, [1e-400]]", "[null,null,[0]]");
        reads(r#"["1e400 \" 1e400", 1E+999]"#, r#"["1e400 \" 1e400",null]"#);
        reads("[9007199254740993]", "[9007199254740993]");
        // The nearest number, not one beside it.
        reads(
            "[0.010649112811223903, 123456789012345680000, 6.644336188201581e65]",
            "[0.010649112811223903,1.2345678901234568e+20,6.644336188201581e+65]",
        );
        for broken in ["[01e400]", "[1e]", "[1.e400]", "[--1e400]", "[1e400 1e400]"] {
            assert!(from_outside(broken.as_bytes()).is_err(), "{broken}");
        }
    }

    #[test]
    fn too_many_values_are_not_read() {
        let list = |count: usize| format!("[{}0]", "0,".repeat(count));
        assert!(from_outside(list(MAX_VALUES - 2).as_bytes()).is_ok());
        assert!(from_outside(list(MAX_VALUES).as_bytes()).is_err());
    }

    #[test]
    fn values_are_counted_in_the_text() {
        for (text, most) in [
            ("1", 1),
            ("[]", 2),
            ("[1,2,3]", 4),
            (r#"{"a,b":"[{,\",[","c":[{}]}"#, 5),
            (r#"["\\",1]"#, 3),
            (r#"["a"#, 2),
            (r#"["a\"#, 2),
        ] {
            assert_eq!(count_values(text.as_bytes()), most, "{text}");
        }
    }

    #[test]
    fn the_last_of_equal_keys_counts_and_depth_is_bounded() {
        assert_eq!(from_outside(br#"{"a":1,"b":2,"a":3}"#).unwrap(), json!({"a": 3, "b": 2}));
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(from_outside(deep(127).as_bytes()).is_ok());
        assert!(from_outside(deep(100_000).as_bytes()).is_err());
    }
}
