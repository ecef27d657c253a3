//! The texts with which a wrong option stops the start.

use serde_json::{Value, json};

use crate::config::AppConfig;

/// What the configuration with these options is refused for: option and message.
fn refusal(options: &Value) -> (String, String) {
    let mut all = json!({"appId": "test", "masterKey": "master"});
    all.as_object_mut().unwrap().extend(options.as_object().unwrap().clone());
    match AppConfig::from_json(all) {
        Ok(_) => panic!("accepted: {options}"),
        Err(error) => {
            let line = error.to_string();
            assert!(!line.contains('\n'), "{line}");
            assert!(line.starts_with(&format!("{}: ", error.option)), "{line}");
            assert!(line.contains(&error.message), "{line}");
            assert!(line.contains(" It is "), "{line}");
            assert!(line.contains(error.option.split('.').next().unwrap()), "{line}");
            (error.option, error.message)
        }
    }
}

fn check(cases: &[(Value, &str, &str)]) {
    for (options, option, message) in cases {
        assert_eq!(refusal(options), ((*option).to_owned(), (*message).to_owned()), "{options}");
    }
}

#[test]
fn application_and_keys() {
    let addresses = "contains an invalid IP address";
    check(&[
        (json!({"appId": ""}), "appId", "You must provide an appId!"),
        (json!({"masterKey": null}), "masterKey", "You must provide a masterKey!"),
        (json!({"serverURL": ""}), "serverURL", "You must provide a serverURL!"),
        (
            json!({"readOnlyMasterKey": "master"}),
            "readOnlyMasterKey",
            "masterKey and readOnlyMasterKey should be different",
        ),
        (
            json!({"maintenanceKey": "master"}),
            "maintenanceKey",
            "masterKey and maintenanceKey should be different",
        ),
        (
            json!({"masterKeyIps": ["10.0.0.x"]}),
            "masterKeyIps",
            &format!("The Parse Server option \"masterKeyIps\" {addresses} \"10.0.0.x\"."),
        ),
        (
            json!({"maintenanceKeyIps": ["1.2.3/8"]}),
            "maintenanceKeyIps",
            &format!("The Parse Server option \"maintenanceKeyIps\" {addresses} \"1.2.3\"."),
        ),
        (
            json!({"readOnlyMasterKeyIps": ["10.0.0.0/99"]}),
            "readOnlyMasterKeyIps",
            &format!("The Parse Server option \"readOnlyMasterKeyIps\" {addresses} \"10.0.0.0/99\"."),
        ),
        (json!({"clientKey": 5}), "clientKey", "Parse Server option clientKey must be a string."),
    ]);
}

