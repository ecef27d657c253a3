//! What a request for a push says, checked the way `PushController` does, and in its words.

use chrono::NaiveDateTime;
use croner::Cron;
use serde_json::{Value, json};

use super::{hash, zones};
use crate::error::{Error, ErrorCode, Result};
use crate::operations::services::Services;
use crate::push::Broadcast;
use crate::types::Object;
use crate::types::javascript::is_truthy;
use crate::types::time::Millis;

/// What has no expiration is tried again for so long.
const DAY_MS: i64 = 24 * 3600 * 1000;
/// Time that JavaScript knows.
const LONGEST_MS: f64 = 8.64e15;
/// The end of the year 9999: clocks of devices are reckoned with around a push's time.
const FURTHEST_MS: i64 = 253_402_300_799_999;
/// Devices per second, at most.
const FASTEST: f64 = 1e6;
/// No payload of any service is larger; the database keeps it once for each push.
const LARGEST: usize = 64 * 1024;

/// A request that can be sent.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Without condition.
    pub body: Object,
    pub condition: Object,
    pub data: Object,
    pub hash: String,
    /// ISO, as parse-server stores it; `None`: now.
    pub push_time: Option<String>,
    /// `None`: at once.
    pub due_at: Option<Millis>,
    /// A time by the clock of each device.
    pub local: Option<NaiveDateTime>,
    pub expires_at: Option<Millis>,
    /// Seconds.
    pub expiration_interval: Option<f64>,
    pub deadline: Millis,
    pub badge: Option<Badge>,
    pub rate: Option<f64>,
    pub audience: Option<String>,
    pub cron: Option<Recurrence>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Badge {
    Set(f64),
    Increment(f64),
}

/// When a push is due again and again.
#[derive(Clone, Debug)]
pub struct Recurrence {
    pub cron: String,
    pub zone: String,
    /// A time that nobody could keep is made up for once.
    pub makes_up: bool,
}

impl Accepted {
    /// What is kept beside the body.
    pub fn settings(&self, services: &Services) -> Value {
        let badge = self.badge.map(|badge| match badge {
            Badge::Set(value) => json!({ "set": value }),
            Badge::Increment(amount) => json!({ "increment": amount }),
        });
        let batch = services.push.as_ref().map_or(100, |adapter| adapter.batch_size());
        json!({
            "expiresAt": self.expires_at.map(|at| at.0),
            "interval": self.expiration_interval,
            "local": self.local.map(|local| local.format(LOCAL).to_string()),
            "badge": badge,
            "rate": self.rate,
            "batch": batch,
            "cron": self.cron.as_ref().map(|cron| json!({
                "cron": cron.cron, "zone": cron.zone, "makesUp": cron.makes_up,
            })),
        })
    }
}

pub const LOCAL: &str = "%Y-%m-%dT%H:%M:%S%.3f";

fn refused(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::parse(ErrorCode::PUSH_MISCONFIGURED, text)
}

/// The condition of a push to no installations.
pub const BROADCAST: &str = "$broadcast";

/// A `where` that is no condition: parse-server answers with a status, which then tells of the mistake.
pub const UNREADABLE: &str = "$unreadable";

/// `where`, or what `channels` or `broadcast` means.
///
/// # Errors
/// 115 for both, or neither.
pub fn condition(body: &Object) -> Result<Object> {
    if let Some(broadcast) = body.get("broadcast") {
        if body.contains_key("where") || body.contains_key("channels") {
            return Err(refused("broadcast and a query or channels can not be set at the same time."));
        }
        Broadcast::read(broadcast).map_err(refused)?;
        // No condition on installations has such a name.
        return Ok(Object::from_iter([(BROADCAST.to_owned(), broadcast.clone())]));
    }
    match (body.get("where"), body.get("channels")) {
        (Some(_), Some(_)) => Err(refused("Channels and query can not be set at the same time.")),
        (Some(Value::Object(condition)), None) => Ok(condition.clone()),
        // PHP writes an empty object so.
        (Some(Value::Array(list)), None) if list.is_empty() => Ok(Object::new()),
        (Some(other), None) => Ok(Object::from_iter([(UNREADABLE.to_owned(), other.clone())])),
        (None, Some(channels)) => {
            Ok(Object::from_iter([("channels".to_owned(), json!({ "$in": channels }))]))
        }
        (None, None) => Err(refused("Sending a push requires either \"channels\" or a \"where\" query.")),
    }
}

