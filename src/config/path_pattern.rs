//! [`PathPattern`]: route patterns such as `/functions/:name` or `/classes/{*any}`, with the syntax and
//! the error texts of path-to-regexp 8.

use std::fmt;

use regex::Regex;

/// Matches whole paths, in any case, with or without a slash at the end.
///
/// `:name` is one segment or a part of it, `*name` anything, `{…}` optional; `\` takes the special
/// meaning from the next character.
#[derive(Clone)]
pub struct PathPattern {
    source: String,
    regex: Regex,
}

enum Token {
    Text(String),
    Param,
    Wildcard,
    Group(Vec<Token>),
}

impl PathPattern {
    /// # Errors
    /// What is wrong with the pattern, in path-to-regexp's words.
    pub fn new(source: &str) -> Result<Self, String> {
        let mut parser = Parser { chars: source.chars().collect(), index: 0 };
        let tokens = parser.tokens(None).map_err(|reason| {
            format!("{reason}: {source}; visit https://git.new/pathToRegexpError for info")
        })?;
        let mut pattern = String::from("(?is)^(?:");
        write_tokens(&tokens, &mut pattern);
        pattern.push_str(")/?$");
        let regex = Regex::new(&pattern).map_err(|_| format!("Too many path combinations: {source}"))?;
        Ok(Self { source: source.to_owned(), regex })
    }

    /// Whether the path (without query) is meant.
    pub fn matches(&self, path: &str) -> bool {
        self.regex.is_match(path)
    }

    pub fn source(&self) -> &str {
        &self.source
    }
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

fn write_tokens(tokens: &[Token], pattern: &mut String) {
    for token in tokens {
        match token {
            Token::Text(text) => pattern.push_str(&regex::escape(text)),
            Token::Param => pattern.push_str("[^/]+"),
            Token::Wildcard => pattern.push_str(".+"),
            Token::Group(tokens) => {
                pattern.push_str("(?:");
                write_tokens(tokens, pattern);
                pattern.push_str(")?");
            }
        }
    }
}

struct Parser {
    chars: Vec<char>,
    index: usize,
}

impl Parser {
    /// Reads up to `end`, or to the end of the text.
    fn tokens(&mut self, end: Option<char>) -> Result<Vec<Token>, String> {
        let mut tokens = Vec::new();
        let mut text = String::new();
        while let Some(&c) = self.chars.get(self.index) {
            self.index += 1;
            match c {
                _ if Some(c) == end => {
                    flush(&mut text, &mut tokens);
                    return Ok(tokens);
                }
                '\\' => match self.chars.get(self.index) {
                    None => return Err(format!("Unexpected end after \\ at index {}", self.index)),
                    Some(&escaped) => {
                        text.push(escaped);
                        self.index += 1;
                    }
                },
                ':' | '*' => {
                    self.name()?;
                    flush(&mut text, &mut tokens);
                    tokens.push(if c == ':' { Token::Param } else { Token::Wildcard });
                }
                '{' => {
                    flush(&mut text, &mut tokens);
                    tokens.push(Token::Group(self.tokens(Some('}'))?));
                }
                '}' | '(' | ')' | '[' | ']' | '+' | '?' | '!' => {
                    return Err(format!("Unexpected {c} at index {}", self.index - 1));
                }
                other => text.push(other),
            }
        }
        if let Some(end) = end {
            return Err(format!("Unexpected end at index {}, expected {end}", self.index));
        }
        flush(&mut text, &mut tokens);
        Ok(tokens)
    }

    /// Skips the name of a parameter: an identifier, or anything in double quotes.
    fn name(&mut self) -> Result<(), String> {
        let start = self.index;
        let is_start = |c: &char| c.is_alphabetic() || matches!(c, '_' | '$');
        if self.chars.get(self.index).is_some_and(is_start) {
            while self.chars.get(self.index).is_some_and(|c| is_start(c) || c.is_numeric()) {
                self.index += 1;
            }
            return Ok(());
        }
        if self.chars.get(self.index) == Some(&'"') {
            let mut named = false;
            self.index += 1;
            while let Some(c) = self.chars.get(self.index) {
                self.index += if *c == '\\' { 2 } else { 1 };
                if *c == '"' {
                    if named {
                        return Ok(());
                    }
                    return Err(format!("Missing parameter name at index {}", self.index));
                }
                named = true;
            }
            return Err(format!("Unterminated quote at index {start}"));
        }
        Err(format!("Missing parameter name at index {start}"))
    }
}

fn flush(text: &mut String, tokens: &mut Vec<Token>) {
    if !text.is_empty() {
        tokens.push(Token::Text(std::mem::take(text)));
    }
}

#[cfg(test)]
mod tests {
    use super::PathPattern;

    #[test]
    fn patterns_match_as_in_express() {
        let cases: [(&str, &[&str], &[&str]); 6] = [
            (
                "/functions/hello",
                &["/functions/hello", "/functions/hello/", "/FUNCTIONS/hello"],
                &["/functions/hello2", "/x/functions/hello"],
            ),
            ("/classes/:class/:id", &["/classes/Game/1"], &["/classes/Game", "/classes/Game/1/2"]),
            ("/*path", &["/a", "/a/b/c"], &["/"]),
            ("/classes/Post{/*id}", &["/classes/Post", "/classes/Post/1/2"], &["/classes/Posts"]),
            ("/a{b{c}}", &["/a", "/ab", "/abc"], &["/ac"]),
            (r#"/v\:1/:"the id".json"#, &["/v:1/x.json"], &["/v1/x.json", "/v:1/x/y.json", "/v:1/xjson"]),
        ];
        for (source, yes, no) in cases {
            let pattern = PathPattern::new(source).unwrap();
            for path in yes {
                assert!(pattern.matches(path), "{source} {path}");
            }
            for path in no {
                assert!(!pattern.matches(path), "{source} {path}");
            }
        }
    }

    #[test]
    fn errors_are_those_of_path_to_regexp() {
        for (source, reason) in [
            ("*", "Missing parameter name at index 1"),
            ("/*", "Missing parameter name at index 2"),
            ("/:", "Missing parameter name at index 2"),
            (r#"/:"""#, "Missing parameter name at index 4"),
            (r#"/:"x"#, "Unterminated quote at index 2"),
            ("/a(b)", "Unexpected ( at index 2"),
            ("/a}", "Unexpected } at index 2"),
            ("/x?", "Unexpected ? at index 2"),
            ("/a{b", "Unexpected end at index 4, expected }"),
            ("/a\\", "Unexpected end after \\ at index 3"),
        ] {
            let expected = format!("{reason}: {source}; visit https://git.new/pathToRegexpError for info");
            assert_eq!(PathPattern::new(source).err(), Some(expected));
        }
    }
}
