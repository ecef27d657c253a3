//! `Range` and conditional request headers (RFC 9110 §13–14), as pure functions.
//!
//! Crates read and write the headers (`http-range-header`, `httpdate`). What a range means for a file of some
//! size stays here: the stores ask before they know the size, and an unsatisfiable range must name it.

use std::num::NonZeroUsize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_range_header::{SyntacticallyCorrectRange, parse_range_header_with_max_ranges};

use super::{FileError, FileInfo, FileResult};

/// What one `bytes=…` range asks for, before the size is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `a-b`, both included.
    FromTo(u64, u64),
    /// `a-`
    From(u64),
    /// `-n`: the last n bytes.
    Last(u64),
}

/// A range of a file whose size is known. An empty file has the range (0, 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    pub start: u64,
    pub len: u64,
}

impl ByteRange {
    pub fn whole(size: u64) -> Self {
        Self { start: 0, len: size }
    }

    /// Position behind the last byte.
    pub fn end(self) -> u64 {
        self.start + self.len
    }

    /// Value of `Content-Range`.
    pub fn header(self, size: u64) -> String {
        format!("bytes {}-{}/{size}", self.start, self.end().saturating_sub(1))
    }
}

impl Wanted {
    /// Reads a `Range` header. `None`: answer the whole file (other units, several ranges, nonsense), which
    /// the RFC allows and which keeps many tiny ranges from multiplying the work.
    pub fn parse(header: &str) -> Option<Self> {
        let ranges = parse_range_header_with_max_ranges(header.trim(), NonZeroUsize::MIN).ok()?.into_ranges();
        let [range] = ranges.as_slice() else { return None };
        Some(match *range {
            SyntacticallyCorrectRange::FromStart(from) => Self::From(from),
            SyntacticallyCorrectRange::FromLast(count) => Self::Last(count),
            SyntacticallyCorrectRange::Indexed(from, to) => Self::FromTo(from, to),
        })
    }

    /// # Errors
    /// `RangeNotSatisfiable` (416) when no byte of the file is asked for.
    pub fn resolve(self, size: u64) -> FileResult<ByteRange> {
        let unsatisfiable = FileError::RangeNotSatisfiable { size };
        match self {
            Self::FromTo(from, to) if from < size => {
                Ok(ByteRange { start: from, len: to.saturating_add(1).min(size) - from })
            }
            Self::From(from) if from < size => Ok(ByteRange { start: from, len: size - from }),
            Self::Last(count) if count > 0 && size > 0 => {
                let len = count.min(size);
                Ok(ByteRange { start: size - len, len })
            }
            _ => Err(unsatisfiable),
        }
    }
}

/// `wanted` against `size`, the whole file without one.
pub fn resolve(wanted: Option<Wanted>, size: u64) -> FileResult<ByteRange> {
    wanted.map_or(Ok(ByteRange::whole(size)), |wanted| wanted.resolve(size))
}

/// The conditional headers of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions<'a> {
    pub if_match: Option<&'a str>,
    pub if_none_match: Option<&'a str>,
    pub if_modified_since: Option<&'a str>,
    pub if_unmodified_since: Option<&'a str>,
    pub if_range: Option<&'a str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Proceed,
    /// 304
    NotModified,
    /// 412
    PreconditionFailed,
}

impl Conditions<'_> {
    /// In the RFC's order of precedence.
    pub fn evaluate(&self, info: &FileInfo) -> Verdict {
        let modified = info.modified.map(seconds);
        if let Some(list) = self.if_match {
            if !names(list, info.etag.as_deref(), false) {
                return Verdict::PreconditionFailed;
            }
        } else if let (Some(modified), Some(limit)) =
            (modified, self.if_unmodified_since.and_then(parse_date))
            && modified > limit
        {
            return Verdict::PreconditionFailed;
        }
        if let Some(list) = self.if_none_match {
            if names(list, info.etag.as_deref(), true) {
                return Verdict::NotModified;
            }
        } else if let (Some(modified), Some(since)) = (modified, self.if_modified_since.and_then(parse_date))
            && modified <= since
        {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }

    /// Whether a `Range` header counts: an `If-Range` must name this very version.
    pub fn range_applies(&self, info: &FileInfo) -> bool {
        let Some(value) = self.if_range else { return true };
        if value.trim_start().starts_with(['"', 'W']) && value.contains('"') {
            return names(value, info.etag.as_deref(), false);
        }
        match (parse_date(value), info.modified) {
            (Some(date), Some(modified)) => date == seconds(modified),
            _ => false,
        }
    }
}