/// # Errors
/// 115 as parse-server has it.
pub fn read(mut body: Object, condition: Object, now: Millis, schedules: bool) -> Result<Accepted> {
    body.shift_remove("where");
    body.shift_remove("broadcast");
    let size =
        Value::Object(body.clone()).to_string().len() + Value::Object(condition.clone()).to_string().len();
    if size > LARGEST {
        return Err(refused(format!("The push is too large: {size} bytes, and {LARGEST} are allowed.")));
    }
    let mut expires_at =
        body.get("expiration_time").map(|time| epoch(time).ok_or_else(|| not_a_time(time))).transpose()?;
    let expiration_interval = match body.get("expiration_interval") {
        None => None,
        Some(Value::Number(seconds)) if seconds.as_f64().is_some_and(|s| s > 0.0) => seconds.as_f64(),
        Some(_) => return Err(refused("expiration_interval must be a number greater than 0")),
    };
    if expires_at.is_some_and(|at| at.0 != 0) && expiration_interval.is_some() {
        return Err(refused("Both expiration_time and expiration_interval cannot be set"));
    }
    if let (Some(seconds), false) = (expiration_interval, body.contains_key("push_time")) {
        expires_at = Some(later(now, seconds));
    }
    let when = body.get("push_time").map(push_time).transpose()?;
    match expires_at {
        Some(at) => drop(body.insert("expiration_time".to_owned(), at.0.into())),
        None => drop(body.shift_remove("expiration_time")),
    }
    if let Some(when) = &when {
        body.insert("push_time".to_owned(), when.text.clone().into());
    }
    let data = body.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
    let badge = data.get("badge").filter(|badge| is_truthy(badge)).map(read_badge).transpose()?;
    let rate = match body.get("rate") {
        None | Some(Value::Null) => None,
        Some(rate) => match rate.as_f64().filter(|rate| *rate > 0.0 && *rate <= FASTEST) {
            Some(rate) => Some(rate),
            None => return Err(refused("rate must be a number of devices per second greater than 0")),
        },
    };
    let cron = recurrence(&body, when.is_some(), schedules)?;
    if when.is_some() && !schedules {
        tracing::warn!("Trying to schedule a push while server is not configured.");
        tracing::warn!("Push will be sent immediately");
    }
    let when = when.filter(|_| schedules);
    let local = when.as_ref().and_then(|when| when.local);
    let due_at = match (&cron, &when) {
        (Some(cron), _) => Some(cron.next(now).ok_or_else(|| refused("cron: there is no such time"))?),
        (None, Some(when)) => Some(match local {
            Some(local) => zones::waves(local).first().map_or(when.at, |wave| wave.at),
            None => when.at,
        }),
        (None, None) => None,
    };
    let last_due =
        local.and_then(|local| zones::waves(local).last().map(|wave| wave.at)).or(due_at).unwrap_or(now);
    let interval = expiration_interval.filter(|_| when.is_some());
    let deadline = match (expires_at, interval) {
        // Given in the past it is the service's to refuse: it is sent once.
        (Some(at), _) => at.max(Millis(now.0 + 60_000)),
        (None, Some(seconds)) => later(last_due, seconds),
        (None, None) => Millis(last_due.max(now).0.saturating_add(DAY_MS)),
    };
    if condition.contains_key(BROADCAST) && (local.is_some() || matches!(badge, Some(Badge::Increment(_)))) {
        return Err(refused("a broadcast has neither local times nor badges that are counted"));
    }
    let hash = hash::of(data.get("alert"));
    let audience =
        body.get("audience_id").and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned);
    Ok(Accepted {
        condition,
        data,
        hash,
        push_time: when.map(|when| when.text),
        due_at,
        local,
        expires_at,
        expiration_interval,
        deadline,
        badge,
        rate,
        audience,
        cron,
        body,
    })
}

/// So many seconds after.
pub fn later(at: Millis, seconds: f64) -> Millis {
    Millis(at.0.saturating_add((seconds * 1000.0) as i64).min(LONGEST_MS as i64))
}

/// As JavaScript's `Date` reads it: seconds, or a text.
fn epoch(value: &Value) -> Option<Millis> {
    match value {
        Value::Number(seconds) => {
            let at = seconds.as_f64()? * 1000.0;
            (at.abs() <= LONGEST_MS).then_some(Millis(at.trunc() as i64))
        }
        Value::String(text) => Millis::parse(text),
        _ => None,
    }
}

