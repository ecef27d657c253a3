//! Holds the source to `docs/ARCHITECTURE.md`: dependencies point downwards only, files stay small,
//! nothing names the machine it was written on.

#[path = "support/paths.rs"]
mod paths;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use paths::{Code, tokens};

/// Each module of `src/` and what it may name. A module that is not listed here has no place yet:
/// decide on one. `server` composes, so it may name everything.
const LAYERS: &[(&str, &[&str])] = &[
    ("error", &[]),
    // Whom the process trusts, for every client of TLS.
    ("tls", &["error"]),
    // Counters, which every layer may own and which name nobody.
    ("metrics", &[]),
    ("types", &["error"]),
    ("query", &["types", "error"]),
    // Made out of class schemas, for clients.
    ("clients", BASE),
    ("config", BASE),
    // `files` for the trait of file stores: a database may be one.
    ("storage", &join(&["query", "config", "files", "pubsub", "tls", "metrics"], BASE)),
    // `outbound` for what lies behind HTTP: webhooks, keys of login providers.
    ("cloud", &join(&["outbound"], CONFIGURED)),
    ("auth", &join(&["outbound"], CONFIGURED)),
    ("files", &join(&["outbound"], CONFIGURED)),
    ("mail", CONFIGURED),
    // A process of this server, whom `http` speaks for.
    ("dashboard", CONFIGURED),
    ("push", &join(&["outbound"], CONFIGURED)),
    ("cache", CONFIGURED),
    ("pubsub", CONFIGURED),
    ("outbound", CONFIGURED),
    ("logging", CONFIGURED),
    // From one database into another; opened by `server`.
    ("migrate", TRAITS),
    ("operations", TRAITS),
    // What live queries mean; the owners of classes hold it.
    ("live_query", &join(&["operations"], TRAITS)),
    ("actors", &join(&["operations", "live_query"], TRAITS)),
    ("sockets", &join(&["operations", "live_query", "actors"], TRAITS)),
    ("app", &join(&["operations", "actors"], TRAITS)),
    // The REST surface; the transport in front of it is `http`.
    ("rest", &join(&["operations", "actors", "app", "clients"], TRAITS)),
    // Other front doors. The pages know no HTTP library and are called through `http`.
    ("graphql", &join(&["operations", "actors", "app"], TRAITS)),
    ("pages", &join(&["operations", "actors", "app"], TRAITS)),
    (
        "http",
        &join(&["graphql", "pages", "rest", "sockets", "operations", "actors", "app", "dashboard"], TRAITS),
    ),
    ("main", &["server", "logging", "config", "error"]),
];

const BASE: &[&str] = &["types", "error"];
const CONFIGURED: &[&str] = &["config", "tls", "metrics", "types", "error"];
const TRAITS: &[&str] = &[
    "storage", "cloud", "auth", "files", "mail", "push", "cache", "pubsub", "outbound", "logging", "config",
    "query", "tls", "metrics", "types", "error",
];

/// Pads with repetitions of the first, so that the lengths need no counting.
const fn join<const A: usize>(own: &[&'static str; A], below: &[&'static str]) -> [&'static str; 26] {
    let mut all = [own[0]; 26];
    let mut i = 0;
    while i < A {
        all[i] = own[i];
        i += 1;
    }
    while i < A + below.len() {
        all[i] = below[i - A];
        i += 1;
    }
    all
}

/// Paths that only these modules may name, apart from whoever owns them.
const OWNED: &[(&[&str], &str)] = &[(&["storage", "postgres"], "server"), (&["storage", "mongo"], "server")];

/// Rooms that may name actix and its crates: those who own state, and those who speak HTTP.
const WITH_ACTIX: &[&str] = &["actors", "sockets", "http", "server"];

/// Crates that one file alone may name. `actix-web-actors` is deprecated by its authors.
const CONFINED: &[(&str, &str)] = &[("actix_web_actors", "src/sockets/connection.rs")];

