//! Instants as Parse knows them: milliseconds since 1970 UTC, written `YYYY-MM-DDTHH:MM:SS.mmmZ`.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, SecondsFormat, Timelike, Utc};

/// Milliseconds since the Unix epoch; negative before 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Millis(pub i64);

/// The first day PostgreSQL knows: 4713 BC. Its last one is later than any that is read here.
const FIRST: Millis = Millis(-210_866_803_200_000);
/// Bytes of the longest text that is looked at as a date.
const MAX_TEXT: usize = 64;

impl Millis {
    pub fn now() -> Self {
        Self(Utc::now().timestamp_millis())
    }

    /// So many seconds from now; fractions count.
    pub fn in_seconds(seconds: f64) -> Self {
        Self(Self::now().0.saturating_add(millis_of(seconds)))
    }

    /// Reads what JavaScript's `Date` reads of ISO 8601 (with or without time, milliseconds, zone) and of RFC 2822.
    /// Nothing before 4713 BC, which a database cannot hold.
    pub fn parse(text: &str) -> Option<Self> {
        Self::read(text).filter(|at| *at >= FIRST)
    }

    /// A date, but one that cannot be stored.
    pub fn is_out_of_range(text: &str) -> bool {
        Self::read(text).is_some_and(|at| at < FIRST)
    }

    fn read(text: &str) -> Option<Self> {
        if text.len() > MAX_TEXT {
            return None;
        }
        if let Ok(date) = DateTime::parse_from_rfc3339(text) {
            return Some(Self(date.timestamp_millis()));
        }
        for format in ["%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M%z", "%Y-%m-%d %H:%M:%S%.f%#z"] {
            if let Ok(date) = DateTime::parse_from_str(text, format) {
                return Some(Self(date.timestamp_millis()));
            }
        }
        let naive = text.strip_suffix('Z').unwrap_or(text);
        for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f"] {
            if let Ok(date) = NaiveDateTime::parse_from_str(naive, format) {
                return Some(Self(date.and_utc().timestamp_millis()));
            }
        }
        if let Ok(day) = NaiveDate::parse_from_str(naive, "%Y-%m-%d") {
            return Some(Self(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis()));
        }
        // As JavaScript's `toUTCString` and .NET's `R` write it.
        DateTime::parse_from_rfc2822(text).ok().map(|date| Self(date.timestamp_millis()))
    }

    pub fn to_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or(DateTime::UNIX_EPOCH)
    }

    /// `2026-01-31T12:00:00.000Z`.
    pub fn to_iso(self) -> String {
        let mut out = Vec::with_capacity(24);
        self.write_iso(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    /// Appends the ISO form; the hot path of every answer.
    pub fn write_iso(self, out: &mut Vec<u8>) {
        let date = self.to_datetime();
        let year = date.year();
        if !(0..=9999).contains(&year) {
            out.extend_from_slice(date.to_rfc3339_opts(SecondsFormat::Millis, true).as_bytes());
            return;
        }
        let mut digits = |mut n: u32, width: usize| {
            let start = out.len();
            out.resize(start + width, b'0');
            for slot in out[start..].iter_mut().rev() {
                *slot = b'0' + (n % 10) as u8;
                n /= 10;
            }
        };
        // `year` is inside 0..=9999 here.
        digits(year.unsigned_abs(), 4);
        for (separator, n) in [
            (b'-', date.month()),
            (b'-', date.day()),
            (b'T', date.hour()),
            (b':', date.minute()),
            (b':', date.second()),
        ] {
            push_two(out, separator, n);
        }
        out.push(b'.');
        let millis = date.timestamp_subsec_millis();
        for divisor in [100, 10, 1] {
            out.push(b'0' + (millis / divisor % 10) as u8);
        }
        out.push(b'Z');
    }
}

/// Milliseconds of a time in seconds; those before the first are cut off, as `Date` does.
#[allow(clippy::cast_possible_truncation)]
pub fn millis_of(seconds: f64) -> i64 {
    (seconds * 1000.0) as i64
}

fn push_two(out: &mut Vec<u8>, separator: u8, n: u32) {
    out.extend_from_slice(&[separator, b'0' + (n / 10) as u8, b'0' + (n % 10) as u8]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        for text in ["2026-11-22T23:30:01.007Z", "1969-12-31T23:59:59.999Z", "0001-01-01T00:00:00.000Z"] {
            assert_eq!(Millis::parse(text).map(Millis::to_iso).as_deref(), Some(text));
        }
    }

    #[test]
    fn accepts_what_javascript_accepts() {
        assert_eq!(
            Millis::parse("2020-01-02").map(|m| m.to_iso()).as_deref(),
            Some("2020-01-02T00:00:00.000Z")
        );
        assert_eq!(
            Millis::parse("2020-01-02T03:04:05+02:00").map(|m| m.to_iso()).as_deref(),
            Some("2020-01-02T01:04:05.000Z")
        );
        assert_eq!(
            Millis::parse("2020-01-02T03:04:05.6Z").map(|m| m.to_iso()).as_deref(),
            Some("2020-01-02T03:04:05.600Z")
        );
        assert_eq!(
            Millis::parse("Mon, 07 Nov 2011 20:58:34 GMT").map(|m| m.to_iso()).as_deref(),
            Some("2011-11-07T20:58:34.000Z")
        );
        assert!(Millis::parse("soon").is_none());
        assert!(!Millis::is_out_of_range("soon"));
        assert!(Millis::parse("-4712-01-01T00:00:00.000Z").is_some());
        assert!(Millis::parse("-4800-01-01T00:00:00.000Z").is_none());
        assert!(Millis::is_out_of_range("-4800-01-01T00:00:00.000Z"));
        assert!(Millis::parse("+300000-01-01T00:00:00.000Z").is_none());
        assert!(Millis::parse(&"2020-01-01 ".repeat(100_000)).is_none());
    }
}
