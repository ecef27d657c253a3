//! The Mustache that mails and pages need: `{{name}}` escaped for HTML, `{{{name}}}` and `{{&name}}` as it
//! is, dotted names, sections `{{#name}}…{{/name}}`, inverted ones `{{^name}}…{{/name}}` and comments
//! `{{!…}}`. Unknown names are empty; what is no well-formed tag stays as it stands.

use serde_json::{Map, Value};

/// Sections inside sections, so that a template cannot exhaust the stack.
const MAX_DEPTH: usize = 32;

/// Fills the placeholders; `escape` writes double-braced values for HTML.
pub fn fill(template: &str, values: &Map<String, Value>, escape: bool) -> String {
    let root = Value::Object(values.clone());
    let mut out = String::with_capacity(template.len());
    render(template, &[&root], escape, &mut out);
    out
}

enum Tag<'t> {
    Escaped(&'t str),
    Raw(&'t str),
    Section { name: &'t str, inverted: bool },
    End(&'t str),
    Comment,
}

/// The first tag of a text: where it begins, where it ends, what it is.
fn next_tag(text: &str) -> Option<(usize, usize, Tag<'_>)> {
    let start = text.find("{{")?;
    let inner = &text[start + 2..];
    if let Some(raw) = inner.strip_prefix('{') {
        let length = raw.find("}}}")?;
        return Some((start, start + 3 + length + 3, Tag::Raw(raw[..length].trim())));
    }
    let length = inner.find("}}")?;
    let name = inner[..length].trim();
    let rest = || name[1..].trim();
    let tag = match name.as_bytes().first() {
        Some(b'&') => Tag::Raw(rest()),
        Some(b'#') => Tag::Section { name: rest(), inverted: false },
        Some(b'^') => Tag::Section { name: rest(), inverted: true },
        Some(b'/') => Tag::End(rest()),
        Some(b'!') => Tag::Comment,
        _ => Tag::Escaped(name),
    };
    Some((start, start + 2 + length + 2, tag))
}

/// The text of a section and what follows its end; `None` when it has none.
fn section<'t>(text: &'t str, name: &str) -> Option<(&'t str, &'t str)> {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some((start, end, tag)) = next_tag(&text[at..]) {
        match tag {
            Tag::Section { name: inner, .. } if inner == name => depth += 1,
            Tag::End(inner) if inner == name && depth == 0 => {
                return Some((&text[..at + start], &text[at + end..]));
            }
            Tag::End(inner) if inner == name => depth -= 1,
            _ => {}
        }
        at += end;
    }
    None
}

fn render(template: &str, scopes: &[&Value], escape: bool, out: &mut String) {
    let mut rest = template;
    while let Some((start, end, tag)) = next_tag(rest) {
        let (before, after) = (&rest[..start], &rest[end..]);
        out.push_str(before);
        rest = match tag {
            Tag::Escaped(name) if escape => {
                push_escaped(out, &text_of(look_up(scopes, name)));
                after
            }
            Tag::Escaped(name) | Tag::Raw(name) => {
                out.push_str(&text_of(look_up(scopes, name)));
                after
            }
            Tag::Section { name, inverted } => match section(after, name) {
                Some((inner, after)) if scopes.len() < MAX_DEPTH => {
                    render_section(inner, look_up(scopes, name), inverted, scopes, escape, out);
                    after
                }
                _ => after,
            },
            Tag::End(_) | Tag::Comment => after,
        };
    }
    out.push_str(rest);
}

fn render_section(
    inner: &str,
    value: Option<&Value>,
    inverted: bool,
    scopes: &[&Value],
    escape: bool,
    out: &mut String,
) {
    let items: Vec<&Value> = match value {
        Some(Value::Array(items)) => items.iter().collect(),
        Some(value) if is_truthy(value) => vec![value],
        _ => Vec::new(),
    };
    if inverted {
        if items.is_empty() {
            render(inner, scopes, escape, out);
        }
        return;
    }
    for item in items {
        let mut inside = scopes.to_vec();
        inside.push(item);
        render(inner, &inside, escape, out);
    }
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// The innermost value of that name; `.` is the innermost scope itself.
fn look_up<'v>(scopes: &[&'v Value], name: &str) -> Option<&'v Value> {
    if name == "." {
        return scopes.last().copied();
    }
    let mut path = name.split('.');
    let first = path.next()?;
    let found = scopes.iter().rev().find_map(|scope| scope.get(first))?;
    path.try_fold(found, |value, key| value.get(key))
}

fn text_of(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn push_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '/' => out.push_str("&#x2F;"),
            '`' => out.push_str("&#x60;"),
            '=' => out.push_str("&#x3D;"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(template: &str, values: &Value) -> String {
        fill(template, &values.as_object().cloned().unwrap_or_default(), true)
    }

    #[test]
    fn fills_and_escapes() {
        let values = json!({"a": "<b>", "n": 3});
        assert_eq!(filled("x {{a}} {{ n }} {{{a}}} {{&a}} {{no}}.", &values), "x &lt;b&gt; 3 <b> <b> .");
        assert_eq!(fill("{{a}}", values.as_object().expect("an object"), false), "<b>");
        assert_eq!(filled("open {{a", &values), "open {{a");
        assert_eq!(filled("{{! a comment }}{{}}.", &values), ".");
    }

    #[test]
    fn sections() {
        let values = json!({"error": "no", "none": "", "user": {"name": "Ann"}, "list": [{"n": 1}, {"n": 2}], "words": ["a", "b"]});
        assert_eq!(filled("{{#error}}<p>{{error}}</p>{{/error}}", &values), "<p>no</p>");
        assert_eq!(filled("{{#none}}hidden{{/none}}{{^none}}shown{{/none}}", &values), "shown");
        assert_eq!(filled("{{user.name}} {{#user}}{{name}} {{error}}{{/user}}", &values), "Ann Ann no");
        assert_eq!(filled("{{#list}}{{n}},{{/list}}{{#words}}{{.}}{{/words}}", &values), "1,2,ab");
        assert_eq!(filled("{{#list}}{{#list}}{{n}}{{/list}};{{/list}}", &values), "12;12;");
        assert_eq!(filled("{{#error}}open", &values), "open");
    }
}
