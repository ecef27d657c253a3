//! Tests of reading and checking options.

mod effects;
mod messages;
mod sources;

use serde_json::json;

use super::*;

fn warnings(options: Value) -> Warnings {
    let mut all = json!({"appId": "test", "masterKey": "master"});
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    AppConfig::from_json(all).unwrap().1
}

#[test]
fn defaults_are_those_of_the_table() {
    let config = AppConfig::for_tests(json!({}));
    assert_eq!(config.http.server_url, "http://localhost:1337/parse");
    assert_eq!(config.http.max_upload_size, 20 << 20);
    assert_eq!(config.http.trust_proxy, TrustProxy::None);
    assert_eq!(config.query.default_limit, 100);
    assert_eq!(config.cache.ttl_ms, 5000);
    assert!((config.users.session_length - 31_536_000.0).abs() < f64::EPSILON);
    assert_eq!(config.database.options.statement_timeout_ms, 30_000);
    assert_eq!(config.users.protected_fields["_User"]["*"], ["email"]);
    assert!(config.keys.read_only_master_key_ips.is_everywhere());
    assert!(!config.keys.client_key_required());
    assert_eq!(config.data_dir, std::path::Path::new("./data"));
    assert!(!config.development);
}

#[test]
fn every_default_in_the_table_is_json() {
    fn check(options: &[table::OptionDef]) {
        for option in options.iter().filter(|option| !option.default.is_empty()) {
            assert!(option.default_value().is_some(), "{}", option.name);
        }
        for group in options.iter().filter_map(|option| option.group) {
            check(group.options);
        }
    }
    check(&table::options().copied().collect::<Vec<_>>());
}

#[test]
fn names_and_variables_occur_once() {
    let mut names = std::collections::HashSet::new();
    for option in table::options() {
        assert!(names.insert(option.name), "{}", option.name);
        assert!(names.insert(option.env), "{}", option.env);
    }
}

#[test]
fn complexity_limits_are_on_and_can_be_lifted() {
    let defaults = AppConfig::for_tests(json!({})).request_complexity;
    let expected = RequestComplexity {
        include_depth: Some(10),
        include_count: Some(100),
        subquery_depth: Some(10),
        subquery_limit: None,
        query_depth: Some(10),
        graphql_depth: Some(20),
        graphql_fields: Some(200),
        batch_request_limit: Some(100),
        allow_regex: true,
        response: ResponseLimits { bytes: Some(32 << 20), objects: Some(100_000) },
        master_response: ResponseLimits { bytes: Some(512 << 20), objects: None },
    };
    assert_eq!(defaults, expected);
    let lifted = json!({"requestComplexity": {"includeDepth": -1, "queryDepth": 3, "allowRegex": false}});
    let lifted = AppConfig::for_tests(lifted).request_complexity;
    let expected =
        RequestComplexity { include_depth: None, query_depth: Some(3), allow_regex: false, ..expected };
    assert_eq!(lifted, expected);
}

#[test]
fn options_of_the_postgresql_driver_stand_for_parameters_of_the_url() {
    let of = |options: Value| AppConfig::for_tests(json!({ "databaseOptions": options })).database.options;
    let given = of(json!({
        "application_name": "billing & co", "idleTimeoutMillis": 5, "keepAlive": false,
        "ssl": {"rejectUnauthorized": false, "ca": "/etc/ca.pem"},
    }));
    let expected = [
        ("application_name", "billing & co"),
        ("idleTimeoutMillis", "5"),
        ("keepAlive", "false"),
        ("ssl", "true"),
        ("rejectUnauthorized", "false"),
        ("ca", "/etc/ca.pem"),
    ];
    assert_eq!(given.uri_parameters, expected.map(|(name, value)| (name, value.to_owned())));
    assert!(!given.has_own_statement_timeout);
    let timeout = |options: Value| {
        let options = of(options);
        options.has_own_statement_timeout.then_some(options.statement_timeout_ms)
    };
    assert_eq!(timeout(json!({"query_timeout": 250})), Some(250));
    assert_eq!(timeout(json!({"query_timeout": 250, "statementTimeout": 100})), Some(100));
    assert_eq!(timeout(json!({"query_timeout": 250, "statementTimeout": 0})), Some(250));
    assert_eq!(timeout(json!({"statementTimeout": 0})), Some(0));
    let pem = json!({"appId": "a", "masterKey": "m", "databaseOptions": {"ssl": {"key": "-----BEGIN KEY----- hush"}}});
    let error = AppConfig::from_json(pem).unwrap_err();
    assert_eq!(error.option, "databaseOptions.ssl");
    assert!(!error.to_string().contains("hush"), "{error}");
}

