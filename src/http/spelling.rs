//! Names of response headers that the HTTP library cannot spell as Node does: it capitalises words, so that `ETag`
//! would be `Etag`. Whoever looks for them letter by letter finds them in the end.
//!
//! [`Answers`] follows what is written to a connection from head to head by the lengths that the heads announce, and
//! changes the case of letters in heads alone. Where it could not be sure where the next head begins (chunked
//! answers, upgrades, a connection that [`super::targets`] lost) the rest passes as it is. Called by
//! [`super::listen`] for each write.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use memchr::{memchr, memmem};

/// As they are, and as they should be.
const NAMES: [(&[u8], &[u8]); 6] = [
    (b"Etag:", b"ETag:"),
    (b"X-Ratelimit-Limit:", b"X-RateLimit-Limit:"),
    (b"X-Ratelimit-Remaining:", b"X-RateLimit-Remaining:"),
    (b"X-Ratelimit-Reset:", b"X-RateLimit-Reset:"),
    (b"Www-Authenticate:", b"WWW-Authenticate:"),
    (b"X-Xss-Protection:", b"X-XSS-Protection:"),
];
/// Longer heads are not looked at.
const LONGEST_HEAD: usize = 64 * 1024;

/// Where the writes of a connection are.
#[derive(Debug, Default)]
pub struct Answers {
    place: State,
    /// What to write in the place of so many bytes.
    respelled: Bytes,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Between,
    Head {
        left: usize,
        body: u64,
    },
    Body(u64),
    Lost,
}

impl Answers {
    /// How many of these bytes to write now, and what to write in the place of the first of them. Asked again
    /// before anything has passed, it says the same. `heads`: of each request that waits for its answer, whether
    /// it is answered without a body (`HEAD`).
    pub fn offer(&mut self, bytes: &[u8], heads: &mut VecDeque<bool>) -> (usize, &[u8]) {
        if self.place == State::Between {
            self.begin(bytes, heads);
        }
        if self.place == State::Lost {
            // Nobody looks at them any more.
            heads.clear();
        }
        let most = match self.place {
            State::Head { left, body } => left.saturating_add(usize::try_from(body).unwrap_or(usize::MAX)),
            State::Body(left) => usize::try_from(left).unwrap_or(usize::MAX),
            State::Between | State::Lost => usize::MAX,
        };
        let count = bytes.len().min(most);
        (count, self.respelled.get(..count).unwrap_or(&self.respelled))
    }

    /// So many were written.
    pub fn passed(&mut self, count: usize) {
        self.respelled.advance(count.min(self.respelled.len()));
        let body = |left: u64| if left == 0 { State::Between } else { State::Body(left) };
        self.place = match self.place {
            State::Head { left, body } if count < left => State::Head { left: left - count, body },
            State::Head { left, body: length } => body(length.saturating_sub((count - left) as u64)),
            State::Body(left) => body(left.saturating_sub(count as u64)),
            other => other,
        };
    }

    fn begin(&mut self, bytes: &[u8], heads: &mut VecDeque<bool>) {
        self.place = State::Lost;
        let within = bytes.get(..LONGEST_HEAD).unwrap_or(bytes);
        let Some(end) = memmem::find(within, b"\r\n\r\n") else { return };
        let Some(head) = bytes.get(..end + 4) else { return };
        let Some(read) = Head::read(head) else { return };
        let body = match read.status {
            // An upgrade, after which nothing is HTTP.
            101 => return,
            100..=199 => 0,
            status => {
                let Some(without_body) = heads.pop_front() else { return };
                match read.length {
                    _ if without_body || matches!(status, 204 | 304) => 0,
                    Some(length) => length,
                    None => return,
                }
            }
        };
        self.place = State::Head { left: head.len(), body };
        if !read.changes.is_empty() {
            let mut respelled = head.to_vec();
            for (at, name) in read.changes {
                if let Some(place) = respelled.get_mut(at..at + name.len()) {
                    place.copy_from_slice(name);
                }
            }
            self.respelled = respelled.into();
        }
    }
}

