//! Text in addresses, as JavaScript and RFC 3986 escape it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

/// What RFC 3986 calls unreserved stays.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What `encodeURIComponent` leaves alone.
const COMPONENT: &AsciiSet = &UNRESERVED.remove(b'!').remove(b'*').remove(b'\'').remove(b'(').remove(b')');

/// JavaScript's `encodeURIComponent`.
pub fn encode_component(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, COMPONENT)
}

/// All but the unreserved characters of RFC 3986.
pub fn encode_reserved(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, UNRESERVED)
}

#[cfg(test)]
mod tests {
    use super::{encode_component, encode_reserved};

    #[test]
    fn as_javascript_and_the_standard_have_it() {
        assert_eq!(encode_component("a b/ü%@~!*'()-_.").to_string(), "a%20b%2F%C3%BC%25%40~!*'()-_.");
        assert_eq!(encode_reserved("a b/~!*'()-_.").to_string(), "a%20b%2F~%21%2A%27%28%29-_.");
    }
}
