use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::*;

const DIGITS: &str = "0123456789abcdef0123456789abcdef";

fn mentioned(names: &[&str], text: &str) -> Vec<String> {
    let mut references = References::to(names.iter().copied());
    references.look_at(text);
    let found = names.iter().enumerate().filter(|(index, _)| references.has(*index));
    found.map(|(_, name)| (*name).to_owned()).collect()
}

#[test]
fn every_form_of_address_is_a_mention() {
    let name = format!("{DIGITS}_my photo.png");
    let other = format!("{}_my photo.png", DIGITS.replace('0', "f"));
    for text in [
        format!("https://bucket.s3.amazonaws.com/pre_{DIGITS}_my%20photo.png"),
        format!("<img src=\"https://cdn.example.com/x/{DIGITS}_my+photo.png?v=1\">"),
        format!("files/app/{DIGITS}_my%20photo.png"),
        format!("({name})"),
        format!("{name}."),
        format!("{DIGITS}_thumb.jpg"),
        format!("prefix{name}suffix"),
        format!("{{\"a\":\"https:\\/\\/h\\/{DIGITS}_my photo.png\"}}"),
        format!("%3Cimg%20src%3D{DIGITS}_my%2520photo.png%3E"),
    ] {
        assert_eq!(mentioned(&[&name, &other], &text), std::slice::from_ref(&name), "{text}");
    }
    assert!(mentioned(&[&name], &DIGITS[..31]).is_empty());
    assert!(mentioned(&[&name], "").is_empty());
}

#[test]
fn private_and_nested_names_are_known_by_their_digits() {
    let name = format!("d/e/private-{DIGITS}_a.txt");
    assert_eq!(mentioned(&[&name], &format!("see {DIGITS}")), std::slice::from_ref(&name));
    assert_eq!(mentioned(&["d/e/a b.txt"], "x/e%2Fa%20b.txt"), ["d/e/a b.txt"]);
}

#[test]
fn preserved_names_of_any_length_are_found() {
    let names = ["a", "ab.c", "photo.png", "ünï cödé.txt", "seventeen-letters", "x/y/z.txt"];
    for name in names {
        assert!(mentioned(&names, &format!("…{name}…")).contains(&name.to_owned()), "{name}");
    }
    assert!(mentioned(&["photo.png", "b.txt"], "foto.png b-txt").is_empty());
    assert_eq!(mentioned(&["a&b.txt"], "<a href='/a&amp;b.txt'>"), ["a&b.txt"]);
    assert_eq!(mentioned(&["a b.txt"], "a&#32;b&period;txt"), ["a b.txt"]);
    assert_eq!(mentioned(&["😀.txt"], r"\ud83d\ude00.txt"), ["😀.txt"]);
    // Names that look escaped themselves.
    assert_eq!(mentioned(&["100%41.txt"], "files/app/100%2541.txt"), ["100%41.txt"]);
    assert_eq!(mentioned(&["100%41&b.txt"], "100%41&amp;b.txt"), ["100%41&b.txt"]);
}

#[test]
fn names_that_begin_alike_are_told_apart() {
    let long = |end: &str| format!("{}-{end}", "x".repeat(40));
    let names: Vec<String> = (0..500).map(|i| long(&format!("{i:03}.png"))).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(
        mentioned(&all, &format!("{} {}", names[17], names[400])),
        [names[17].clone(), names[400].clone()]
    );
}

#[test]
fn same_names_in_two_directories_are_both_kept() {
    assert_eq!(mentioned(&["d/a.txt", "e/a.txt"], "a.txt"), ["d/a.txt", "e/a.txt"]);
}

fn html(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_alphanumeric() { c.to_string() } else { format!("&#x{:x};", u32::from(c)) })
        .collect()
}

fn escaped(text: &str, how: u8) -> String {
    match how {
        0 => utf8_percent_encode(text, NON_ALPHANUMERIC).to_string(),
        1 => html(text),
        2 => serde_json::Value::from(text).to_string(),
        _ => text.to_owned(),
    }
}

proptest! {
    /// However a name is written, up to three layers deep, and whatever stands around it.
    #[test]
    fn property_of_any_spelling(
        name in r#"[\w.@ ~%&+"'\\#?()-]{1,60}"#,
        layers in proptest::collection::vec(0_u8..4, 0..3),
        before in ".{0,20}",
        after in "[ ,.;)<\"'/?]{0,10}",
    ) {
        let mut text = name.clone();
        for layer in &layers {
            text = escaped(&text, *layer);
        }
        let text = format!("{before} {text}{after}");
        prop_assert_eq!(mentioned(&[&name], &text), vec![name.clone()], "{}", text);
    }

    #[test]
    fn property_of_any_text(text in any::<Vec<u8>>(), names in proptest::collection::vec(".{0,40}", 0..20)) {
        let text = String::from_utf8_lossy(&text);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = mentioned(&names, &text);
        for name in &names {
            let plain = text.contains(essence(name));
            prop_assert!(!plain || found.iter().any(|found| found == name), "{:?} in {:?}", name, text);
        }
    }
}
