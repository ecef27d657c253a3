//! The Mustache that mails and pages need: `{{name}}` escaped for HTML, `{{{name}}}` and `{{&name}}` as it
//! is, dotted names, sections `{{#name}}…{{/name}}`, inverted ones `{{^name}}…{{/name}}` and comments
//! `{{!…}}`. Unknown names are empty; what is no well-formed tag stays as it stands.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::{Map, Value};

/// Sections inside sections, so that a template cannot exhaust the stack. A deeper one is no section.
const MAX_DEPTH: usize = 32;
/// Bytes of what a template may become: sections in sections multiply the lists that they show. The rest is left
/// out.
const MAX_OUTPUT: usize = 4 * 1024 * 1024;
/// Parts that are written, for sections that write nothing.
const MAX_STEPS: usize = 1_000_000;

/// Fills the placeholders; `escape` writes double-braced values for HTML.
pub fn fill(template: &str, values: &Map<String, Value>, escape: bool) -> String {
    let root = Value::Object(values.clone());
    let parts = parse(template);
    let mut writer = Writer { parts: &parts, escape, out: String::with_capacity(template.len()), steps: 0 };
    let mut scopes = vec![&root];
    writer.write(0..parts.len(), 0, &mut scopes);
    writer.out
}

/// What a template consists of.
enum Part<'t> {
    Text(&'t str),
    Escaped(&'t str),
    Raw(&'t str),
    /// Up to the part `end`, which is where the section's end tag was.
    Section {
        name: &'t str,
        inverted: bool,
        end: usize,
    },
    /// Nothing: a comment, an end, a section without one.
    Void,
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

/// Reads a template once. A section ends with the next end of its name; those that are still open inside of it
/// have none.
fn parse(template: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    // Sections without an end so far, and how many of them bear a name.
    let mut open: Vec<(&str, bool, usize)> = Vec::new();
    let mut open_names: HashMap<&str, usize> = HashMap::new();
    let mut rest = template;
    while let Some((start, end, tag)) = next_tag(rest) {
        if start > 0 {
            parts.push(Part::Text(&rest[..start]));
        }
        match tag {
            Tag::Section { name, inverted } => {
                open.push((name, inverted, parts.len()));
                *open_names.entry(name).or_default() += 1;
            }
            Tag::End(name) if open_names.get(name).is_some_and(|count| *count > 0) => {
                while let Some((inner, inverted, at)) = open.pop() {
                    if let Some(count) = open_names.get_mut(inner) {
                        *count -= 1;
                    }
                    if inner == name {
                        let end = parts.len();
                        if let Some(section) = parts.get_mut(at) {
                            *section = Part::Section { name, inverted, end };
                        }
                        break;
                    }
                }
            }
            _ => {}
        }
        parts.push(match tag {
            Tag::Escaped(name) => Part::Escaped(name),
            Tag::Raw(name) => Part::Raw(name),
            Tag::Section { .. } | Tag::End(_) | Tag::Comment => Part::Void,
        });
        rest = &rest[end..];
    }
    parts.push(Part::Text(rest));
    parts
}

struct Writer<'p, 't> {
    parts: &'p [Part<'t>],
    escape: bool,
    out: String,
    steps: usize,
}

impl Writer<'_, '_> {
    fn write(&mut self, range: Range<usize>, depth: usize, scopes: &mut Vec<&Value>) {
        let parts = self.parts;
        let mut at = range.start;
        while let Some(part) = parts.get(at).filter(|_| at < range.end) {
            self.steps += 1;
            if self.steps > MAX_STEPS || self.out.len() > MAX_OUTPUT {
                return;
            }
            at += 1;
            match part {
                Part::Text(text) => self.out.push_str(text),
                Part::Escaped(name) if self.escape => {
                    push_escaped(&mut self.out, &text_of(look_up(scopes, name)));
                }
                Part::Escaped(name) | Part::Raw(name) => {
                    self.out.push_str(&text_of(look_up(scopes, name)));
                }
                // A section that is too deep shows its text as if it were none.
                Part::Section { name, inverted, end } if depth + 1 < MAX_DEPTH => {
                    self.write_section(at..*end, look_up(scopes, name), *inverted, depth + 1, scopes);
                    at = *end;
                }
                Part::Section { .. } | Part::Void => {}
            }
        }
    }

    fn write_section<'v>(
        &mut self,
        inner: Range<usize>,
        value: Option<&'v Value>,
        inverted: bool,
        depth: usize,
        scopes: &mut Vec<&'v Value>,
    ) {
        let items: &[Value] = match value {
            Some(Value::Array(items)) => items,
            Some(value) if is_truthy(value) => std::slice::from_ref(value),
            _ => &[],
        };
        if inverted {
            if items.is_empty() {
                self.write(inner, depth, scopes);
            }
            return;
        }
        for item in items {
            // Also counts for sections with nothing in them.
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return;
            }
            scopes.push(item);
            self.write(inner.clone(), depth, scopes);
            scopes.pop();
        }
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

    #[test]
    fn odd_sections() {
        let values = json!({"a": {"x": 1}, "b": {"x": 2}});
        assert_eq!(filled("{{#a}}{{#b}}{{x}}{{/a}}{{x}}{{/b}}.", &values), "1.");
        assert_eq!(filled("{{#a}}{{#a}}{{x}}{{/a}}{{/a}}{{/a}}{{x}}", &values), "1");
        assert_eq!(filled("{{/a}}{{^c}}y{{/c}}", &values), "y");
    }

    /// Nested, unfinished and multiplying sections take steps in proportion, or stop.
    #[test]
    fn templates_are_bounded() {
        let values = json!({"list": (0..100).collect::<Vec<_>>()});
        let nested = |open: &str, n: usize| format!("{}x{}", open.repeat(n), "{{/no}}".repeat(n));
        for n in [1_000, 100_000] {
            assert_eq!(filled(&nested("{{^no}}", n), &values), "x");
            assert_eq!(filled(&"{{#no}}".repeat(n), &values), "");
            assert_eq!(filled(&"{{^no}}x{{#other}}".repeat(n), &values).len(), n);
        }
        let multiplied = format!("{}x{}", "{{#list}}".repeat(5), "{{/list}}".repeat(5));
        assert!(filled(&multiplied, &values).len() <= MAX_OUTPUT + 1);
        let empty = format!("{}{}", "{{#list}}".repeat(30), "{{/list}}".repeat(30));
        assert_eq!(filled(&empty, &values), "");
    }
}
