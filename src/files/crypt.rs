//! AES-256-GCM as parse-server's adapters write it, but streamed.
//!
//! A stored file is `ciphertext ‖ IV (16 bytes) ‖ tag (16 bytes)`. The key is the first 32 characters of the
//! base64 text of SHA-256 of the secret. The IV is not the usual 12 bytes, so the counter starts at
//! GHASH(IV). The interface of crate `aes-gcm` wants the whole message in memory, and its streams (`aead::stream`)
//! write a format of their own, while files may be larger than memory and are read from any position (ranges).
//! So this module drives the same primitives (crates `ctr`, `ghash`) window by window, and its tests hold it
//! against `aes-gcm`, which serves where messages are small ([`crate::operations::seal`]).
//!
//! A tag can only be checked at the end of the message. [`Verifier`] therefore runs over the ciphertext
//! before the first byte of plain text is handed out; see [`super::fs`] for how it is used.

use std::fmt;

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher, StreamCipherSeek};
use base64::Engine;
use ctr::Ctr32BE;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use rand::Rng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub const IV_LEN: usize = 16;
pub const TAG_LEN: usize = 16;
/// What encryption adds to a file's length.
pub const OVERHEAD: usize = IV_LEN + TAG_LEN;
const BLOCK: usize = 16;

/// A file encryption key. Printing it shows nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// As parse-server derives it: 32 characters of base64(SHA-256(secret)).
    pub fn from_secret(secret: &str) -> Self {
        let text = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(secret.as_bytes()));
        let mut key = [0; 32];
        key.copy_from_slice(&text.as_bytes()[..32]);
        Self(key)
    }

    /// Tells keys apart without giving them away.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"parsimony file key");
        hash.update(self.0);
        hex::encode(&hash.finalize()[..8])
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// A fresh IV.
pub fn random_iv() -> [u8; IV_LEN] {
    let mut iv = [0; IV_LEN];
    rand::rng().fill_bytes(&mut iv);
    iv
}

/// GHASH over a byte stream that arrives in pieces of any size.
struct Hasher {
    ghash: GHash,
    partial: [u8; BLOCK],
    filled: usize,
    aad_bits: u64,
    bytes: u64,
}

impl Hasher {
    fn new(subkey: &ghash::Key, aad: &[u8]) -> Self {
        let mut ghash = GHash::new(subkey);
        ghash.update_padded(aad);
        Self { ghash, partial: [0; BLOCK], filled: 0, aad_bits: aad.len() as u64 * 8, bytes: 0 }
    }

    fn update(&mut self, mut data: &[u8]) {
        self.bytes += data.len() as u64;
        if self.filled > 0 {
            let take = data.len().min(BLOCK - self.filled);
            self.partial[self.filled..self.filled + take].copy_from_slice(&data[..take]);
            self.filled += take;
            data = &data[take..];
            if self.filled < BLOCK {
                return;
            }
            self.ghash.update_padded(&self.partial);
            self.filled = 0;
        }
        let whole = data.len() - data.len() % BLOCK;
        self.ghash.update_padded(&data[..whole]);
        let rest = &data[whole..];
        self.partial[..rest.len()].copy_from_slice(rest);
        self.filled = rest.len();
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.ghash.update_padded(&self.partial[..self.filled]);
        let mut lengths = [0; BLOCK];
        lengths[..8].copy_from_slice(&self.aad_bits.to_be_bytes());
        lengths[8..].copy_from_slice(&(self.bytes * 8).to_be_bytes());
        self.ghash.update_padded(&lengths);
        self.ghash.finalize().into()
    }
}

/// What key and IV give: the counter's start, GHASH's key and the mask of the tag.
struct Setup {
    stream: Ctr32BE<Aes256>,
    subkey: ghash::Key,
    mask: [u8; BLOCK],
}