#[test]
fn cache_adapters_of_parse_server_are_known_by_name() {
    let of = |adapter: Value| AppConfig::for_tests(json!({"cacheAdapter": adapter, "cacheTTL": 9})).cache;
    assert_eq!(of(Value::Null).ttl_ms, 9);
    assert_eq!(of(json!("NullCacheAdapter")).ttl_ms, 0);
    let memory = of(
        json!({"module": "parse-server/lib/Adapters/Cache/InMemoryCacheAdapter.js", "options": {"ttl": 7, "maxSize": 3}}),
    );
    assert_eq!((memory.ttl_ms, memory.max_size), (7, 3));
    let redis =
        of(json!({"module": "RedisCacheAdapter", "options": {"url": "redis://r:1", "password": "hush"}}));
    let redis = redis.redis.unwrap();
    assert_eq!(redis.url.expose(), "redis://r:1");
    assert_eq!(redis.options.unwrap().expose()["password"], "hush");
    let own = json!({"appId": "a", "masterKey": "m", "cacheAdapter": {"module": "./cache.js"}});
    let (config, lines) = AppConfig::from_json(own).unwrap();
    assert_eq!((config.cache.ttl_ms, config.cache.redis.is_none()), (5000, true));
    assert!(lines.iter().any(|line| line.starts_with("cacheAdapter has no effect")), "{lines:?}");
    let wrong = AppConfig::from_json(json!({"appId": "a", "masterKey": "m", "cacheAdapter": 7})).unwrap_err();
    assert_eq!(wrong.option, "cacheAdapter");
}

#[test]
fn key_addresses_follow_family_and_network() {
    let rules = |ips: Value| AppConfig::for_tests(json!({"masterKeyIps": ips})).keys.master_key_ips;
    let yes = |rules: &IpRules, ip: &str| rules.contains(ip.parse().unwrap());
    let default = AppConfig::for_tests(json!({})).keys.master_key_ips;
    assert!(yes(&default, "127.0.0.1") && yes(&default, "::1") && yes(&default, "::ffff:127.0.0.1"));
    assert!(!yes(&default, "127.0.0.2"));
    for all in ["0.0.0.0", "0.0.0.0/0"] {
        assert!(yes(&rules(json!([all])), "8.8.8.8") && !yes(&rules(json!([all])), "2001::1"), "{all}");
    }
    for all in ["::", "::0", "::/0"] {
        assert!(yes(&rules(json!([all])), "2001::1") && !yes(&rules(json!([all])), "8.8.8.8"), "{all}");
    }
    assert!(
        yes(&rules(json!(["10.1.2.3/8"])), "10.200.0.1") && !yes(&rules(json!(["10.1.2.3/8"])), "11.0.0.1")
    );
    assert!(!yes(&rules(json!([])), "127.0.0.1"));
}

