//! Who gets which text: `alert-<locale>` and `title-<locale>`, and badges that differ from device to device.

use serde_json::Value;

use crate::types::Object;

const LOCALISED: &[&str] = &["alert", "title"];

/// The data of a push in each of its languages.
#[derive(Clone, Debug)]
pub struct Texts {
    /// As they were given; the first that an installation's locale begins with counts.
    locales: Vec<(String, Object)>,
    default: Object,
}

impl Texts {
    pub fn of(data: &Object) -> Self {
        let mut locales: Vec<String> = Vec::new();
        for key in data.keys() {
            for name in LOCALISED {
                let locale = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
                if let Some(locale) = locale
                    && !locales.iter().any(|known| known == locale)
                {
                    locales.push(locale.to_owned());
                }
            }
        }
        let mut default = data.clone();
        default.retain(|key, _| {
            !LOCALISED.iter().any(|name| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('-')))
        });
        let in_locale = |locale: String| {
            let mut own = default.clone();
            for name in LOCALISED {
                let text = data.get(&format!("{name}-{locale}"));
                if let Some(text) = text.filter(|text| crate::types::javascript::is_truthy(text)) {
                    own.insert((*name).to_owned(), text.clone());
                }
            }
            (locale, own)
        };
        let locales = locales.into_iter().map(in_locale).collect();
        Self { locales, default }
    }

    /// Which text an installation gets; `None`: the default.
    pub fn choose(&self, locale: Option<&str>) -> Option<usize> {
        let locale = locale.filter(|locale| !locale.is_empty())?;
        self.locales.iter().position(|(known, _)| locale.starts_with(known.as_str()))
    }

    /// The data in this language, with this badge.
    pub fn data(&self, choice: Option<usize>, badge: Option<f64>) -> Object {
        let chosen =
            choice.and_then(|choice| self.locales.get(choice)).map_or(&self.default, |(_, data)| data);
        let mut data = chosen.clone();
        if let Some(badge) = badge {
            data.insert("badge".to_owned(), whole(badge));
        }
        data
    }
}

/// `parseInt`.
fn whole(number: f64) -> Value {
    Value::from(number.trunc() as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_locale_that_fits_counts() {
        let data = json!({"alert": "hi", "alert-fr": "salut", "title-fr": "t", "alert-pt-BR": "oi", "alert-pt": "olá", "x": 1});
        let texts = Texts::of(data.as_object().unwrap());
        let of = |locale| Value::Object(texts.data(texts.choose(locale), None));
        assert_eq!(of(None), json!({"alert": "hi", "x": 1}));
        assert_eq!(of(Some("fr-CA")), json!({"alert": "salut", "x": 1, "title": "t"}));
        assert_eq!(of(Some("pt-BR")), json!({"alert": "oi", "x": 1}));
        assert_eq!(of(Some("pt-PT")), json!({"alert": "olá", "x": 1}));
        assert_eq!(of(Some("de")), json!({"alert": "hi", "x": 1}));
        assert_eq!(texts.data(None, Some(3.0)).get("badge"), Some(&json!(3)));
    }
}
