//! One pattern, two dialects; and what neither says.

use super::*;

fn to(dialect: Dialect, pattern: &str, options: &str) -> Result<String> {
    let regex = RegexConstraint { pattern: pattern.to_owned(), options: options.to_owned() };
    translate(&regex, dialect).map(|translated| translated.pattern)
}

#[test]
fn one_meaning_in_two_dialects() {
    for (pattern, options, postgres, rust) in [
        ("a.b", "", r"a[^\n\r\u2028\u2029]b", r"a[^\n\r\x{2028}\x{2029}]b"),
        ("a.b", "s", "a.b", "a(?s:.)b"),
        ("^a$", "im", "(?iw)^a$", "(?im)^a$"),
        (r"\Qa.b\E*", "", r"a\.b*", r"a\.b*"),
        (r"\Q\d", "", r"\\d", r"\\d"),
        ("a b # c\nd", "x", "abd", "abd"),
        (r"\d\W", "", "[0-9][^A-Za-z0-9_]", "[0-9][^A-Za-z0-9_]"),
        (r"[\w\-.]", "", r"[A-Za-z0-9_\u002d\u002e]", r"[A-Za-z0-9_\x{2d}\x{2e}]"),
        (r"[^\W_]", "", "(?:(?![_])[A-Za-z0-9_])", "[^_[^A-Za-z0-9_]]"),
        (r"(?<n>a)\k<n>", "", r"(a)(?:\1)", r"(a)(?:\1)"),
        (r"\x41\u0042\cA{2}", "", "AB\u{1}{2}", "AB\u{1}{2}"),
        (r"\ud83d\ude00", "", "😀", "😀"),
        ("a{,2}]", "", r"a\{,2\}\]", r"a\{,2\}\]"),
        (r"\/\z", "", "/z", "/z"),
    ] {
        assert_eq!(to(Dialect::Postgres, pattern, options).ok().as_deref(), Some(postgres), "{pattern}");
        assert_eq!(to(Dialect::Rust, pattern, options).ok().as_deref(), Some(rust), "{pattern}");
    }
}

#[test]
fn what_cannot_be_said_is_refused() {
    for (pattern, options) in [
        ("(a", ""),
        ("a)", ""),
        ("[a", ""),
        ("a\\", ""),
        (r"\1(a)", ""),
        ("a{1,300}", ""),
        (r"\p{L}", "u"),
        ("(?i:a)", ""),
        (r"\0", ""),
        ("[b-a]", ""),
        (r"(?=(a))\1", ""),
    ] {
        let error = to(Dialect::Postgres, pattern, options).expect_err(pattern);
        assert_eq!(error.code().map(|code| code.0), Some(102), "{pattern}");
    }
}
