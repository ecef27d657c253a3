//! Application keys and the addresses they are accepted from.

use crate::config::error::ConfigError;
use crate::config::net::IpRules;
use crate::config::reader::Reader;
use crate::config::secret::Secret;
use crate::config::value::OptionValue;

#[derive(Clone, Debug)]
pub struct KeysConfig {
    /// May be a function; its result is kept for [`Self::master_key_ttl_s`] seconds.
    pub master_key: OptionValue<Secret<String>>,
    /// Seconds; `None` and 0 keep the result of a `masterKey` function for ever.
    pub master_key_ttl_s: Option<u64>,
    pub master_key_ips: IpRules,
    pub read_only_master_key: Option<Secret<String>>,
    pub read_only_master_key_ips: IpRules,
    pub maintenance_key: Option<Secret<String>>,
    pub maintenance_key_ips: IpRules,
    pub client_key: Option<Secret<String>>,
    pub javascript_key: Option<Secret<String>>,
    pub dot_net_key: Option<Secret<String>>,
    pub rest_api_key: Option<Secret<String>>,
    pub webhook_key: Option<Secret<String>>,
}

impl KeysConfig {
    /// Whether requests without the master key must present one of the client keys.
    pub fn client_key_required(&self) -> bool {
        [&self.client_key, &self.javascript_key, &self.dot_net_key, &self.rest_api_key]
            .iter()
            .any(|key| key.is_some())
    }

    pub(in crate::config) fn read(reader: Reader<'_>) -> Result<Self, ConfigError> {
        let master_key = match (reader.callback("masterKey"), reader.secret("masterKey")) {
            (Some(id), _) => OptionValue::Callback(id),
            (None, Ok(Some(key))) => OptionValue::Value(key),
            (None, Ok(None)) => return Err(reader.fail("masterKey", "You must provide a masterKey!")),
            (None, Err(error)) => return Err(error),
        };
        // An empty one is a key like others: whoever configures it closes the door to requests without.
        let client_key =
            |name| -> Result<_, ConfigError> { Ok(reader.text(name)?.map(Secret::<String>::new)) };
        let read_only_master_key = reader.secret("readOnlyMasterKey")?;
        let maintenance_key = reader.secret("maintenanceKey")?;
        if let Some(master) = master_key.value() {
            if read_only_master_key.as_ref() == Some(master) {
                let message = "masterKey and readOnlyMasterKey should be different";
                return Err(reader.fail("readOnlyMasterKey", message));
            }
            if maintenance_key.as_ref() == Some(master) {
                let message = "masterKey and maintenanceKey should be different";
                return Err(reader.fail("maintenanceKey", message));
            }
        }
        Ok(Self {
            master_key,
            master_key_ttl_s: reader.whole("masterKeyTtl", 0)?,
            master_key_ips: IpRules::read(reader, "masterKeyIps")?,
            read_only_master_key,
            read_only_master_key_ips: IpRules::read(reader, "readOnlyMasterKeyIps")?,
            maintenance_key,
            maintenance_key_ips: IpRules::read(reader, "maintenanceKeyIps")?,
            client_key: client_key("clientKey")?,
            javascript_key: client_key("javascriptKey")?,
            dot_net_key: client_key("dotNetKey")?,
            rest_api_key: client_key("restAPIKey")?,
            webhook_key: reader.secret("webhookKey")?,
        })
    }
}
