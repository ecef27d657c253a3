use super::*;
use crate::graphql::language::ast::{Definition, Selection, ValueKind};
use crate::graphql::language::location;

fn error(source: &str) -> (String, (u32, u32)) {
    let error = parse(source).map(|_| ()).unwrap_err();
    (error.message, location(source, error.at))
}

#[test]
fn what_is_no_document_is_told_in_the_words_of_graphql_js() {
    let cases = [
        ("{", "Syntax Error: Expected Name, found <EOF>.", (1, 2)),
        ("", "Syntax Error: Unexpected <EOF>.", (1, 1)),
        (
            "{ ...MissingOn }\nfragment MissingOn Type",
            "Syntax Error: Expected \"on\", found Name \"Type\".",
            (2, 20),
        ),
        ("{ field: {} }", "Syntax Error: Expected Name, found \"{\".", (1, 10)),
        ("notAnOperation Foo { field }", "Syntax Error: Unexpected Name \"notAnOperation\".", (1, 1)),
        ("...", "Syntax Error: Unexpected \"...\".", (1, 1)),
        ("{ \"\"", "Syntax Error: Expected Name, found String \"\".", (1, 3)),
        (
            "query Foo($x: Complex = { a: { b: [ $var ] } }) { field }",
            "Syntax Error: Unexpected variable \"$var\" in constant value.",
            (1, 37),
        ),
        ("fragment on on on { on }", "Syntax Error: Unexpected Name \"on\".", (1, 10)),
        ("{ a(b: 01) }", "Syntax Error: Invalid number, unexpected digit after 0: \"1\".", (1, 9)),
        ("{ a ? }", "Syntax Error: Unexpected character: \"?\".", (1, 5)),
        ("{ a(b: \"x) }", "Syntax Error: Unterminated string.", (1, 13)),
        ("{ a(b: \"\\z\") }", "Syntax Error: Invalid character escape sequence: \"\\z\".", (1, 9)),
    ];
    for (source, message, at) in cases {
        assert_eq!(error(source), (message.to_owned(), at), "{source}");
    }
}

#[test]
fn deep_documents_are_refused_and_end() {
    let deep = format!("{}{}", "{a".repeat(100_000), "}".repeat(100_000));
    assert!(error(&deep).0.ends_with("nested too deeply."));
    let deep = format!("{{a(b:{}{})}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(error(&deep).0.ends_with("nested too deeply."));
}

#[test]
fn columns_count_utf_16_units() {
    let source = "# \u{1f600}\n{ a(b: \"\u{1f600}\") ? }";
    assert_eq!(error(source).1, (2, 14));
}

#[test]
fn block_strings_lose_the_indentation_they_share() {
    let document = parse("{ a(b: \"\"\"\n    one\n      two\n    \"\"\") }").unwrap();
    let Some(Definition::Operation(operation)) = document.definitions.first() else { panic!() };
    let Some(Selection::Field(field)) = operation.selection.items.first() else { panic!() };
    let Some(ValueKind::Text { text, .. }) = field.arguments.first().map(|a| &a.value.kind) else { panic!() };
    assert_eq!(text, "one\n  two");
}

#[test]
fn operations_fragments_and_variables_begin_with_their_descriptions() {
    let source =
        "\"of it\" query Q(\"\"\"how many\"\"\" $a: Int, $b: Int) { a }\n\"more\" fragment F on A { b }";
    let document = parse(source).unwrap();
    let mut starts = Vec::new();
    for definition in &document.definitions {
        match definition {
            Definition::Operation(operation) => {
                starts.push(location(source, operation.at));
                starts.extend(operation.variables.iter().map(|variable| location(source, variable.at)));
            }
            Definition::Fragment(fragment) => starts.push(location(source, fragment.at)),
            _ => {}
        }
    }
    assert_eq!(starts, [(1, 1), (1, 17), (1, 41), (2, 1)]);
    assert_eq!(error("query Q(\"x\" a: Int) { a }").0, "Syntax Error: Expected \"$\", found Name \"a\".");
}
