//! Every parser that sees a client's bytes: whatever they are, it neither panics nor does work that grows faster
//! than they do.
//!
//! `PARSIMONY_FUZZ_CASES` says how many inputs all parsers get together.

mod doors;
mod growth;

use std::sync::Arc;

use futures_util::FutureExt;
use parsimony::files::range::{Conditions, Wanted};
use parsimony::files::{FileInfo, mime, name};
use parsimony::http::parsers::{parse_flat, parse_json, parse_multipart, parse_nested};
use parsimony::live_query::matching::ring::EventId;
use parsimony::live_query::protocol;
use parsimony::mail::template;
use parsimony::operations::ClassSnapshot;
use parsimony::operations::object::batch;
use parsimony::operations::object::read::keyset::Paging;
use parsimony::operations::object::write::stages::{Checked, Draft, Times};
use parsimony::operations::object::write::{ops, statement};
use parsimony::pages::locale;
use parsimony::query::evaluate::pattern::Rust;
use parsimony::query::regex::translate;
use parsimony::query::relative_time;
use parsimony::query::term::Term;
use parsimony::query::{
    FindRequest, GetRequest, ParseContext, QueryLimits, RegexConstraint, evaluate as eval, operand,
    parse_where,
};
use parsimony::storage::postgres::query::pattern::Are;
use parsimony::storage::postgres::query::text::{case_pattern, web_searches};
use parsimony::types::time::Millis;
use parsimony::types::{Acl, ClassName, ClassSchema, Field, FieldName, FieldType, ObjectId};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

/// Inputs of all parsers together, unless the environment says otherwise.
const CASES: u32 = 10_000;

/// A parser, the words of its language, and what it makes of an input.
pub struct Parser {
    pub name: &'static str,
    words: &'static [&'static str],
    pub feed: fn(&[u8]),
}

