//! The small part of Mustache that mails and pages need: `{{name}}` escaped for HTML, `{{{name}}}` and
//! `{{&name}}` as it is. Unknown names are empty.

use serde_json::{Map, Value};

/// Fills the placeholders; `escape` writes double-braced values for HTML.
pub fn fill(template: &str, values: &Map<String, Value>, escape: bool) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        let (before, tail) = rest.split_at(start);
        out.push_str(before);
        let raw = tail.starts_with("{{{");
        let (open, close) = if raw { ("{{{", "}}}") } else { ("{{", "}}") };
        let Some(end) = tail.find(close) else {
            out.push_str(tail);
            return out;
        };
        let name = tail[open.len()..end].trim();
        let (name, raw) = match name.strip_prefix('&') {
            Some(name) => (name.trim(), true),
            None => (name, raw),
        };
        let value = text_of(values.get(name));
        if escape && !raw {
            push_escaped(&mut out, &value)
        } else {
            out.push_str(&value)
        }
        rest = &tail[end + close.len()..];
    }
    out.push_str(rest);
    out
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

    #[test]
    fn fills_and_escapes() {
        let values = json!({"a": "<b>", "n": 3}).as_object().cloned().unwrap_or_default();
        assert_eq!(fill("x {{a}} {{ n }} {{{a}}} {{&a}} {{no}}.", &values, true), "x &lt;b&gt; 3 <b> <b> .");
        assert_eq!(fill("{{a}}", &values, false), "<b>");
        assert_eq!(fill("open {{a", &values, true), "open {{a");
    }
}
