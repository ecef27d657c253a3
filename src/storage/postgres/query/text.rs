//! `$text`: PostgreSQL's full-text search with MongoDB's reading of a term: any word matches, a
//! "quoted phrase" must occur, a -word must not.

use super::column::Expr;
use super::storable::without_nul;
use crate::error::Error;
use crate::query::term::Term;
use crate::query::{Constraint, Filter, TextSearch};
use crate::storage::postgres::sql::Sql;
use crate::storage::{StorageError, StorageResult};
use crate::types::path::FieldPath;

/// So many letters of a text are searched.
const SEARCHED: &str = ", 200000";

/// Text-search configurations of a stock PostgreSQL, with the codes MongoDB takes.
const LANGUAGES: &[(&str, &str)] = &[
    ("none", "simple"),
    ("simple", "simple"),
    ("ar", "arabic"),
    ("arabic", "arabic"),
    ("hy", "armenian"),
    ("armenian", "armenian"),
    ("eu", "basque"),
    ("basque", "basque"),
    ("ca", "catalan"),
    ("catalan", "catalan"),
    ("da", "danish"),
    ("danish", "danish"),
    ("nl", "dutch"),
    ("dutch", "dutch"),
    ("en", "english"),
    ("english", "english"),
    ("fi", "finnish"),
    ("finnish", "finnish"),
    ("fr", "french"),
    ("french", "french"),
    ("de", "german"),
    ("german", "german"),
    ("el", "greek"),
    ("greek", "greek"),
    ("hi", "hindi"),
    ("hindi", "hindi"),
    ("hu", "hungarian"),
    ("hungarian", "hungarian"),
    ("id", "indonesian"),
    ("indonesian", "indonesian"),
    ("ga", "irish"),
    ("irish", "irish"),
    ("it", "italian"),
    ("italian", "italian"),
    ("lt", "lithuanian"),
    ("lithuanian", "lithuanian"),
    ("ne", "nepali"),
    ("nepali", "nepali"),
    ("nb", "norwegian"),
    ("norwegian", "norwegian"),
    ("pt", "portuguese"),
    ("portuguese", "portuguese"),
    ("ro", "romanian"),
    ("romanian", "romanian"),
    ("ru", "russian"),
    ("russian", "russian"),
    ("sr", "serbian"),
    ("serbian", "serbian"),
    ("es", "spanish"),
    ("spanish", "spanish"),
    ("sv", "swedish"),
    ("swedish", "swedish"),
    ("ta", "tamil"),
    ("tamil", "tamil"),
    ("tr", "turkish"),
    ("turkish", "turkish"),
    ("yi", "yiddish"),
    ("yiddish", "yiddish"),
];

/// The text-search configuration of a search's language.
///
/// # Errors
/// `Refused` (102) for a language PostgreSQL has no dictionary for.
pub fn configuration(search: &TextSearch) -> StorageResult<&'static str> {
    configuration_of(search.language.as_deref().unwrap_or("english"))
}

/// The text-search configuration of a language or its code.
///
/// # Errors
/// `Refused` (102) for a language PostgreSQL has no dictionary for.
pub fn configuration_of(language: &str) -> StorageResult<&'static str> {
    let wanted = language.to_ascii_lowercase();
    LANGUAGES.iter().find(|(code, _)| *code == wanted).map(|(_, name)| *name).ok_or_else(|| {
        StorageError::Refused(Error::invalid_query(format!("bad $text: $language {wanted} is not supported")))
    })
}

/// The words of a text, with or without its combining marks: the forms that full-text indexes are made on.
/// PostgreSQL refuses to make a vector of more than a megabyte, and with an index it would refuse to store such a
/// text, so the text is cut.
pub fn push_words(sql: &mut Sql, config: &str, folded: bool, text: impl FnOnce(&mut Sql)) {
    sql.push_sql("to_tsvector('").push_sql(config).push_sql("', left(");
    if folded {
        push_folded(sql, text);
    } else {
        text(sql);
    }
    sql.push_sql(SEARCHED).push_sql("))");
}

fn push_vector(sql: &mut Sql, column: Expr<'_>, config: &'static str, search: &TextSearch) {
    push_words(sql, config, !search.diacritic_sensitive, |sql| column.push(sql));
}

/// For `websearch_to_tsquery`: what must be found, and what must not, every part quoted, so that nothing in it
/// is syntax.
pub fn web_searches(term: &Term) -> (String, Option<String>) {
    let quote = |text: &String| format!("\"{text}\"");
    let joined = |parts: &[String], joint: &str| parts.iter().map(quote).collect::<Vec<_>>().join(joint);
    let wanted =
        if term.phrases.is_empty() { joined(&term.words, " or ") } else { joined(&term.phrases, " ") };
    // A search that only excludes finds nothing.
    let excludes = !term.excluded.is_empty() && !wanted.is_empty();
    let excluded = excludes.then(|| format!("-{}", joined(&term.excluded, " -")));
    (wanted, excluded)
}

