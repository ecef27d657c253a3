//! A time by the clock of each device: at which moments it is, and for whom.
//!
//! Installations say where they are by names of the tz database (`Europe/Berlin`), or by offsets as systems write
//! them (`GMT+2`, `UTC+05:30`). All names that mean the same moment are one wave. Whoever says nothing that is
//! known gets it with UTC.

use std::collections::BTreeMap;

use chrono::{Duration, LocalResult, NaiveDateTime, Offset, TimeZone};

use crate::types::time::Millis;

/// One moment, and who is reached then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wave {
    pub at: Millis,
    /// As `sentPerUTCOffset` names it: hours, with minutes where there are any.
    pub offset: String,
    pub zones: Vec<String>,
    /// Those with no zone, or one that nobody knows, belong to it.
    pub has_rest: bool,
}

/// By their time.
pub fn waves(local: NaiveDateTime) -> Vec<Wave> {
    let mut by_time: BTreeMap<i64, (i32, Vec<String>)> = BTreeMap::new();
    for zone in chrono_tz::TZ_VARIANTS {
        let (at, offset) = moment(zone, local);
        by_time.entry(at).or_insert_with(|| (offset, Vec::new())).1.push(zone.name().to_owned());
    }
    for minutes in (-12 * 60..=14 * 60).step_by(15) {
        let at = (local - Duration::minutes(i64::from(minutes))).and_utc().timestamp_millis();
        by_time.entry(at).or_insert_with(|| (minutes, Vec::new())).1.extend(offset_names(minutes));
    }
    let universal = local.and_utc().timestamp_millis();
    by_time
        .into_iter()
        .map(|(at, (offset, mut zones))| {
            // The tz database has a few of the names of offsets too (`GMT+0`).
            zones.sort_unstable();
            zones.dedup();
            Wave { at: Millis(at), offset: offset_key(offset), zones, has_rest: at == universal }
        })
        .collect()
}

/// Every name that is known.
pub fn known(waves: &[Wave]) -> impl Iterator<Item = &String> {
    waves.iter().flat_map(|wave| &wave.zones)
}

/// When it is that time there, and the minutes before UTC. A time that is left out in spring is when it would
/// have been, one that comes twice in autumn is the first.
fn moment(zone: chrono_tz::Tz, local: NaiveDateTime) -> (i64, i32) {
    let found = match zone.from_local_datetime(&local) {
        LocalResult::Single(at) => Some(at),
        LocalResult::Ambiguous(first, _) => Some(first),
        // By the offset before the gap.
        LocalResult::None => {
            let before = zone.from_local_datetime(&(local - Duration::hours(3))).earliest();
            before.map(|before| before + Duration::hours(3))
        }
    };
    match found {
        Some(at) => (at.timestamp_millis(), at.offset().fix().local_minus_utc() / 60),
        None => (local.and_utc().timestamp_millis(), 0),
    }
}

fn offset_key(minutes: i32) -> String {
    match minutes % 60 {
        0 => (minutes / 60).to_string(),
        rest => format!("{}{}:{:02}", if minutes < 0 { "-" } else { "" }, minutes.abs() / 60, rest.abs()),
    }
}

fn offset_names(minutes: i32) -> Vec<String> {
    let sign = if minutes < 0 { '-' } else { '+' };
    let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
    let mut forms = vec![format!("{sign}{hours:02}:{rest:02}"), format!("{sign}{hours:02}{rest:02}")];
    if hours < 10 {
        forms.push(format!("{sign}{hours}:{rest:02}"));
        forms.push(format!("{sign}{hours}{rest:02}"));
    }
    if rest == 0 {
        forms.push(format!("{sign}{hours}"));
        if hours < 10 {
            forms.push(format!("{sign}{hours:02}"));
        }
    }
    ["GMT", "UTC", ""].iter().flat_map(|name| forms.iter().map(move |form| format!("{name}{form}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(local: &str, zone: &str) -> Wave {
        let local = Millis::parse(local).unwrap().to_datetime().naive_utc();
        waves(local).into_iter().find(|wave| wave.zones.iter().any(|known| known == zone)).unwrap()
    }

    #[test]
    fn summer_time_counts() {
        let at = |local, zone| wave(local, zone).at.to_iso();
        assert_eq!(at("2027-01-15T09:00:00Z", "Europe/Berlin"), "2027-01-15T08:00:00.000Z");
        assert_eq!(at("2027-07-15T09:00:00Z", "Europe/Berlin"), "2027-07-15T07:00:00.000Z");
        assert_eq!(at("2027-07-15T09:00:00Z", "GMT+5:30"), "2027-07-15T03:30:00.000Z");
        assert_eq!(wave("2027-07-15T09:00:00Z", "Asia/Kolkata").offset, "5:30");
        assert_eq!(wave("2027-07-15T09:00:00Z", "America/New_York").offset, "-4");
        // 02:30 does not exist that night, and comes twice the other.
        assert_eq!(at("2027-03-28T02:30:00Z", "Europe/Berlin"), "2027-03-28T01:30:00.000Z");
        assert_eq!(at("2027-10-31T02:30:00Z", "Europe/Berlin"), "2027-10-31T00:30:00.000Z");
    }

    #[test]
    fn every_name_is_in_one_wave_and_one_has_the_rest() {
        let all = waves(Millis::parse("2027-07-15T09:00:00Z").unwrap().to_datetime().naive_utc());
        let mut names: Vec<_> = known(&all).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(all.iter().filter(|wave| wave.has_rest).count(), 1);
        assert!(all.is_sorted_by_key(|wave| wave.at));
        assert!(all.len() < 120, "{}", all.len());
    }
}
