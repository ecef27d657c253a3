//! Which of many files are mentioned in texts, whatever form the mention has.
//!
//! No form of address is known here, since there is no end of them: stores have had other names, buckets and
//! prefixes, applications cut addresses and put them together. What every mention has in common is the name.
//! The last segment of a name, or the 32 random digits in front of it where there are any, is searched for as
//! part of any text, as it stands and after undoing percent-encoding, HTML and JSON escapes in any order, some
//! layers deep. A short name without random digits is thus soon found somewhere: that keeps a file that may
//! be unused, while the opposite mistake would remove one that is used.
//!
//! All names are searched for at once: a rolling hash over the text for each of six lengths, and a bitmap that
//! tells at most places that no name begins there.

use std::collections::HashMap;

use super::unescape::{self, Escapes};

/// Digits in front of a name that was not preserved.
const RANDOM: usize = 32;
/// Layers of escapes that are undone: JSON in a string in JSON, an encoded address in an encoded address.
const LAYERS: usize = 4;
/// The same where names contain escapes themselves, so that each kind is undone by itself as well.
const LAYERS_APART: usize = 3;
/// Lengths of what is hashed at the beginning of a name, longest first.
const LENGTHS: [usize; 6] = [32, 16, 8, 4, 2, 1];
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Names whose beginnings have one length.
#[derive(Default)]
struct Group {
    length: usize,
    /// By the hash of the beginning: lengths of the whole names.
    beginnings: HashMap<u64, Vec<usize>>,
    /// A bit for each hash, cut to `bits`.
    filter: Vec<u64>,
    bits: u32,
    /// [`MULTIPLIER`] to the power of `length`.
    leaving: u64,
}

/// Files, and which of them were mentioned so far.
pub struct References {
    groups: Vec<Group>,
    /// By what is searched for: places among the names.
    wanted: HashMap<Box<[u8]>, Vec<usize>>,
    mentioned: Vec<bool>,
    /// Some name has a space, which addresses may write as `+`.
    spaces: bool,
    kinds: &'static [Escapes],
    layers: usize,
}

impl References {
    pub fn to<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut wanted: HashMap<Box<[u8]>, Vec<usize>> = HashMap::new();
        let mut count = 0;
        for name in names {
            wanted.entry(essence(name).as_bytes().into()).or_default().push(count);
            count += 1;
        }
        let mut mentioned = vec![false; count];
        // What cannot be searched for counts as found.
        for index in wanted.remove(&[][..]).unwrap_or_default() {
            mentioned[index] = true;
        }
        let spaces = wanted.keys().any(|name| name.contains(&b' '));
        let apart = wanted.keys().any(|name| name.iter().any(|c| b"%&\\+".contains(c)));
        let groups = LENGTHS.into_iter().filter_map(|length| Group::of(length, wanted.keys())).collect();
        let (kinds, layers) =
            if apart { (unescape::EACH_AND_ALL, LAYERS_APART) } else { (unescape::ALL, LAYERS) };
        Self { groups, wanted, mentioned, spaces, kinds, layers }
    }

    /// Whether the name at this place was mentioned.
    pub fn has(&self, index: usize) -> bool {
        self.mentioned.get(index).is_none_or(|mentioned| *mentioned)
    }

    /// Looks for every name in a text.
    pub fn look_at(&mut self, text: &str) {
        self.look_into(text.as_bytes(), self.layers);
    }

    fn look_into(&mut self, text: &[u8], layers: usize) {
        self.search(text);
        if self.spaces && text.contains(&b'+') {
            let spaced: Vec<u8> = text.iter().map(|c| if *c == b'+' { b' ' } else { *c }).collect();
            self.search(&spaced);
        }
        if layers == 0 {
            return;
        }
        for kind in self.kinds {
            if let Some(plain) = unescape::undo(text, *kind) {
                self.look_into(&plain, layers - 1);
            }
        }
    }

    fn search(&mut self, text: &[u8]) {
        let Self { groups, wanted, mentioned, .. } = self;
        for group in groups.iter() {
            group.search(text, |name| {
                for index in wanted.get(name).into_iter().flatten() {
                    if let Some(mentioned) = mentioned.get_mut(*index) {
                        *mentioned = true;
                    }
                }
            });
        }
    }
}

/// What of a name is searched for.
fn essence(name: &str) -> &str {
    let last = name.rsplit('/').next().unwrap_or(name);
    let bare = last.strip_prefix(crate::files::private::MARK).unwrap_or(last);
    match bare.get(..RANDOM) {
        Some(digits) if digits.bytes().all(|c| c.is_ascii_hexdigit()) => digits,
        _ => last,
    }
}

impl Group {
    /// Those of `names` whose beginnings have this length; `None` when there are none.
    fn of<'a>(length: usize, names: impl Iterator<Item = &'a Box<[u8]>>) -> Option<Self> {
        let mut group = Self { length, ..Self::default() };
        let longest = |name: &[u8]| LENGTHS.into_iter().find(|length| *length <= name.len());
        for name in names.filter(|name| longest(name) == Some(length)) {
            let beginning = name.get(..length).unwrap_or_default();
            let lengths = group.beginnings.entry(hash(beginning)).or_default();
            if !lengths.contains(&name.len()) {
                lengths.push(name.len());
            }
        }
        if group.beginnings.is_empty() {
            return None;
        }
        // Eight bits for each beginning, between 8 KB and 32 MB.
        group.bits = (group.beginnings.len().next_power_of_two().trailing_zeros() + 3).clamp(16, 28);
        group.filter = vec![0; 1 << (group.bits - 6)];
        for hash in group.beginnings.keys() {
            let bit = place(*hash, group.bits);
            if let Some(word) = group.filter.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
        }
        group.leaving = (0..length).fold(1, |power: u64, _| power.wrapping_mul(MULTIPLIER));
        Some(group)
    }

    /// Tells of each place where text and beginning agree as much of the text as a name is long.
    fn search<'a>(&self, text: &'a [u8], mut found: impl FnMut(&'a [u8])) {
        let Some((window, _)) = text.split_at_checked(self.length) else { return };
        let mut hash = hash(window);
        let (mut start, mut pairs) = (0, text.iter().zip(text.get(self.length..).unwrap_or_default()));
        loop {
            let bit = place(hash, self.bits);
            if self.filter.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 == 1) {
                for length in self.beginnings.get(&hash).into_iter().flatten() {
                    if let Some(name) = text.get(start..start + length) {
                        found(name);
                    }
                }
            }
            let Some((leaves, enters)) = pairs.next() else { return };
            hash = hash
                .wrapping_mul(MULTIPLIER)
                .wrapping_add(u64::from(*enters) + 1)
                .wrapping_sub((u64::from(*leaves) + 1).wrapping_mul(self.leaving));
            start += 1;
        }
    }
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |hash: u64, c| hash.wrapping_mul(MULTIPLIER).wrapping_add(u64::from(*c) + 1))
}

/// Which bit of a filter a hash has.
fn place(hash: u64, bits: u32) -> usize {
    (hash.wrapping_mul(0xff51_afd7_ed55_8ccd) >> (64 - bits)) as usize
}

#[cfg(test)]
#[path = "references_tests.rs"]
mod tests;