fn not_a_time(value: &Value) -> Error {
    let shown = match value {
        Value::String(text) => text.chars().take(200).collect(),
        Value::Object(_) => "[object Object]".to_owned(),
        other => other.to_string(),
    };
    refused(format!("{shown} is not valid time."))
}

struct When {
    at: Millis,
    /// Where it is one of each device's clock.
    local: Option<NaiveDateTime>,
    text: String,
}

fn push_time(value: &Value) -> Result<When> {
    let at = epoch(value).filter(|at| at.0.abs() <= FURTHEST_MS).ok_or_else(|| not_a_time(value))?;
    let has_zone = value.as_str().is_some_and(has_zone);
    let iso = at.to_iso();
    // Numbers too are stored without their zone, as parse-server stores them.
    let text = if has_zone { iso } else { iso.trim_end_matches('Z').to_owned() };
    let local = (value.is_string() && !has_zone).then(|| at.to_datetime().naive_utc());
    Ok(When { at, local, text })
}

/// `Z`, or an offset at the end.
fn has_zone(text: &str) -> bool {
    if text.ends_with('Z') {
        return true;
    }
    let Some((_, end)) = text.split_at_checked(text.len().saturating_sub(6)) else { return false };
    matches!(end.as_bytes(), [b'+' | b'-', a, b, b':', c, d] if [a, b, c, d].iter().all(|c| c.is_ascii_digit()))
        && text.len() > 6
}

/// # Errors
/// 115 for anything that is neither a number nor an increment.
fn read_badge(badge: &Value) -> Result<Badge> {
    const WRONG: &str = "Invalid value for badge, expected number or 'Increment' or {increment: number}";
    let increment = |text: &str| text.eq_ignore_ascii_case("increment");
    let number = |value: &Value| {
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok());
        number.filter(|number: &f64| number.is_finite() && *number != 0.0)
    };
    match badge {
        Value::String(word) if increment(word) => Ok(Badge::Increment(1.0)),
        Value::Object(op) if op.get("__op").and_then(Value::as_str).is_some_and(increment) => {
            op.get("amount").and_then(number).map(Badge::Increment).ok_or_else(|| refused(WRONG))
        }
        Value::Object(op) if op.contains_key("increment") => {
            op.get("increment").and_then(number).map(Badge::Increment).ok_or_else(|| refused(WRONG))
        }
        badge => number(badge).map(Badge::Set).ok_or_else(|| refused(WRONG)),
    }
}

fn recurrence(body: &Object, has_time: bool, schedules: bool) -> Result<Option<Recurrence>> {
    let Some(cron) = body.get("cron").filter(|cron| !cron.is_null()) else { return Ok(None) };
    if !schedules {
        return Err(refused("cron needs option scheduledPush"));
    }
    if has_time {
        return Err(refused("cron and push_time cannot both be set"));
    }
    let cron = cron.as_str().ok_or_else(|| refused("cron must be a text"))?;
    let zone = body.get("time_zone").and_then(Value::as_str).unwrap_or("UTC");
    zone.parse::<chrono_tz::Tz>().map_err(|_| refused("time_zone is not the name of a time zone"))?;
    let makes_up = match body.get("missed").and_then(Value::as_str) {
        None | Some("once") => true,
        Some("skip") => false,
        Some(_) => return Err(refused("missed must be \"once\" or \"skip\"")),
    };
    parse_cron(cron).map_err(|error| refused(format!("cron: {error}")))?;
    Ok(Some(Recurrence { cron: cron.to_owned(), zone: zone.to_owned(), makes_up }))
}

fn parse_cron(text: &str) -> std::result::Result<Cron, croner::errors::CronError> {
    croner::parser::CronParser::new().parse(text)
}

impl Recurrence {
    pub fn read(settings: &Value) -> Option<Self> {
        let cron = settings.get("cron")?;
        Some(Self {
            cron: cron.get("cron")?.as_str()?.to_owned(),
            zone: cron.get("zone")?.as_str()?.to_owned(),
            makes_up: cron.get("makesUp")?.as_bool()?,
        })
    }