/// Words of deciding who somebody is, and the only places that may say them: `operations::gate`, the ports it
/// asks, the actors behind those, and the log-in by password. Doors show what they were shown; they look up and count nobody.
const GATE: (&[&str], &[&str]) = (
    &["authenticate", "authenticate_for_event", "Limited", "check_client_key", "key_pairs"],
    &[
        "src/operations/gate.rs",
        "src/operations/ports.rs",
        "src/operations/account/",
        "src/actors/",
        "src/config/",
    ],
);

/// HTTP clients, and the rooms that may name them: the one way out.
const HTTP_CLIENTS: &[(&str, &[&str])] = &[
    ("hyper", &["src/outbound/"]),
    ("hyper_rustls", &["src/outbound/"]),
    ("hyper_util", &["src/outbound/"]),
    ("reqwest", &[]),
];

const MAX_LINES: usize = 700;

/// Names of this kind of machine, and of what is not part of the repository.
const FOREIGN: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/home", "/"),
    concat!("../sha", "red"),
    concat!("registry.npm", "js.org"),
    concat!("static.crates", ".io"),
    concat!("pypi", ".org"),
    concat!("deb.deb", "ian.org"),
];

/// Everything wrong with the dependencies of one source file.
fn wrong_paths(file: &str, source: &str) -> Vec<String> {
    let code = Code::new(file, source);
    if code.module == "server" || code.module == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == code.module) else {
        return vec![format!("{file}: module `{}` has no place in the layers", code.module)];
    };
    let known = |name: &str| name == "server" || LAYERS.iter().any(|(layer, _)| *layer == name);
    let mut wrong = Vec::new();
    for (line, path) in &code.paths {
        let Some(target) = path.first() else { continue };
        if target != &code.module && known(target) && !allowed.contains(&target.as_str()) {
            wrong.push(format!("{file}:{line}: `{}` may not name `{target}`", code.module));
        }
        for (owned, owner) in OWNED {
            let names_it = path.len() >= owned.len() && path.iter().zip(*owned).all(|(a, b)| a == b);
            let inside = file.starts_with(&format!("src/{}", owned.join("/")));
            if names_it && !inside && code.module != *owner {
                wrong.push(format!("{file}:{line}: only `{owner}` may name `{}`", owned.join("::")));
            }
        }
    }
    if !WITH_ACTIX.contains(&code.module.as_str()) {
        for (line, token) in tokens(source) {
            if token.starts_with("actix") {
                wrong.push(format!("{file}:{line}: `{}` may not name `{token}`", code.module));
            }
        }
    }
    for (line, token) in tokens(source) {
        for (_, place) in CONFINED.iter().filter(|(name, place)| token == *name && file != *place) {
            wrong.push(format!("{file}:{line}: only {place} may name `{token}`"));
        }
    }
    for (line, token) in tokens(source) {
        let is_here = |rooms: &[&str]| rooms.iter().any(|room| file.starts_with(room));
        for (client, _) in HTTP_CLIENTS.iter().filter(|(name, rooms)| token == *name && !is_here(rooms)) {
            wrong.push(format!("{file}:{line}: `{client}` is an HTTP client: `outbound` is the way out"));
        }
    }
    wrong
}

