//! The page of metrics (option `metrics`).

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use crate::config::error::ConfigError;
use crate::config::net::IpRules;
use crate::config::reader::Reader;
use crate::config::secret::Secret;

/// Where Prometheus finds the page, and who may read it. Besides those, whoever has the master key may.
#[derive(Clone, Debug)]
pub struct MetricsConfig {
    /// Begins with `/`.
    pub path: String,
    /// A port of its own; `None`: the API's.
    pub port: Option<u16>,
    /// Address of that port.
    pub host: String,
    pub allowed_networks: IpRules,
    /// Sent as `Authorization: Bearer …`.
    pub key: Option<Secret<String>>,
}

impl MetricsConfig {
    /// `None` when there is no page. A development server has one, for its own machine.
    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Option<Self>, ConfigError> {
        match reader.raw("metrics") {
            None | Some(Value::Bool(false)) => return Ok(None),
            Some(Value::Bool(true) | Value::Object(_)) => {}
            Some(_) => {
                let text = "Parse Server option metrics must be a boolean or an object.";
                return Err(reader.fail("metrics", text));
            }
        }
        let group = reader.group_or_flag("metrics")?;
        let path = group.required_text("path")?;
        if !path.starts_with('/') || path.len() < 2 || path.ends_with('/') {
            let text = "Parse Server option metrics.path must begin with a slash, and not end with one.";
            return Err(group.fail("path", text));
        }
        let port = match group.whole("port", 0)?.map(u16::try_from) {
            None => None,
            Some(Ok(port)) => Some(port),
            Some(Err(_)) => {
                let text = "Parse Server option metrics.port must be a number from 0 to 65535.";
                return Err(group.fail("port", text));
            }
        };
        let allowed_networks = match (group.raw("allowedNetworks"), port) {
            // Nobody reaches a port of this machine's own from elsewhere; on the API's port, whoever comes through
            // a proxy on this machine seems to be here.
            (None, Some(_)) => IpRules::loopback(),
            (None, None) => IpRules::default(),
            (Some(_), _) => IpRules::read(group, "allowedNetworks")?,
        };
        let host = group.required_text("host")?;
        let key = group.secret("key")?;
        Ok(Some(Self { path, port, host, allowed_networks, key }))
    }

    /// What a development server has: the page on the API's port, for this machine.
    pub(in crate::config) fn of_development() -> Self {
        Self {
            path: "/metrics".to_owned(),
            port: None,
            host: String::new(),
            allowed_networks: IpRules::loopback(),
            key: None,
        }
    }
}

impl IpRules {
    /// This machine.
    pub fn loopback() -> Self {
        let networks = ["127.0.0.0/8", "::1/128"].into_iter().filter_map(|text| text.parse::<IpNet>().ok());
        Self::of(networks)
    }
}

/// Whether an address is this machine's.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::config::AppConfig;

    fn read(metrics: serde_json::Value) -> Option<super::MetricsConfig> {
        AppConfig::for_tests(json!({ "metrics": metrics })).metrics
    }

    #[test]
    fn who_may_read_it_by_default() {
        let here = "127.0.0.1".parse().unwrap();
        assert!(read(json!(false)).is_none() && AppConfig::for_tests(json!({})).metrics.is_none());
        let on = read(json!(true)).unwrap();
        assert_eq!((on.path.as_str(), on.port), ("/metrics", None));
        assert!(!on.allowed_networks.contains(here));
        let alone = read(json!({ "port": 9464 })).unwrap();
        assert!(alone.allowed_networks.contains(here) && alone.host == "127.0.0.1");
        let given = read(json!({ "port": 9464, "allowedNetworks": ["10.0.0.0/8"] })).unwrap();
        assert!(!given.allowed_networks.contains(here));
    }

    #[test]
    fn bad_input_is_named() {
        for bad in [
            json!("yes"),
            json!({ "path": "metrics" }),
            json!({ "path": "/" }),
            json!({ "port": 70000 }),
            json!({ "allowedNetworks": ["nowhere"] }),
        ] {
            let options = json!({ "appId": "a", "masterKey": "m", "metrics": bad });
            let error = AppConfig::from_json(options).expect_err(&bad.to_string());
            assert!(error.to_string().contains("metrics"), "{error}");
        }
    }
}