#[test]
fn front_and_limits() {
    let allow_list = "Parse Server option routeAllowList";
    check(&[
        (json!({"allowHeaders": "X"}), "allowHeaders", "Allow headers must be an array"),
        (json!({"allowHeaders": [1]}), "allowHeaders", "Allow headers must only contain strings"),
        (json!({"allowHeaders": [" "]}), "allowHeaders", "Allow headers must not contain empty strings"),
        (
            json!({"routeAllowList": "x"}),
            "routeAllowList",
            &format!("{allow_list} must be an array of strings."),
        ),
        (
            json!({"routeAllowList": [1]}),
            "routeAllowList",
            &format!("{allow_list} contains a non-string value."),
        ),
        (
            json!({"routeAllowList": ["("]}),
            "routeAllowList",
            &format!("{allow_list} contains an invalid regex pattern: \"(\"."),
        ),
        (
            json!({"publicServerURL": "example.org"}),
            "publicServerURL",
            "The option publicServerURL must be a valid URL starting with http:// or https://.",
        ),
        (
            json!({"publicServerURL": 5}),
            "publicServerURL",
            "The option publicServerURL must be a string or function, but got number.",
        ),
        (json!({"port": 70000}), "port", "Parse Server option port must be a number from 0 to 65535."),
        (
            json!({"requestKeywordDenylist": {}}),
            "requestKeywordDenylist",
            "Parse Server option requestKeywordDenylist must be an array.",
        ),
        (json!({"requestComplexity": []}), "requestComplexity", "requestComplexity must be an object."),
        (
            json!({"requestComplexity": {"depth": 1}}),
            "requestComplexity.depth",
            "requestComplexity contains unknown property 'depth'.",
        ),
        (
            json!({"requestComplexity": {"includeDepth": 0}}),
            "requestComplexity.includeDepth",
            "requestComplexity.includeDepth must be a positive integer or -1 to disable.",
        ),
        (
            json!({"requestComplexity": {"queryDepth": 1.5}}),
            "requestComplexity.queryDepth",
            "requestComplexity.queryDepth must be a positive integer or -1 to disable.",
        ),
        (
            json!({"requestComplexity": {"allowRegex": 1}}),
            "requestComplexity.allowRegex",
            "requestComplexity.allowRegex must be a boolean.",
        ),
        (
            json!({"idempotencyOptions": {"ttl": 0}}),
            "idempotencyOptions.ttl",
            "idempotency TTL value must be greater than 0 seconds",
        ),
        (
            json!({"idempotencyOptions": {"ttl": "x"}}),
            "idempotencyOptions.ttl",
            "idempotency TTL value must be a number",
        ),
        (
            json!({"idempotencyOptions": {"paths": "x"}}),
            "idempotencyOptions.paths",
            "idempotency paths must be of an array of strings",
        ),
    ]);
}

#[test]
fn rate_limits() {
    let rule = |key: &str, value: Value| {
        let mut rule = json!({"requestPath": "/x", "requestTimeWindow": 1, "requestCount": 1});
        rule[key] = value;
        json!({"rateLimit": [rule]})
    };
    let help = "; visit https://git.new/pathToRegexpError for info";
    check(&[
        (json!({"rateLimit": "x"}), "rateLimit", "rateLimit must be an array or object"),
        (json!({"rateLimit": ["x"]}), "rateLimit", "rateLimit must be an array of objects"),
        (rule("requestPath", Value::Null), "rateLimit.requestPath", "rateLimit.requestPath must be defined"),
        (rule("requestPath", json!(1)), "rateLimit.requestPath", "rateLimit.requestPath must be a string"),
        (
            rule("requestPath", json!("/*")),
            "rateLimit.requestPath",
            &format!(
                "rateLimit.requestPath \"/*\" is not valid: Missing parameter name at index 2: /*{help}"
            ),
        ),
        (
            rule("requestPath", json!("/a(b)")),
            "rateLimit.requestPath",
            &format!("rateLimit.requestPath \"/a(b)\" is not valid: Unexpected ( at index 2: /a(b){help}"),
        ),
        (
            rule("requestPath", json!("/a{b")),
            "rateLimit.requestPath",
            &format!(
                "rateLimit.requestPath \"/a{{b\" is not valid: Unexpected end at index 4, expected }}: /a{{b{help}"
            ),
        ),
        (
            rule("requestTimeWindow", Value::Null),
            "rateLimit.requestTimeWindow",
            "rateLimit.requestTimeWindow must be defined",
        ),
        (
            rule("requestTimeWindow", json!("1")),
            "rateLimit.requestTimeWindow",
            "rateLimit.requestTimeWindow must be a number",
        ),
        (
            rule("requestCount", Value::Null),
            "rateLimit.requestCount",
            "rateLimit.requestCount must be defined",
        ),
        (
            rule("requestCount", json!("1")),
            "rateLimit.requestCount",
            "rateLimit.requestCount must be a number",
        ),
        (
            rule("includeInternalRequests", json!(1)),
            "rateLimit.includeInternalRequests",
            "rateLimit.includeInternalRequests must be a boolean",
        ),
        (
            rule("errorResponseMessage", json!(1)),
            "rateLimit.errorResponseMessage",
            "rateLimit.errorResponseMessage must be a string",
        ),
        (
            rule("zone", json!("x")),
            "rateLimit.zone",
            "rateLimit.zone must be one of global, session, user, or ip",
        ),
        (rule("other", json!(1)), "rateLimit.other", "Invalid rate limit option \"other\""),
    ]);
}