/// PostgreSQL expression: a word begins as one of ours, case counting.
pub fn case_pattern(term: &Term) -> String {
    let escape = |text: &String| {
        text.chars().fold(String::new(), |mut out, c| {
            if !c.is_alphanumeric() && !c.is_whitespace() {
                out.push('\\');
            }
            out.push(c);
            out
        })
    };
    let words = if term.phrases.is_empty() { &term.words } else { &term.phrases };
    format!("\\m(?:{})", words.iter().map(escape).collect::<Vec<_>>().join("|"))
}

/// What is wanted and what is excluded are queries of their own: a search term has no brackets.
fn push_query(sql: &mut Sql, config: &'static str, search: &TextSearch) {
    let (wanted, excluded) = web_searches(&Term::parse(&without_nul(&search.term)));
    let Some(excluded) = excluded else { return push_one_query(sql, config, search, wanted) };
    sql.push_sql("(");
    push_one_query(sql, config, search, wanted);
    sql.push_sql(" && ");
    push_one_query(sql, config, search, excluded);
    sql.push_sql(")");
}

fn push_one_query(sql: &mut Sql, config: &'static str, search: &TextSearch, term: String) {
    sql.push_sql("websearch_to_tsquery('");
    sql.push_sql(config);
    sql.push_sql("', ");
    if search.diacritic_sensitive {
        sql.push_text(term);
    } else {
        push_folded(sql, |sql| {
            sql.push_text(term);
        });
    }
    sql.push_sql(")");
}

/// The text without its combining marks.
fn push_folded(sql: &mut Sql, text: impl FnOnce(&mut Sql)) {
    sql.push_sql("regexp_replace(normalize(");
    text(sql);
    sql.push_sql(", NFD), '[\\u0300-\\u036f]', '', 'g')");
}

/// # Errors
/// `Refused` (102) for a language PostgreSQL has no dictionary for.
pub fn push_match(sql: &mut Sql, column: Expr<'_>, search: &TextSearch) -> StorageResult<()> {
    let config = configuration(search)?;
    sql.push_sql("(");
    push_vector(sql, column, config, search);
    sql.push_sql(" @@ ");
    push_query(sql, config, search);
    if search.case_sensitive {
        // The index folds case; one of the words must also occur as it was written.
        sql.push_sql(" AND ");
        column.push(sql);
        sql.push_sql(" ~ ");
        sql.push_text(case_pattern(&Term::parse(&without_nul(&search.term))));
    }
    sql.push_sql(")");
    Ok(())
}

/// The `$text` search of a filter that every matching row satisfies, with its column.
pub fn search_of(filter: &Filter) -> Option<(&FieldPath, &TextSearch)> {
    match filter {
        Filter::And(parts) => parts.iter().find_map(search_of),
        Filter::Field { path, constraints } => constraints.iter().find_map(|constraint| match constraint {
            Constraint::Text(search) => Some((path, search)),
            _ => None,
        }),
        _ => None,
    }
}

/// Relevance of the row; 0 without a search.
///
/// # Errors
/// `Refused` for an unknown language.
pub fn push_score(sql: &mut Sql, column: Expr<'_>, search: &TextSearch) -> StorageResult<()> {
    let config = configuration(search)?;
    sql.push_sql("ts_rank_cd(");
    push_vector(sql, column, config, search);
    sql.push_sql(", ");
    push_query(sql, config, search);
    sql.push_sql(", 32)::float8");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_languages_are_refused() {
        let search = TextSearch {
            term: "x".into(),
            language: Some("klingon".into()),
            case_sensitive: false,
            diacritic_sensitive: true,
        };
        assert!(matches!(configuration(&search), Err(StorageError::Refused(_))));
    }

    #[test]
    fn terms_become_web_searches() {
        let searches = |text: &str| web_searches(&Term::parse(text));
        let expected =
            |wanted: &str, excluded: Option<&str>| (wanted.to_owned(), excluded.map(str::to_owned));
        assert_eq!(
            searches(r#"coffee "dark roast" -decaf tea"#),
            expected(r#""dark roast""#, Some(r#"-"decaf""#))
        );
        assert_eq!(searches("a -b c -d"), expected(r#""a" or "c""#, Some(r#"-"b" -"d""#)));
        assert_eq!(searches("a"), expected(r#""a""#, None));
        assert_eq!(searches("-b"), expected("", None));
    }
}
