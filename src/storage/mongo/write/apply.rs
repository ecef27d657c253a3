//! Update operators on a document in memory: what the server made of the document that it answered as it was
//! before. Only operators that [`super::update`] writes.

use bson::{Bson, Document};

/// The document after the operators.
pub fn apply(document: &mut Document, operators: &Document) {
    for (operator, paths) in operators {
        let Bson::Document(paths) = paths else { continue };
        for (path, operand) in paths {
            let segments: Vec<&str> = path.split('.').collect();
            change(document, &segments, operator, operand);
        }
    }
}

fn change(document: &mut Document, path: &[&str], operator: &str, operand: &Bson) {
    let Some((head, rest)) = path.split_first() else { return };
    let creates = !matches!(operator, "$unset" | "$pullAll");
    if rest.is_empty() {
        if operator == "$unset" {
            document.remove(head);
        } else if creates || document.contains_key(head) {
            let old = document.get(head).cloned();
            document.insert(*head, changed(old, operator, operand));
        }
        return;
    }
    if !document.contains_key(head) {
        if !creates {
            return;
        }
        document.insert(*head, Document::new());
    }
    if let Some(inner) = document.get_mut(head) {
        change_inside(inner, rest, operator, operand);
    }
}

fn change_inside(value: &mut Bson, path: &[&str], operator: &str, operand: &Bson) {
    match value {
        Bson::Document(document) => change(document, path, operator, operand),
        Bson::Array(list) => {
            let Some((head, rest)) = path.split_first() else { return };
            let Ok(place) = head.parse::<usize>() else { return };
            if place >= list.len() {
                // The server refuses to fill more than this; then there is nothing to be told of.
                if matches!(operator, "$unset" | "$pullAll") || place > list.len() + 1_500_000 {
                    return;
                }
                list.resize(place + 1, Bson::Null);
                if let Some(slot) = list.get_mut(place).filter(|_| !rest.is_empty()) {
                    *slot = Bson::Document(Document::new());
                }
            }
            let Some(slot) = list.get_mut(place) else { return };
            if !rest.is_empty() {
                change_inside(slot, rest, operator, operand);
            } else if operator == "$unset" {
                *slot = Bson::Null;
            } else {
                *slot = changed(Some(std::mem::take(slot)), operator, operand);
            }
        }
        _ => {}
    }
}

fn changed(old: Option<Bson>, operator: &str, operand: &Bson) -> Bson {
    let list = |old: Option<Bson>| match old {
        Some(Bson::Array(list)) => list,
        _ => Vec::new(),
    };
    let each = || match operand {
        Bson::Document(each) => each.get_array("$each").cloned().unwrap_or_default(),
        Bson::Array(values) => values.clone(),
        _ => Vec::new(),
    };
    match operator {
        "$inc" => sum(old, operand),
        "$push" => Bson::Array(list(old).into_iter().chain(each()).collect()),
        "$addToSet" => {
            let mut list = list(old);
            for value in each() {
                if !list.iter().any(|known| equal(known, &value)) {
                    list.push(value);
                }
            }
            Bson::Array(list)
        }
        "$pullAll" => {
            let gone = each();
            let stays = |value: &Bson| !gone.iter().any(|gone| equal(value, gone));
            Bson::Array(list(old).into_iter().filter(stays).collect())
        }
        _ => operand.clone(),
    }
}

#[allow(clippy::cast_precision_loss)]
fn double(value: &Bson) -> Option<f64> {
    match value {
        Bson::Int32(n) => Some(f64::from(*n)),
        Bson::Int64(n) => Some(*n as f64),
        Bson::Double(n) => Some(*n),
        _ => None,
    }
}

fn whole(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(n) => Some(i64::from(*n)),
        Bson::Int64(n) => Some(*n),
        _ => None,
    }
}

fn sum(old: Option<Bson>, by: &Bson) -> Bson {
    let Some(old) = old else { return by.clone() };
    if let (Some(a), Some(b)) = (whole(&old), whole(by))
        && let Some(sum) = a.checked_add(b)
    {
        let is_narrow = matches!((&old, by), (Bson::Int32(_), Bson::Int32(_)));
        return match i32::try_from(sum) {
            Ok(sum) if is_narrow => Bson::Int32(sum),
            _ => Bson::Int64(sum),
        };
    }
    match (double(&old), double(by)) {
        (Some(a), Some(b)) => Bson::Double(a + b),
        _ => old,
    }
}

/// As the server compares: numbers by what they are worth, documents with the order of their keys.
fn equal(a: &Bson, b: &Bson) -> bool {
    if let (Some(a), Some(b)) = (double(a), double(b)) {
        return a == b;
    }
    match (a, b) {
        (Bson::Document(a), Bson::Document(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|((x, a), (y, b))| x == y && equal(a, b))
        }
        (Bson::Array(a), Bson::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    fn after(mut document: Document, operators: &Document) -> Document {
        apply(&mut document, operators);
        document
    }

    #[test]
    fn every_operator() {
        let before = doc! { "n": 1, "o": { "x": [1, 2], "gone": 1 }, "list": ["a", { "k": 1 }] };
        let operators = doc! {
            "$inc": { "n": 2.5, "m": 1, "o.deep.n": 1 },
            "$set": { "o.x.3": "d", "s": "t" },
            "$unset": { "o.gone": "", "nothing.there": "" },
            "$addToSet": { "list": { "$each": ["a", { "k": 1.0 }, "b"] } },
            "$pullAll": { "missing": [1] },
            "$push": { "fresh": { "$each": [1, 1] } },
        };
        let expected = doc! {
            "n": 3.5, "o": { "x": [1, 2, null, "d"], "deep": { "n": 1 } },
            "list": ["a", { "k": 1 }, "b"], "m": 1, "s": "t", "fresh": [1, 1],
        };
        assert_eq!(after(before, &operators), expected);
    }

    #[test]
    fn numbers_keep_their_width_as_long_as_they_fit() {
        let inc = |by: Bson| doc! { "$inc": { "n": by } };
        assert_eq!(after(doc! { "n": i32::MAX }, &inc(Bson::Int32(1))), doc! { "n": 2_147_483_648_i64 });
        assert_eq!(after(doc! { "n": 1_i64 }, &inc(Bson::Int32(1))), doc! { "n": 2_i64 });
        assert_eq!(after(doc! { "n": 1 }, &inc(Bson::Double(0.5))), doc! { "n": 1.5 });
    }
}
