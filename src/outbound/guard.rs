//! Which addresses a client may make the server talk to: those of the public internet, and the networks that the
//! operator opened. Looked at after a name was resolved, and for every single connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::IpRules;

use super::OutboundError;

/// The one port that is open to URLs of clients.
const HTTPS: u16 = 443;

/// The rule for URLs that a client chose.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    opened: IpRules,
}

impl Guard {
    /// `opened`: option `outboundAllowedNetworks`. There every port is allowed, with and without TLS.
    pub fn new(opened: IpRules) -> Self {
        Self { opened }
    }

    /// # Errors
    /// `Address` or `Port` when one of the addresses is closed: a name that has both kinds is a trick.
    pub fn check(&self, addresses: &[IpAddr], port: u16, encrypted: bool) -> Result<(), OutboundError> {
        for address in addresses.iter().filter(|address| !self.opened.contains(**address)) {
            if !is_public(*address) {
                return Err(OutboundError::Address);
            }
            if !encrypted || port != HTTPS {
                return Err(OutboundError::Port);
            }
        }
        Ok(())
    }
}

/// Whether the address belongs to somebody on the public internet.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(v6),
        },
    }
}

/// The IPv4 address that a router, or the machine itself, makes of an IPv6 one: mapped (`::ffff:0:0/96`), compatible
/// (`::/96`), translated (`::ffff:0:0:0/96`, `64:ff9b::/96`), 6to4 (`2002::/16`).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = address.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(high, low),
        // Not `::` and `::1`, which are addresses of their own.
        [0, 0, 0, 0, 0, 0] if high != 0 => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => None,
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let closed = match (a, b, c) {
        // "This network", private, loopback, link-local (cloud metadata), private, multicast and reserved.
        (0 | 10 | 127 | 224..=255, _, _) | (169, 254, _) | (172, 16..=31, _) | (192, 168, _) => true,
        // Carrier-grade NAT (some clouds keep their metadata there).
        (100, 64..=127, _) => true,
        // Protocol assignments, 6to4 relays, AS112, benchmarks.
        (192, 0, 0)
        | (192, 88, 99)
        | (192, 31, 196)
        | (192, 52, 193)
        | (192, 175, 48)
        | (198, 18..=19, _) => true,
        // Documentation.
        (192, 0, 2) | (198, 51, 100) | (203, 0, 113) => true,
        _ => false,
    };
    !closed
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    // Only global unicast is ever given out; `64:ff9b:1::/48`, unique local, link-local, multicast, `::1` and what
    // nobody assigned are outside.
    if a & 0xe000 != 0x2000 {
        return false;
    }
    // Protocol assignments (Teredo and ORCHID among them), documentation.
    !matches!((a, b), (0x2001, 0..=0x01ff | 0x0db8) | (0x3fff, 0..=0x0fff))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::{Host, Url};

    use super::*;

    const CLOSED: &[&str] = &[
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "::ffff:0:10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
    ];
    const OPEN: &[&str] = &[
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.17.0.1",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        "2606:4700::1111",
        "2a00::1",
        "2001:4860:4860::8888",
        "3ffe::1",
    ];

    #[test]
    fn only_the_public_internet_is_open() {
        for text in CLOSED {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in OPEN {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn opened_networks_have_no_rule_for_ports() {
        let guard = Guard::new(IpRules::of(["10.0.0.0/8".parse().unwrap()]));
        let check = |texts: &[&str], port, encrypted| {
            let addresses: Vec<IpAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
            guard.check(&addresses, port, encrypted)
        };
        assert_eq!(check(&["10.1.2.3"], 8080, false), Ok(()));
        // The same address, as IPv6 writes it.
        assert_eq!(check(&["::ffff:10.1.2.3"], 8080, false), Ok(()));
        assert_eq!(check(&["8.8.8.8"], 443, true), Ok(()));
        assert_eq!(check(&["8.8.8.8"], 443, false), Err(OutboundError::Port));
        assert_eq!(check(&["8.8.8.8"], 22, true), Err(OutboundError::Port));
        assert_eq!(check(&["8.8.8.8", "192.168.0.1"], 443, true), Err(OutboundError::Address));
        assert_eq!(check(&["192.168.0.1"], 443, true), Err(OutboundError::Address));
    }

    /// One of the ways in which URLs may spell an IPv4 address.
    fn spelled(address: Ipv4Addr, way: u8) -> String {
        let [a, b, c, d] = address.octets();
        let whole = u32::from(address);
        match way {
            0 => format!("{a}.{b}.{c}.{d}"),
            1 => format!("{whole}"),
            2 => format!("0x{whole:x}"),
            3 => format!("0{whole:o}"),
            4 => format!("0x{a:x}.0{b:o}.{c}.{d}"),
            5 => format!("{a}.{b}.{}", whole & 0xffff),
            6 => format!("{a}.{}", whole & 0x00ff_ffff),
            7 => format!("{a}.{b}.{c}.{d}."),
            8 => format!("%{:02x}{}", b'0' + a / 100, &format!("{a:03}.{b}.{c}.{d}")[1..]),
            9 => format!("[::ffff:{a}.{b}.{c}.{d}]"),
            10 => format!("[::ffff:{:x}:{:x}]", whole >> 16, whole & 0xffff),
            11 => format!("[64:ff9b::{a}.{b}.{c}.{d}]"),
            12 => format!("[2002:{:x}:{:x}::]", whole >> 16, whole & 0xffff),
            13 => format!("{a}\u{3002}{b}\u{ff0e}{c}.{d}"),
            _ => format!("{a}.{b}.{c}.{d}").replace('1', "\u{ff11}"),
        }
    }

    proptest! {
        /// However an address is written, the URL that is called means the same one.
        #[test]
        fn no_spelling_gets_past(octets in any::<[u8; 4]>(), closed in 0..22_usize, pick in any::<bool>(), way in 0..15_u8) {
            let address = match (pick, CLOSED[closed].parse()) {
                (true, Ok(IpAddr::V4(known))) => known,
                _ => Ipv4Addr::from(octets),
            };
            // Leading zeros make octal of the eighth way.
            prop_assume!(way != 8 || address.octets()[0] >= 100);
            let url = Url::parse(&format!("https://{}/", spelled(address, way)));
            let Ok(url) = url else { return Err(TestCaseError::fail(spelled(address, way))) };
            let seen = match url.host() {
                Some(Host::Ipv4(v4)) => IpAddr::V4(v4),
                Some(Host::Ipv6(v6)) => IpAddr::V6(v6),
                other => return Err(TestCaseError::fail(format!("{other:?}"))),
            };
            prop_assert_eq!(is_public(seen), is_public(IpAddr::V4(address)), "{}", url);
        }

        #[test]
        fn every_address_has_an_answer(v6 in any::<u128>(), v4 in any::<u32>()) {
            let (v6, v4) = (Ipv6Addr::from(v6), Ipv4Addr::from(v4));
            prop_assert_eq!(is_public(v4.into()), is_public(v4.to_ipv6_mapped().into()));
            if is_public(v6.into()) && embedded(v6).is_none() {
                prop_assert!(!v6.is_loopback() && !v6.is_unspecified() && !v6.is_multicast());
                prop_assert!(!v6.is_unique_local() && !v6.is_unicast_link_local());
            }
        }
    }
}
