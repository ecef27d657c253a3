//! JSON values to text, with numbers as JavaScript prints them.

use serde_json::Value;

/// As JavaScript prints numbers.
#[allow(clippy::cast_possible_truncation, reason = "in range, and nothing is behind the point")]
pub(super) fn write_number(out: &mut Vec<u8>, value: f64) {
    /// Whole numbers up to here are exact and printed without an exponent.
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < WHOLE {
        // Most numbers are whole, which takes no search for the shortest decimals.
        out.extend_from_slice(itoa::Buffer::new().format(value as i64).as_bytes());
    } else if value.is_finite() {
        out.extend_from_slice(ryu_js::Buffer::new().format_finite(value).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

pub fn write_json(out: &mut Vec<u8>, value: &Value) {
    match value {
        // Whole floats without a fraction, as everywhere.
        Value::Number(number) if number.is_f64() => {
            write_number(out, number.as_f64().unwrap_or_default());
        }
        Value::Array(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_json(out, element);
            }
            out.push(b']');
        }
        Value::Object(object) => write_entries(out, object),
        Value::String(text) => write_string(out, text),
        Value::Number(number) => {
            use std::io::Write as _;
            // Writing to memory does not fail.
            let _ = write!(out, "{number}");
        }
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Null => out.extend_from_slice(b"null"),
    }
}

/// `{…}` of these entries.
pub fn write_entries<'v>(out: &mut Vec<u8>, entries: impl IntoIterator<Item = (&'v String, &'v Value)>) {
    out.push(b'{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, key);
        out.push(b':');
        write_json(out, value);
    }
    out.push(b'}');
}

/// A quoted, escaped JSON string.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(is_special) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, behind)) = special.split_first() else { break };
        match *byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                let digit = |value: u8| DIGITS[usize::from(value & 15)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(control >> 4), digit(control)]);
            }
        }
        rest = behind;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::number::number_json;

    #[test]
    fn strings_escape_like_serde_json() {
        for text in
            ["plain", "quote\" back\\slash", "line\nbreak\ttab\r", "\u{1}\u{1f}", "ünï\u{2028}code 😀", ""]
        {
            let mut out = Vec::new();
            write_string(&mut out, text);
            assert_eq!(serde_json::from_slice::<String>(&out).ok().as_deref(), Some(text));
        }
    }

    #[test]
    fn numbers_print_as_in_javascript() {
        let text = |n: f64| {
            let mut out = Vec::new();
            write_number(&mut out, n);
            String::from_utf8(out).unwrap_or_default()
        };
        assert_eq!(text(1.0), "1");
        for whole in [0.0, -0.0, -1.0, 10.0, -1205.0, 9_007_199_254_740_991.0, 9_007_199_254_740_992.0, 1e20]
        {
            assert_eq!(text(whole), ryu_js::Buffer::new().format_finite(whole));
        }
        assert_eq!(text(0.1), "0.1");
        assert_eq!(text(1e21), "1e+21");
        assert_eq!(text(-5e-324), "-5e-324");
        assert_eq!(number_json(3.0).to_string(), "3");
    }
}