#[test]
fn data() {
    let adapter =
        "You cannot specify both a databaseAdapter and a databaseURI/databaseOptions/collectionPrefix.";
    check(&[
        (json!({"defaultLimit": "x"}), "defaultLimit", "Default limit must be a number."),
        (json!({"defaultLimit": 0}), "defaultLimit", "Default limit must be a value greater than 0."),
        (json!({"maxLimit": -1}), "maxLimit", "Max limit must be a value greater than 0."),
        (json!({"databaseOptions": []}), "databaseOptions", "databaseOptions must be an object"),
        (
            json!({"databaseOptions": {"enableSchemaHooks": 1}}),
            "databaseOptions.enableSchemaHooks",
            "databaseOptions.enableSchemaHooks must be a boolean",
        ),
        (
            json!({"databaseOptions": {"schemaCacheTtl": "1"}}),
            "databaseOptions.schemaCacheTtl",
            "databaseOptions.schemaCacheTtl must be a number",
        ),
        (
            json!({"databaseOptions": {"allowPublicExplain": 1}}),
            "databaseOptions.allowPublicExplain",
            "Parse Server option 'databaseOptions.allowPublicExplain' must be a boolean.",
        ),
        (json!({"databaseAdapter": "x", "databaseURI": "postgres://h/d"}), "databaseAdapter", adapter),
        (
            json!({"databaseAdapter": "x"}),
            "filesAdapter",
            "When using an explicit database adapter, you must also use an explicit filesAdapter.",
        ),
        (
            json!({"databaseListenURI": "mongodb://h/d"}),
            "databaseListenURI",
            "This is not the URL of a PostgreSQL database.",
        ),
        (
            json!({"allowClientClassCreation": 1}),
            "allowClientClassCreation",
            "Parse Server option allowClientClassCreation must be a boolean.",
        ),
        (json!({"schema": []}), "schema", "Parse Server option schema must be an object."),
        (
            json!({"schema": {"definitions": {}}}),
            "schema.definitions",
            "Parse Server option schema.definitions must be an array.",
        ),
        (
            json!({"schema": {"strict": 1}}),
            "schema.strict",
            "Parse Server option schema.strict must be a boolean.",
        ),
        (
            json!({"schema": {"beforeMigration": "x"}}),
            "schema.beforeMigration",
            "Parse Server option schema.beforeMigration must be a function.",
        ),
    ]);
}

