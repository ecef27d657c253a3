//! "Did you mean …?": names that look like one that does not exist, by graphql-js's measure.

use std::fmt::Write;

const MOST: usize = 5;

/// ` Did you mean "a", "b", or "c"?`, or nothing.
pub fn did_you_mean(prefix: &str, names: &[&str]) -> String {
    let mut text = String::from(" Did you mean ");
    text.push_str(prefix);
    let quoted = |out: &mut String, name: &str| {
        let _ = write!(out, "\"{name}\"");
    };
    match names {
        [] => return String::new(),
        [only] => quoted(&mut text, only),
        [first, second] => {
            quoted(&mut text, first);
            text.push_str(" or ");
            quoted(&mut text, second);
        }
        many => {
            let shown = &many[..many.len().min(MOST)];
            if let Some((last, others)) = shown.split_last() {
                for name in others {
                    quoted(&mut text, name);
                    text.push_str(", ");
                }
                text.push_str("or ");
                quoted(&mut text, last);
            }
        }
    }
    text.push('?');
    text
}

/// The options that are near the input, nearest first.
pub fn near<'o>(input: &str, options: impl Iterator<Item = &'o str>) -> Vec<&'o str> {
    let lower: Vec<char> = input.to_lowercase().chars().collect();
    let threshold = input.chars().count() * 2 / 5 + 1;
    let mut found: Vec<(usize, &str)> =
        options.filter_map(|option| Some((distance(input, &lower, option, threshold)?, option))).collect();
    found.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| natural(a.1, b.1)));
    found.into_iter().map(|(_, option)| option).collect()
}

fn distance(input: &str, lower: &[char], option: &str, threshold: usize) -> Option<usize> {
    if input == option {
        return Some(0);
    }
    let other: Vec<char> = option.to_lowercase().chars().collect();
    if lower == other {
        return Some(1);
    }
    let (long, short) = if other.len() < lower.len() { (lower, &other[..]) } else { (&other[..], lower) };
    if long.len() - short.len() > threshold {
        return None;
    }
    let mut rows = vec![(0..=short.len()).collect::<Vec<usize>>()];
    for (i, a) in long.iter().enumerate() {
        let mut row = vec![i + 1];
        let up = rows.last()?;
        for (j, b) in short.iter().enumerate() {
            let cost = usize::from(a != b);
            let mut cell = (up.get(j + 1)? + 1).min(row.get(j)? + 1).min(up.get(j)? + cost);
            if i > 0 && j > 0 && Some(a) == short.get(j - 1) && long.get(i - 1) == Some(b) {
                cell = cell.min(rows.get(rows.len().checked_sub(2)?)?.get(j - 1)? + 1);
            }
            row.push(cell);
        }
        if row.iter().min().is_some_and(|least| *least > threshold) {
            return None;
        }
        rows.push(row);
    }
    rows.last()?.last().copied().filter(|distance| *distance <= threshold)
}

/// Numbers within names count as numbers.
fn natural(a: &str, b: &str) -> std::cmp::Ordering {
    let (mut a, mut b) = (a.bytes().peekable(), b.bytes().peekable());
    loop {
        match (a.peek().copied(), b.peek().copied()) {
            (None, None) => return std::cmp::Ordering::Equal,
            (None, Some(_)) => return std::cmp::Ordering::Less,
            (Some(_), None) => return std::cmp::Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let number = |bytes: &mut std::iter::Peekable<std::str::Bytes<'_>>| {
                    let mut value = 0u128;
                    while let Some(digit) = bytes.next_if(u8::is_ascii_digit) {
                        value = value.saturating_mul(10).saturating_add(u128::from(digit - b'0'));
                    }
                    value
                };
                let order = number(&mut a).cmp(&number(&mut b));
                if order.is_ne() {
                    return order;
                }
            }
            (Some(x), Some(y)) if x == y => {
                a.next();
                b.next();
            }
            (Some(x), Some(y)) => return x.cmp(&y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_near() {
        assert_eq!(near("", ["a"].into_iter()), ["a"]);
        assert_eq!(near("abc", ["a", "ab", "abc"].into_iter()), ["abc", "ab", "a"]);
        assert_eq!(near("verylongstring", ["VERYLONGSTRING"].into_iter()), ["VERYLONGSTRING"]);
        assert_eq!(near("greenish", ["green"].into_iter()), ["green"]);
        assert_eq!(near("input", ["xyz"].into_iter()), Vec::<&str>::new());
        assert_eq!(near("agr", ["arg"].into_iter()), ["arg"]);
        assert_eq!(near("214365879", ["123456789"].into_iter()), ["123456789"]);
    }

    #[test]
    fn how_it_is_said() {
        assert_eq!(did_you_mean("", &[]), "");
        assert_eq!(did_you_mean("", &["A"]), " Did you mean \"A\"?");
        assert_eq!(did_you_mean("", &["A", "B"]), " Did you mean \"A\" or \"B\"?");
        assert_eq!(
            did_you_mean("", &["A", "B", "C", "D", "E", "F"]),
            " Did you mean \"A\", \"B\", \"C\", \"D\", or \"E\"?"
        );
    }
}
