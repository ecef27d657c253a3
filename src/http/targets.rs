//! What clients write into a request's target without the percent signs that it takes: `"`, `<`, `{`, letters beyond
//! ASCII. Node's parser takes them, and so do we: they are escaped on their way in, before the HTTP library reads
//! them, which refuses them.
//!
//! [`Targets`] follows a connection from head to head by the lengths that the heads announce, exactly as the library
//! does, and touches nothing else. Wherever it could not be sure where the next head begins (chunked bodies,
//! upgrades, anything odd) it lets the rest of the connection pass as it is: escaping a byte of a body would move the
//! border between two requests. Called by [`super::listen`] for what each read gave.

use std::collections::VecDeque;

use memchr::memchr;

/// The head's lines that matter are short; a longer one that came in parts is not kept.
const LONGEST_LINE: usize = 1024;
/// Longer methods are none.
const LONGEST_METHOD: usize = 16;

/// Where a connection is.
#[derive(Debug, Default)]
pub struct Targets {
    place: State,
    /// Of the head that is read: its `Content-Length`.
    length: Option<u64>,
    /// The method, or the beginning of a header line whose rest is yet to come.
    line: Vec<u8>,
    is_head: bool,
    /// Of each request that was read and not answered yet, whether its method is `HEAD`.
    pub unanswered: VecDeque<bool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before a request, where empty lines mean nothing.
    #[default]
    Between,
    Method,
    Target,
    Version,
    Fields,
    Body(u64),
    /// Nothing is known of what follows.
    Lost,
}

impl Targets {
    /// The bytes with targets escaped, or nothing when they stay as they are.
    pub fn escaped(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut out = None;
        // Those before are in `out`.
        let mut copied = 0;
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let step = match self.place {
                State::Lost => break,
                State::Between => self.between(rest),
                State::Method => self.method(rest),
                State::Target => {
                    let (step, byte) = self.target(rest);
                    if let Some(byte) = byte {
                        let out = out.get_or_insert_with(|| Vec::with_capacity(bytes.len() * 2));
                        out.extend_from_slice(bytes.get(copied..at + step - 1).unwrap_or_default());
                        out.extend_from_slice(&percent(byte));
                        copied = at + step;
                    }
                    step
                }
                State::Version => self.version(rest),
                State::Fields => self.field(rest),
                State::Body(left) => {
                    let step = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    self.body(left - step as u64);
                    step
                }
            };
            at += step;
        }
        if let Some(out) = &mut out {
            out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
        }
        out
    }

    fn between(&mut self, rest: &[u8]) -> usize {
        let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if empty < rest.len() {
            self.place = State::Method;
            self.length = None;
            self.line.clear();
        }
        empty
    }

    fn method(&mut self, rest: &[u8]) -> usize {
        let room = LONGEST_METHOD.saturating_sub(self.line.len());
        let end = rest.iter().take(room + 1).position(|byte| !byte.is_ascii_alphabetic());
        let Some(end) = end else {
            if rest.len() > room {
                self.place = State::Lost;
            } else {
                self.line.extend_from_slice(rest);
            }
            return rest.len();
        };
        self.line.extend_from_slice(rest.get(..end).unwrap_or_default());
        self.is_head = self.line == b"HEAD";
        let is_request = rest.get(end) == Some(&b' ') && self.line != b"CONNECT";
        self.place = if is_request { State::Target } else { State::Lost };
        end + 1
    }

    /// Up to the next byte that must be escaped, or the target's end.
    fn target(&mut self, rest: &[u8]) -> (usize, Option<u8>) {
        let Some(end) = rest.iter().position(|byte| !is_plain(*byte)) else { return (rest.len(), None) };
        let byte = rest.get(end).copied().unwrap_or_default();
        let escape = match byte {
            b' ' => {
                self.place = State::Version;
                None
            }
            b'\t' | 0x0C | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | 0x80.. => {
                Some(byte)
            }
            _ => {
                self.place = State::Lost;
                None
            }
        };
        (end + 1, escape)
    }

    fn version(&mut self, rest: &[u8]) -> usize {
        let Some(end) = memchr(b'\n', rest) else { return rest.len() };
        self.line.clear();
        self.place = State::Fields;
        end + 1
    }

    fn field(&mut self, rest: &[u8]) -> usize {
        let Some(end) = memchr(b'\n', rest) else {
            if self.line.len() + rest.len() > LONGEST_LINE {
                self.place = State::Lost;
            } else {
                self.line.extend_from_slice(rest);
            }
            return rest.len();
        };
        let tail = rest.get(..end).unwrap_or_default();
        if self.line.is_empty() {
            self.line_ended(tail);
        } else if self.line.len() + tail.len() > LONGEST_LINE {
            self.place = State::Lost;
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(tail);
            self.line_ended(&line);
            line.clear();
            self.line = line;
        }
        end + 1
    }

    fn line_ended(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.first() {
            None => {
                self.unanswered.push_back(self.is_head);
                self.body(self.length.unwrap_or(0));
            }
            Some(b'c' | b'C') => {
                if let Some(value) = value_of(line, b"content-length") {
                    match (self.length, decimal(value)) {
                        (None, Some(length)) => self.length = Some(length),
                        _ => self.place = State::Lost,
                    }
                }
            }
            Some(b't' | b'T') if value_of(line, b"transfer-encoding").is_some() => self.place = State::Lost,
            Some(b'u' | b'U') if value_of(line, b"upgrade").is_some() => self.place = State::Lost,
            // A line that goes on.
            Some(b' ' | b'\t') => self.place = State::Lost,
            Some(_) => {}
        }
    }

    fn body(&mut self, left: u64) {
        self.place = if left == 0 { State::Between } else { State::Body(left) };
    }
}