fn setup(key: &Key, iv: &[u8; IV_LEN]) -> Setup {
    let aes = Aes256::new(&key.0.into());
    let mut subkey = ghash::Key::default();
    aes.encrypt_block(&mut subkey);
    let mut counter = GHash::new(&subkey);
    counter.update_padded(iv);
    let mut lengths = [0; BLOCK];
    lengths[8..].copy_from_slice(&(IV_LEN as u64 * 8).to_be_bytes());
    counter.update_padded(&lengths);
    let start = counter.finalize();
    let mut stream = Ctr32BE::<Aes256>::new(&key.0.into(), &start);
    // The first block of the key stream masks the tag, the text begins with the second.
    let mut mask = [0; BLOCK];
    stream.apply_keystream(&mut mask);
    Setup { stream, subkey, mask }
}

fn seal(hash: [u8; BLOCK], mask: &[u8; BLOCK]) -> [u8; TAG_LEN] {
    let mut tag = hash;
    tag.iter_mut().zip(mask).for_each(|(t, m)| *t ^= m);
    tag
}

/// Encrypts a stream in place; [`Encryptor::trailer`] is what follows the last byte.
pub struct Encryptor {
    setup: Setup,
    hasher: Hasher,
    iv: [u8; IV_LEN],
}

impl Encryptor {
    pub fn new(key: &Key) -> Self {
        Self::with(key, random_iv(), &[])
    }

    /// With associated data: authenticated, not stored.
    pub fn with(key: &Key, iv: [u8; IV_LEN], aad: &[u8]) -> Self {
        let setup = setup(key, &iv);
        let hasher = Hasher::new(&setup.subkey, aad);
        Self { setup, hasher, iv }
    }

    pub fn update(&mut self, data: &mut [u8]) {
        self.setup.stream.apply_keystream(data);
        self.hasher.update(data);
    }

    /// `IV ‖ tag`.
    pub fn trailer(self) -> [u8; OVERHEAD] {
        let mut out = [0; OVERHEAD];
        out[..IV_LEN].copy_from_slice(&self.iv);
        out[IV_LEN..].copy_from_slice(&seal(self.hasher.finish(), &self.setup.mask));
        out
    }
}

/// Checks a tag over ciphertext without decrypting it.
pub struct Verifier {
    mask: [u8; BLOCK],
    hasher: Hasher,
    tag: [u8; TAG_LEN],
}

impl Verifier {
    pub fn new(key: &Key, trailer: &[u8; OVERHEAD], aad: &[u8]) -> Self {
        let (iv, tag) = split(trailer);
        let setup = setup(key, &iv);
        Self { mask: setup.mask, hasher: Hasher::new(&setup.subkey, aad), tag }
    }

    pub fn update(&mut self, ciphertext: &[u8]) {
        self.hasher.update(ciphertext);
    }

    pub fn is_genuine(self) -> bool {
        seal(self.hasher.finish(), &self.mask).ct_eq(&self.tag).into()
    }
}

/// Decrypts from any position. Gives no promise of authenticity: see [`Verifier`].
pub struct Decryptor(Ctr32BE<Aes256>);

impl Decryptor {
    pub fn at(key: &Key, trailer: &[u8; OVERHEAD], position: u64) -> super::FileResult<Self> {
        let mut stream = setup(key, &split(trailer).0).stream;
        stream.try_seek(position + BLOCK as u64).map_err(|_| super::FileError::Corrupt("too long"))?;
        Ok(Self(stream))
    }

    pub fn update(&mut self, data: &mut [u8]) {
        self.0.apply_keystream(data);
    }
}

fn split(trailer: &[u8; OVERHEAD]) -> ([u8; IV_LEN], [u8; TAG_LEN]) {
    let (mut iv, mut tag) = ([0; IV_LEN], [0; TAG_LEN]);
    iv.copy_from_slice(&trailer[..IV_LEN]);
    tag.copy_from_slice(&trailer[IV_LEN..]);
    (iv, tag)
}