#[test]
fn users() {
    let boolean = |name: &str| format!("Parse Server option {name} must be a boolean.");
    check(&[
        (json!({"sessionLength": "x"}), "sessionLength", "Session length must be a valid number."),
        (json!({"sessionLength": 0}), "sessionLength", "Session length must be a value greater than 0."),
        (
            json!({"revokeSessionOnPasswordReset": 1}),
            "revokeSessionOnPasswordReset",
            "revokeSessionOnPasswordReset must be a boolean value",
        ),
        (
            json!({"extendSessionOnUse": 1}),
            "extendSessionOnUse",
            "extendSessionOnUse must be a boolean value",
        ),
        (json!({"enforcePrivateUsers": 1}), "enforcePrivateUsers", &boolean("enforcePrivateUsers")),
        (
            json!({"allowExpiredAuthDataToken": 1}),
            "allowExpiredAuthDataToken",
            &boolean("allowExpiredAuthDataToken"),
        ),
        (
            json!({"enableInsecureAuthAdapters": 1}),
            "enableInsecureAuthAdapters",
            &boolean("enableInsecureAuthAdapters"),
        ),
        (
            json!({"accountLockout": {"duration": 0, "threshold": 1}}),
            "accountLockout.duration",
            "Account lockout duration should be greater than 0 and less than 100000",
        ),
        (
            json!({"accountLockout": {"duration": 1, "threshold": 1000}}),
            "accountLockout.threshold",
            "Account lockout threshold should be an integer greater than 0 and less than 1000",
        ),
        (
            json!({"accountLockout": {"duration": 1, "threshold": 1, "unlockOnPasswordReset": 1}}),
            "accountLockout.unlockOnPasswordReset",
            &boolean("accountLockout.unlockOnPasswordReset"),
        ),
        (
            json!({"emailVerifyTokenReuseIfValid": true}),
            "emailVerifyTokenReuseIfValid",
            "You cannot use emailVerifyTokenReuseIfValid without emailVerifyTokenValidityDuration",
        ),
        (
            json!({"verifyUserEmails": true}),
            "emailAdapter",
            "An emailAdapter is required for e-mail verification and password resets.",
        ),
        (
            json!({"verifyUserEmails": true, "emailAdapter": "smtp"}),
            "appName",
            "An app name is required for e-mail verification and password resets.",
        ),
        (
            json!({"verifyUserEmails": true, "emailAdapter": "smtp", "appName": "a"}),
            "publicServerURL",
            "The option publicServerURL is required.",
        ),
        (json!({"installation": []}), "installation", "installation must be an object."),
        (json!({"installation": {"x": 1}}), "installation.x", "installation contains unknown property 'x'."),
        (
            json!({"installation": {"duplicateDeviceTokenAction": "x"}}),
            "installation.duplicateDeviceTokenAction",
            "installation.duplicateDeviceTokenAction must be one of: 'delete', 'update'.",
        ),
        (
            json!({"installation": {"duplicateDeviceTokenMergePriority": "x"}}),
            "installation.duplicateDeviceTokenMergePriority",
            "installation.duplicateDeviceTokenMergePriority must be one of: 'deviceToken', 'installationId'.",
        ),
    ]);
}

#[test]
fn password_policy() {
    let case = |key: &str, value: Value, message: &str| {
        let mut policy = json!({});
        policy[key] = value;
        assert_eq!(
            refusal(&json!({"passwordPolicy": policy})),
            (format!("passwordPolicy.{key}"), message.to_owned())
        );
    };
    case("maxPasswordAge", json!(-1), "passwordPolicy.maxPasswordAge must be a positive number");
    case(
        "resetTokenValidityDuration",
        json!(0),
        "passwordPolicy.resetTokenValidityDuration must be a positive number",
    );
    let pattern = "passwordPolicy.validatorPattern must be a regex string or RegExp object.";
    case("validatorPattern", json!(1), pattern);
    case("validatorPattern", json!("("), pattern);
    case("validatorCallback", json!("x"), "passwordPolicy.validatorCallback must be a function.");
    case("doNotAllowUsername", json!(1), "passwordPolicy.doNotAllowUsername must be a boolean value.");
    case(
        "maxPasswordHistory",
        json!(21),
        "passwordPolicy.maxPasswordHistory must be an integer ranging 0 - 20",
    );
    case("resetTokenReuseIfValid", json!(1), "resetTokenReuseIfValid must be a boolean value");
    let reuse = "You cannot use resetTokenReuseIfValid without resetTokenValidityDuration";
    case("resetTokenReuseIfValid", json!(true), reuse);
    let invalid_email = "resetPasswordSuccessOnInvalidEmail must be a boolean value";
    case("resetPasswordSuccessOnInvalidEmail", json!(1), invalid_email);
}

