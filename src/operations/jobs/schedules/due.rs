//! When a job schedule is due. All times are UTC, as the dashboard shows them.
//!
//! | row | due |
//! |-|-|
//! | a cron expression in `timeOfDay` | as it says (five fields, or six with seconds first), from `startAfter` on |
//! | `repeatMinutes` of whole days | every so many days at `timeOfDay`, from `startAfter` on |
//! | `repeatMinutes`, `timeOfDay` | each day from `timeOfDay` on, every so many minutes until the day ends |
//! | `repeatMinutes` alone | `startAfter`, and every so many minutes after it |
//! | neither | once, at `startAfter` |
//!
//! `daysOfWeek` (seven flags, Sunday first) leaves out days of the repeating ones. The class has a fixed
//! layout, which is parse-server's: that is why the expression has no field of its own.

use chrono::Datelike;
use croner::Cron;
use croner::parser::CronParser;
use serde_json::Value;

use crate::types::Object;
use crate::types::time::Millis;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// Days that are looked at before a schedule is taken for never due: every weekday comes in that time.
const HORIZON_DAYS: i64 = 8;
/// Days with a due time that `daysOfWeek` may leave out in a row.
const MOST_CRON_DAYS: usize = 400;
/// A single run whose time had just passed when it was written is still wanted.
const SINGLE_GRACE: i64 = 60 * MINUTE;

/// What becomes of due times at which no server could run the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// The latest of them is made up for.
    Once,
    /// Nothing: the next due time is the next run.
    Skip,
}

#[derive(Clone, Debug)]
enum Rule {
    Cron(Box<Cron>),
    /// Every so many days, at this many milliseconds after midnight.
    Days {
        every: i64,
        at: i64,
    },
    /// Within each day from `at` on.
    WithinDay {
        every: i64,
        at: i64,
    },
    Interval {
        every: i64,
    },
    Single,
}

/// A `_JobSchedule` row, read.
#[derive(Clone, Debug)]
pub struct Schedule {
    rule: Rule,
    start: Millis,
    /// Sunday first.
    days: [bool; 7],
    missed: Missed,
}

impl Schedule {
    /// # Errors
    /// What is wrong with the row, for its author.
    pub fn read(row: &Object, missed: Missed) -> Result<Self, String> {
        let start = match row.get("startAfter").filter(|start| !start.is_null()) {
            Some(start) => read_time(start).ok_or_else(|| format!("startAfter {start} is no time"))?,
            None => row.get("createdAt").and_then(read_time).unwrap_or(Millis(0)),
        };
        Ok(Self { rule: read_rule(row)?, start, days: read_days(row.get("daysOfWeek")), missed })
    }

    /// Up to when a schedule counts as run that was written at this time.
    pub fn since(&self, written: Millis) -> Millis {
        match self.rule {
            Rule::Single => Millis(written.0 - SINGLE_GRACE),
            _ => written,
        }
    }

    /// The first due time after `after`.
    pub fn next(&self, after: Millis) -> Option<Millis> {
        // One millisecond before the start, so that the start itself may be due.
        let after = after.max(Millis(self.start.0 - 1));
        match &self.rule {
            Rule::Single => (self.start > after).then_some(self.start),
            Rule::Interval { every } => {
                let aligned =
                    |after: i64| self.start.0 + ((after - self.start.0).div_euclid(*every) + 1) * every;
                let mut due = aligned(after.0);
                // Each step leaves one day, or takes one interval where that is longer.
                for _ in 0..=HORIZON_DAYS {
                    if self.allows(due) {
                        return Some(Millis(due));
                    }
                    due = aligned(midnight(due) + DAY - 1);
                }
                None
            }
            Rule::Days { every, at } => {
                let first = midnight(self.start.0);
                let passed = (midnight(after.0) - first).div_euclid(DAY).max(0);
                let mut day = first + (passed - passed.rem_euclid(*every)) * DAY;
                for _ in 0..=HORIZON_DAYS {
                    if day + at > after.0 && self.allows(day) {
                        return Some(Millis(day + at));
                    }
                    day += every * DAY;
                }
                None
            }
            Rule::WithinDay { every, at } => {
                let today = midnight(after.0);
                (0..=HORIZON_DAYS).map(|n| today + n * DAY).find_map(|day| {
                    let steps = ((after.0 - day - at).div_euclid(*every) + 1).max(0);
                    let due = day + at + steps * every;
                    (due < day + DAY && self.allows(day)).then_some(Millis(due))
                })
            }
            Rule::Cron(cron) => {
                let mut after = after;
                for _ in 0..=MOST_CRON_DAYS {
                    // The milliseconds would be handed on to the answer.
                    let second = Millis(after.0 - after.0.rem_euclid(1000));
                    let due = cron.find_next_occurrence(&second.to_datetime(), false).ok()?;
                    let due = Millis(due.timestamp_millis());
                    if self.allows(due.0) {
                        return Some(due);
                    }
                    after = Millis(midnight(due.0) + DAY - 1);
                }
                None
            }
        }
    }

