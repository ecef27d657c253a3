//! Addresses: which a key is accepted from, and which proxies are believed.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::error::ConfigError;
use super::reader::Reader;

/// Addresses and networks from which a key is accepted (`masterKeyIps` and the like).
///
/// `0.0.0.0` and `0.0.0.0/0` are all of IPv4, `::`, `::0` and `::/0` all of IPv6; neither stands for
/// the other. An empty list refuses all. An IPv4 address in IPv6 form counts as IPv4.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpRules(Vec<IpNet>);

impl IpRules {
    /// These networks.
    pub fn of(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self(networks.into_iter().map(|net| net.trunc()).collect())
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }

    /// Whether every address is accepted.
    pub fn is_everywhere(&self) -> bool {
        [false, true]
            .into_iter()
            .all(|v6| self.0.iter().any(|net| net.prefix_len() == 0 && matches!(net, IpNet::V6(_)) == v6))
    }

    pub(super) fn read(reader: Reader<'_>, name: &str) -> Result<Self, ConfigError> {
        let rules = reader.texts(name)?.into_iter().map(|text| {
            parse_rule(&text).ok_or_else(|| {
                let address = text.split('/').next().unwrap_or(&text);
                let shown = if address.parse::<IpAddr>().is_ok() { text.as_str() } else { address };
                reader.fail(
                    name,
                    format!("The Parse Server option \"{name}\" contains an invalid IP address \"{shown}\"."),
                )
            })
        });
        rules.collect::<Result<_, _>>().map(Self)
    }
}

fn parse_rule(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        // The unspecified address alone means the whole family.
        let address = address.to_canonical();
        let prefix = if address.is_unspecified() { 0 } else { IpNet::from(address).max_prefix_len() };
        return IpNet::new(address, prefix).ok();
    }
    text.parse::<IpNet>().ok().map(|net| net.trunc())
}

/// Which proxies are believed about the address of the client, with Express' meaning of `trust proxy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustProxy {
    /// The address is the one of the connection.
    None,
    /// The first address in `X-Forwarded-For`, whoever sent it.
    All,
    /// So many proxies, counted from the server.
    Hops(u64),
    /// Proxies in these networks.
    Networks(Vec<IpNet>),
}

impl TrustProxy {
    /// The address of the client: the first one, from the connection backwards through
    /// `X-Forwarded-For`, that is not a believed proxy. Text that is no address ends the search.
    pub fn client_address(&self, peer: IpAddr, forwarded_for: Option<&str>) -> IpAddr {
        let mut client = peer.to_canonical();
        let forwarded =
            forwarded_for.unwrap_or_default().rsplit(',').map(str::trim).filter(|s| !s.is_empty());
        for (hop, next) in forwarded.enumerate() {
            if !self.trusts(client, hop as u64) {
                break;
            }
            let Ok(address) = next.parse::<IpAddr>() else { break };
            client = address.to_canonical();
        }
        client
    }

    /// Whether the connection itself comes from a believed proxy, so that its `X-Forwarded-Proto` and
    /// `X-Forwarded-Host` count.
    pub fn trusts_peer(&self, peer: IpAddr) -> bool {
        self.trusts(peer.to_canonical(), 0)
    }

    fn trusts(&self, address: IpAddr, hop: u64) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Hops(hops) => hop < *hops,
            Self::Networks(networks) => networks.iter().any(|net| net.contains(&address)),
        }
    }

    pub(super) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let name = "trustProxy";
        let bad = |what: &str| {
            reader.fail(
                name,
                format!("Parse Server option trustProxy {what}: use true, false, a number of hops, or addresses, networks, loopback, linklocal, uniquelocal."),
            )
        };
        let items: Vec<String> = match reader.raw(name) {
            None | Some(Value::Bool(false)) => return Ok(Self::None),
            Some(Value::Bool(true)) => return Ok(Self::All),
            Some(Value::Number(hops)) => {
                return hops.as_u64().map(Self::Hops).ok_or_else(|| bad("is not a number of hops"));
            }
            Some(Value::String(text)) => text.split(',').map(|item| item.trim().to_owned()).collect(),
            Some(Value::Array(_)) => reader.texts(name)?,
            Some(_) => return Err(bad("is of the wrong type")),
        };
        let mut networks = Vec::new();
        for item in items.iter().filter(|item| !item.is_empty()) {
            match item.as_str() {
                "loopback" => networks.extend(named(&["127.0.0.1/8", "::1/128"])),
                "linklocal" => networks.extend(named(&["169.254.0.0/16", "fe80::/10"])),
                "uniquelocal" => {
                    networks.extend(named(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]));
                }
                text => {
                    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
                    networks.push(net.map_err(|_| bad(&format!("contains \"{text}\"")))?);
                }
            }
        }
        Ok(if networks.is_empty() { Self::None } else { Self::Networks(networks) })
    }
}

fn named(networks: &[&str]) -> Vec<IpNet> {
    networks.iter().filter_map(|text| text.parse().ok()).collect()
}