/// Whether a file leaves an actor's state to its messages: the fields of an actor are its own, and what can be
/// published from (an `ArcSwap`, or the owner's half of a number) stands, as a private field, in the file of the
/// actor that publishes it.
fn open_state(file: &str, source: &str) -> Vec<String> {
    let all = tokens(source);
    let words: Vec<&str> = all.iter().map(|(_, token)| token.as_str()).collect();
    let actors: BTreeSet<&str> =
        words.windows(4).filter(|four| four[..3] == ["impl", "Actor", "for"]).map(|four| four[3]).collect();
    let mut wrong = Vec::new();
    for at in (0..words.len()).filter(|at| words[*at] == "struct") {
        let Some(name) = words.get(at + 1) else { continue };
        let rest = &words[at + 2..];
        // Of `struct A { … }` and `struct A(…);` what is between the first bracket and its partner.
        let mut depth = 0;
        let fields = rest.iter().take_while(|word| {
            depth += i32::from(["{", "("].contains(*word)) - i32::from(["}", ")"].contains(*word));
            depth > 0 || !["}", ")", ";"].contains(*word)
        });
        let fields: Vec<&str> = fields.copied().collect();
        let publishes = fields.iter().any(|word| word.starts_with("ArcSwap") || *word == "NumberOwner");
        if (publishes || actors.contains(name)) && fields.contains(&"pub") {
            wrong.push(format!("{file}:{}: the fields of `{name}` are not its own", all[at].0));
        }
        if publishes && actors.is_empty() {
            wrong.push(format!("{file}:{}: `{name}` is published by no actor of this file", all[at].0));
        }
    }
    wrong
}

/// Doors that decide who somebody is, instead of asking the gate.
fn gate_crashers(file: &str, source: &str) -> Vec<String> {
    let (words, places) = GATE;
    if places.iter().any(|place| file.starts_with(place)) {
        return Vec::new();
    }
    let tokens = tokens(source);
    let said = tokens.iter().filter(|(_, token)| words.contains(&token.as_str()));
    said.map(|(line, token)| format!("{file}:{line}: `{token}` is for `operations::gate` alone")).collect()
}

/// What no file may hold, whatever its language.
fn foreign_words(file: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for word in FOREIGN.iter().filter(|word| line.contains(*word)) {
            wrong.push(format!("{file}:{}: names `{word}`", number + 1));
        }
    }
    wrong
}