/// What a head says.
#[derive(Default)]
struct Head {
    status: u16,
    length: Option<u64>,
    changes: Vec<(usize, &'static [u8])>,
}

impl Head {
    /// `None` for what has no length, or is no head.
    fn read(head: &[u8]) -> Option<Self> {
        let status = head.strip_prefix(b"HTTP/1.")?.get(2..5)?;
        let mut read = Self { status: std::str::from_utf8(status).ok()?.parse().ok()?, ..Self::default() };
        let mut at = memchr(b'\n', head)? + 1;
        while let Some(line) = head.get(at..).filter(|rest| !rest.is_empty()) {
            let end = memchr(b'\n', line)? + 1;
            match line.first() {
                Some(b'E' | b'X' | b'W') => {
                    if let Some((_, name)) = NAMES.iter().find(|(name, _)| line.starts_with(name)) {
                        read.changes.push((at, name));
                    }
                }
                Some(b'C' | b'c') => {
                    if let Some(value) = value_of(line.get(..end)?, b"content-length:") {
                        read.length = Some(std::str::from_utf8(value).ok()?.trim().parse().ok()?);
                    }
                }
                Some(b'T' | b't') if value_of(line, b"transfer-encoding:").is_some() => return None,
                _ => {}
            }
            at += end;
        }
        Some(read)
    }
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What arrives when each write takes so many bytes at most.
    fn written(bytes: &[u8], heads: &[bool], at_most: usize) -> String {
        let mut answers = Answers::default();
        let mut heads: VecDeque<bool> = heads.iter().copied().collect();
        let mut out = Vec::new();
        while out.len() < bytes.len() {
            let rest = &bytes[out.len()..];
            answers.offer(rest, &mut heads);
            let (count, respelled) = answers.offer(rest, &mut heads);
            let mut offered = respelled.to_vec();
            offered.extend_from_slice(&rest[respelled.len()..count]);
            offered.truncate(at_most);
            out.extend_from_slice(&offered);
            answers.passed(offered.len());
        }
        String::from_utf8(out).unwrap()
    }

    const ONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 14\r\nEtag: W/\"1\"\r\nX-Ratelimit-Limit: 5\r\n\r\n\r\nEtag: body\r\n";

    #[test]
    fn heads_are_spelled_and_bodies_are_not() {
        let wanted = ONE.replacen("Etag", "ETag", 1).replace("X-Ratelimit", "X-RateLimit");
        let three = [ONE, "HTTP/1.1 304 Not Modified\r\nEtag: a\r\nContent-Length: 9\r\n\r\n", ONE].concat();
        let expected =
            [wanted.as_str(), "HTTP/1.1 304 Not Modified\r\nETag: a\r\nContent-Length: 9\r\n\r\n", &wanted]
                .concat();
        for at_most in [1, 3, 50, 10_000] {
            assert_eq!(written(ONE.as_bytes(), &[false], at_most), wanted);
            assert_eq!(written(three.as_bytes(), &[false, false, false], at_most), expected);
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 70\r\nEtag: W/\"1\"\r\n\r\n";
        let answers = format!("{head}{ONE}");
        let expected = format!("{}{wanted}", head.replace("Etag", "ETag"));
        assert_eq!(written(answers.as_bytes(), &[true, false], 7), expected);
        let interim = format!("HTTP/1.1 100 Continue\r\n\r\n{ONE}");
        assert_eq!(
            written(interim.as_bytes(), &[false], 7),
            format!("HTTP/1.1 100 Continue\r\n\r\n{wanted}")
        );
    }

    #[test]
    fn what_is_not_certain_stays_as_it_is() {
        for (head, heads) in [
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 2),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", 2),
            ("HTTP/1.1 200 OK\r\n\r\n", 2),
            ("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", 0),
            ("nonsense", 2),
        ] {
            let bytes = format!("{head}{ONE}");
            assert_eq!(written(bytes.as_bytes(), &vec![false; heads], 5), bytes, "{head}");
        }
    }

    proptest! {
        /// Only the case of letters in heads ever changes.
        #[test]
        fn property_of_lengths(body in "[ -~]{0,80}", at_most in 1_usize..200, count in 1_usize..5) {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nEtag: x\r\n\r\n", body.len());
            let bytes = format!("{head}{body}").repeat(count);
            let wanted = format!("{}{body}", head.replace("Etag", "ETag")).repeat(count);
            prop_assert_eq!(written(bytes.as_bytes(), &vec![false; count], at_most), wanted);
        }
    }
}
