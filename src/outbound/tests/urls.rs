//! Whatever name, value or URL comes: no panic, and nothing that ends a line of a request.

use proptest::prelude::*;

use crate::outbound::request::{Origin, Request, parse, without_credentials};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z:/?#@\\[\\]%\\\\ \r\n\t\0.0-9]{0,40}",
        "https?://[^/]{0,20}/.{0,20}",
        "http://a/\r\nx: y",
    ]
}

proptest! {
    #[test]
    fn urls_are_refused_or_fit_in_one_line(url in text(), key in text(), value in text()) {
        if let Ok(parsed) = parse(&url) {
            for origin in [Origin::Server, Origin::Client] {
                let Ok((address, credentials)) = without_credentials(parsed.clone(), origin) else { continue };
                let line = address.to_string();
                prop_assert!(line.bytes().all(|byte| byte > b' ' && byte != 0x7f), "{line:?}");
                prop_assert!(!line.contains('@') || credentials.is_none() || address.authority().is_some_and(|a| !a.as_str().contains('@')));
                prop_assert!(address.host().is_some_and(|host| !host.is_empty()));
            }
        }
        if let Ok(queried) = Request::get(&url).query(&[(&key, &value)]).url {
            prop_assert!(queried.as_str().bytes().all(|byte| byte > b' ' && byte < 0x7f));
        }
    }

    #[test]
    fn headers_are_refused_or_fit_in_one_line(value in text()) {
        let one = Request::get("http://a/").text_header(http::header::COOKIE, &value).headers;
        let two = Request::get("http://a/").bearer(&value).headers;
        for headers in [one, two].into_iter().flatten() {
            for value in headers.values() {
                prop_assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
            }
        }
    }
}
