//! What the guide and the adapters' documents show must be understood.

use std::time::Duration;

use serde_json::json;

use super::*;

fn none(_: &str) -> Option<String> {
    None
}

fn pick(option: Value) -> FileResult<Choice> {
    choose(Some(&option), &none, &|_| false)
}

fn s3_of(option: Value) -> S3Options {
    match pick(option) {
        Ok(Choice::S3(options)) => options,
        other => panic!("{other:?}"),
    }
}

fn gcs_of(option: Value, env: Environment<'_>) -> GcsOptions {
    match choose(Some(&option), env, &|_| false) {
        Ok(Choice::Gcs(options)) => options,
        other => panic!("{other:?}"),
    }
}

fn why(option: Value) -> String {
    match pick(option) {
        Err(FileError::Config(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_means_the_database() {
    assert_eq!(choose(None, &none, &|_| false).unwrap(), Choice::Default);
    assert_eq!(pick(Value::Null).unwrap(), Choice::Default);
}

#[test]
fn folder() {
    let plain = Choice::Fs { sub_directory: None, key: None };
    for name in ["@parse/fs-files-adapter", "./Files/FileSystemAdapter.js", "parse-server-fs-adapter"] {
        assert_eq!(pick(json!(name)).unwrap(), plain, "{name}");
    }
    let options = json!({"filesSubDirectory": "my/files", "encryptionKey": "s"});
    let choice = pick(json!({"module": "@parse/fs-files-adapter", "options": options})).unwrap();
    let key = Some(Key::from_secret("s"));
    assert_eq!(choice, Choice::Fs { sub_directory: Some("my/files".into()), key: key.clone() });

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s\n").unwrap();
    let options = json!({"encryptionKeyFile": file.path()});
    let choice = pick(json!({"module": "@parse/fs-files-adapter", "options": options})).unwrap();
    assert_eq!(choice, Choice::Fs { sub_directory: None, key });
    std::fs::write(file.path(), "\n").unwrap();
    assert!(
        why(json!({"module": "@parse/fs-files-adapter", "options": {"encryptionKeyFile": file.path()}}))
            .ends_with("is empty")
    );
}

#[test]
fn s3_from_the_guide() {
    let options = s3_of(json!({"module": "@parse/s3-files-adapter", "options": {
        "bucket": "my_bucket", "region": "eu-west-1", "bucketPrefix": "pre/", "directAccess": true,
        "fileAcl": "none", "baseUrl": "https://cdn.io", "baseUrlDirect": true, "signatureVersion": "v4",
        "globalCacheControl": "public, max-age=86400", "ServerSideEncryption": "AES256",
        "presignedUrl": true, "presignedUrlExpires": "900",
        "credentials": {"accessKeyId": "AK", "secretAccessKey": "SK"},
    }}));
    assert_eq!(
        options,
        S3Options {
            bucket: "my_bucket".into(),
            bucket_prefix: "pre/".into(),
            region: "eu-west-1".into(),
            credentials: Some(S3Credentials {
                access_key: "AK".into(),
                secret_key: "SK".into(),
                session_token: None
            }),
            direct_access: true,
            file_acl: Some("none".into()),
            base_url: Some("https://cdn.io".into()),
            base_url_direct: true,
            presigned_url: true,
            presigned_url_expires: Some(Duration::from_secs(900)),
            global_cache_control: Some("public, max-age=86400".into()),
            server_side_encryption: Some("AES256".into()),
            endpoint: None,
            force_path_style: false,
        }
    );
}

#[test]
fn s3_positional_forms() {
    let module = "./Files/S3Adapter.js";
    let of = |options: Value| s3_of(json!({"module": module, "options": options}));
    assert_eq!(of(json!("b")).bucket, "b");
    assert_eq!(of(json!(["b", {"region": "r"}])).region, "r");
    let keyed = of(json!(["AK", "SK", "b", {"directAccess": true}]));
    assert_eq!((keyed.bucket.as_str(), keyed.direct_access), ("b", true));
    assert_eq!(keyed.credentials.unwrap().secret_key, "SK");
    let spaces = of(json!([
        {"bucket": "x", "region": "r"},
        {"endpoint": "nyc3.digitaloceanspaces.com", "params": {"Bucket": "y"}, "region": "r2",
         "accessKeyId": "AK", "secretAccessKey": "SK", "s3ForcePathStyle": true},
    ]));
    assert_eq!((spaces.bucket.as_str(), spaces.region.as_str(), spaces.force_path_style), ("y", "r2", true));
    assert_eq!(spaces.endpoint.as_deref(), Some("https://nyc3.digitaloceanspaces.com"));
    assert_eq!(spaces.credentials.unwrap().access_key, "AK");
    let inside = of(json!({"bucket": "b", "s3overrides": {"endpoint": "http://127.0.0.1:9000"}}));
    assert_eq!(inside.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
    for wrong in [json!(["a", "b"]), json!([1]), json!(["a", 1, "c"]), json!([{}, {}, {}])] {
        let text = why(json!({"module": module, "options": wrong}));
        assert_eq!(text, "Failed to configure S3Adapter. Arguments don't make sense");
    }
}

#[test]
fn s3_from_the_environment() {
    let env = |name: &str| {
        Some(
            match name {
                "S3_BUCKET" => "b",
                "S3_ACCESS_KEY" => "AK",
                "S3_SECRET_KEY" => "SK",
                "S3_DIRECT_ACCESS" => "true",
                "S3_BASE_URL_DIRECT" => "false",
                "S3_PRESIGNED_URL_EXPIRES" => "60",
                _ => return None,
            }
            .to_owned(),
        )
    };
    let Ok(Choice::S3(options)) = choose(Some(&json!("@parse/s3-files-adapter")), &env, &|_| false) else {
        panic!("not S3")
    };
    assert_eq!((options.bucket.as_str(), options.region.as_str()), ("b", "us-east-1"));
    assert!(options.direct_access && !options.base_url_direct);
    assert_eq!(options.presigned_url_expires, Some(Duration::from_secs(60)));
    assert!(options.credentials.is_some());
    let missing = "S3Adapter requires option 'bucket' or env. variable S3_BUCKET";
    assert_eq!(why(json!("@parse/s3-files-adapter")), missing);
}

#[test]
fn gcs_forms() {
    let module = "@parse/gcs-files-adapter";
    let options =
        gcs_of(json!({"module": module, "options": ["p", "key.json", "b", {"bucketPrefix": "x/"}]}), &none);
    assert_eq!((options.bucket.as_str(), options.bucket_prefix.as_str()), ("b", "x/"));
    assert_eq!(
        (options.project_id.as_deref(), options.key_filename.as_deref()),
        (Some("p"), Some("key.json"))
    );
    let env = |name: &str| {
        let value = match name {
            "GCS_BUCKET" => "b",
            "GCP_KEYFILE_PATH" => "k.json",
            "GCS_DIRECT_ACCESS" => "1",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let options = gcs_of(json!("GCSAdapter"), &env);
    assert!(options.direct_access);
    assert_eq!(options.key_filename.as_deref(), Some("k.json"));
    assert_eq!(why(json!(module)), "GCSAdapter requires an bucket");
}

#[test]
fn own_modules_are_left_to_the_node_host() {
    let own =
        choose(Some(&json!("./Files/S3Adapter.js")), &none, &|path| path == "./Files/S3Adapter.js").unwrap();
    assert_eq!(own, Choice::Custom);
    let custom = pick(json!({"module": "my-adapter", "options": {"a": 1}})).unwrap();
    assert_eq!(custom, Choice::Custom);
    for live in [
        json!({"__callback": 1}),
        json!({"__instance": 1}),
        json!({"createFile": {"__callback": 1}}),
        json!({"class": {"__callback": 1}, "options": {}}),
        json!({"adapter": {"__instance": 1}}),
        json!({"module": {"__callback": 1}}),
    ] {
        assert_eq!(pick(live.clone()).unwrap(), Choice::Custom, "{live}");
    }
    assert_eq!(pick(json!("GridFSBucketAdapter")).unwrap(), Choice::GridFs);
    assert!(why(json!({"options": {}})).contains("module"));
    assert!(why(json!(7)).contains("module"));
}

#[test]
fn functions_among_the_options_are_found() {
    let options = json!({
        "bucket": "b", "generateKey": {"__callback": 1}, "validateFilename": {"__callback": 2},
        "baseUrl": {"__callback": 3}, "signatureVersion": "v2",
    });
    let some = Functions { generate_key: Some(1), validate_filename: Some(2), base_url: Some(3) };
    for options in [options.clone(), json!(["b", options.clone()])] {
        let option = json!({"module": "@parse/s3-files-adapter", "options": options});
        assert_eq!(functions(Some(&option)), some);
        let Choice::S3(s3) = pick(option).unwrap() else { panic!("no S3") };
        assert_eq!(s3.base_url.as_deref(), Some(BASE_OF_FUNCTION));
    }
    assert_eq!(functions(Some(&json!("@parse/s3-files-adapter"))), Functions::default());
}