    /// The due time to run now: the latest one that is not before `taken` and not after `now`; `None`
    /// when there is none, or it is too old for a schedule that skips missed runs.
    pub fn due(&self, taken: Millis, now: Millis) -> Option<Millis> {
        const PUNCTUAL: i64 = MINUTE;
        let first = self.next(taken).filter(|due| *due <= now)?;
        let latest = self.latest(first, now);
        (self.missed == Missed::Once || now.0 - latest.0 <= PUNCTUAL).then_some(latest)
    }

    /// The last due time up to `now`, given that `first` is one.
    fn latest(&self, first: Millis, now: Millis) -> Millis {
        // Looks back over growing spans rather than walk through every missed run.
        let mut span = MINUTE;
        while now.0 - span > first.0 {
            if let Some(due) = self.next(Millis(now.0 - span)).filter(|due| *due <= now) {
                return self.walk(due, now);
            }
            span *= 8;
        }
        self.walk(first, now)
    }

    fn walk(&self, mut due: Millis, now: Millis) -> Millis {
        while let Some(next) = self.next(due).filter(|next| *next <= now) {
            due = next;
        }
        due
    }

    fn allows(&self, at: i64) -> bool {
        self.days[Millis(at).to_datetime().weekday().num_days_from_sunday() as usize]
    }
}

fn midnight(at: i64) -> i64 {
    at - at.rem_euclid(DAY)
}

/// A text, or a Date in either encoding.
fn read_time(value: &Value) -> Option<Millis> {
    value.as_str().or_else(|| value.get("iso")?.as_str()).and_then(Millis::parse)
}

fn read_rule(row: &Object) -> Result<Rule, String> {
    let time_of_day = row.get("timeOfDay").and_then(Value::as_str).map(str::trim);
    let time_of_day = time_of_day.filter(|text| !text.is_empty());
    if let Some(text) = time_of_day.filter(|text| text.contains(' ')) {
        let cron = CronParser::new().parse(text).map_err(|error| format!("cron {text:?}: {error}"))?;
        return Ok(Rule::Cron(Box::new(cron)));
    }
    let at = time_of_day.map(read_time_of_day).transpose()?;
    let minutes = match row.get("repeatMinutes") {
        Some(Value::Number(minutes)) => minutes.as_f64().unwrap_or(0.0),
        Some(Value::String(minutes)) => minutes.trim().parse().unwrap_or(0.0),
        _ => 0.0,
    };
    if minutes.is_nan() || minutes <= 0.0 {
        return Ok(Rule::Single);
    }
    // A minute at least, a century at most.
    let every = (minutes.clamp(1.0, 52_560_000.0) * MINUTE as f64) as i64;
    Ok(match at {
        Some(at) if every % DAY == 0 => Rule::Days { every: every / DAY, at },
        Some(at) if every < DAY => Rule::WithinDay { every, at },
        _ => Rule::Interval { every },
    })
}

/// `10:30:00.000Z`, or any shorter form of it, as milliseconds after midnight.
fn read_time_of_day(text: &str) -> Result<i64, String> {
    let invalid = || format!("timeOfDay {text:?} is no time of day");
    let mut parts = text.trim_end_matches('Z').split(':');
    let mut part = |limit: f64| -> Result<Option<f64>, String> {
        let Some(part) = parts.next() else { return Ok(None) };
        let number: f64 = part.parse().map_err(|_| invalid())?;
        if (0.0..limit).contains(&number) { Ok(Some(number)) } else { Err(invalid()) }
    };
    let hours = part(24.0)?.ok_or_else(invalid)?;
    let minutes = part(60.0)?.unwrap_or(0.0);
    let seconds = part(60.0)?.unwrap_or(0.0);
    Ok(((hours * 60.0 + minutes) * 60.0 + seconds) as i64 * 1000)
}

