//! Tests of reading and checking options.

use serde_json::json;

use super::*;

#[test]
fn defaults_are_those_of_the_table() {
    let config = AppConfig::for_tests(json!({}));
    assert_eq!(config.http.server_url, "http://localhost:1337/parse");
    assert_eq!(config.http.max_upload_size, 20 << 20);
    assert_eq!(config.request_complexity.include_depth, Some(10));
    assert_eq!(config.request_complexity.subquery_limit, None);
    assert_eq!(config.users.protected_fields["_User"]["*"], ["email"]);
    assert_eq!(config.query.default_limit, 100);
    assert!(config.keys.master_key_ips.contains("127.0.0.1".parse().unwrap()));
    assert!(!config.keys.master_key_ips.contains("10.0.0.1".parse().unwrap()));
    assert!(config.keys.read_only_master_key_ips.is_everywhere());
    assert!(config.files.upload.allows_extension("png"));
    for refused in ["html", "HTM", "shtml", "xhtml", "xhtml+xml", "svg", "svgz", "xslt+xml", "mathml"] {
        assert!(!config.files.upload.allows_extension(refused), "{refused}");
    }
    assert!(config.request_keyword_denylist[1].refuses_text("constructor", ""));
    assert!(!config.request_keyword_denylist[0].refuses_text("_bsontype", "x"));
    assert!(config.request_keyword_denylist[0].refuses_text("_bsontype", "Code"));
}
