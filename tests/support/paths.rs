//! Just enough of Rust's grammar to see which modules a file names: tokens without comments and
//! texts, and the paths that start at the crate's root.

use std::iter::Peekable;
use std::str::Chars;

/// What the architecture test asks about one source file.
pub struct Code {
    /// Top module: `http` for `src/http/routes.rs`.
    pub module: String,
    /// Line, and path from the crate's root without `crate`: a `use` of a group gives several.
    pub paths: Vec<(usize, Vec<String>)>,
}

impl Code {
    /// `file` is relative to the repository: `src/http/routes.rs`.
    pub fn new(file: &str, source: &str) -> Self {
        let mut parts: Vec<String> = file
            .trim_start_matches("src/")
            .trim_end_matches(".rs")
            .split('/')
            .filter(|part| *part != "mod")
            .map(str::to_owned)
            .collect();
        let module = parts.first().cloned().unwrap_or_default();
        if ["main", "lib"].contains(&module.as_str()) {
            parts.clear();
        }
        let tokens = tokens(source);
        let mut reader = Reader { tokens: &tokens, at: 0, main: module == "main", paths: Vec::new() };
        reader.read(&mut parts);
        Self { module, paths: reader.paths }
    }
}

struct Reader<'a> {
    tokens: &'a [(usize, String)],
    at: usize,
    main: bool,
    paths: Vec<(usize, Vec<String>)>,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |(_, token)| token)
    }

    fn colons(&self, ahead: usize) -> bool {
        self.peek(ahead) == ":" && self.peek(ahead + 1) == ":"
    }

    /// Reads until the brace that closes the current block. `parts` is the module it lies in.
    fn read(&mut self, parts: &mut Vec<String>) {
        while self.at < self.tokens.len() {
            match self.peek(0) {
                "}" => {
                    self.at += 1;
                    return;
                }
                "{" => {
                    self.at += 1;
                    self.read(parts);
                }
                "mod" if self.peek(2) == "{" => {
                    parts.push(self.peek(1).to_owned());
                    self.at += 3;
                    self.read(parts);
                    parts.pop();
                }
                "crate" if self.colons(1) => self.path(1, Vec::new()),
                "parsimony" if self.main && self.colons(1) => self.path(1, Vec::new()),
                "super" if self.colons(1) => {
                    let mut base = parts.clone();
                    let mut length = 0;
                    while self.peek(length) == "super" && self.colons(length + 1) {
                        base.pop();
                        length += 3;
                    }
                    // The colons before what follows belong to it.
                    self.path(length - 2, base);
                }
                _ => self.at += 1,
            }
        }
    }

    /// At the `::` that is `ahead` of here: records the path or, of a group, each of its paths.
    fn path(&mut self, ahead: usize, base: Vec<String>) {
        let line = self.tokens[self.at].0;
        self.at += ahead;
        self.tail(line, base);
    }

    fn tail(&mut self, line: usize, mut path: Vec<String>) {
        while self.colons(0) {
            self.at += 2;
            if self.peek(0) == "{" {
                self.at += 1;
                while !["}", ""].contains(&self.peek(0)) {
                    let mut branch = path.clone();
                    if self.peek(0) != "self" {
                        branch.push(self.peek(0).to_owned());
                    }
                    self.at += 1;
                    self.tail(line, branch);
                    while ![",", "}", ""].contains(&self.peek(0)) {
                        self.at += 1;
                    }
                    if self.peek(0) == "," {
                        self.at += 1;
                    }
                }
                self.at += 1;
                return;
            }
            let is_name = self.peek(0).starts_with(|c: char| c.is_alphabetic() || c == '_');
            if !is_name {
                break;
            }
            path.push(self.peek(0).to_owned());
            self.at += 1;
        }
        self.paths.push((line, path));
    }
}

/// Names and single punctuation characters with their line numbers; comments, texts, characters,
/// lifetimes and numbers are left out.
pub fn tokens(source: &str) -> Vec<(usize, String)> {
    let mut lexer = Lexer { rest: source.chars().peekable(), line: 1 };
    let mut found = Vec::new();
    while let Some(c) = lexer.next() {
        let line = lexer.line;
        match c {
            '/' if lexer.peek() == Some('/') => lexer.skip_until('\n'),
            '/' if lexer.peek() == Some('*') => lexer.skip_comment(),
            '"' => lexer.skip_text(),
            '\'' => lexer.skip_quote(),
            c if c.is_ascii_digit() => {
                lexer.name(c);
            }
            c if c.is_alphabetic() || c == '_' => {
                let name = lexer.name(c);
                match (name.as_str(), lexer.peek()) {
                    ("r" | "br" | "cr", Some('"' | '#')) => lexer.skip_raw(),
                    ("b" | "c", Some('"')) => {
                        lexer.next();
                        lexer.skip_text();
                    }
                    ("b", Some('\'')) => {
                        lexer.next();
                        lexer.skip_quote();
                    }
                    _ => found.push((line, name)),
                }
            }
            c if c.is_whitespace() => {}
            c => found.push((line, c.to_string())),
        }
    }
    found
}

struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl Lexer<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        if c == Some('\n') {
            self.line += 1;
        }
        c
    }

    fn name(&mut self, first: char) -> String {
        let mut name = String::from(first);
        while let Some(c) = self.peek().filter(|c| c.is_alphanumeric() || *c == '_') {
            name.push(c);
            self.next();
        }
        name
    }

    fn skip_until(&mut self, end: char) {
        while self.next().is_some_and(|c| c != end) {}
    }

    fn skip_comment(&mut self) {
        self.next();
        let mut depth = 1;
        while depth > 0 {
            match self.next() {
                Some('*') if self.peek() == Some('/') => {
                    self.next();
                    depth -= 1;
                }
                Some('/') if self.peek() == Some('*') => {
                    self.next();
                    depth += 1;
                }
                Some(_) => {}
                None => return,
            }
        }
    }

    fn skip_text(&mut self) {
        while let Some(c) = self.next() {
            match c {
                '\\' => {
                    self.next();
                }
                '"' => return,
                _ => {}
            }
        }
    }

    /// After `r`: `#`s, a text without escapes, as many `#`s. A raw name (`r#type`) is skipped too.
    fn skip_raw(&mut self) {
        let mut hashes = 0;
        while self.peek() == Some('#') {
            self.next();
            hashes += 1;
        }
        if self.peek() != Some('"') {
            return;
        }
        self.next();
        loop {
            self.skip_until('"');
            let mut closing = 0;
            while closing < hashes && self.peek() == Some('#') {
                self.next();
                closing += 1;
            }
            if closing == hashes || self.peek().is_none() {
                return;
            }
        }
    }

    /// After `'`: a character, or the name of a lifetime.
    fn skip_quote(&mut self) {
        match self.next() {
            Some('\\') => {
                self.next();
                self.skip_until('\'');
            }
            Some(c) if self.peek() == Some('\'') => {
                debug_assert!(c != '\'');
                self.next();
            }
            Some(c) if c.is_alphabetic() || c == '_' => {
                self.name(c);
            }
            _ => {}
        }
    }
}
