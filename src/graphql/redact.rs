//! Messages for callers who may not look at the schema: without hints and without names that they did not write
//! themselves (parse-server's `SchemaSuggestionsControlPlugin`).

use std::collections::HashSet;
use std::sync::OnceLock;

use regex::{Captures, Regex};
use serde_json::Value;

/// What is said instead of a text that names something.
type Redact = fn(&Captures<'_>) -> String;

struct Patterns {
    hint: Regex,
    required: Regex,
    named: Vec<(Regex, Redact)>,
    never: Regex,
}

fn patterns() -> Option<&'static Patterns> {
    static PATTERNS: OnceLock<Option<Patterns>> = OnceLock::new();
    PATTERNS
        .get_or_init(|| {
            let named: [(&str, Redact); 7] = [
                (r#"Expected value of type "(?P<ty>[^"]+)""#, |_| "Expected value of the correct type".to_owned()),
                (r#"Expected type "(?P<ty>[^"]+)" to be an object\."#, |_| "Expected an object.".to_owned()),
                (r#"Expected non-nullable type "(?P<ty>[^"]+)" not to be null\."#, |_| {
                    "Expected a non-null value.".to_owned()
                }),
                (r#" is not defined by type "(?P<ty>[^"]+)"\."#, |_| " is not defined.".to_owned()),
                (r#" used in position expecting type "(?P<ty>[^"]+)"\."#, |_| {
                    " used in position expecting a different type.".to_owned()
                }),
                (r#"Cannot query field (?P<field>"[^"]*") on type "(?P<ty>[^"]+)"\."#, |found| {
                    format!("Cannot query field {}.", &found["field"])
                }),
                (
                    r#"Field (?P<field>"[^"]*") of type "(?P<ty>[^"]+)" must have a selection of subfields\."#,
                    |found| format!("Field {} must have a selection of subfields.", &found["field"]),
                ),
            ];
            let named = named.into_iter().map(|(pattern, made)| Some((Regex::new(pattern).ok()?, made)));
            Some(Patterns {
                hint: Regex::new(r" ?Did you mean(.+?)\?$").ok()?,
                required: Regex::new(r#"Field "[^"]*" of required type "[^"]*" was not provided\."#).ok()?,
                named: named.collect::<Option<_>>()?,
                never: Regex::new(
                    r#"objects of type "(?P<parent>[^"]+)" can never be of type "(?P<ty>[^"]+)"\."#,
                )
                .ok()?,
            })
        })
        .as_ref()
}

/// The same for all errors of an answer.
pub fn body(body: &mut Value, document: &str) {
    let Some(Value::Array(errors)) = body.get_mut("errors") else { return };
    let written = written(document);
    for error in errors {
        if let Some(Value::String(text)) = error.get_mut("message") {
            *text = message(text, &written);
        }
    }
}

/// The names in a document.
fn written(document: &str) -> HashSet<&str> {
    let is_token = |c: char| c == '_' || c.is_ascii_alphanumeric();
    document.split(|c: char| !is_token(c)).filter(|token| !token.is_empty()).collect()
}

/// The message without what its reader may not know. `written` is what the reader wrote.
fn message(message: &str, written: &HashSet<&str>) -> String {
    // Rather nothing than too much.
    let Some(patterns) = patterns() else { return "The request is not valid.".to_owned() };
    let wrote = |name: &str| written.contains(name.replace(['[', ']', '!'], "").as_str());
    let text = patterns.hint.replace(message, "");
    let mut text =
        patterns.required.replace_all(&text, "Field of required type was not provided.").into_owned();
    for (pattern, made) in &patterns.named {
        let replaced =
            pattern.replace_all(
                &text,
                |found: &Captures<'_>| {
                    if wrote(&found["ty"]) { found[0].to_owned() } else { made(found) }
                },
            );
        text = replaced.into_owned();
    }
    let replaced = patterns.never.replace_all(&text, |found: &Captures<'_>| {
        let shown = |name: &str, other: &str| {
            if wrote(&found[name]) { format!("type \"{}\"", &found[name]) } else { other.to_owned() }
        };
        let (parent, ty) = (shown("parent", "the parent type"), shown("ty", "the given type"));
        format!("objects of {parent} can never be of {ty}.")
    });
    replaced.into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_hints_are_left_out() {
        for (told, document, left) in [
            (
                "Cannot query field \"x\" on type \"User\". Did you mean \"y\"?",
                "{ x }",
                "Cannot query field \"x\".",
            ),
            (
                "Cannot query field \"x\" on type \"User\".",
                "User",
                "Cannot query field \"x\" on type \"User\".",
            ),
            (
                "Field \"a\" of type \"B!\" must have a selection of subfields. Did you mean \"a { ... }\"?",
                "{ a }",
                "Field \"a\" must have a selection of subfields.",
            ),
            ("Unknown type \"X\". Did you mean \"Y\"?", "", "Unknown type \"X\"."),
            (
                "Variable \"$v\" got invalid value {}; Field \"s\" of required type \"T!\" was not provided.",
                "",
                "Variable \"$v\" got invalid value {}; Field of required type was not provided.",
            ),
            (
                "Fragment cannot be spread here as objects of type \"A\" can never be of type \"B\".",
                "B",
                "Fragment cannot be spread here as objects of the parent type can never be of type \"B\".",
            ),
        ] {
            assert_eq!(message(told, &written(document)), left);
        }
    }
}