fn has_unsafe_code(source: &str) -> bool {
    tokens(source).iter().any(|(_, token)| token == "unsafe")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Text files below `dir`: path from the repository's root, content.
fn files(dir: &str, found: &mut Vec<(String, String)>) {
    let Ok(entries) = fs::read_dir(root().join(dir)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if dir == "." { name.clone() } else { format!("{dir}/{name}") };
        let kind = entry.file_type().unwrap();
        if kind.is_dir()
            && !["node_modules", "target", ".git", ".venv", ".test-env", "data"].contains(&&*name)
        {
            files(&path, found);
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            found.push((path, text));
        }
    }
}

fn rust_files(dirs: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for dir in dirs {
        files(dir, &mut found);
    }
    found.retain(|(path, _)| Path::new(path).extension().is_some_and(|extension| extension == "rs"));
    assert!(!found.is_empty());
    found
}

fn nothing(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn dependencies_point_downwards() {
    nothing(rust_files(&["src"]).iter().flat_map(|(file, source)| wrong_paths(file, source)).collect());
}

/// Circles that still stand, by folder: the rooms that reach each other. The list only gets shorter.
const STANDING: &[(&str, &[&str])] = &[];

/// For each folder of the source: which of its rooms (files or folders, by module name) name which others.
/// A name that the folder's own `mod.rs` hands out counts for no room.
fn neighbours(sources: &[(String, String)]) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let modules: BTreeSet<Vec<String>> = sources.iter().map(|(file, _)| module_of(file)).collect();
    let mut folders: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (file, source) in sources {
        let own = module_of(file);
        for (_, path) in Code::new(file, source).paths {
            let known = (0..=path.len()).rev().find(|length| modules.contains(&path[..*length]));
            let Some(target) = known.map(|length| &path[..length]) else { continue };
            let shared = own.iter().zip(target).take_while(|(a, b)| a == b).count();
            if let (Some(from), Some(to)) = (own.get(shared), target.get(shared)) {
                let folder = folders.entry(own[..shared].join("::")).or_default();
                folder.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    folders
}

/// `["http", "front"]` for `src/http/front.rs`, `["http"]` for `src/http/mod.rs` and `src/http.rs`.
fn module_of(file: &str) -> Vec<String> {
    let parts = file.trim_start_matches("src/").trim_end_matches(".rs").split('/');
    parts.filter(|part| !["mod", "lib", "main"].contains(part)).map(str::to_owned).collect()
}

/// Sets of rooms that can reach each other, larger than one.
fn circles(rooms: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reach = |start: &String| {
        let mut seen = BTreeSet::new();
        let mut open = vec![start];
        while let Some(room) = open.pop() {
            for next in rooms.get(room).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = rooms.keys().map(|room| (room, reach(room))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (room, from_here) in &reached {
        let circle: BTreeSet<String> = from_here
            .iter()
            .filter(|other| reached.get(other).is_some_and(|back| back.contains(*room)))
            .cloned()
            .collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

fn new_circles(sources: &[(String, String)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (folder, rooms) in neighbours(sources) {
        for circle in circles(&rooms) {
            let names: Vec<&str> = circle.iter().map(String::as_str).collect();
            if !STANDING.iter().any(|(at, standing)| *at == folder && *standing == names) {
                wrong.push(format!("src/{}: a circle of {}", folder.replace("::", "/"), names.join(", ")));
            }
        }
    }
    wrong
}

#[test]
fn rooms_do_not_import_each_other_in_circles() {
    let sources: Vec<_> =
        rust_files(&["src"]).into_iter().filter(|(file, _)| !file.starts_with("src/server")).collect();
    nothing(new_circles(&sources));
}

/// Where objects of any class are written. What is special about one is in `operations::classes`.
const WITHOUT_CLASSES: &[&str] = &[
    "src/operations/object/write/",
    "src/operations/object/batch.rs",
    "src/operations/object/mod.rs",
    "src/operations/object/transaction.rs",
];

/// How code asks for one of parse-server's own classes.
const CLASS_QUESTIONS: &[&str] = &["is_user", "is_session", "is_installation", "is_role"];

/// Names of parse-server's own classes in code that is about any class.
fn named_classes(file: &str, source: &str) -> Vec<String> {
    if !WITHOUT_CLASSES.iter().any(|place| file.starts_with(place)) {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    for (line, token) in tokens(source) {
        if CLASS_QUESTIONS.contains(&token.as_str()) {
            wrong.push(format!("{file}:{line}: `{token}` asks for a class"));
        }
    }
    for (number, line) in source.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        // A quoted name with a capital after the underscore is a class; columns are written small.
        let names =
            code.split("\"_").skip(1).filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase()));
        wrong.extend(names.map(|_| format!("{file}:{}: names a class", number + 1)));
    }
    wrong
}

#[test]
fn writes_name_no_class() {
    nothing(rust_files(&["src"]).iter().flat_map(|(file, source)| named_classes(file, source)).collect());
}

#[test]
fn state_of_actors_is_theirs() {
    nothing(rust_files(&["src/actors"]).iter().flat_map(|(file, source)| open_state(file, source)).collect());
}

#[test]
fn only_the_gate_says_who_somebody_is() {
    nothing(rust_files(&["src"]).iter().flat_map(|(file, source)| gate_crashers(file, source)).collect());
}

#[test]
fn files_are_small() {
    let long = rust_files(&["src", "tests", "bench"]).into_iter().filter_map(|(file, source)| {
        let lines = source.lines().count();
        (lines > MAX_LINES).then(|| format!("{file}: {lines} lines, at most {MAX_LINES}"))
    });
    nothing(long.collect());
}

#[test]
fn no_file_names_a_foreign_place() {
    let mut found = Vec::new();
    files(".", &mut found);
    found.retain(|(path, _)| {
        path != "Cargo.lock"
            && path != "package-lock.json"
            && (!path.starts_with('.') || path.starts_with(".ci/"))
    });
    assert!(found.iter().any(|(path, _)| path == "scripts/test.sh"));
    nothing(found.iter().flat_map(|(file, text)| foreign_words(file, text)).collect());
}

#[test]
fn no_code_is_unsafe() {
    let files = rust_files(&["src", "tests", "bench"]);
    nothing(files.into_iter().filter(|(_, source)| has_unsafe_code(source)).map(|(file, _)| file).collect());
}

mod the_checker {
    use super::*;

    #[track_caller]
    fn refuses(file: &str, source: &str, complaint: &str) {
        let wrong = wrong_paths(file, source);
        assert!(wrong.iter().any(|text| text.contains(complaint)), "{wrong:?}");
    }

    #[track_caller]
    fn accepts(file: &str, source: &str) {
        assert_eq!(wrong_paths(file, source), Vec::<String>::new());
    }

    #[test]
    fn sees_every_way_to_name_a_module() {
        refuses("src/types/a.rs", "use crate::http::X;", "src/types/a.rs:1: `types` may not name `http`");
        refuses(
            "src/types/a.rs",
            "fn f() {\n crate::actors::go() }",
            "a.rs:2: `types` may not name `actors`",
        );
        refuses("src/types/a.rs", "use crate::{error::E, http::{self, X}};", "may not name `http`");
        refuses("src/types/a.rs", "use super::super::http;", "may not name `http`");
        refuses("src/types/mod.rs", "pub(crate) use super::http as h;", "may not name `http`");
        refuses("src/operations/read/a.rs", "use super::super::super::http::X;", "may not name `http`");
        refuses("src/types/a.rs", "mod tests { use super::super::super::http; }", "may not name `http`");
        refuses("src/main.rs", "use parsimony::storage::X;", "may not name `storage`");
        refuses("src/http/a.rs", "type T = Vec<crate::server::X>;", "may not name `server`");
        refuses("src/auth/a.rs", "use crate::storage::Row;", "`auth` may not name `storage`");
    }

    #[test]
    fn knows_what_is_allowed() {
        accepts("src/http/a.rs", "use crate::{actors::A, operations::{B, c::D}, app::App, error::E};");
        accepts("src/http/a.rs", "use crate::pages::PageRequest;");
        accepts("src/server.rs", "use crate::storage::postgres::Adapter; use actix_web::App;");
        accepts("src/storage/postgres/a.rs", "use crate::storage::postgres::sql; use super::super::Row;");
        accepts("src/types/mod.rs", "mod tests { use super::http; }");
        accepts("src/types/a.rs", "use crate::error::Result; use super::http_date; use crate::types::X;");
        accepts("src/main.rs", "use parsimony::{config, server};");
    }

    #[test]
    fn is_not_misled_by_text() {
        accepts("src/types/a.rs", "//! See [`crate::http`].\n/* crate::http /* x */ crate::http */");
        accepts("src/types/a.rs", r##"const A: &str = "crate::http"; const B: &str = r#"x" crate::http"#;"##);
        accepts("src/types/a.rs", "fn f<'a>(x: &'a str) -> char { '\"' } const C: char = '\\'';");
        refuses("src/types/a.rs", "const C: char = '\"'; use crate::http;", "may not name `http`");
        refuses("src/types/a.rs", "const B: &[u8] = b\"\\\"\"; use crate::http;", "may not name `http`");
    }

    #[test]
    fn guards_adapters_and_actix() {
        refuses(
            "src/operations/a.rs",
            "use crate::storage::postgres::Pool;",
            "only `server` may name `storage::postgres`",
        );
        refuses(
            "src/http/a.rs",
            "use crate::storage::{mongo, Row};",
            "only `server` may name `storage::mongo`",
        );
        refuses("src/storage/mod.rs", "use crate::storage::postgres::Pool;", "only `server` may name");
        refuses("src/operations/a.rs", "use actix_web::web;", "`operations` may not name `actix_web`");
        refuses("src/newcomer/a.rs", "", "module `newcomer` has no place");
    }

    #[test]
    fn confines_crates() {
        accepts("src/sockets/connection.rs", "use actix_web_actors::ws;");
        refuses(
            "src/sockets/client.rs",
            "use actix_web_actors::ws;",
            "only src/sockets/connection.rs may name",
        );
        refuses("src/live_query/a.rs", "use actix::Addr;", "`live_query` may not name `actix`");
        refuses("src/operations/a.rs", "use reqwest::Client;", "`reqwest` is an HTTP client");
        refuses("src/cloud/a.rs", "fn f() { hyper_util::x() }", "`hyper_util` is an HTTP client");
        accepts("src/outbound/a.rs", "use hyper_util::client::legacy::Client;");
        accepts("src/live_query/a.rs", "// actix::Addr\nconst A: &str = \"actix\";");
    }

    #[test]
    fn finds_state_that_others_can_reach() {
        let actor = "impl Actor for Owner { type Context = Context<Self>; }";
        let wrong = |source: &str| open_state("src/actors/a.rs", source).len();
        assert_eq!(wrong(&format!("pub struct Owner {{ state: u64 }} {actor}")), 0);
        assert_eq!(wrong(&format!("pub struct Owner {{ a: (u8, u8), pub state: u64 }} {actor}")), 1);
        assert_eq!(wrong(&format!("struct Owner; pub struct Message {{ pub of: u64 }} {actor}")), 0);
        assert_eq!(wrong(&format!("pub struct Out(ArcSwap<u64>); struct Owner(u64); {actor}")), 0);
        assert_eq!(wrong(&format!("pub struct Out(pub ArcSwap<u64>); {actor}")), 1);
        assert_eq!(wrong("pub struct Out { current: ArcSwapOption<u64> }"), 1);
        assert_eq!(wrong("pub struct Out { generation: NumberOwner }"), 1);
    }

    #[test]
    fn finds_circles_among_rooms() {
        let file = |name: &str, source: &str| (format!("src/{name}.rs"), source.to_owned());
        let tree = [
            file("a/mod", "mod x; mod y;"),
            file("a/x", "use super::y::Y;"),
            file("a/y", "use crate::b::B;"),
            file("b", "use crate::a::x::X;"),
        ];
        assert_eq!(new_circles(&tree), ["src/: a circle of a, b"]);
        let inside = [file("a/mod", ""), file("a/x", "use super::y::Y;"), file("a/y", "use super::x::X;")];
        assert_eq!(new_circles(&inside), ["src/a: a circle of x, y"]);
        let downwards = [file("a/mod", ""), file("a/x", "use super::y::Y; use super::Z;"), file("a/y", "")];
        assert!(new_circles(&downwards).is_empty());
    }

    #[test]
    fn finds_doors_without_a_gate() {
        let source = "// authenticate\nasync fn f() { principals.authenticate(token).await }";
        assert_eq!(
            gate_crashers("src/http/a.rs", source),
            ["src/http/a.rs:2: `authenticate` is for `operations::gate` alone"]
        );
        assert!(gate_crashers("src/operations/gate.rs", source).is_empty());
    }

    #[test]
    fn finds_names_of_classes() {
        let write = "src/operations/object/write/a.rs";
        assert_eq!(named_classes(write, "x == \"_User\"").len(), 1);
        assert_eq!(named_classes(write, "class.is_role()").len(), 1);
        assert!(named_classes(write, "row[\"_rperm\"]; // \"_User\"").is_empty());
        assert!(named_classes("src/operations/classes/role.rs", "\"_Role\"").is_empty());
    }

    #[test]
    fn finds_foreign_words_and_unsafe_code() {
        assert_eq!(foreign_words("a", &format!("x\n{}y", FOREIGN[0])).len(), 1);
        assert!(has_unsafe_code("fn f() { unsafe { g() } }"));
        assert!(!has_unsafe_code("// unsafe\nconst A: &str = \"unsafe\"; fn unsafe_to_cache() {}"));
    }
}