#[test]
fn files_pages_and_the_rest() {
    let levels = r#"must be one of ["error","warn","info","debug","verbose","silly","silent"]"#;
    let typed = |name: &str, kind: &str| format!("Parse Server option {name} must be a {kind}.");
    check(&[
        (json!({"fileUpload": []}), "fileUpload", "fileUpload must be an object value."),
        (
            json!({"fileUpload": {"enableForPublic": 1}}),
            "fileUpload.enableForPublic",
            "fileUpload.enableForPublic must be a boolean value.",
        ),
        (
            json!({"fileUpload": {"fileExtensions": "x"}}),
            "fileUpload.fileExtensions",
            "fileUpload.fileExtensions must be an array.",
        ),
        (
            json!({"fileUpload": {"allowedFileUrlDomains": "x"}}),
            "fileUpload.allowedFileUrlDomains",
            "fileUpload.allowedFileUrlDomains must be an array.",
        ),
        (
            json!({"fileUpload": {"allowedFileUrlDomains": [""]}}),
            "fileUpload.allowedFileUrlDomains",
            "fileUpload.allowedFileUrlDomains must contain only non-empty strings.",
        ),
        (json!({"fileDownload": []}), "fileDownload", "fileDownload must be an object value."),
        (
            json!({"fileDownload": {"enableForAnonymousUser": 1}}),
            "fileDownload.enableForAnonymousUser",
            "fileDownload.enableForAnonymousUser must be a boolean value.",
        ),
        (json!({"pages": []}), "pages", "Parse Server option pages must be an object."),
        (
            json!({"pages": {"forceRedirect": 1}}),
            "pages.forceRedirect",
            &typed("pages.forceRedirect", "boolean"),
        ),
        (json!({"pages": {"pagesPath": 1}}), "pages.pagesPath", &typed("pages.pagesPath", "string")),
        (
            json!({"pages": {"placeholders": 1}}),
            "pages.placeholders",
            "Parse Server option pages.placeholders must be an object or a function.",
        ),
        (
            json!({"pages": {"customRoutes": {}}}),
            "pages.customRoutes",
            "Parse Server option pages.customRoutes must be an array.",
        ),
        (json!({"customPages": []}), "customPages", "Parse Server option customPages must be an object."),
        (json!({"security": []}), "security", "Parse Server option security must be an object."),
        (
            json!({"security": {"enableCheck": 1}}),
            "security.enableCheck",
            &typed("security.enableCheck", "boolean"),
        ),
        (
            json!({"logLevels": {"triggerAfter": "x"}}),
            "logLevels.triggerAfter",
            &format!("'triggerAfter' {levels}"),
        ),
        (json!({"logLevel": "x"}), "logLevel", &format!("'logLevel' {levels}")),
        (
            json!({"liveQuery": {"regexTimeout": "1"}}),
            "liveQuery.regexTimeout",
            "liveQuery.regexTimeout must be a number",
        ),
        (
            json!({"liveQuery": {"classNames": "x"}}),
            "liveQuery.classNames",
            "liveQuery.classes should be an array of string",
        ),
        (
            json!({"auth": {"1x": {}}}),
            "auth",
            "Parse Server option auth contains an invalid provider name \"1x\".",
        ),
    ]);
}

#[test]
fn the_line_names_option_value_and_remedy_and_hides_secrets() {
    let line = |options: Value| AppConfig::from_json(options).unwrap_err().to_string();
    assert_eq!(
        line(json!({"appId": "a", "masterKey": "m", "defaultLimit": 0})),
        "defaultLimit: Default limit must be a value greater than 0. It is 0. Correct or remove defaultLimit \
         (number, default 100) in the configuration file, with --defaultLimit or with PARSE_SERVER_DEFAULT_LIMIT."
    );
    assert_eq!(
        line(json!({"appId": "a"})),
        "masterKey: You must provide a masterKey! It is not set. Set masterKey (text) in the configuration file, \
         with --masterKey or with PARSE_SERVER_MASTER_KEY."
    );
    for secret in [
        json!({"appId": "a", "masterKey": ["hush"]}),
        json!({"appId": "a", "masterKey": "hush", "maintenanceKey": "hush"}),
        json!({"appId": "a", "masterKey": "m", "databaseURI": "mysql://u:hush@h"}),
        json!({"appId": "a", "masterKey": "m", "liveQuery": ["hush"]}),
        json!({"appId": "a", "masterKey": "m", "push": "hush"}),
        json!({"appId": "a", "masterKey": "m", "auth": "hush"}),
    ] {
        let line = line(secret);
        assert!(line.contains("<redacted>") && !line.contains("hush"), "{line}");
    }
}
