//! English plurals for the names of queries, by the rules of the npm package `pluralize` that parse-server asks.

/// Words whose plural is no matter of rules.
const IRREGULAR: &[(&str, &str)] = &[
    ("i", "we"),
    ("me", "us"),
    ("he", "they"),
    ("she", "they"),
    ("them", "them"),
    ("myself", "ourselves"),
    ("yourself", "yourselves"),
    ("itself", "themselves"),
    ("herself", "themselves"),
    ("himself", "themselves"),
    ("themself", "themselves"),
    ("is", "are"),
    ("was", "were"),
    ("has", "have"),
    ("this", "these"),
    ("that", "those"),
    ("echo", "echoes"),
    ("dingo", "dingoes"),
    ("volcano", "volcanoes"),
    ("tornado", "tornadoes"),
    ("torpedo", "torpedoes"),
    ("genus", "genera"),
    ("viscus", "viscera"),
    ("stigma", "stigmata"),
    ("stoma", "stomata"),
    ("dogma", "dogmata"),
    ("lemma", "lemmata"),
    ("schema", "schemata"),
    ("anathema", "anathemata"),
    ("ox", "oxen"),
    ("axe", "axes"),
    ("die", "dice"),
    ("yes", "yeses"),
    ("foot", "feet"),
    ("eave", "eaves"),
    ("goose", "geese"),
    ("tooth", "teeth"),
    ("quiz", "quizzes"),
    ("human", "humans"),
    ("proof", "proofs"),
    ("carve", "carves"),
    ("valve", "valves"),
    ("looey", "looies"),
    ("thief", "thieves"),
    ("groove", "grooves"),
    ("pickaxe", "pickaxes"),
    ("passerby", "passersby"),
];

/// Words that have no plural.
const UNCOUNTABLE: &[&str] = &[
    "adulthood",
    "advice",
    "agenda",
    "aid",
    "aircraft",
    "alcohol",
    "ammo",
    "analytics",
    "anime",
    "athletics",
    "audio",
    "bison",
    "blood",
    "bream",
    "buffalo",
    "butter",
    "carp",
    "cash",
    "chassis",
    "chess",
    "clothing",
    "cod",
    "commerce",
    "cooperation",
    "corps",
    "debris",
    "diabetes",
    "digestion",
    "elk",
    "energy",
    "equipment",
    "excretion",
    "expertise",
    "firmware",
    "flounder",
    "fun",
    "gallows",
    "garbage",
    "graffiti",
    "hardware",
    "headquarters",
    "health",
    "herpes",
    "highjinks",
    "homework",
    "housework",
    "information",
    "jeans",
    "justice",
    "kudos",
    "labour",
    "literature",
    "machinery",
    "mackerel",
    "mail",
    "media",
    "mews",
    "moose",
    "music",
    "mud",
    "manga",
    "news",
    "only",
    "personnel",
    "pike",
    "plankton",
    "pliers",
    "police",
    "pollution",
    "premises",
    "rain",
    "research",
    "rice",
    "salmon",
    "scissors",
    "series",
    "sewage",
    "shambles",
    "shrimp",
    "software",
    "species",
    "staff",
    "swine",
    "tennis",
    "traffic",
    "transportation",
    "trout",
    "tuna",
    "wealth",
    "welfare",
    "whiting",
    "wildebeest",
    "wildlife",
    "you",
];

