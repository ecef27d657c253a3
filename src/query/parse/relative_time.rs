//! `$relativeTime`: `now`, `in 2 days`, `1 year 3 weeks ago` (parse-server's `relativeTimeToDate`).

use crate::error::Error;
use crate::types::time::Millis;

pub(super) fn time_operator_error() -> Error {
    Error::invalid_json("$relativeTime can only be used with the $lt, $lte, $gt, and $gte operators")
}

/// Years 1 and 9999: what every part of the system can write.
const EARLIEST: i64 = -62_135_596_800_000;
const LATEST: i64 = 253_402_300_799_000;

/// The instant a text means.
///
/// # Errors
/// What is wrong with the text, as the API words it.
pub fn relative_time(text: &str, now: Millis) -> Result<Millis, String> {
    let text = text.to_lowercase();
    if text == "now" {
        return Ok(now);
    }
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    let future = words.first() == Some(&"in");
    let past = words.last() == Some(&"ago");
    let words = match (future, past) {
        (false, false) => return Err("Time should either start with 'in' or end with 'ago'".to_owned()),
        (true, true) => return Err("Time cannot have both 'in' and 'ago'".to_owned()),
        (true, false) => &words[1..],
        (false, true) => &words[..words.len() - 1],
    };
    if words.len() % 2 != 0 {
        return Err("Invalid time string. Dangling unit or number.".to_owned());
    }
    let mut seconds = 0_i64;
    for pair in words.chunks_exact(2) {
        let (number, unit) = (pair[0], pair[1]);
        let count = integer(number).ok_or_else(|| format!("'{number}' is not an integer."))?;
        let size = match unit {
            "yr" | "yrs" | "year" | "years" => 365 * 86_400,
            "wk" | "wks" | "week" | "weeks" => 7 * 86_400,
            "d" | "day" | "days" => 86_400,
            "hr" | "hrs" | "hour" | "hours" => 3_600,
            "min" | "mins" | "minute" | "minutes" => 60,
            "sec" | "secs" | "second" | "seconds" => 1,
            _ => return Err(format!("Invalid interval: '{unit}'")),
        };
        seconds = seconds.saturating_add(count.saturating_mul(size));
    }
    let millis = seconds.saturating_mul(1000);
    let at = if future { now.0.saturating_add(millis) } else { now.0.saturating_sub(millis) };
    Ok(Millis(at.clamp(EARLIEST, LATEST)))
}

/// `2`, `-3`, `1e3`, `4.0`: JavaScript's `Number()` where it is whole.
#[allow(clippy::cast_possible_truncation)]
fn integer(text: &str) -> Option<i64> {
    let n: f64 = text.parse().ok()?;
    (n.is_finite() && n.fract() == 0.0).then_some(n as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let now = Millis(1_000_000_000_000);
        let at = |text| relative_time(text, now).map(|at| at.0 - now.0);
        assert_eq!(at("now"), Ok(0));
        assert_eq!(at("in 2 days"), Ok(2 * 86_400_000));
        assert_eq!(at("1 year 1 sec ago"), Ok(-(365 * 86_400 + 1) * 1000));
        assert_eq!(at("In 3 MINS"), Ok(180_000));
        for (text, info) in [
            ("2 days", "Time should either start with 'in' or end with 'ago'"),
            ("in 2 days ago", "Time cannot have both 'in' and 'ago'"),
            ("in 2", "Invalid time string. Dangling unit or number."),
            ("in x days", "'x' is not an integer."),
            ("in 2 fortnights", "Invalid interval: 'fortnights'"),
        ] {
            assert_eq!(at(text), Err(info.to_owned()), "{text}");
        }
    }
}
