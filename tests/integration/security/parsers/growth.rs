//! Hostile inputs of one, two and eight times a size, each kind in a process of its own whose memory and time are
//! limited: neither may grow faster than the input. Time is that of the processor, and the bound lies halfway
//! between linear and quadratic, so that a busy machine changes nothing.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::{PARSERS, conditions, expression, multipart, parameters, write};

/// Bytes of the smallest input of a kind.
const SIZE: usize = 48 * 1024;
/// Kilobytes of address space of the process, most of which its code and threads take.
const ADDRESS_SPACE: u32 = 3_000_000;
/// Seconds of processor time.
const CPU_SECONDS: u32 = 60;
/// Bytes that a parser may hold for each byte of input, and besides.
const MEMORY_PER_BYTE: usize = 400;
const MEMORY_BESIDES: usize = 16 << 20;
const KIND: &str = "PARSIMONY_FUZZ_KIND";

/// A kind of input: how it looks at a size, and who reads it.
struct Kind {
    name: &'static str,
    grow: fn(usize) -> Vec<u8>,
    feed: fn(&[u8]),
}

fn repeat(text: &str, size: usize) -> Vec<u8> {
    text.repeat(size / text.len()).into_bytes()
}

/// `a0,a1,a2,…`
fn numbered(size: usize, before: &str, after: &str) -> Vec<u8> {
    let mut out = String::new();
    for n in 0.. {
        out.push_str(&format!("{before}{n}{after}"));
        if out.len() > size {
            break;
        }
    }
    out.into_bytes()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn list(bytes: &[u8]) -> Vec<String> {
    text(bytes).split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn parser(name: &str) -> fn(&[u8]) {
    PARSERS.iter().find(|parser| parser.name == name).expect("a parser of that name").feed
}

fn names(size: usize) -> Vec<u8> {
    numbered(size, "a", ",")
}

fn operator(op: &str, bytes: &[u8]) {
    let members: Vec<Value> = list(bytes)
        .into_iter()
        .map(|id| json!({"__type": "Pointer", "className": "Other", "objectId": id}))
        .collect();
    write(json!({"r": {"__op": op, "objects": members}}));
}

const KINDS: &[Kind] = &[
    Kind {
        name: "include depth",
        grow: |n| repeat("a.", n),
        feed: |b| parameters("include", text(b).into()),
    },
    Kind { name: "include names", grow: names, feed: |b| parameters("include", text(b).into()) },
    Kind {
        name: "include pairs",
        grow: |n| numbered(n, "a.b", ","),
        feed: |b| parameters("include", text(b).into()),
    },
    Kind { name: "include array", grow: names, feed: |b| parameters("include", list(b).into()) },
    Kind { name: "keys", grow: names, feed: |b| parameters("keys", text(b).into()) },
    Kind { name: "keys depth", grow: |n| repeat("k.", n), feed: |b| parameters("keys", text(b).into()) },
    Kind { name: "excludeKeys", grow: names, feed: |b| parameters("excludeKeys", text(b).into()) },
    Kind { name: "order", grow: names, feed: |b| parameters("order", text(b).into()) },
    Kind { name: "groups", grow: |n| repeat("(", n), feed: expression },
    Kind { name: "look-arounds", grow: |n| repeat("(?=", n), feed: expression },
    Kind { name: "open names", grow: |n| repeat("(?<a", n), feed: expression },
    Kind { name: "references", grow: |n| numbered(n, "(?<n", ">a)\\k<n0>"), feed: expression },
    Kind { name: "quotations", grow: |n| repeat("\\Qa\\E", n), feed: expression },
    Kind { name: "classes", grow: |n| repeat("[\\S\\W", n), feed: expression },
    Kind { name: "braces", grow: |n| repeat("{1,2", n), feed: expression },
    Kind {
        name: "branches",
        grow: names,
        feed: |b| conditions(&json!({"$or": list(b).iter().map(|n| json!({n: 1})).collect::<Vec<_>>()})),
    },
    Kind { name: "$in", grow: names, feed: |b| conditions(&json!({"s": {"$in": list(b)}})) },
    Kind { name: "$all", grow: names, feed: |b| conditions(&json!({"o.a": {"$all": list(b)}})) },
    Kind {
        name: "fields",
        grow: names,
        feed: |b| conditions(&list(b).into_iter().map(|n| (n, Value::from(1))).collect::<Value>()),
    },
    Kind { name: "long key", grow: |n| repeat("a.", n), feed: |b| conditions(&json!({text(b) + "a": 1})) },
    Kind {
        name: "$text",
        grow: |n| repeat("a -b \"", n),
        feed: |b| conditions(&json!({"s": {"$text": {"$search": {"$term": text(b)}}}})),
    },
    Kind { name: "search term", grow: |n| numbered(n, "a", " -b "), feed: parser_of_terms },
    Kind { name: "AddRelation", grow: names, feed: |b| operator("AddRelation", b) },
    Kind { name: "RemoveRelation", grow: names, feed: |b| operator("RemoveRelation", b) },
    Kind {
        name: "AddUnique",
        grow: names,
        feed: |b| write(json!({"a": {"__op": "AddUnique", "objects": list(b)}})),
    },
    Kind {
        name: "Remove",
        grow: names,
        feed: |b| write(json!({"a": {"__op": "Remove", "objects": list(b)}})),
    },
    Kind {
        name: "Batch",
        grow: names,
        feed: |b| {
            let one = |id: String| json!({"__op": "AddRelation", "objects": [{"objectId": id}]});
            write(json!({"r": {"__op": "Batch", "ops": list(b).into_iter().map(one).collect::<Vec<_>>()}}));
        },
    },
    Kind {
        name: "written fields",
        grow: names,
        feed: |b| write(list(b).into_iter().map(|n| (n, Value::from(1))).collect()),
    },
    Kind {
        name: "dotted changes",
        grow: |n| numbered(n, "o.a", ","),
        feed: |b| write(list(b).into_iter().map(|n| (n, Value::from(1))).collect()),
    },
    Kind {
        name: "long boundary",
        grow: |n| repeat("-", n),
        feed: |b| multipart(&format!("multipart/form-data; boundary={}", text(b)), b),
    },
    Kind {
        name: "dashes",
        grow: |n| repeat("\r\n-----------------------", n),
        feed: |b| multipart(&format!("multipart/form-data; boundary={}", "-".repeat(70)), b),
    },
    Kind {
        name: "parts",
        grow: |n| repeat("--XX\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n", n),
        feed: |b| multipart("multipart/form-data; boundary=XX", b),
    },
    Kind {
        name: "part headers",
        grow: |n| [b"--XX\r\n".to_vec(), repeat("a: b\r\n", n)].concat(),
        feed: |b| multipart("multipart/form-data; boundary=XX", b),
    },
    Kind { name: "parameters", grow: |n| numbered(n, "a[b]=", "&"), feed: parser_of_queries },
    Kind { name: "brackets", grow: |n| repeat("[]", n), feed: parser_of_queries },
    Kind { name: "deep JSON", grow: |n| repeat("{\"a\":[", n), feed: parser_of_bodies },
    Kind {
        name: "live keys",
        grow: |n| numbered(n, "\"k", "\","),
        feed: |b| {
            let frame = format!(
                "{{\"op\":\"subscribe\",\"requestId\":1,\"query\":{{\"className\":\"A\",\"where\":{{}},\"keys\":[{}0]}}}}",
                text(b)
            );
            drop(parsimony::live_query::protocol::parse(&frame));
        },
    },
    Kind { name: "open sections", grow: |n| numbered(n, "{{#a", "}}"), feed: parser_of_templates },
    Kind { name: "inverted sections", grow: |n| repeat("{{^n}}", n), feed: parser_of_templates },
    Kind { name: "open braces", grow: |n| repeat("{{{", n), feed: parser_of_templates },
    Kind { name: "tags of a header", grow: |n| repeat("W/\"x\",", n), feed: parser_of_headers },
    Kind { name: "comments in a date", grow: |n| repeat("(", n), feed: parser_of_headers },
    Kind { name: "dots in a path", grow: |n| repeat("/../a", n), feed: parser_of_paths },
];

fn parser_of_terms(bytes: &[u8]) {
    parser("search term")(bytes);
}

fn parser_of_queries(bytes: &[u8]) {
    parser("query string")(bytes);
}

fn parser_of_bodies(bytes: &[u8]) {
    parser("JSON body")(bytes);
}

fn parser_of_templates(bytes: &[u8]) {
    parser("template")(bytes);
}

fn parser_of_headers(bytes: &[u8]) {
    parser("range and conditions")(bytes);
}

fn parser_of_paths(bytes: &[u8]) {
    parser("paths and file names")(bytes);
}

/// Time of this thread on a processor.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells");
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

/// The most memory that this process ever held.
fn peak() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line of it");
    1024 * line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number")
}

/// The least of three runs, in which nothing else was counted.
fn time_of(kind: &Kind, input: &[u8]) -> Duration {
    let run = |_| {
        let before = cpu();
        (kind.feed)(input);
        cpu().saturating_sub(before)
    };
    (0..3).map(run).min().unwrap_or_default()
}

fn examine(kind: &Kind) {
    let [once, twice, eight] = [1, 2, 8].map(|factor| (kind.grow)(factor * SIZE));
    let before = peak();
    let small = time_of(kind, &once);
    (kind.feed)(&twice);
    let large = time_of(kind, &eight);
    let held = peak() - before;
    assert!(held <= MEMORY_BESIDES + MEMORY_PER_BYTE * eight.len(), "{} holds {held} bytes", kind.name);
    let bound = 24 * small + Duration::from_millis(50);
    assert!(large <= bound, "{}: {small:?}, and {large:?} for eight times as much", kind.name);
}

/// Run by [`work_grows_no_faster_than_the_input`], which names a kind.
#[test]
#[ignore = "runs in a process of its own"]
fn one_kind() {
    let Ok(name) = std::env::var(KIND) else { return };
    examine(KINDS.iter().find(|kind| kind.name == name).expect("a kind of that name"));
}

#[test]
fn work_grows_no_faster_than_the_input() {
    let program = std::env::current_exe().expect("this program");
    let limited = format!("ulimit -v {ADDRESS_SPACE}; ulimit -t {CPU_SECONDS}; exec \"$0\" \"$@\"");
    let test = format!("{}::one_kind", module_path!().split_once("::").expect("a path").1);
    let mut failures = Vec::new();
    for kind in KINDS {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&limited).arg(&program);
        command.args(["--exact", &test, "--ignored", "--nocapture", "--test-threads=1"]).env(KIND, kind.name);
        let output = command.output().expect("sh runs");
        let said = text(&output.stdout);
        if !output.status.success() || !said.contains("1 passed") {
            failures.push(format!("{}: {}\n{said}{}", kind.name, output.status, text(&output.stderr)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
