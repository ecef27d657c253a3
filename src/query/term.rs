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
    }

    #[test]
    fn matching_in_memory() {
        let term = Term::parse("coffee tea -cold");
        assert!(term.matches("Hot Tea", false));
        assert!(!term.matches("Hot Tea", true));
        assert!(!term.matches("cold coffee", false));
    }
}
