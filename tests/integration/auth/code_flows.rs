//! Providers with an authorization code, and those that look at an access token: what each is asked, whose id counts,
//! and what happens when the provider does not answer as it should.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::outside::{Outside, Reply, Seen};
use crate::support::server::{Answer, TestServer};

struct Flow {
    name: &'static str,
    /// As it stands in texts.
    label: &'static str,
    /// What the client sends.
    data: Value,
    exchange: &'static str,
    grant: Value,
    /// What the exchange has to bring, in the query or in the body.
    brings: &'static [(&'static str, &'static str)],
    profile: &'static str,
    user: Value,
    id: &'static str,
    no_exchange: (u16, i64, &'static str),
    no_profile: (u16, i64, &'static str),
    no_id: (u16, i64, &'static str),
}

fn flows() -> Vec<Flow> {
    let grant = json!({"access_token": "the-token", "token_type": "bearer"});
    let flow = |name, label, exchange, profile, user, id| Flow {
        name,
        label,
        data: json!({"code": "the-code", "redirect_uri": "https://app.example/cb"}),
        exchange,
        grant: grant.clone(),
        brings: &[
            ("client_id", "cid"),
            ("client_secret", "shh"),
            ("code", "the-code"),
            ("grant_type", "authorization_code"),
            ("redirect_uri", "https://app.example/cb"),
        ],
        profile,
        user,
        id,
        no_exchange: (404, 101, ""),
        no_profile: (404, 101, ""),
        no_id: (404, 101, ""),
    };
    vec![
        Flow {
            brings: &[("client_id", "cid"), ("client_secret", "shh"), ("code", "the-code")],
            no_exchange: (400, 142, "Failed to exchange code for token: Bad Request"),
            no_profile: (400, 142, "Failed to fetch GitHub user: Bad Request"),
            no_id: (400, 142, "Invalid GitHub user data received."),
            ..flow(
                "github",
                "GitHub",
                "POST github.com/login/oauth/access_token",
                "GET api.github.com/user",
                json!({"id": 583_231, "login": "octocat"}),
                "583231",
            )
        },
        Flow {
            data: json!({"code": "the-code", "id": "player-1", "redirectUri": "https://app.example/cb"}),
            no_exchange: (400, 142, "Failed to exchange code for token: Bad Request"),
            no_profile: (400, 142, "Failed to fetch Google Play Games Services user: Bad Request"),
            no_id: (400, 142, "Invalid Google Play Games Services user data received."),
            ..flow(
                "gpgames",
                "gpgames",
                "POST oauth2.googleapis.com/token",
                "GET www.googleapis.com/games/v1/players/player-1",
                json!({"playerId": "player-1"}),
                "player-1",
            )
        },
        Flow {
            data: json!({"code": "the-code", "id": "178", "redirect_uri": "https://app.example/cb"}),
            no_exchange: (404, 101, "Instagram API request failed."),
            no_profile: (404, 101, "Instagram API request failed."),
            no_id: (404, 101, "Instagram auth is invalid for this user."),
            ..flow(
                "instagram",
                "Instagram",
                "POST api.instagram.com/oauth/access_token",
                "GET graph.instagram.com/me",
                json!({"id": "178"}),
                "178",
            )
        },
        Flow {
            no_exchange: (404, 101, "Failed to exchange code for token: Bad Request"),
            no_profile: (404, 101, "Failed to fetch Line user: Bad Request"),
            no_id: (400, 142, "Invalid Line user data received."),
            ..flow(
                "line",
                "Line",
                "POST api.line.me/oauth2/v2.1/token",
                "GET api.line.me/v2/profile",
                json!({"userId": "U1", "displayName": "x"}),
                "U1",
            )
        },
        Flow {
            no_exchange: (404, 101, "LinkedIn API request failed."),
            no_profile: (404, 101, "LinkedIn API request failed."),
            no_id: (404, 101, "LinkedIn auth is invalid for this user."),
            ..flow(
                "linkedin",
                "LinkedIn",
                "POST www.linkedin.com/oauth/v2/accessToken",
                "GET api.linkedin.com/v2/me",
                json!({"id": "L1"}),
                "L1",
            )
        },
        Flow {
            no_exchange: (404, 101, "Microsoft API request failed."),
            no_profile: (404, 101, "Microsoft API request failed."),
            no_id: (404, 101, "Microsoft auth is invalid for this user."),
            ..flow(
                "microsoft",
                "Microsoft",
                "POST login.microsoftonline.com/common/oauth2/v2.0/token",
                "GET graph.microsoft.com/v1.0/me",
                json!({"id": "M1", "mail": null}),
                "M1",
            )
        },
        Flow {
            no_exchange: (404, 101, "qq API request failed."),
            no_profile: (404, 101, "qq API request failed."),
            no_id: (404, 101, "qq auth is invalid for this user."),
            ..flow(
                "qq",
                "qq",
                "GET graph.qq.com/oauth2.0/token",
                "GET graph.qq.com/oauth2.0/me",
                json!({"client_id": "cid", "openid": "Q1"}),
                "Q1",
            )
        },
        Flow {
            data: json!({"code": "the-code", "redirect_uri": "https://app.example/cb", "code_verifier": "v"}),
            brings: &[
                ("client_id", "cid"),
                ("code", "the-code"),
                ("code_verifier", "v"),
                ("grant_type", "authorization_code"),
                ("redirect_uri", "https://app.example/cb"),
            ],
            no_exchange: (404, 101, "Spotify API request failed."),
            no_profile: (404, 101, "Spotify API request failed."),
            no_id: (404, 101, "spotify auth is invalid for this user."),
            ..flow(
                "spotify",
                "spotify",
                "POST accounts.spotify.com/api/token",
                "GET api.spotify.com/v1/me",
                json!({"id": "S1"}),
                "S1",
            )
        },
        Flow {
            data: json!({"code": "the-code&x=#"}),
            grant: json!({"access_token": "the-token", "openid": "W1"}),
            brings: &[
                ("appid", "cid"),
                ("secret", "shh"),
                ("code", "the-code&x=#"),
                ("grant_type", "authorization_code"),
            ],
            no_exchange: (404, 101, "WeChat auth is invalid for this user."),
            no_profile: (404, 101, "WeChat auth is invalid for this user."),
            no_id: (404, 101, "WeChat auth is invalid for this user."),
            ..flow(
                "wechat",
                "WeChat",
                "GET api.weixin.qq.com/sns/oauth2/access_token",
                "GET api.weixin.qq.com/sns/auth",
                json!({"errcode": 0, "errmsg": "ok"}),
                "W1",
            )
        },
        Flow {
            no_exchange: (404, 101, "Weibo auth is invalid for this user."),
            no_profile: (404, 101, "Weibo auth is invalid for this user."),
            no_id: (404, 101, "Weibo auth is invalid for this user."),
            ..flow(
                "weibo",
                "Weibo",
                "POST api.weibo.com/oauth2/access_token",
                "POST api.weibo.com/oauth2/get_token_info",
                json!({"uid": 1_073_880_650, "appkey": "cid"}),
                "1073880650",
            )
        },
    ]
}

fn options() -> Value {
    let entry = json!({"clientId": "cid", "clientSecret": "shh"});
    let entries = flows().into_iter().map(|flow| (flow.name.to_owned(), entry.clone()));
    json!({"auth": Value::Object(entries.collect())})
}

/// QQ wraps its answers.
fn reply(flow: &Flow, body: &Value) -> Reply {
    match flow.name {
        "qq" => Reply::With(200, Vec::new(), format!("callback( {body} );\n").into_bytes()),
        _ => Reply::Json(body.clone()),
    }
}

fn answer_well(outside: &Outside, flow: &Flow) {
    outside.on(flow.exchange, reply(flow, &flow.grant));
    outside.on(flow.profile, reply(flow, &flow.user));
}

async fn log_in(server: &TestServer, flow: &Flow, data: &Value) -> Answer {
    server.anonymous().post("/users", json!({"authData": {flow.name: data}})).await
}

fn brought(seen: &Seen) -> HashMap<String, String> {
    let mut all = seen.query.clone();
    all.extend(seen.fields());
    all
}

#[actix_web::test]
async fn codes_are_exchanged_once_and_ids_alone_are_stored() {
    for h2 in [true, false] {
        let outside = Outside::speaking(h2);
        let server = TestServer::within(options(), outside.settings()).await;
        for flow in flows() {
            answer_well(&outside, &flow);
            let created = log_in(&server, &flow, &flow.data).await;
            assert_eq!(created.status, 201, "{}: {}", flow.name, created.text);
            assert_eq!(created.body["authDataResponse"], json!({}), "{}", flow.name);
            let seen = outside.seen();
            let lines: Vec<_> = seen.iter().map(|seen| seen.line.as_str()).collect();
            assert_eq!(lines, [flow.exchange, flow.profile], "{}", flow.name);
            let brought = brought(&seen[0]);
            let expected = flow.brings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            assert_eq!(brought, expected.collect(), "{}", flow.name);
            let token = match flow.name {
                "instagram" | "wechat" => &seen[1].query["access_token"],
                "weibo" => &seen[1].fields()["access_token"],
                _ => seen[1].header("authorization").strip_prefix("Bearer ").unwrap(),
            };
            assert_eq!(token, "the-token", "{}", flow.name);
            assert!(seen.iter().all(|seen| seen.header("user-agent").starts_with("Parsimony/")));
            let id = created.body["objectId"].as_str().unwrap();
            let stored = server.master().get(&format!("/users/{id}")).await.ok();
            assert_eq!(stored["authData"], json!({flow.name: {"id": flow.id}}));
            let again = log_in(&server, &flow, &flow.data).await;
            assert_eq!((again.status, again.body["objectId"].as_str()), (200, Some(id)), "{}", flow.name);
            assert_eq!(again.body["authData"], json!({flow.name: {"id": flow.id}}));
            assert_eq!(outside.lines().len(), 2, "a code can be used once");
        }
    }
}

#[actix_web::test]
async fn others_ids_and_missing_codes_are_refused() {
    let outside = Outside::new();
    let server = TestServer::within(options(), outside.settings()).await;
    for flow in flows() {
        answer_well(&outside, &flow);
        let no_code = format!("{} code is required.", flow.label);
        for data in [json!({"id": flow.id}), json!({"id": flow.id, "access_token": "t"}), json!({"code": ""})]
        {
            let answer = log_in(&server, &flow, &data).await;
            assert_eq!(answer.error(), (400, 142, no_code.as_str()), "{} {data}", flow.name);
        }
        assert_eq!(outside.lines().len(), 0);
        let mut data = flow.data.clone();
        data["id"] = "somebody-else".into();
        let answer = log_in(&server, &flow, &data).await;
        match flow.name {
            // The id is part of what is asked.
            "gpgames" => assert_eq!(answer.error().1, 142),
            _ => {
                let text = format!("{} auth is invalid for this user.", flow.label);
                assert_eq!(answer.error(), (404, 101, text.as_str()), "{}", flow.name);
            }
        }
        // A number is compared as what it says.
        if flow.id.bytes().all(|byte| byte.is_ascii_digit()) {
            data["id"] = flow.id.parse::<u64>().unwrap().into();
            assert!(log_in(&server, &flow, &data).await.status < 300, "{}", flow.name);
        }
        outside.seen();
    }
    let gpgames = flows().into_iter().find(|flow| flow.name == "gpgames").unwrap();
    for id in ["../me-too", "a/b", "a%2Fb", "a?b", "..", "", "a b"] {
        let answer = log_in(&server, &gpgames, &json!({"code": "c", "id": id})).await;
        assert_eq!(answer.error().2, "Invalid Google Play Games Services user data received.");
        assert_eq!(outside.lines(), [gpgames.exchange]);
    }
    let weibo = flows().into_iter().find(|flow| flow.name == "weibo").unwrap();
    let answer = log_in(&server, &weibo, &json!({"code": "c"})).await;
    assert_eq!(answer.error(), (404, 101, "Weibo auth requires code and redirect_uri to be sent."));
}

#[actix_web::test]
async fn bad_answers_let_nobody_in() {
    let outside = Outside::new();
    let server = TestServer::within(options(), outside.settings()).await;
    for flow in flows() {
        for (line, expected) in [(flow.exchange, flow.no_exchange), (flow.profile, flow.no_profile)] {
            answer_well(&outside, &flow);
            outside.on(line, Reply::Status(400, json!({"message": "no"})));
            let answer = log_in(&server, &flow, &flow.data).await;
            assert_eq!(answer.error(), expected, "{} {line}", flow.name);
            let elsewhere = vec![("location", "https://evil.example/".to_owned())];
            for reply in [
                Reply::Status(429, flow.user.clone()),
                Reply::Status(500, flow.grant.clone()),
                Reply::With(302, elsewhere.clone(), Vec::new()),
                Reply::With(307, elsewhere, Vec::new()),
                Reply::With(200, vec![("content-type", "text/html".to_owned())], b"<html>(x)".to_vec()),
                Reply::Json(json!([])),
                Reply::Json(json!({})),
                Reply::Json(
                    json!({"access_token": null, "id": null, "openid": {}, "uid": true, "login": "x"}),
                ),
                Reply::Close,
                Reply::Huge,
            ] {
                outside.on(line, reply);
                let answer = log_in(&server, &flow, &flow.data).await;
                assert!([400, 404].contains(&answer.status), "{} {line}: {}", flow.name, answer.text);
                assert!([101, 142].contains(&answer.error().1), "{} {line}: {}", flow.name, answer.text);
            }
        }
        answer_well(&outside, &flow);
        match flow.name {
            "wechat" => outside.json(flow.exchange, json!({"access_token": "the-token"})),
            _ => outside.on(flow.profile, reply(&flow, &json!({"x": 1}))),
        }
        assert_eq!(log_in(&server, &flow, &flow.data).await.error(), flow.no_id, "{}", flow.name);
        if ["github", "gpgames", "instagram", "line"].contains(&flow.name) {
            let refused = json!({"error": "bad_code", "error_description": "The code is \u{7}old."});
            outside.json(flow.exchange, refused);
            assert_eq!(log_in(&server, &flow, &flow.data).await.error(), (404, 101, "The code is old."));
            outside.json(flow.exchange, json!({"error": "bad_code"}));
            assert_eq!(log_in(&server, &flow, &flow.data).await.error(), (404, 101, "bad_code"));
        }
    }
    assert!(outside.lines().iter().all(|line| !line.contains("evil.example")), "redirects are not followed");
    assert_eq!(server.master().get("/users?count=1&limit=0").await.ok()["count"], 0);
}

#[actix_web::test]
async fn a_provider_that_hangs_is_given_up() {
    let outside = Outside::new();
    let server = TestServer::within(options(), outside.settings()).await;
    let flow = &flows()[4];
    answer_well(&outside, flow);
    outside.on(flow.profile, Reply::Hang);
    let answer = log_in(&server, flow, &flow.data).await;
    assert_eq!(answer.error(), (404, 101, "LinkedIn API request failed."));
}

#[actix_web::test]
async fn insecure_modes_look_at_the_access_token() {
    let outside = Outside::new();
    let mut options = options();
    for (_, entry) in options["auth"].as_object_mut().unwrap() {
        *entry = json!({"enableInsecureAuth": true});
    }
    let server = TestServer::within(options, outside.settings()).await;
    for flow in flows() {
        answer_well(&outside, &flow);
        let data = json!({"id": flow.id, "access_token": "the-token"});
        let created = log_in(&server, &flow, &data).await;
        assert_eq!(created.status, 201, "{}: {}", flow.name, created.text);
        assert_eq!(outside.lines(), [flow.profile]);
        let id = created.body["objectId"].as_str().unwrap();
        let stored = server.master().get(&format!("/users/{id}")).await.ok();
        assert_eq!(stored["authData"], json!({flow.name: {"id": flow.id}}));
        let text = format!("{} auth is invalid for this user.", flow.label);
        let answer = log_in(&server, &flow, &json!({"id": flow.id})).await;
        assert_eq!(answer.error(), (404, 101, text.as_str()));
        let code = log_in(&server, &flow, &json!({"code": "c"})).await;
        assert_eq!(code.error(), (400, 141, format!("{} clientId is required.", flow.label).as_str()));
        outside.seen();
    }
}

#[actix_web::test]
async fn linkedin_is_told_of_mobile_tokens() {
    let outside = Outside::new();
    let server = TestServer::within(options(), outside.settings()).await;
    let flow = &flows()[4];
    answer_well(&outside, flow);
    for (mobile, source) in [(json!(true), "msdk"), (json!(false), "")] {
        let mut data = flow.data.clone();
        data["is_mobile_sdk"] = mobile;
        assert!(log_in(&server, flow, &data).await.status < 300);
        let seen = outside.seen();
        assert_eq!((seen[1].header("x-li-format"), seen[1].header("x-li-src")), ("json", source));
    }
}

#[actix_web::test]
async fn providers_without_their_settings_say_what_they_lack() {
    let server = TestServer::start().await;
    for flow in flows() {
        let text = format!("{} options are required.", flow.label);
        assert_eq!(log_in(&server, &flow, &flow.data).await.error(), (400, 141, text.as_str()));
    }
    let cases = [
        ("apple", 404, 101, "Apple auth is not configured."),
        ("google", 404, 101, "Google auth is not configured."),
        ("facebook", 404, 101, "Facebook auth is not configured."),
        ("keycloak", 404, 101, "Missing keycloak configuration"),
        ("gcenter", 400, 141, "Game center auth options are required."),
        ("twitter", 400, 141, "Twitter auth options are required."),
        ("ldap", 500, 1, "LDAP auth configuration missing"),
        ("meetup", 500, 1, "Meetup only works with enableInsecureAuth: true"),
        ("phantauth", 500, 1, "PhantAuth only works with enableInsecureAuth: true"),
        ("vkontakte", 500, 1, "Vk only works with enableInsecureAuth: true"),
        ("janrainengage", 500, 1, "janrainengage adapter only works with enableInsecureAuth: true"),
        ("janraincapture", 404, 101, "Janrain capture auth is invalid for this user."),
        ("oauth2", 400, 252, "This authentication method is unsupported."),
        ("__proto__", 400, 252, "This authentication method is unsupported."),
        ("constructor", 400, 252, "This authentication method is unsupported."),
    ];
    for (name, status, code, text) in cases {
        let data = json!({"authData": {name: {"id": "x", "token": "t"}}});
        let answer = server.anonymous().post("/users", data).await;
        if name == "__proto__" {
            assert!(answer.status >= 400, "{}", answer.text);
            continue;
        }
        assert_eq!(answer.error(), (status, code, text), "{name}");
    }
    let off = json!({"auth": {"github": {"clientId": "a", "clientSecret": "b", "enabled": false}}});
    let server = TestServer::with(off).await;
    let answer = log_in(&server, &flows()[0], &flows()[0].data).await;
    assert_eq!(answer.error(), (400, 252, "This authentication method is unsupported."));
}