pub const PARSERS: &[Parser] = &[
    Parser {
        name: "query string",
        words: &["a", "=", "&", "[", "]", "[]", "%", "%5B", "+", "[0]", "[b]", "where"],
        feed: |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let _ = (parse_nested(&text), parse_flat(&text));
        },
    },
    Parser { name: "JSON body", words: JSON, feed: |bytes| drop(parse_json(&text(bytes))) },
    Parser {
        name: "multipart",
        words: &[
            "--XX",
            "\r\n",
            "\r\n\r\n",
            "--",
            "Content-Disposition: form-data; name=\"a\"",
            "; filename=\"b\"",
            "Content-Type: text/plain",
            "\"",
            "\\",
            ";",
            "x",
        ],
        feed: |bytes| multipart("multipart/form-data; boundary=XX", bytes),
    },
    Parser {
        name: "multipart type",
        words: &["multipart/form-data", ";", "boundary", "=", "XX", "\"", " ", ",", "/", "\\"],
        feed: |bytes| multipart(&text(bytes), b"--XX\r\n\r\n\r\n--XX--"),
    },
    Parser { name: "where", words: JSON, feed: |bytes| conditions(&json_of(bytes)) },
    Parser {
        name: "where of one field",
        words: JSON,
        feed: |bytes| conditions(&json!({ "s": json_of(bytes), "o.a": json_of(bytes) })),
    },
    Parser {
        name: "names",
        words: &["a", ",", ".", "*", "-", " ", "$score", "objectId", "authData", "id", "_created_at"],
        feed: |bytes| {
            for key in ["keys", "excludeKeys", "include", "order"] {
                parameters(key, Value::from(text(bytes)));
            }
        },
    },
    Parser {
        name: "regular expression",
        words: &[
            "(", ")", "(?:", "(?=", "(?<!", "(?<n>", "\\k<n>", "\\1", "[", "]", "^", "-", "{", "1", ",", "}",
            "*", "+", "?", "|", "\\Q", "\\E", "\\", "\\u", "\\x4", "\\d", "\\S", "***=", "***:", "#", ".",
            "$", "a",
        ],
        feed: expression,
    },
    Parser {
        name: "search term",
        words: &["a", "\"", "-", " ", "b", "\\", "é"],
        feed: |bytes| {
            let term = Term::parse(&text(bytes));
            let _ = (web_searches(&term), case_pattern(&term), term.matches("a b \"a\" é", false));
        },
    },
    Parser {
        name: "times",
        words: &[
            "in ", " ago", "1", "-", "days", "e3", " ", "now", "T", ":", "Z", "2020", "+", ".", "01", "-4800",
        ],
        feed: |bytes| {
            let text = text(bytes);
            let _ = relative_time(&text, Millis(0));
            if let Some(at) = Millis::parse(&text) {
                assert!(!Millis::is_out_of_range(&text));
                let _ = at.to_iso();
            }
        },
    },
    Parser { name: "write", words: JSON, feed: |bytes| write(json_of(bytes)) },
    Parser {
        name: "write of one field",
        words: JSON,
        feed: |bytes| write(json!({ "s": json_of(bytes), "r": json_of(bytes), "o.a": json_of(bytes) })),
    },
    Parser { name: "live query frame", words: JSON, feed: |bytes| drop(protocol::parse(&text(bytes))) },
    Parser {
        name: "ids and cursors",
        words: &["a", "-", ".", "0", "18446744073709551616", "W10", "WzFd", "="],
        feed: |bytes| {
            let text = text(bytes);
            let _ = EventId::parse(&text);
            let mut params = Map::new();
            params.insert("after".to_owned(), text.into());
            let _ = Paging::take(&mut params);
        },
    },
    Parser {
        name: "template",
        words: &["{{", "}}", "{{{", "}}}", "{{#l}}", "{{/l}}", "{{^n}}", "{{/n}}", "{{!", "&", ".", "x", " "],
        feed: |bytes| {
            let values = json!({"l": [1, {"x": "<"}], "x": {"x": [[]]}, "n": null});
            let _ = template::fill(&text(bytes), values.as_object().expect("an object"), true);
        },
    },
    Parser {
        name: "range and conditions",
        words: &[
            "bytes",
            "=",
            "-",
            "0",
            "9",
            ",",
            "W/",
            "\"",
            "*",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            " ",
            "(",
        ],
        feed: headers,
    },
    Parser {
        name: "paths and file names",
        words: &["/", "..", ".", "a", "parse", "%", "\\", "\0", "~", ".html", "é", "_", "=", ";", "image/"],
        feed: |bytes| {
            let text = text(bytes);
            assert!(batch::normalized(&text).starts_with('/'));
            let _ = (name::validate(&text), name::validate_directory(&text), mime::extension(&text));
            let _ = (name::stored(&text, Some(&text), true, None), name::check_stored(&text));
            let _ =
                (mime::type_of(&text), mime::essence(&text), mime::extension_of(&text), mime::sniff(bytes));
            let _ = parsimony::files::rules::parse_size(&text);
        },
    },
    Parser {
        name: "identifiers",
        words: &["a", "_", "1", ".", "_Join:", ":", "$", "en", "-", "é", "\"", "\0"],
        feed: |bytes| {
            let text = text(bytes);
            let _ = (ClassName::parse(&text), FieldName::parse(&text), FieldName::internal(&text));
            let _ = (statement::path_of(&text), locale::is_valid(&text));
        },
    },
    Parser {
        name: "values",
        words: JSON,
        feed: |bytes| {
            let value = json_of(bytes);
            let _ = (Acl::from_json(&value), operand(&value).to_json(), ops::infer_type(&value));
        },
    },
];

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\",
    "null",
    "true",
    "1",
    "-1e308",
    "\"a\"",
    "\"s\"",
    "\"o.a\"",
    "\"$or\"",
    "\"$in\"",
    "\"$all\"",
    "\"$regex\"",
    "\"$options\"",
    "\"(a\"",
    "\"$text\"",
    "\"$search\"",
    "\"$term\"",
    "\"$inQuery\"",
    "\"className\"",
    "\"where\"",
    "\"$select\"",
    "\"query\"",
    "\"key\"",
    "\"$relativeTime\"",
    "\"__type\"",
    "\"Date\"",
    "\"iso\"",
    "\"-4800-01-01T00:00:00Z\"",
    "\"Pointer\"",
    "\"objectId\"",
    "\"Polygon\"",
    "\"coordinates\"",
    "\"$geoWithin\"",
    "\"$polygon\"",
    "\"$relatedTo\"",
    "\"__op\"",
    "\"Increment\"",
    "\"amount\"",
    "\"Add\"",
    "\"objects\"",
    "\"AddRelation\"",
    "\"Batch\"",
    "\"ops\"",
    "\"Delete\"",
    "\"ACL\"",
    "\"op\"",
    "\"subscribe\"",
    "\"connect\"",
    "\"requestId\"",
    "\"keys\"",
    "\"resumeAfter\"",
    "\"applicationId\"",
    " ",
    "\u{0}",
    "\\u0000",
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The input as JSON; what is none becomes a list of its words, so that most inputs say something.
fn json_of(bytes: &[u8]) -> Value {
    let text = text(bytes);
    serde_json::from_str(&text).unwrap_or_else(|_| {
        let words: Vec<&str> = text.split('"').filter(|word| !word.is_empty()).collect();
        words.iter().rev().fold(Value::Null, |inner, word| {
            if word.len() % 3 == 0 { json!([inner, word]) } else { json!({ *word: inner }) }
        })
    })
}

fn multipart(content_type: &str, body: &[u8]) {
    // Nothing is waited for, since all bytes are there.
    let parsed = parse_multipart(content_type, body.to_vec().into()).now_or_never();
    drop(parsed.expect("never waits"));
}

