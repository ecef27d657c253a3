//! Passwords in what is logged: of calls, and of what application code logs itself.

use std::borrow::Cow;

/// JSON without the values of keys that end in `password`.
pub fn mask(text: &str) -> Cow<'_, str> {
    const KEY: &str = "password\"";
    let mut masked: Option<String> = None;
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) =
        text.as_bytes()[at..].windows(KEY.len()).position(|part| part.eq_ignore_ascii_case(KEY.as_bytes()))
    {
        at += found + KEY.len();
        let rest = &text[at..];
        let after = rest.trim_start();
        let Some(value) =
            after.strip_prefix(':').map(str::trim_start).and_then(|rest| rest.strip_prefix('"'))
        else {
            continue;
        };
        let begin = text.len() - value.len();
        let end = begin + string_length(value);
        let masked = masked.get_or_insert_default();
        masked.push_str(&text[copied..begin]);
        masked.push_str("********");
        (copied, at) = (end, end);
    }
    match masked {
        None => text.into(),
        Some(mut masked) => {
            masked.push_str(&text[copied..]);
            masked.into()
        }
    }
}

/// How far the inside of a JSON string reaches.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked() {
        for (text, masked) in [
            (r#"{"a":1}"#, r#"{"a":1}"#),
            (r#"{"password":"x","b":"password"}"#, r#"{"password":"********","b":"password"}"#),
            (r#"[{"oldPassword" : "a\"b"}, 1]"#, r#"[{"oldPassword" : "********"}, 1]"#),
            (r#"{"password":"begins"#, r#"{"password":"********"#),
            (r#"{"password":{"a":1},"password":null}"#, r#"{"password":{"a":1},"password":null}"#),
            ("ä password\"ä", "ä password\"ä"),
        ] {
            assert_eq!(mask(text), masked);
        }
    }
}