#[test]
fn proxies_are_believed_as_in_express() {
    let client = |trust: Value, peer: &str, forwarded: Option<&str>| {
        let trust = AppConfig::for_tests(json!({"trustProxy": trust})).http.trust_proxy;
        trust.client_address(peer.parse().unwrap(), forwarded).to_string()
    };
    let chain = Some("1.1.1.1, 2.2.2.2, 10.0.0.9");
    assert_eq!(client(json!(false), "127.0.0.1", chain), "127.0.0.1");
    assert_eq!(client(json!([]), "127.0.0.1", chain), "127.0.0.1");
    assert_eq!(client(json!(true), "127.0.0.1", chain), "1.1.1.1");
    assert_eq!(client(json!(0), "127.0.0.1", chain), "127.0.0.1");
    assert_eq!(client(json!(1), "127.0.0.1", chain), "10.0.0.9");
    assert_eq!(client(json!(2), "127.0.0.1", chain), "2.2.2.2");
    assert_eq!(client(json!("loopback"), "::ffff:127.0.0.1", chain), "10.0.0.9");
    assert_eq!(client(json!("loopback, uniquelocal"), "127.0.0.1", chain), "2.2.2.2");
    assert_eq!(client(json!(["127.0.0.1", "10.0.0.0/8"]), "127.0.0.1", chain), "2.2.2.2");
    assert_eq!(client(json!("loopback"), "9.9.9.9", chain), "9.9.9.9");
    assert_eq!(client(json!(true), "127.0.0.1", Some("nonsense")), "127.0.0.1");
    assert_eq!(client(json!(true), "127.0.0.1", None), "127.0.0.1");
}

#[test]
fn sizes_have_units() {
    let size = |size: Value| AppConfig::for_tests(json!({"maxUploadSize": size})).http.max_upload_size;
    assert_eq!(size(json!("1.5kb")), 1536);
    assert_eq!(size(json!("2 GB")), 2 << 30);
    assert_eq!(size(json!("12b")), 12);
    assert_eq!(size(json!("12")), 12);
    assert_eq!(size(json!(12)), 12);
}

#[test]
fn server_url_follows_port_and_mount() {
    let mut http = AppConfig::for_tests(json!({"port": 0, "mountPath": "api/"})).http;
    assert_eq!((http.mount_path.as_str(), http.server_url.as_str()), ("/api", "http://localhost:0/api"));
    http.bound_to(4000);
    assert_eq!(http.server_url, "http://localhost:4000/api");
    let mut http = AppConfig::for_tests(json!({"serverURL": "http://x/parse"})).http;
    http.bound_to(4000);
    assert_eq!(http.server_url, "http://x/parse");
}

#[test]
fn route_patterns_match_whole_paths() {
    let config = AppConfig::for_tests(json!({"routeAllowList": ["classes/Chat.*", "a|users", "(?!x)y"]}));
    let list = config.http.route_allow_list.unwrap();
    let allowed = |path: &str| list.iter().any(|pattern| pattern.allows(path));
    assert!(allowed("classes/ChatRoom") && allowed("users") && allowed("y"));
    assert!(!allowed("x/classes/Chat") && !allowed("users/me") && !allowed("ab"));
}

#[test]
fn default_extensions_refuse_what_browsers_run() {
    let upload = AppConfig::for_tests(json!({})).files.upload;
    for refused in "html htm shtml xhtml xhtml+xml xht svg svgz svg+xml xml xsl xslt xslt+xml xsd rng rdf rdf+xml owl mathml mathml+xml HTML SvG".split(' ') {
        assert!(!upload.allows_extension(refused), "{refused}");
    }
    for allowed in ["png", "txt", "htmlx", "docx", ""] {
        assert!(upload.allows_extension(allowed), "{allowed}");
    }
    let upload = AppConfig::for_tests(json!({"fileUpload": {"fileExtensions": ["*"]}})).files.upload;
    assert!(upload.allows_extension("html"));
    let upload = AppConfig::for_tests(json!({"fileUpload": {"fileExtensions": ["^png$"]}})).files.upload;
    assert!(upload.allows_extension("png") && !upload.allows_extension("jpg"));
}

#[test]
fn denied_keywords_match_keys_and_values() {
    let default = AppConfig::for_tests(json!({})).request_keyword_denylist;
    assert!(default[0].refuses_text("_bsontype", "Code") && !default[0].refuses_text("_bsontype", "x"));
    assert!(default[1].refuses_scalar("constructor", None) && default[1].refuses_text("aconstructorb", ""));
    assert!(!default[1].refuses_text("x", "constructor"));
    let own = json!({"requestKeywordDenylist": [{"value": "^bad"}, {"key": "k", "value": 5}, {}]});
    let own = AppConfig::for_tests(own).request_keyword_denylist;
    assert!(own[0].refuses_text("any", "badly") && !own[0].refuses_text("any", "not bad"));
    assert!(own[1].refuses_scalar("k", Some(&json!(5))) && !own[1].refuses_scalar("k", Some(&json!(6))));
    assert!(own[1].refuses_text("k", "15") && !own[1].refuses_text("k", "6"));
    assert!(!own[2].refuses_text("any", "thing"));
}