fn schema() -> ClassSchema {
    let mut schema = ClassSchema::with_defaults(ClassName::known("Thing"));
    let target = ClassName::known("Other");
    for (name, ty) in [("s", FieldType::String), ("o", FieldType::Object), ("r", FieldType::Relation(target))]
    {
        schema.fields.insert(FieldName::known(name), Field::of(ty));
    }
    schema
}

fn contexts(schema: &ClassSchema) -> [ParseContext<'_>; 2] {
    let client = QueryLimits { query_depth: Some(3), include_depth: Some(2), ..QueryLimits::NONE };
    [(false, client), (true, QueryLimits::NONE)].map(|(is_master, limits)| ParseContext {
        is_master,
        limits,
        now: Millis(0),
        schema: Some(schema),
    })
}

fn conditions(value: &Value) {
    let schema = schema();
    for ctx in contexts(&schema) {
        if let Ok(filter) = parse_where(value, &ctx) {
            let object = json!({"s": "a", "o": {"a": [1, "a"]}});
            let _ = eval::matches(&filter, object.as_object().expect("an object"));
        }
    }
}

fn parameters(key: &str, value: Value) {
    let schema = schema();
    let mut params = Map::new();
    params.insert(key.to_owned(), value);
    for ctx in contexts(&schema) {
        if let Ok(found) = FindRequest::parse(&params, Some(100), None, &ctx) {
            assert!(found.projection.include.len() <= 1_000 && found.order.len() <= 100);
        }
        let _ = GetRequest::parse(&params, &ctx);
    }
}

fn expression(bytes: &[u8]) {
    let pattern = text(bytes);
    for options in ["", "x", "su"] {
        let regex = RegexConstraint { pattern: pattern.clone(), options: options.to_owned() };
        if let Ok(translated) = translate(&regex, &Are) {
            assert!(!translated.pattern.starts_with("***"), "a director: {pattern}");
            assert!(translated.pattern.len() <= 200 * pattern.len() + 16, "{pattern}");
        }
        let _ = translate(&regex, &Rust);
    }
    if pattern.len() <= 64 {
        conditions(&json!({"s": {"$regex": pattern}}));
    }
}

fn write(value: Value) {
    let schema = schema();
    let Value::Object(data) = value else { return };
    if ops::check_size(&data).is_err() {
        return;
    }
    let class = schema.name.clone();
    for value in data.values() {
        let _ = ops::infer_type(value);
    }
    let id = ObjectId::new("x").expect("an id");
    let config = parsimony::config::AppConfig::for_tests(json!({}));
    let class_now = Arc::new(ClassSnapshot::build(schema, &config, 0));
    let times = || Times { created: None, updated: String::new() };
    let checked = |draft| Checked { draft, class: class_now.clone(), times: times(), adds_field: false };
    for lends in [true, false] {
        let mut draft = Draft::create(class.clone(), data.clone());
        if let Ok(insert) = statement::insert(&mut draft, &class_now.schema, &times(), lends) {
            insert.loan.end(insert.row, &mut draft.data);
        }
        // What was lent comes back, and nothing is taken by what is refused; permissions go to the end.
        assert_eq!(draft.data, data);
    }
    let _ = statement::change(&checked(Draft::update(class, id, data)), None);
}

fn headers(bytes: &[u8]) {
    let text = text(bytes);
    if let Some(wanted) = Wanted::parse(&text) {
        let _ = wanted.resolve(10);
    }
    let modified = Some(std::time::UNIX_EPOCH);
    let info = FileInfo { size: 1, content_type: None, etag: Some("a".into()), modified };
    let header = Some(text.as_str());
    let all = Conditions {
        if_match: header,
        if_none_match: header,
        if_modified_since: header,
        if_unmodified_since: header,
        if_range: header,
    };
    let _ = (all.evaluate(&info), all.range_applies(&info));
    let dates = Conditions { if_match: None, if_none_match: None, ..all };
    let _ = dates.evaluate(&info);
}

/// Words of the language, bytes of any kind, and the two mixed.
fn input(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec());
    let noise = prop::collection::vec(any::<u8>(), 0..4);
    let part = prop_oneof![12 => word, 1 => noise];
    prop::collection::vec(part, 0..32).prop_map(|parts| parts.concat())
}

#[test]
fn no_input_panics() {
    let wanted = std::env::var("PARSIMONY_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok());
    let cases = wanted.unwrap_or(CASES).div_ceil(PARSERS.len() as u32);
    for parser in PARSERS {
        let config = Config { cases, failure_persistence: None, ..Config::default() };
        let outcome = TestRunner::new(config).run(&input(parser.words), |bytes| {
            (parser.feed)(&bytes);
            Ok(())
        });
        if let Err(error) = outcome {
            panic!("{}: {error}", parser.name);
        }
    }
}
