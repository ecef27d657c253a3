//! One pattern, two dialects; and what neither says.

use crate::error::Result;
use crate::query::RegexConstraint;
use crate::query::evaluate::pattern::Rust;
use crate::query::regex::{Dialect, translate};

use super::Are;

fn to(dialect: &dyn Dialect, pattern: &str, options: &str) -> Result<String> {
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
        ("(?i)a", "", "(?i)a", "(?i)a"),
        ("(?im)^a", "i", "(?iw)^a", "(?im)^a"),
        ("(?sx)a . b", "", "a.b", "a(?s:.)b"),
        (r"\Q(?i)\E", "", r"\(\?i\)", r"\(\?i\)"),
    ] {
        assert_eq!(to(&Are, pattern, options).ok().as_deref(), Some(postgres), "{pattern}");
        assert_eq!(to(&Rust, pattern, options).ok().as_deref(), Some(rust), "{pattern}");
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
        ("a(?i)", ""),
        ("(?)a", ""),
        ("(?i", ""),
        (r"\0", ""),
        ("[b-a]", ""),
        (r"(?=(a))\1", ""),
        ("***=a", ""),
        ("***:a", ""),
        ("* * *=a", "x"),
        ("*a", ""),
        ("a**", ""),
        ("a++", ""),
        ("(*a)", ""),
        ("a|*", ""),
        ("^*", ""),
        (r"\b+", ""),
        ("(?=a)*", ""),
        ("a{3,2}", ""),
    ] {
        let error = to(&Are, pattern, options).expect_err(pattern);
        assert_eq!(error.code().map(|code| code.0), Some(102), "{pattern}");
    }
}

/// What made PostgreSQL compile for half a minute, or say that it is too complex.
#[test]
fn the_cost_is_counted_before_anything_is_compiled() {
    for pattern in [
        "(".repeat(8_000),
        format!("{}a{}", "(".repeat(120), ")".repeat(120)),
        "((a*){100}){10}".to_owned(),
        "(((a?){100}){100})".to_owned(),
        "((a{255}){255})".to_owned(),
        ".*".repeat(1_000),
        "a?".repeat(4_000),
        r"\b".repeat(200),
        "(?=a)".repeat(200),
        "(a*|b*)".repeat(200),
        "a".repeat(8_193),
    ] {
        for dialect in [&Are as &dyn Dialect, &Rust] {
            let error = to(dialect, &pattern, "").expect_err(&pattern);
            assert_eq!(error.code().map(|code| code.0), Some(102), "{pattern}");
        }
    }
}

#[test]
fn what_people_write_is_not_too_costly() {
    for pattern in [
        r"^(\w{1,63}\.){1,10}\w{2,63}$",
        "(a{1,100}){1,100}",
        r"^[\w.+-]+@[\w-]+(\.[\w-]+)*$",
        r"^(?=.*\d)(?=.*[a-z])(?=.*[A-Z])(?=.*[^\w\s]).{8,64}$",
        r"\bone\b.*?\btwo\b|a+?b*?c??d{1,2}?",
        r"\s*\d{1,3}(?:,\d{3})*(?:\.\d+)?\s*",
    ] {
        assert!(to(&Are, pattern, "").is_ok(), "{pattern}");
        let regex = RegexConstraint { pattern: pattern.to_owned(), options: String::new() };
        let rust = translate(&regex, &Rust).expect(pattern);
        let compiles = match rust.needs_backtracking {
            true => fancy_regex::Regex::new(&rust.pattern).is_ok(),
            false => ::regex::Regex::new(&rust.pattern).is_ok(),
        };
        assert!(compiles, "{}", rust.pattern);
    }
    let literal = format!(r"\Q{}\E", "x".repeat(8_000));
    assert!(to(&Are, &literal, "i").is_ok());
}

/// Twice the pattern is at most about twice the translation.
#[test]
fn translations_grow_with_their_patterns() {
    for part in [r"\s", r"[\S\W\D]", "(?<n>a)", r"[^\s\S\d\w]", "(a|b)", r"\Qa*\E", "a{1}", r"x\b"] {
        let length = |n: usize| to(&Are, &part.repeat(n), "").map(|out| out.len());
        let (once, twice) = (length(100).expect(part), length(200).expect(part));
        assert!(twice <= 2 * once + 64, "{part}: {once} {twice}");
    }
}