#[test]
fn protected_fields_are_merged_with_the_default() {
    let fields = |options: Value| AppConfig::for_tests(options).users.protected_fields;
    let own = json!({"protectedFields": {"_User": {"*": ["phone"], "role:a": []}, "Game": {"*": ["x"]}}});
    let merged = fields(own.clone());
    assert_eq!(merged["_User"]["*"], ["phone", "email"]);
    assert_eq!(merged["Game"]["*"], ["x"]);
    let mut strict = own;
    strict["protectedFieldsOwnerExempt"] = json!(false);
    assert_eq!(fields(strict)["_User"]["*"], ["phone"]);
    assert_eq!(fields(json!({"userSensitiveFields": ["phone"]}))["_User"]["*"], ["phone", "email"]);
}

#[test]
fn functions_arrive_as_callbacks() {
    let callback = json!({"__callback": 7});
    let config = AppConfig::for_tests(json!({
        "masterKey": callback, "publicServerURL": callback, "verifyUserEmails": callback, "appName": "a",
        "emailAdapter": "smtp", "pages": {"placeholders": callback}, "cloud": callback,
        "passwordPolicy": {"validatorCallback": callback},
    }));
    let id = CallbackId(7);
    assert_eq!(config.keys.master_key.callback(), Some(id));
    assert_eq!(config.http.public_server_url, Some(OptionValue::Callback(id)));
    assert!(config.users.verify_user_emails.is_on());
    assert_eq!(config.pages.placeholders, OptionValue::Callback(id));
    assert_eq!(config.cloud.cloud, Some(OptionValue::Callback(id)));
    assert_eq!(config.users.password_policy.unwrap().validator_callback, Some(id));
}

#[test]
fn rate_limits_are_rules() {
    let config = AppConfig::for_tests(json!({"rateLimit": [
        {"requestPath": "/functions/:name", "requestTimeWindow": 1000, "requestCount": 2, "zone": "user"},
        {"requestPath": "/classes{/*id}", "requestTimeWindow": 1, "requestCount": 1, "requestMethods": ["POST"]},
    ]}));
    let [first, second] = &config.rate_limits[..] else { panic!("two rules") };
    assert!(
        first.request_path.matches("/functions/hello") && first.request_path.matches("/Functions/hello/")
    );
    assert!(!first.request_path.matches("/functions") && !first.request_path.matches("/functions/a/b"));
    assert_eq!(
        (first.zone, first.error_response_message.as_str()),
        (RateLimitZone::User, "Too many requests.")
    );
    assert!(second.request_path.matches("/classes") && second.request_path.matches("/classes/a/b"));
    assert!(second.request_methods.as_ref().unwrap().contains("POST"));
    assert!(!second.request_methods.as_ref().unwrap().contains("GET"));
    let one = json!({"rateLimit": {"requestPath": "*any", "requestTimeWindow": 1, "requestCount": 1}});
    assert_eq!(AppConfig::for_tests(one).rate_limits.len(), 1);
}

#[test]
fn live_queries_publish_whole_names() {
    let config = AppConfig::for_tests(json!({"liveQuery": {"classNames": ["Game", "Chat.*"]}}));
    let live_query = &config.live_query;
    assert!(live_query.publishes("Game") && live_query.publishes("ChatRoom"));
    assert!(!live_query.publishes("GameScore") && !config.live_query_server.enabled);
    assert!(AppConfig::for_tests(json!({"startLiveQueryServer": true})).live_query_server.enabled);
    assert!(AppConfig::for_tests(json!({"liveQueryServerOptions": {"port": 1}})).live_query_server.enabled);
}