/// What stands in a target as it is.
fn is_plain(byte: u8) -> bool {
    const PLAIN: [bool; 256] = {
        let mut plain = [false; 256];
        let mut byte = 0x21;
        while byte < 0x7F {
            plain[byte] =
                !matches!(byte as u8, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}');
            byte += 1;
        }
        plain
    };
    PLAIN[usize::from(byte)]
}

fn percent(byte: u8) -> [u8; 3] {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'A' + value - 10 };
    [b'%', digit(byte >> 4), digit(byte & 15)]
}

fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    let (first, value) = rest.split_first()?;
    // White space before the colon is refused by the library; whoever sends it is not followed.
    (start.eq_ignore_ascii_case(name) && matches!(first, b':' | b' ' | b'\t')).then_some(value)
}

fn decimal(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii();
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes out when the bytes arrive in parts of so many.
    fn through(bytes: &[u8], part: usize) -> Vec<u8> {
        let mut targets = Targets::default();
        let mut out = Vec::new();
        for part in bytes.chunks(part.max(1)) {
            out.extend(targets.escaped(part).unwrap_or_else(|| part.to_vec()));
        }
        out
    }

    #[test]
    fn targets_are_escaped_in_parts_of_any_size() {
        let sent = "GET /p?where={\"a\":\"é|<>\"} HTTP/1.1\r\nHost: {\"\r\n\r\n\
                    PUT /{ HTTP/1.1\r\ncontent-LENGTH: 12\r\n\r\nGET /{\" HTTP\
                    GET /^ HTTP/1.1\r\n\r\n";
        let wanted = "GET /p?where=%7B%22a%22:%22%C3%A9%7C%3C%3E%22%7D HTTP/1.1\r\nHost: {\"\r\n\r\n\
                      PUT /%7B HTTP/1.1\r\ncontent-LENGTH: 12\r\n\r\nGET /{\" HTTP\
                      GET /%5E HTTP/1.1\r\n\r\n";
        for part in [1, 2, 3, 7, 16, 1000] {
            assert_eq!(String::from_utf8(through(sent.as_bytes(), part)).unwrap(), wanted, "{part}");
        }
    }

    #[test]
    fn what_is_not_certain_stays_as_it_is() {
        for head in [
            "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST /a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST /a HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "POST /a HTTP/1.1\r\nContent-Length : 1\r\n\r\n",
            "GET /a HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            "GET /a HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            "CONNECT a:1 HTTP/1.1\r\n\r\n",
            "GET /a\r\n\r\n",
            "G@T / HTTP/1.1\r\n\r\n",
        ] {
            let sent = format!("{head}GET /\" HTTP/1.1\r\n\r\n");
            for part in [1, 5, 1000] {
                assert_eq!(through(sent.as_bytes(), part), sent.as_bytes(), "{head:?}");
            }
        }
    }

    proptest! {
        /// Whatever comes, in whatever parts: bodies and heads keep their bytes, and parts change nothing.
        #[test]
        fn property_of_framing(target in "[ -~é]{0,20}", body in proptest::collection::vec(any::<u8>(), 0..60), part in 1_usize..40) {
            let target = target.replace([' ', '#'], "");
            let mut sent = format!("POST /{target} HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
            sent.extend_from_slice(&body);
            sent.extend_from_slice(b"GET /| HTTP/1.1\r\n\r\n");
            let got = through(&sent, part);
            prop_assert_eq!(&got, &through(&sent, 10_000));
            let end = [body.as_slice(), b"GET /%7C HTTP/1.1\r\n\r\n"].concat();
            prop_assert!(got.ends_with(&end));
        }

        #[test]
        fn property_of_anything(bytes in proptest::collection::vec(any::<u8>(), 0..300), part in 1_usize..40) {
            let got = through(&bytes, part);
            prop_assert!(got.len() <= bytes.len() * 3);
            prop_assert_eq!(got, through(&bytes, 1000));
        }
    }
}
