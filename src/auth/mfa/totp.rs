//! Time-based one-time passwords (RFC 6238) with four to ten digits.
//!
//! HMAC and base32 come from crates. The four lines of RFC 4226 that cut a number out of the digest stay here:
//! crate `totp-rs` panics from ten digits on, which parse-server allows (`mfa.digits`), and it compares the
//! passwords of the window only until one fits.

use base32::Alphabet;
use hmac::{Hmac, KeyInit, Mac};
use subtle::ConstantTimeEq;

/// Steps before and after now whose password is accepted too.
const WINDOW: i64 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

impl Algorithm {
    /// `SHA1`, `SHA-256`, …
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().replace('-', "").as_str() {
            "SHA1" => Self::Sha1,
            "SHA256" => Self::Sha256,
            "SHA512" => Self::Sha512,
            _ => return None,
        })
    }

    fn mac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        fn run<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
            // HMAC takes keys of any length.
            let Ok(mut mac) = M::new_from_slice(key) else { return Vec::new() };
            mac.update(message);
            mac.finalize().into_bytes().to_vec()
        }
        match self {
            Self::Sha1 => run::<Hmac<sha1::Sha1>>(key, message),
            Self::Sha256 => run::<Hmac<sha2::Sha256>>(key, message),
            Self::Sha512 => run::<Hmac<sha2::Sha512>>(key, message),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Totp {
    pub algorithm: Algorithm,
    pub digits: u32,
    /// Seconds.
    pub period: u64,
}

impl Totp {
    /// The password of one step.
    pub fn at_step(&self, secret: &[u8], step: u64) -> String {
        let digest = self.algorithm.mac(secret, &step.to_be_bytes());
        let offset = usize::from(digest.last().copied().unwrap_or(0) & 0x0f);
        let bytes: [u8; 4] =
            digest.get(offset..offset + 4).and_then(|b| b.try_into().ok()).unwrap_or_default();
        let number = u64::from(u32::from_be_bytes(bytes) & 0x7fff_ffff) % 10_u64.pow(self.digits);
        format!("{number:0width$}", width = self.digits as usize)
    }

    /// Whether the token belongs to this moment, one step more or less.
    pub fn accepts(&self, secret: &[u8], token: &str, now_s: u64) -> bool {
        let step = (now_s / self.period) as i64;
        let mut accepted = false;
        for step in (step - WINDOW..=step + WINDOW).filter_map(|step| u64::try_from(step).ok()) {
            let expected = self.at_step(secret, step);
            accepted |= bool::from(expected.as_bytes().ct_eq(token.as_bytes()));
        }
        accepted
    }
}

/// Base32 (RFC 4648) in any case, spaces and padding overlooked.
///
/// # Errors
/// The first character that is none of the alphabet.
pub fn decode_base32(text: &str) -> Result<Vec<u8>, char> {
    let letters: String = text.trim_end_matches('=').chars().filter(|c| *c != ' ').collect();
    let is_foreign = |c: &char| !matches!(c.to_ascii_uppercase(), 'A'..='Z' | '2'..='7');
    match letters.chars().find(is_foreign) {
        Some(foreign) => Err(foreign),
        None => {
            let alphabet = Alphabet::Rfc4648 { padding: false };
            Ok(base32::decode(alphabet, &letters.to_ascii_uppercase()).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appendix B of RFC 6238.
    #[test]
    fn test_vectors() {
        let seed = |length| b"1234567890".iter().copied().cycle().take(length).collect::<Vec<u8>>();
        let totp = |algorithm| Totp { algorithm, digits: 8, period: 30 };
        for (algorithm, length, at, expected) in [
            (Algorithm::Sha1, 20, 59, "94287082"),
            (Algorithm::Sha256, 32, 59, "46119246"),
            (Algorithm::Sha512, 64, 59, "90693936"),
            (Algorithm::Sha1, 20, 1_111_111_109, "07081804"),
            (Algorithm::Sha1, 20, 20_000_000_000, "65353130"),
        ] {
            assert_eq!(totp(algorithm).at_step(&seed(length), at / 30), expected);
        }
    }

    /// More digits than a number of 31 bits has.
    #[test]
    fn ten_digits() {
        let totp = Totp { algorithm: Algorithm::Sha1, digits: 10, period: 30 };
        assert_eq!(totp.at_step(b"12345678901234567890", 1), "1094287082");
    }

    #[test]
    fn one_step_either_way_is_accepted() {
        let totp = Totp { algorithm: Algorithm::Sha1, digits: 6, period: 30 };
        let token = totp.at_step(b"secret", 100);
        for (now, accepted) in [(100 * 30, true), (101 * 30, true), (99 * 30, true), (102 * 30, false)] {
            assert_eq!(totp.accepts(b"secret", &token, now), accepted, "{now}");
        }
        assert!(!totp.accepts(b"secret", "", 3000));
    }

    #[test]
    fn base32() {
        assert_eq!(decode_base32("MZXW6YTBOI======").unwrap(), b"foobar");
        assert_eq!(decode_base32("mzxw 6ytb oi").unwrap(), b"foobar");
        // Bits that make no byte are dropped, as the package `otpauth` does.
        assert_eq!(decode_base32("MZX").unwrap(), b"f");
        assert_eq!(decode_base32("M").unwrap(), b"");
        assert_eq!(decode_base32("a1").unwrap_err(), '1');
        assert_eq!(decode_base32("a=b").unwrap_err(), '=');
        assert_eq!(decode_base32("\u{131}").unwrap_err(), '\u{131}');
    }
}