#[test]
fn unknown_keys_are_listed_with_their_paths() {
    let lines = warnings(json!({
        "nonsense": 1, "fileUpload": {"a": 1}, "pages": {"customUrls": {"b": "x"}},
        "databaseOptions": {"logClientEvents": [{"name": "x", "c": 1}], "clientMetadata": {"d": 1}},
        "auth": {"custom": {"whatever": 1}},
    }));
    let expected = "Invalid key(s) found in Parse Server configuration: nonsense, fileUpload.a, \
                    pages.customUrls.b, databaseOptions.logClientEvents[0].c, databaseOptions.clientMetadata.d";
    assert_eq!(lines[0], expected);
}

#[test]
fn options_without_effect_warn_or_stop() {
    let lines = warnings(json!({"cluster": false, "databaseOptions": {"socketTimeoutMS": 5}}));
    let line = "Accepted, not effective yet: databaseOptions.socketTimeoutMS";
    assert!(lines.contains(&line.to_owned()), "{lines:?}");
    let protecting = json!({"appId": "a", "masterKey": "m", "middleware": "x"});
    let error = AppConfig::from_json(protecting.clone()).unwrap_err();
    assert_eq!(error.option, "middleware");
    assert!(error.to_string().contains("--allowIncomplete"));
    let mut allowed = protecting;
    allowed["allowIncomplete"] = json!(true);
    let (_, lines) = AppConfig::from_json(allowed).unwrap();
    assert!(lines.contains(&"Accepted, not effective yet: middleware".to_owned()));
}

#[test]
fn a_message_bus_of_ones_own_stops_the_start() {
    for group in ["liveQuery", "liveQueryServerOptions"] {
        let mut options = json!({"appId": "a", "masterKey": "m"});
        options[group] = json!({"pubSubAdapter": "./bus.js", "wssAdapter": "./sockets.js"});
        let error = AppConfig::from_json(options.clone()).unwrap_err();
        assert_eq!(error.option, format!("{group}.pubSubAdapter"));
        assert!(error.to_string().contains("Remove "), "{error}");
        options["allowIncomplete"] = json!(true);
        let (_, lines) = AppConfig::from_json(options).unwrap();
        let line = format!("Accepted, not effective yet: {group}.pubSubAdapter, {group}.wssAdapter");
        assert!(lines.contains(&line), "{lines:?}");
    }
}

#[test]
fn changing_defaults_warn_until_set() {
    let about = |lines: &[String], path: &str| {
        lines.iter().any(|line| line.starts_with("DeprecationWarning: ") && line.contains(path))
    };
    let unset = warnings(json!({}));
    for path in ["fileUpload.allowedFileUrlDomains", "readOnlyMasterKeyIps", "protectedFieldsOwnerExempt"] {
        assert!(about(&unset, path), "{path}");
    }
    // Their new defaults hold already.
    assert!(!about(&unset, "requestComplexity"));
    let set = warnings(json!({"fileUpload": {"allowedFileUrlDomains": []}, "readOnlyMasterKeyIps": []}));
    assert!(!about(&set, "allowedFileUrlDomains") && !about(&set, "readOnlyMasterKeyIps"));
    assert!(about(
        &warnings(json!({"enableProductPurchaseLegacyApi": true})),
        "enableProductPurchaseLegacyApi"
    ));
    assert!(!about(
        &warnings(json!({"enableProductPurchaseLegacyApi": false})),
        "enableProductPurchaseLegacyApi"
    ));
    assert!(about(&warnings(json!({"userSensitiveFields": ["a"]})), "userSensitiveFields"));
}

#[test]
fn odd_application_ids_warn() {
    let (_, lines) = AppConfig::from_json(json!({"appId": "a/b", "masterKey": "m"})).unwrap();
    assert!(lines.iter().any(|line| line.contains("\"a/b\"")));
}