/// Encrypts one whole small message: `ciphertext ‖ IV ‖ tag`, in place.
pub fn encrypt(key: &Key, data: &mut Vec<u8>, aad: &[u8]) {
    let mut encryptor = Encryptor::with(key, random_iv(), aad);
    encryptor.update(data);
    data.extend_from_slice(&encryptor.trailer());
}

/// Undoes [`encrypt`], in place.
///
/// # Errors
/// `Corrupt` when it was not written with this key and this associated data.
pub fn decrypt(key: &Key, data: &mut Vec<u8>, aad: &[u8]) -> super::FileResult<()> {
    let failed = || super::FileError::Corrupt("authentication failed");
    let length = data.len().checked_sub(OVERHEAD).ok_or_else(failed)?;
    let trailer: [u8; OVERHEAD] = data[length..].try_into().map_err(|_| failed())?;
    data.truncate(length);
    let mut verifier = Verifier::new(key, &trailer, aad);
    verifier.update(data);
    if !verifier.is_genuine() {
        return Err(failed());
    }
    Decryptor::at(key, &trailer, 0)?.update(data);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aes_gcm::aead::consts::U16;
    use aes_gcm::aead::{Aead, Payload};
    use aes_gcm::{AesGcm, Nonce};
    use proptest::prelude::*;

    /// The ready-made implementation with the same IV length.
    fn reference(key: &Key, iv: &[u8; 16], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let cipher = AesGcm::<Aes256, U16>::new(&key.0.into());
        cipher.encrypt(&Nonce::from(*iv), Payload { msg: plain, aad }).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn agrees_with_the_whole_message_implementation(
            plain in proptest::collection::vec(any::<u8>(), 0..3000),
            aad in proptest::collection::vec(any::<u8>(), 0..40),
            cuts in proptest::collection::vec(1usize..700, 1..8),
            iv in any::<[u8; 16]>(),
        ) {
            let key = Key::from_secret("secret");
            let mut encryptor = Encryptor::with(&key, iv, &aad);
            let mut out = plain.clone();
            let (mut at, mut cut) = (0, cuts.iter().cycle());
            while at < out.len() {
                let end = (at + cut.next().unwrap()).min(out.len());
                encryptor.update(&mut out[at..end]);
                at = end;
            }
            let trailer = encryptor.trailer();
            let mut expected = reference(&key, &iv, &aad, &plain);
            let tag = expected.split_off(plain.len());
            prop_assert_eq!(&out, &expected);
            prop_assert_eq!(&trailer[..16], &iv[..]);
            prop_assert_eq!(&trailer[16..], &tag[..]);

            let from = plain.len() / 3;
            let mut tail = out[from..].to_vec();
            Decryptor::at(&key, &trailer, from as u64).unwrap().update(&mut tail);
            prop_assert_eq!(&tail[..], &plain[from..]);
        }
    }

    #[test]
    fn key_is_base64_text_of_the_digest() {
        // printf %s secret | sha256sum, base64, first 32 characters
        assert_eq!(Key::from_secret("secret").0, *b"K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72");
        assert_eq!(format!("{:?}", Key::from_secret("secret")), "Key(…)");
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let key = Key::from_secret("k");
        let mut data = b"a short message of some length".to_vec();
        encrypt(&key, &mut data, b"place");
        for i in 0..data.len() {
            let mut bad = data.clone();
            bad[i] ^= 1;
            assert!(decrypt(&key, &mut bad, b"place").is_err(), "byte {i}");
        }
        assert!(decrypt(&key, &mut data.clone(), b"other place").is_err());
        assert!(decrypt(&Key::from_secret("other"), &mut data.clone(), b"place").is_err());
        assert!(decrypt(&key, &mut data[..20].to_vec(), b"place").is_err());
        decrypt(&key, &mut data, b"place").unwrap();
        assert_eq!(data, b"a short message of some length");
    }
}
