//! Passwords in what is logged: of calls, and of what application code logs itself.

use std::borrow::Cow;

/// Keys that end like these, whatever their case, have values that no log shows.
const TEXTS: [&str; 2] = ["password", "sessiontoken"];
/// The same for values that are objects.
const OBJECTS: [&str; 3] = ["authdata", "authdataresponse", "challengedata"];
const STARS: &str = "********";

/// JSON without passwords, session tokens and `authData`.
pub fn mask(text: &str) -> Cow<'_, str> {
    let mut masked: Option<String> = None;
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = text.as_bytes()[at..].iter().position(|byte| *byte == b'"') {
        let key = &text.as_bytes()[..at + found];
        at += found + 1;
        let ends = |name: &&str| {
            key.len() >= name.len() && key[key.len() - name.len()..].eq_ignore_ascii_case(name.as_bytes())
        };
        let (is_text, is_object) = (TEXTS.iter().any(ends), OBJECTS.iter().any(ends));
        if !is_text && !is_object {
            continue;
        }
        let Some(value) = text[at..].trim_start().strip_prefix(':').map(str::trim_start) else { continue };
        let begin = text.len() - value.len();
        let (begin, end, stars) = match value.as_bytes().first() {
            Some(b'"') if is_text => (begin + 1, begin + 1 + string_length(&value[1..]), STARS),
            Some(b'{') if is_object => (begin, begin + object_length(value), "\"********\""),
            _ => continue,
        };
        let masked = masked.get_or_insert_default();
        masked.push_str(&text[copied..begin]);
        masked.push_str(stars);
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

/// How far a JSON object reaches that the text begins with; to its end where it was cut.
fn object_length(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' => at += 1 + string_length(&text[at + 1..]),
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at.min(text.len())
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
            (r#"{"sessionToken": "r:1", "token": "t"}"#, r#"{"sessionToken": "********", "token": "t"}"#),
            (
                r#"{"authData":{"a":{"id":"}","x":{}}},"b":{"authData":null},"password":"p"}"#,
                r#"{"authData":"********","b":{"authData":null},"password":"********"}"#,
            ),
            (r#"{"authData": {"a": {"id": "be"#, r#"{"authData": "********""#),
            (r#"{"password":""#, r#"{"password":"********"#),
            ("\"", "\""),
        ] {
            assert_eq!(mask(text), masked);
        }
    }
}