#[test]
fn secrets_are_never_printed() {
    let config = AppConfig::for_tests(json!({
        "masterKey": "hush-1", "readOnlyMasterKey": "hush-2", "maintenanceKey": "hush-3", "clientKey": "hush-4",
        "javascriptKey": "hush-5", "restAPIKey": "hush-6", "dotNetKey": "hush-7", "webhookKey": "hush-8",
        "databaseURI": "postgres://u:hush-9@h/d", "databaseOptions": {"proxyPassword": "hush-10"},
        "push": {"ios": {"token": "hush-11"}}, "auth": {"x": {"clientSecret": "hush-12"}},
        "emailAdapter": {"module": "m", "options": {"apiKey": "hush-13"}}, "filesAdapter": {"secret": "hush-14"},
        "encryptionKey": "hush-15", "fileKey": "hush-16", "liveQuery": {"redisURL": "redis://:hush-17@h"},
        "liveQueryServerOptions": {"masterKey": "hush-18", "keyPairs": {"a": "hush-19"}},
        "databaseReadURIs": ["postgres://u:hush-20@h/d"], "databaseListenURI": "postgres://u:hush-21@h/d",
        "rateLimit": {"requestPath": "/x", "requestTimeWindow": 1, "requestCount": 1, "redisUrl": "hush-22"},
    }));
    let printed = format!("{config:?}");
    assert!(!printed.contains("hush"), "{printed}");
    let key = config.keys.master_key.value().unwrap();
    assert!(key.matches("hush-1") && !key.matches("hush-2") && !key.matches("hush-10") && !key.matches(""));
    assert_eq!(format!("{key}"), "<redacted>");
}

#[test]
fn two_configurations_are_independent() {
    let one = AppConfig::for_tests(json!({"appId": "one", "port": 1}));
    let two = AppConfig::for_tests(json!({"appId": "two", "port": 2}));
    assert_eq!((one.app_id.as_str(), one.http.port), ("one", 1));
    assert_eq!((two.app_id.as_str(), two.http.port), ("two", 2));
}

#[test]
fn odd_values_are_refused_in_one_line_or_accepted() {
    let odd = [json!(-1.5), json!("("), json!(true), json!({"a\nb": null}), json!([null]), json!(1e300)];
    let try_one = |options: Value| {
        let mut all = json!({"appId": "a", "masterKey": "m"});
        all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
        if let Err(error) = AppConfig::from_json(all) {
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    };
    for option in table::options() {
        for value in &odd {
            try_one(json!({(option.name): value}));
        }
        for key in option.group.iter().flat_map(|group| group.options) {
            for value in &odd[..2] {
                try_one(json!({(option.name): {(key.name): value}}));
            }
        }
    }
}

#[test]
fn configurations_can_be_shared_between_threads() {
    fn shared<T: Send + Sync + Clone + 'static>() {}
    shared::<AppConfig>();
}

#[test]
fn expressions_are_javascripts() {
    let pattern = |given: Value| {
        let config = AppConfig::for_tests(json!({"passwordPolicy": {"validatorPattern": given}}));
        config.users.password_policy.unwrap().validator_pattern.unwrap()
    };
    // As a JavaScript configuration hands expressions with flags over.
    let flagged = pattern(json!({"__regexp": ["^secret[a-z]{2}$", "gi"]}));
    assert!(flagged.allows("SECRETab") && !flagged.allows("secret12"));
    // In a class only `]`, `\`, `^` and `-` mean something.
    let marks = pattern(json!("^(?=.*[!@#[&&%~~]).{4,}$"));
    assert!(marks.allows("abc[") && marks.allows("abc&") && marks.allows("abc~") && !marks.allows("abcd"));
    assert!(pattern(json!("^a[^]b$")).allows("a\nb"));
    assert!(!pattern(json!("[]")).allows("a]"));
    assert!(pattern(json!(r"^[\]a\[]+$")).allows("[a]"));
    let files = json!({"fileUpload": {"fileExtensions": ["^gif$", {"__regexp": ["^png$", "i"]}]}});
    let extensions = AppConfig::for_tests(files).files.upload.file_extensions;
    assert!(extensions[0].allows("gif") && extensions[1].allows("PNG") && !extensions[1].allows("jpg"));
    let denied = json!([{"value": {"__regexp": ["^forbidden$", "i"]}}]);
    let denylist = AppConfig::for_tests(json!({"requestKeywordDenylist": denied})).request_keyword_denylist;
    assert!(
        denylist[0].refuses_text("any", "Forbidden") && !denylist[0].refuses_text("any", "forbidden fruit")
    );
}