/// `[1,1,1,1,1,1,1]` or `["0","1",…]`; anything else, and no day at all, mean every day.
fn read_days(value: Option<&Value>) -> [bool; 7] {
    let is_set = |flag: &Value| match flag {
        Value::String(text) => !matches!(text.as_str(), "" | "0" | "false"),
        Value::Number(n) => n.as_f64() != Some(0.0),
        other => other == &Value::Bool(true),
    };
    let flags: Vec<bool> = value.and_then(Value::as_array).into_iter().flatten().map(is_set).collect();
    match <[bool; 7]>::try_from(flags) {
        Ok(days) if days.contains(&true) => days,
        _ => [true; 7],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schedule(row: Value) -> Schedule {
        Schedule::read(row.as_object().unwrap(), Missed::Once).unwrap()
    }

    fn at(text: &str) -> Millis {
        Millis::parse(text).unwrap()
    }

    fn nexts(schedule: &Schedule, after: &str, count: usize) -> Vec<String> {
        let step = |due: &Millis| schedule.next(*due);
        std::iter::successors(schedule.next(at(after)), step).take(count).map(Millis::to_iso).collect()
    }

    #[test]
    fn once() {
        let once = schedule(json!({"startAfter": "2026-03-01T10:00:00.000Z", "daysOfWeek": [1,1,1,1,1,1,1]}));
        assert_eq!(nexts(&once, "2026-01-01", 3), ["2026-03-01T10:00:00.000Z"]);
        assert_eq!(once.next(at("2026-03-01T10:00:00.000Z")), None);
        assert_eq!(once.due(at("2026-01-01"), at("2026-03-01T09:59:59.999Z")), None);
        assert_eq!(once.due(at("2026-01-01"), at("2026-03-05")), Some(at("2026-03-01T10:00:00Z")));
    }

    #[test]
    fn daily_at_a_time_of_day() {
        let daily = schedule(json!({
            "startAfter": "2026-03-01T12:00:00.000Z", "timeOfDay": "10:30:00.000Z", "repeatMinutes": 1440,
        }));
        assert_eq!(
            nexts(&daily, "2026-01-01", 2),
            ["2026-03-02T10:30:00.000Z", "2026-03-03T10:30:00.000Z"],
            "not on the first day, where it is before the start"
        );
        let every_other = schedule(json!({
            "startAfter": "2026-03-01T00:00:00.000Z", "timeOfDay": "10:30Z", "repeatMinutes": 2880,
        }));
        assert_eq!(
            nexts(&every_other, "2026-03-02T00:00:00Z", 2),
            ["2026-03-03T10:30:00.000Z", "2026-03-05T10:30:00.000Z"]
        );
    }

    #[test]
    fn within_each_day() {
        let often = schedule(json!({
            "startAfter": "2026-03-01T12:00:00.000Z", "timeOfDay": "22:10:00.000Z", "repeatMinutes": 60,
        }));
        assert_eq!(
            nexts(&often, "2026-03-01T00:00:00Z", 3),
            ["2026-03-01T22:10:00.000Z", "2026-03-01T23:10:00.000Z", "2026-03-02T22:10:00.000Z"]
        );
    }

    #[test]
    fn plain_intervals_count_from_their_start() {
        let interval = schedule(json!({"startAfter": "2026-03-01T12:00:07.000Z", "repeatMinutes": 45}));
        assert_eq!(
            nexts(&interval, "2026-03-01T12:00:07.000Z", 2),
            ["2026-03-01T12:45:07.000Z", "2026-03-01T13:30:07.000Z"]
        );
        assert_eq!(nexts(&interval, "2000-01-01", 1), ["2026-03-01T12:00:07.000Z"]);
    }

    #[test]
    fn days_of_the_week() {
        // The first of March 2026 is a Sunday.
        let weekends = schedule(json!({
            "startAfter": "2026-03-02T00:00:00.000Z", "timeOfDay": "08:00", "repeatMinutes": 1440,
            "daysOfWeek": ["1", "0", "0", "0", "0", "0", "1"],
        }));
        assert_eq!(
            nexts(&weekends, "2026-03-01T00:00:00Z", 3),
            ["2026-03-07T08:00:00.000Z", "2026-03-08T08:00:00.000Z", "2026-03-14T08:00:00.000Z"]
        );
        let mondays = schedule(json!({"timeOfDay": "0 9 * * *", "daysOfWeek": [0, 1, 0, 0, 0, 0, 0]}));
        assert_eq!(nexts(&mondays, "2026-03-01T00:00:00Z", 1), ["2026-03-02T09:00:00.000Z"]);
    }

    #[test]
    fn cron_expressions() {
        let cron = schedule(json!({"timeOfDay": "*/20 3 * * MON"}));
        assert_eq!(
            nexts(&cron, "2026-03-01T00:00:00Z", 4),
            [
                "2026-03-02T03:00:00.000Z",
                "2026-03-02T03:20:00.000Z",
                "2026-03-02T03:40:00.000Z",
                "2026-03-09T03:00:00.000Z"
            ]
        );
        let seconds =
            schedule(json!({"timeOfDay": "*/2 * * * * *", "startAfter": "2026-03-01T00:00:10.000Z"}));
        assert_eq!(
            nexts(&seconds, "2026-03-01T00:00:00Z", 2),
            ["2026-03-01T00:00:10.000Z", "2026-03-01T00:00:12.000Z"]
        );
        assert_eq!(
            nexts(&schedule(json!({"timeOfDay": "0 0 30 2 *"})), "2026-03-01", 1),
            Vec::<String>::new()
        );
        for wrong in ["every day", "99 * * * *", "* * *"] {
            let row = json!({ "timeOfDay": wrong });
            assert!(Schedule::read(row.as_object().unwrap(), Missed::Once).unwrap_err().contains(wrong));
        }
    }

    #[test]
    fn missed_runs_collapse_into_one_or_none() {
        let row = json!({"startAfter": "2026-03-01T00:00:00.000Z", "repeatMinutes": 10});
        let taken = at("2026-03-01T00:00:00Z");
        let once = schedule(row.clone());
        assert_eq!(once.due(taken, at("2026-03-01T00:09:59Z")), None);
        assert_eq!(once.due(taken, at("2026-03-01T00:10:30Z")), Some(at("2026-03-01T00:10:00Z")));
        assert_eq!(once.due(taken, at("2026-03-09T17:29:00Z")), Some(at("2026-03-09T17:20:00Z")));
        let skipping = Schedule::read(row.as_object().unwrap(), Missed::Skip).unwrap();
        assert_eq!(skipping.due(taken, at("2026-03-09T17:29:00Z")), None);
        assert_eq!(skipping.due(taken, at("2026-03-09T17:20:30Z")), Some(at("2026-03-09T17:20:00Z")));
    }

    #[test]
    fn odd_rows_are_refused_or_read_mildly() {
        for (row, wrong) in [
            (json!({"startAfter": "soon"}), "startAfter"),
            (json!({"repeatMinutes": 5, "timeOfDay": "25:00"}), "timeOfDay"),
            (json!({"repeatMinutes": 5, "timeOfDay": "noon"}), "timeOfDay"),
        ] {
            assert!(
                Schedule::read(row.as_object().unwrap(), Missed::Once).unwrap_err().contains(wrong),
                "{row}"
            );
        }
        let date = schedule(json!({"startAfter": {"__type": "Date", "iso": "2026-03-01T00:00:00.000Z"}}));
        assert_eq!(nexts(&date, "2026-01-01", 1), ["2026-03-01T00:00:00.000Z"]);
        let endless = schedule(json!({"startAfter": "2026-03-01T00:00:00Z", "repeatMinutes": 1e300}));
        assert!(endless.next(at("2026-03-02T00:00:00Z")).is_some());
        assert_eq!(schedule(json!({"repeatMinutes": -5})).next(at("2026-03-01")), None);
    }
}
