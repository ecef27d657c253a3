//! Languages: which one a request asks for, and translations from a JSON resource in i18next form.

use serde_json::{Map, Value};

use super::PageRequest;
use crate::error::{Error, Result};
use crate::mail::template::fill;
use crate::types::Object;

/// `en`, `de-AT`, `zh-Hans-CN`; nothing else, so that it can name a folder.
pub fn is_valid(locale: &str) -> bool {
    let mut parts = locale.split('-');
    let language = parts.next().is_some_and(|language| {
        (2..=3).contains(&language.len()) && language.bytes().all(|b| b.is_ascii_alphabetic())
    });
    language
        && parts.all(|part| (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// From query, body, the parameters of a path, or the header, in this order.
pub fn of(request: &PageRequest, in_path: &Object) -> Option<String> {
    let text = |object: &Object| {
        object.get("locale").and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let locale = text(&request.query)
        .or_else(|| text(&request.body))
        .or_else(|| text(in_path))
        .or_else(|| request.locale_header.clone());
    locale.filter(|locale| is_valid(locale))
}

/// The translation for a locale, its language or the fallback, with the page's parameters filled in.
///
/// # Errors
/// `Internal` when the resource cannot be read.
pub async fn translation(
    file: &str,
    locale: Option<&str>,
    fallback: &str,
    params: &Object,
) -> Result<Map<String, Value>> {
    let json = tokio::fs::read(file).await.map_err(Error::internal)?;
    let resource: Value = serde_json::from_slice(&json).map_err(Error::internal)?;
    let locale = locale.unwrap_or(fallback);
    let language = locale.split('-').next().unwrap_or(locale);
    let found = [locale, language, fallback].into_iter().find_map(|name| resource.get(name));
    let texts = found.and_then(|found| found.get("translation")).and_then(Value::as_object);
    let filled = texts.into_iter().flatten().map(|(key, value)| {
        let value = match value {
            Value::String(text) => fill(text, params, false).into(),
            other => other.clone(),
        };
        (key.clone(), value)
    });
    Ok(filled.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales() {
        for good in ["en", "de-AT", "zh-Hans-CN", "fil"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "e", "en_US", "../x", "en-", "english", "de-A"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
