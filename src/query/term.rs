//! The term of a `$text` search as MongoDB reads it.

use std::collections::HashSet;

/// Words of which one must occur, phrases that all must, words that must not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Term {
    pub words: Vec<String>,
    pub phrases: Vec<String>,
    pub excluded: Vec<String>,
}

impl Term {
    pub fn parse(text: &str) -> Self {
        let mut term = Self::default();
        let mut rest = text;
        while let Some(open) = rest.find('"') {
            let Some(length) = rest[open + 1..].find('"') else { break };
            term.add_words(&rest[..open]);
            let phrase = rest[open + 1..open + 1 + length].trim();
            if !phrase.is_empty() {
                term.phrases.push(phrase.to_owned());
            }
            rest = &rest[open + length + 2..];
        }
        term.add_words(rest);
        term
    }

    fn add_words(&mut self, text: &str) {
        for word in text.split_whitespace() {
            let word = word.replace('"', "");
            match word.strip_prefix('-') {
                Some(word) if !word.is_empty() => self.excluded.push(word.to_owned()),
                _ if word.is_empty() || word == "-" => {}
                _ => self.words.push(word),
            }
        }
    }

    /// For `websearch_to_tsquery`: what must be found, and what must not, every part quoted, so that nothing in it
    /// is syntax.
    pub fn to_web_searches(&self) -> (String, Option<String>) {
        let quote = |text: &String| format!("\"{text}\"");
        let joined = |parts: &[String], joint: &str| parts.iter().map(quote).collect::<Vec<_>>().join(joint);
        let wanted =
            if self.phrases.is_empty() { joined(&self.words, " or ") } else { joined(&self.phrases, " ") };
        // A search that only excludes finds nothing.
        let excludes = !self.excluded.is_empty() && !wanted.is_empty();
        let excluded = excludes.then(|| format!("-{}", joined(&self.excluded, " -")));
        (wanted, excluded)
    }

    /// PostgreSQL expression: a word begins as one of ours, case counting.
    pub fn to_case_pattern(&self) -> String {
        let escape = |text: &String| {
            text.chars().fold(String::new(), |mut out, c| {
                if !c.is_alphanumeric() && !c.is_whitespace() {
                    out.push('\\');
                }
                out.push(c);
                out
            })
        };
        let words = if self.phrases.is_empty() { &self.words } else { &self.phrases };
        format!("\\m(?:{})", words.iter().map(escape).collect::<Vec<_>>().join("|"))
    }

    /// The plain reading, without word stems: for matching in memory.
    pub fn matches(&self, text: &str, case_sensitive: bool) -> bool {
        let fold = |text: &str| if case_sensitive { text.to_owned() } else { text.to_lowercase() };
        let text = fold(text);
        let words = words_of(&text);
        let known: HashSet<&str> = words.iter().copied().collect();
        let has = |part: &String| {
            let part = fold(part);
            match words_of(&part).as_slice() {
                [] => false,
                [word] => known.contains(word),
                phrase => {
                    phrase.iter().all(|word| known.contains(word))
                        && words.windows(phrase.len()).any(|window| window == phrase)
                }
            }
        };
        if self.excluded.iter().any(has) {
            return false;
        }
        if self.phrases.is_empty() { self.words.iter().any(has) } else { self.phrases.iter().all(has) }
    }
}

fn words_of(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::Term;

    #[test]
    fn words_phrases_and_exclusions() {
        let term = Term::parse(r#"coffee "dark roast" -decaf tea"#);
        assert_eq!(term.words, ["coffee", "tea"]);
        assert_eq!(term.phrases, ["dark roast"]);
        assert_eq!(term.excluded, ["decaf"]);
        let searches =
            |wanted: &str, excluded: Option<&str>| (wanted.to_owned(), excluded.map(str::to_owned));
        assert_eq!(term.to_web_searches(), searches(r#""dark roast""#, Some(r#"-"decaf""#)));
        assert_eq!(
            Term::parse("a -b c -d").to_web_searches(),
            searches(r#""a" or "c""#, Some(r#"-"b" -"d""#))
        );
        assert_eq!(Term::parse("a").to_web_searches(), searches(r#""a""#, None));
        assert_eq!(Term::parse("-b").to_web_searches(), searches("", None));
    }

    #[test]
    fn matching_in_memory() {
        let term = Term::parse("coffee tea -cold");
        assert!(term.matches("Hot Tea", false));
        assert!(!term.matches("Hot Tea", true));
        assert!(!term.matches("cold coffee", false));
    }
}
