//! Addresses and options; the network part is tested against a real S3 server in `tests/integration`.

use super::*;

fn options() -> S3Options {
    S3Options {
        bucket: "bucket".into(),
        region: "eu-west-1".into(),
        bucket_prefix: "pre/".into(),
        credentials: Some(S3Credentials {
            access_key: "AK".into(),
            secret_key: "SK".into(),
            session_token: None,
        }),
        direct_access: true,
        ..S3Options::default()
    }
}

fn location(options: S3Options, name: &str) -> String {
    let mount = Mount { server: "http://h/parse/", app_id: "app" };
    S3Store::new(options, Outbound::for_tests())
        .map(|store| store.location(mount, name))
        .unwrap_or_else(|error| error.to_string())
}

#[test]
fn addresses_as_the_adapter_gives_them() {
    let through_server = S3Options { direct_access: false, ..options() };
    assert_eq!(location(through_server, "d/a b.txt"), "http://h/parse/files/app/d/a%20b.txt");
    assert_eq!(location(options(), "d/a b.txt"), "https://bucket.s3.amazonaws.com/pre/d/a%20b.txt");
    let based = S3Options { base_url: Some("https://cdn.io".into()), ..options() };
    assert_eq!(location(based.clone(), "a.txt"), "https://cdn.io/pre/a.txt");
    let direct = S3Options { base_url_direct: true, ..based };
    assert_eq!(location(direct.clone(), "a.txt"), "https://cdn.io/a.txt");

    let signed =
        S3Options { presigned_url: true, presigned_url_expires: Some(Duration::from_secs(77)), ..options() };
    let url = location(signed, "a b.txt");
    assert!(
        url.starts_with("https://bucket.s3.eu-west-1.amazonaws.com/pre/a%20b.txt?X-Amz-Algorithm="),
        "{url}"
    );
    assert!(url.contains("X-Amz-Expires=77&") && url.contains("X-Amz-Signature="), "{url}");
    let url = location(S3Options { presigned_url: true, ..direct }, "a.txt");
    assert!(
        url.starts_with("https://cdn.io/a.txt?X-Amz-Algorithm=") && url.contains("X-Amz-Expires=900"),
        "{url}"
    );
}

#[test]
fn endpoints_follow_the_sdk() {
    let at = |endpoint: &str, force| S3Options {
        endpoint: Some(endpoint.into()),
        force_path_style: force,
        ..options()
    };
    let host = |options: S3Options| options.bucket_endpoint().unwrap_or_default();
    assert_eq!(
        host(at("https://nyc3.digitaloceanspaces.com", false)),
        "https://bucket.nyc3.digitaloceanspaces.com"
    );
    assert_eq!(host(at("https://minio.example.com/", true)), "https://minio.example.com");
    assert_eq!(host(at("http://127.0.0.1:9000", false)), "http://127.0.0.1:9000");
    assert_eq!(host(at("http://minio:9000", false)), "http://minio:9000");
    assert!(S3Options { bucket: "a.b".into(), ..options() }.path_style());
}

#[test]
fn acl_follows_direct_access() {
    assert_eq!(options().acl(), Some("public-read"));
    assert_eq!(S3Options { direct_access: false, ..options() }.acl(), None);
    assert_eq!(S3Options { file_acl: Some("none".into()), ..options() }.acl(), None);
    assert_eq!(S3Options { file_acl: Some("private".into()), ..options() }.acl(), Some("private"));
}

#[test]
fn prefixes_that_cannot_be_kept_are_refused() {
    for prefix in ["/a", "a//b"] {
        assert!(
            location(S3Options { bucket_prefix: prefix.into(), ..options() }, "a").starts_with("S3Adapter:")
        );
    }
}

#[test]
fn secrets_are_not_printed() {
    assert!(!format!("{:?}", options()).contains("SK"));
}