    /// The first time after this one.
    pub fn next(&self, after: Millis) -> Option<Millis> {
        let zone: chrono_tz::Tz = self.zone.parse().ok()?;
        let after = Millis(after.0 - after.0.rem_euclid(1000)).to_datetime().with_timezone(&zone);
        let next = parse_cron(&self.cron).ok()?.find_next_occurrence(&after, false).ok()?;
        Some(Millis(next.timestamp_millis()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_800_000_000_000);

    fn accepted(body: Value, schedules: bool) -> Result<Accepted> {
        let body = body.as_object().cloned().unwrap();
        read(body, Object::new(), NOW, schedules)
    }

    fn text(body: Value) -> String {
        accepted(body, true).unwrap_err().public_message(false).to_owned()
    }

    #[test]
    fn the_condition_is_one_of_two() {
        let read = |body: Value| condition(body.as_object().unwrap());
        assert_eq!(
            Value::Object(read(json!({"channels": ["a"]})).unwrap()),
            json!({"channels": {"$in": ["a"]}})
        );
        let text = |body: Value| read(body).unwrap_err().public_message(false).to_owned();
        assert_eq!(
            text(json!({"where": {}, "channels": []})),
            "Channels and query can not be set at the same time."
        );
        assert!(text(json!({})).starts_with("Sending a push requires either"));
        assert!(read(json!({"where": []})).unwrap().is_empty());
        for none in [json!(null), json!("x"), json!(["x"])] {
            assert!(read(json!({ "where": none })).unwrap().contains_key(UNREADABLE));
        }
    }

    #[test]
    fn times_are_read_as_parse_server_reads_them() {
        assert_eq!(text(json!({"expiration_time": "never"})), "never is not valid time.");
        assert_eq!(text(json!({"push_time": {}})), "[object Object] is not valid time.");
        assert_eq!(text(json!({"push_time": 1e300})), "1e+300 is not valid time.");
        for far in ["+262142-12-31T23:59:59", "-262143-01-01T00:00:00", "+012000-01-01T00:00:00"] {
            assert_eq!(text(json!({"push_time": far})), format!("{far} is not valid time."));
        }
        assert!(accepted(json!({"push_time": "9999-12-31T23:59:59"}), true).is_ok());
        assert_eq!(
            text(json!({"expiration_interval": 0})),
            "expiration_interval must be a number greater than 0"
        );
        let both = json!({"expiration_interval": 5, "expiration_time": 1_900_000_000});
        assert_eq!(text(both), "Both expiration_time and expiration_interval cannot be set");
        let interval = accepted(json!({"expiration_interval": 5}), true).unwrap();
        assert_eq!(interval.expires_at, Some(Millis(NOW.0 + 5000)));
        let zoned = accepted(json!({"push_time": "2030-01-01T10:00:00+02:00"}), true).unwrap();
        assert_eq!(zoned.push_time.as_deref(), Some("2030-01-01T08:00:00.000Z"));
        assert_eq!(zoned.due_at, Millis::parse("2030-01-01T08:00:00.000Z"));
        let local = accepted(json!({"push_time": "2030-01-01T10:00:00"}), true).unwrap();
        assert_eq!(local.push_time.as_deref(), Some("2030-01-01T10:00:00.000"));
        assert!(local.local.is_some() && local.due_at < Millis::parse("2030-01-01T00:00:00Z"));
        assert_eq!(accepted(json!({"push_time": "2030-01-01T10:00:00"}), false).unwrap().due_at, None);
    }

    #[test]
    fn badges() {
        let badge =
            |badge: Value| accepted(json!({"data": {"badge": badge}}), true).map(|accepted| accepted.badge);
        assert_eq!(badge(json!("INCREMENT")).unwrap(), Some(Badge::Increment(1.0)));
        assert_eq!(badge(json!({"__op": "Increment", "amount": 3})).unwrap(), Some(Badge::Increment(3.0)));
        assert_eq!(badge(json!(7)).unwrap(), Some(Badge::Set(7.0)));
        assert_eq!(badge(json!(0)).unwrap(), None);
        assert!(
            badge(json!("more")).unwrap_err().public_message(false).starts_with("Invalid value for badge")
        );
    }

    #[test]
    fn recurring_ones_keep_to_their_time_zone() {
        let daily = accepted(json!({"cron": "0 9 * * *", "time_zone": "Europe/Berlin"}), true).unwrap();
        let next =
            |after: &str| daily.cron.as_ref().unwrap().next(Millis::parse(after).unwrap()).unwrap().to_iso();
        assert_eq!(next("2027-03-27T12:00:00Z"), "2027-03-28T07:00:00.000Z", "summer time begins that night");
        assert_eq!(next("2027-10-30T12:00:00Z"), "2027-10-31T08:00:00.000Z", "and ends");
        assert!(text(json!({"cron": "hourly"})).starts_with("cron: "));
    }
}
