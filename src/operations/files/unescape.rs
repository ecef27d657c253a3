//! Undoes one layer of the escapes that texts of applications are written with. Lenient: what is no escape
//! stays as it is. Used to find names, never to decide about rights.

/// Which escapes are undone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Escapes {
    /// `%2f`, `%u002f`
    percent: bool,
    /// `&amp;`, `&#47;`, `&#x2f;`
    html: bool,
    /// `\/`, `\u002f`, `\x2f`
    backslash: bool,
}

const EVERY: Escapes = Escapes { percent: true, html: true, backslash: true };
const NONE: Escapes = Escapes { percent: false, html: false, backslash: false };

pub const ALL: &[Escapes] = &[EVERY];
pub const EACH_AND_ALL: &[Escapes] = &[
    EVERY,
    Escapes { percent: true, ..NONE },
    Escapes { html: true, ..NONE },
    Escapes { backslash: true, ..NONE },
];

/// The names of HTML for what can stand in the name of a file.
const NAMED: &[(&[u8], char)] = &[
    (b"amp", '&'),
    (b"lt", '<'),
    (b"gt", '>'),
    (b"quot", '"'),
    (b"apos", '\''),
    (b"nbsp", ' '),
    (b"sol", '/'),
    (b"bsol", '\\'),
    (b"period", '.'),
    (b"lowbar", '_'),
    (b"UnderBar", '_'),
    (b"commat", '@'),
    (b"hyphen", '-'),
    (b"dash", '-'),
    (b"num", '#'),
    (b"percnt", '%'),
    (b"plus", '+'),
    (b"lpar", '('),
    (b"rpar", ')'),
    (b"comma", ','),
    (b"semi", ';'),
    (b"colon", ':'),
    (b"equals", '='),
    (b"excl", '!'),
    (b"ast", '*'),
    (b"dollar", '$'),
];

/// The text without one layer of escapes; `None` when there were none.
pub fn undo(text: &[u8], kinds: Escapes) -> Option<Vec<u8>> {
    let mut rest = text;
    let mut plain = Vec::new();
    let mut changed = false;
    while let Some((first, tail)) = rest.split_first() {
        let read = match first {
            b'%' if kinds.percent => percent(tail),
            b'&' if kinds.html => html(tail),
            b'\\' if kinds.backslash => backslash(tail),
            _ => None,
        };
        match read {
            None => {
                if changed {
                    plain.push(*first);
                }
                rest = tail;
            }
            Some((meaning, length)) => {
                if !changed {
                    // Most texts have no escapes: nothing is copied before the first one.
                    plain.reserve(text.len());
                    plain.extend_from_slice(text.get(..text.len() - rest.len()).unwrap_or_default());
                    changed = true;
                }
                match meaning {
                    Meaning::Byte(byte) => plain.push(byte),
                    Meaning::Letter(letter) => {
                        plain.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                    }
                }
                rest = tail.get(length..).unwrap_or_default();
            }
        }
    }
    changed.then_some(plain)
}

enum Meaning {
    Byte(u8),
    Letter(char),
}

type Read = Option<(Meaning, usize)>;

/// The number at the beginning of `text`, of exactly so many hexadecimal digits.
fn hex(text: &[u8], digits: usize) -> Option<u32> {
    let digits = std::str::from_utf8(text.get(..digits)?).ok()?;
    let all = digits.bytes().all(|c| c.is_ascii_hexdigit());
    all.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

fn percent(tail: &[u8]) -> Read {
    if tail.first() == Some(&b'u') {
        return Some((Meaning::Letter(char::from_u32(hex(tail.get(1..)?, 4)?)?), 5));
    }
    Some((Meaning::Byte(u8::try_from(hex(tail, 2)?).ok()?), 2))
}

fn backslash(tail: &[u8]) -> Read {
    let simple = |letter| Some((Meaning::Letter(letter), 1));
    match tail.first()? {
        b'n' => simple('\n'),
        b't' => simple('\t'),
        b'r' => simple('\r'),
        b'x' => Some((Meaning::Letter(char::from_u32(hex(tail.get(1..)?, 2)?)?), 3)),
        b'u' => {
            let unit = hex(tail.get(1..)?, 4)?;
            if let Some(letter) = char::from_u32(unit) {
                return Some((Meaning::Letter(letter), 5));
            }
            let low = tail.get(5..)?.strip_prefix(b"\\u").and_then(|low| hex(low, 4))?;
            let pair = [u16::try_from(unit).ok()?, u16::try_from(low).ok()?];
            let letter = char::decode_utf16(pair).next()?.ok()?;
            Some((Meaning::Letter(letter), 11))
        }
        mark if mark.is_ascii_punctuation() => Some((Meaning::Byte(*mark), 1)),
        _ => None,
    }
}

fn html(tail: &[u8]) -> Read {
    let (digits, radix, marks) = match tail {
        [b'#', b'x' | b'X', digits @ ..] => (digits, 16, 2),
        [b'#', digits @ ..] => (digits, 10, 1),
        _ => return named(tail),
    };
    let length = digits.iter().take(8).take_while(|c| char::from(**c).is_digit(radix)).count();
    let number = std::str::from_utf8(digits.get(..length)?).ok()?;
    let letter = char::from_u32(u32::from_str_radix(number, radix).ok()?)?;
    let end = usize::from(digits.get(length) == Some(&b';'));
    Some((Meaning::Letter(letter), marks + length + end))
}

fn named(tail: &[u8]) -> Read {
    NAMED.iter().find_map(|(name, letter)| {
        let rest = tail.strip_prefix(*name)?;
        let closed = rest.first() == Some(&b';');
        // Browsers know the oldest names without the semicolon too.
        let old = matches!(*name, b"amp" | b"lt" | b"gt" | b"quot" | b"nbsp");
        (closed || old).then(|| (Meaning::Letter(*letter), name.len() + usize::from(closed)))
    })
}