/// Whether a list of entity tags names `etag`. Weak comparison ignores `W/`.
fn names(list: &str, etag: Option<&str>, weak: bool) -> bool {
    if list.trim() == "*" {
        return true;
    }
    let Some(etag) = etag else { return false };
    list.split(',').map(str::trim).any(|tag| {
        let (is_weak, tag) = tag.strip_prefix("W/").map_or((false, tag), |rest| (true, rest));
        (weak || !is_weak) && tag.strip_prefix('"').and_then(|t| t.strip_suffix('"')) == Some(etag)
    })
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

fn parse_date(text: &str) -> Option<u64> {
    httpdate::parse_http_date(text.trim()).ok().map(seconds)
}

/// An HTTP date. Those have four digits for the year: a file's time outside of them becomes the nearest.
pub fn format_date(time: SystemTime) -> String {
    const LAST: u64 = 253_402_300_799;
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds(time).min(LAST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        for (header, expected) in [
            ("bytes=0-0", Some(Wanted::FromTo(0, 0))),
            ("bytes=5-9", Some(Wanted::FromTo(5, 9))),
            ("Bytes=5-", Some(Wanted::From(5))),
            (" bytes= 5- ", Some(Wanted::From(5))),
            ("bytes=-3", Some(Wanted::Last(3))),
            ("bytes=0-99999999999999999999999", Some(Wanted::FromTo(0, u64::MAX))),
            ("bytes=9-5", None),
            ("bytes=-", None),
            ("bytes=a-b", None),
            ("bytes=+1-2", None),
            ("bytes=1 - 2", None),
            ("bytes=0-1,3-4", None),
            ("items=0-1", None),
            ("bytes", None),
            ("", None),
        ] {
            assert_eq!(Wanted::parse(header), expected, "{header}");
        }
    }

    #[test]
    fn ranges_are_resolved() {
        let ok = |wanted: Wanted, size| wanted.resolve(size).ok().map(|r| (r.start, r.len));
        assert_eq!(ok(Wanted::FromTo(0, 0), 10), Some((0, 1)));
        assert_eq!(ok(Wanted::FromTo(4, u64::MAX), 10), Some((4, 6)));
        assert_eq!(ok(Wanted::FromTo(10, 11), 10), None);
        assert_eq!(ok(Wanted::From(9), 10), Some((9, 1)));
        assert_eq!(ok(Wanted::From(10), 10), None);
        assert_eq!(ok(Wanted::Last(3), 10), Some((7, 3)));
        assert_eq!(ok(Wanted::Last(30), 10), Some((0, 10)));
        assert_eq!(ok(Wanted::Last(0), 10), None);
        assert_eq!(ok(Wanted::Last(1), 0), None);
        assert_eq!(ok(Wanted::From(0), 0), None);
        assert_eq!(ByteRange { start: 2, len: 3 }.header(9), "bytes 2-4/9");
    }

    #[test]
    fn conditions() {
        let modified = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let info =
            FileInfo { size: 1, content_type: None, etag: Some("v1".into()), modified: Some(modified) };
        assert_eq!(format_date(modified), "Sun, 06 Nov 1994 08:49:37 GMT");
        let far = |seconds| format_date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(far(1 << 40), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(format_date(UNIX_EPOCH - Duration::from_secs(9)), "Thu, 01 Jan 1970 00:00:00 GMT");
        let judge = |c: Conditions| c.evaluate(&info);
        let none = Conditions::default();
        assert_eq!(judge(none), Verdict::Proceed);
        assert_eq!(judge(Conditions { if_none_match: Some("\"v1\""), ..none }), Verdict::NotModified);
        assert_eq!(
            judge(Conditions { if_none_match: Some("\"x\", W/\"v1\""), ..none }),
            Verdict::NotModified
        );
        assert_eq!(judge(Conditions { if_none_match: Some("*"), ..none }), Verdict::NotModified);
        assert_eq!(judge(Conditions { if_none_match: Some("\"v2\""), ..none }), Verdict::Proceed);
        let since = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let before = Some("Sun, 06 Nov 1994 08:49:36 GMT");
        assert_eq!(judge(Conditions { if_modified_since: since, ..none }), Verdict::NotModified);
        // The two obsolete forms that servers have to read.
        for old in ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(
                judge(Conditions { if_modified_since: Some(old), ..none }),
                Verdict::NotModified,
                "{old}"
            );
        }
        assert_eq!(judge(Conditions { if_modified_since: before, ..none }), Verdict::Proceed);
        assert_eq!(judge(Conditions { if_modified_since: Some("junk"), ..none }), Verdict::Proceed);
        // A tag outweighs a date.
        let both = Conditions { if_none_match: Some("\"v2\""), if_modified_since: since, ..none };
        assert_eq!(judge(both), Verdict::Proceed);
        assert_eq!(judge(Conditions { if_match: Some("\"v1\""), ..none }), Verdict::Proceed);
        assert_eq!(judge(Conditions { if_match: Some("W/\"v1\""), ..none }), Verdict::PreconditionFailed);
        assert_eq!(judge(Conditions { if_match: Some("\"v2\""), ..none }), Verdict::PreconditionFailed);
        assert_eq!(judge(Conditions { if_unmodified_since: before, ..none }), Verdict::PreconditionFailed);
        assert_eq!(judge(Conditions { if_unmodified_since: since, ..none }), Verdict::Proceed);

        let applies = |value| Conditions { if_range: Some(value), ..none }.range_applies(&info);
        assert!(none.range_applies(&info));
        assert!(applies("\"v1\""));
        assert!(!applies("W/\"v1\""));
        assert!(!applies("\"v2\""));
        assert!(applies("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert!(!applies("Sun, 06 Nov 1994 08:49:38 GMT"));
        assert!(!applies("junk"));
    }
}