/// Endings and what becomes of them, weakest first: the last that fits counts. `$1` and `$2` are what the groups
/// of the ending matched, `$0` the whole of it.
const RULES: &[(&str, &str)] = &[
    ("s?$", "s"),
    ("[^\\x00-\\x7F]$", "$0"),
    ("([^aeiou]ese)$", "$1"),
    ("(ax|test)is$", "${1}es"),
    ("(alias|[^aou]us|t[lm]as|gas|ris)$", "${1}es"),
    ("(e[mn]u)s?$", "${1}s"),
    ("([^l]ias|[aeiou]las|[ejzr]as|[iu]am)$", "$1"),
    ("(alumn|syllab|vir|radi|nucle|fung|cact|stimul|termin|bacill|foc|uter|loc|strat)(?:us|i)$", "${1}i"),
    ("(alumn|alg|vertebr)(?:a|ae)$", "${1}ae"),
    ("(seraph|cherub)(?:im)?$", "${1}im"),
    ("(her|at|gr)o$", "${1}oes"),
    (
        "(agend|addend|millenni|dat|extrem|bacteri|desiderat|strat|candelabr|errat|ov|symposi|curricul|automat|quor)(?:a|um)$",
        "${1}a",
    ),
    (
        "(apheli|hyperbat|periheli|asyndet|noumen|phenomen|criteri|organ|prolegomen|hedr|automat)(?:a|on)$",
        "${1}a",
    ),
    ("sis$", "ses"),
    ("(?:(kni|wi|li)fe|(ar|l|ea|eo|oa|hoo)f)$", "${1}${2}ves"),
    ("([^aeiouy]|qu)y$", "${1}ies"),
    ("([^ch][ieo][ln])ey$", "${1}ies"),
    ("(x|ch|ss|sh|zz)$", "${1}es"),
    ("(matr|cod|mur|sil|vert|ind|append)(?:ix|ex)$", "${1}ices"),
    ("\\b((?:tit)?m|l)(?:ice|ouse)$", "${1}ice"),
    ("(pe)(?:rson|ople)$", "${1}ople"),
    ("(child)(?:ren)?$", "${1}ren"),
    ("eaux$", "$0"),
    ("m[ae]n$", "men"),
    ("^thou$", "you"),
    ("pok[eé]mon$", "$0"),
    ("[^aeiou]ese$", "$0"),
    ("deer$", "$0"),
    ("fish$", "$0"),
    ("measles$", "$0"),
    ("o[iu]s$", "$0"),
    ("pox$", "$0"),
    ("sheep$", "$0"),
];

pub fn plural(word: &str) -> String {
    let token = word.to_lowercase();
    if IRREGULAR.iter().any(|(_, plural)| *plural == token) {
        return with_case_of(word, &token);
    }
    if let Some((_, plural)) = IRREGULAR.iter().find(|(single, _)| *single == token) {
        return with_case_of(word, plural);
    }
    if token.is_empty() || UNCOUNTABLE.contains(&token.as_str()) {
        return word.to_owned();
    }
    for (rule, replacement) in rules().iter().rev() {
        let Some(found) = rule.captures(word) else { continue };
        let mut changed = String::new();
        found.expand(replacement, &mut changed);
        let Some(whole) = found.get(0) else { continue };
        let (before, matched) = (&word[..whole.start()], whole.as_str());
        // An ending of no length takes its case from the letter before it.
        let model = match matched {
            "" => before.chars().next_back().map(String::from).unwrap_or_default(),
            _ => matched.to_owned(),
        };
        return format!("{before}{}", with_case_of(&model, &changed));
    }
    word.to_owned()
}

fn rules() -> &'static [(regex::Regex, &'static str)] {
    static COMPILED: std::sync::OnceLock<Vec<(regex::Regex, &'static str)>> = std::sync::OnceLock::new();
    COMPILED.get_or_init(|| {
        let compiled = RULES.iter().map(|(rule, replacement)| {
            regex::Regex::new(&format!("(?i){rule}")).ok().map(|rule| (rule, *replacement))
        });
        compiled.flatten().collect()
    })
}

/// `changed` in the case of `word`: the same, all small, all capitals, or with a capital.
fn with_case_of(word: &str, changed: &str) -> String {
    if word == changed {
        return changed.to_owned();
    }
    if word == word.to_lowercase() {
        return changed.to_lowercase();
    }
    if word == word.to_uppercase() {
        return changed.to_uppercase();
    }
    let mut chars = changed.chars();
    let Some(first) = chars.next() else { return String::new() };
    let rest = chars.as_str().to_lowercase();
    let begins_large = word.chars().next().is_some_and(|first| first.to_uppercase().eq([first]));
    if begins_large { first.to_uppercase().collect::<String>() + &rest } else { changed.to_lowercase() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_one() {
        assert_eq!(rules().len(), RULES.len());
    }

    #[test]
    fn plurals_as_the_npm_package_makes_them() {
        for (single, plurals) in [
            ("gameScore", "gameScores"),
            ("user", "users"),
            ("city", "cities"),
            ("box", "boxes"),
            ("person", "people"),
            ("child", "children"),
            ("news", "news"),
            ("fish", "fish"),
            ("knife", "knives"),
            ("man", "men"),
            ("posts", "posts"),
            ("human", "humans"),
            ("schema", "schemata"),
            ("class", "classes"),
            ("data", "data"),
            ("status", "statuses"),
            ("hero", "heroes"),
            ("x__", "x__s"),
            ("leaf", "leaves"),
            ("index", "indices"),
            ("somePerson", "somePeople"),
            ("cLASS", "cLASSES"),
            ("day", "days"),
            ("you", "you"),
        ] {
            assert_eq!(plural(single), plurals);
        }
    }
}
