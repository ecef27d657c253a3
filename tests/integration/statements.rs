//! How many SQL statements a request costs. The number follows from the request's shape; rows and
//! strangers must not change it. Counted by the database itself (`pg_stat_statements`).

use serde_json::{Value, json};

use crate::support::server::TestServer;
use crate::users_sign_up::sign_up;

pub struct Counter {
    database: tokio_postgres::Client,
}

impl Counter {
    pub async fn of(server: &TestServer) -> Self {
        let database = server.database().connect().await;
        let made = database.batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await;
        made.expect("PostgreSQL has pg_stat_statements (package postgresql-contrib)");
        Self { database }
    }

    async fn calls(&self) -> (i64, String) {
        let sql = "SELECT coalesce(sum(calls), 0)::bigint, coalesce(string_agg(calls || ' x ' || query, E'\\n'), '')
                   FROM pg_stat_statements
                   WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
                     AND query NOT LIKE '%pg_stat_statements%' AND query !~* '^(BEGIN|COMMIT|LISTEN|SET|NOTIFY)'";
        let row = self.database.query_one(sql, &[]).await.unwrap();
        (row.get(0), row.get(1))
    }

    /// Statements of `work`, and their texts.
    pub async fn during(&self, work: impl Future<Output = ()>) -> (i64, String) {
        self.database.batch_execute("SELECT pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = current_database()), 0)").await.unwrap();
        work.await;
        self.calls().await
    }
}

const TIMES: i64 = 5;

#[actix_web::test]
async fn requests_cost_a_fixed_number_of_statements() {
    // What is known of sessions and roles must not grow old in between.
    let server = TestServer::with(json!({"cacheTTL": 600_000})).await;
    let counter = Counter::of(&server).await;
    let (user, token) = sign_up(&server.anonymous(), "ann").await;
    let (client, session) = (server.anonymous(), server.session(&token));
    let pointer = |class: &str, id: &Value| json!({"__type": "Pointer", "className": class, "objectId": id});
    let member = json!({"__op": "AddRelation", "objects": [pointer("_User", &json!(user))]});
    server.master().post("/roles", json!({"name": "staff", "ACL": {}, "users": member})).await.ok();
    let country = client.post("/classes/Country", json!({"name": "x"})).await.ok()["objectId"].clone();
    let city = json!({"name": "x", "country": pointer("Country", &country)});
    let city = client.post("/classes/City", city).await.ok()["objectId"].clone();
    let mut ids = Vec::new();
    for n in 0..30 {
        let body = json!({"n": n, "city": pointer("City", &city), "owner": pointer("_User", &json!(user)),
            "ACL": {"*": {"read": true, "write": true}, "role:staff": {"read": true}}});
        ids.push(client.post("/classes/House", body).await.ok()["objectId"].as_str().unwrap().to_owned());
    }
    let path = |n: usize| format!("/classes/House/{}", ids[n]);
    // Shapes are prepared when they are seen a second time: PREPARE is none of ours to count.
    let measured = async |name: &str, most: i64, exact: bool, work: &dyn AsyncWork| {
        for n in 0..3 {
            work.run(100 + n).await;
        }
        let (calls, texts) = counter
            .during(async {
                for n in 0..TIMES {
                    work.run(n).await;
                }
            })
            .await;
        let fits = if exact { calls == most * TIMES } else { calls <= most * TIMES };
        assert!(fits, "{name}: {calls} statements for {TIMES} requests, wanted {most} each\n{texts}");
    };
    let (path0, path1) = (path(0), path(1));
    measured(
        "get",
        1,
        true,
        &work(|_| {
            let (c, p) = (client.clone(), path0.clone());
            async move {
                c.get(&p).await.ok();
            }
        }),
    )
    .await;
    measured(
        "get, logged in",
        1,
        true,
        &work(|_| {
            let (c, p) = (session.clone(), path0.clone());
            async move {
                c.get(&p).await.ok();
            }
        }),
    )
    .await;
    let finds = [
        ("find", json!({"where": {"n": {"$gt": 3}}, "order": "n"}), 1),
        ("find of one", json!({"where": {"n": 3}, "limit": 1}), 1),
        (
            "find by $inQuery",
            json!({"where": {"city": {"$inQuery": {"className": "City", "where": {"name": "x"}}}}}),
            1,
        ),
        ("count", json!({"count": 1, "limit": 0, "where": {"n": {"$gt": 3}}}), 1),
        ("include", json!({"include": "city"}), 2),
        ("include two classes", json!({"include": "city,owner"}), 3),
        ("include two levels", json!({"include": "city.country"}), 3),
    ];
    for (name, params, statements) in finds {
        for who in [client.clone(), session.clone()] {
            measured(
                name,
                statements,
                true,
                &work(|_| {
                    let (who, params) = (who.clone(), params.clone());
                    async move {
                        who.find("House", params).await.ok();
                    }
                }),
            )
            .await;
        }
    }
    measured(
        "create",
        1,
        true,
        &work(|n| {
            let c = session.clone();
            async move {
                c.post("/classes/House", json!({ "n": n })).await.ok();
            }
        }),
    )
    .await;
    measured(
        "update",
        1,
        true,
        &work(|n| {
            let (c, p) = (session.clone(), path1.clone());
            async move {
                c.put(&p, json!({ "n": n })).await.ok();
            }
        }),
    )
    .await;
    measured(
        "Increment",
        1,
        true,
        &work(|_| {
            let (c, p) = (session.clone(), path1.clone());
            async move {
                c.put(&p, json!({"n": {"__op": "Increment", "amount": 1}})).await.ok();
            }
        }),
    )
    .await;
    let gone = ids[10..20].to_vec();
    measured(
        "delete",
        1,
        true,
        &work(|n| {
            let (c, p) = (
                session.clone(),
                format!("/classes/House/{}", gone[if n >= 100 { n - 95 } else { n } as usize]),
            );
            async move {
                c.delete(&p).await.ok();
            }
        }),
    )
    .await;
    for size in [5, 40] {
        measured(
            "batch of creates",
            1,
            true,
            &work(|n| {
                let item = json!({"method": "POST", "path": "/parse/classes/House", "body": {"n": n}});
                let (c, batch) = (session.clone(), json!({"requests": vec![item; size]}));
                async move {
                    c.post("/batch", batch).await.ok();
                }
            }),
        )
        .await;
    }
    measured(
        "who am I",
        1,
        true,
        &work(|_| {
            let c = session.clone();
            async move {
                c.get("/users/me").await.ok();
            }
        }),
    )
    .await;
    measured(
        "login",
        3,
        false,
        &work(|_| {
            let c = client.clone();
            async move {
                c.post("/login", json!({"username": "ann", "password": "secret"})).await.ok();
            }
        }),
    )
    .await;
    measured(
        "failed login",
        1,
        true,
        &work(|_| {
            let c = client.clone();
            async move {
                c.post("/login", json!({"username": "ann", "password": "wrong"})).await;
            }
        }),
    )
    .await;
}

trait AsyncWork {
    fn run(&self, n: i64) -> futures_util::future::LocalBoxFuture<'_, ()>;
}

struct Work<F>(F);

fn work<F, R>(run: F) -> Work<F>
where
    F: Fn(i64) -> R,
    R: Future<Output = ()>,
{
    Work(run)
}

impl<F, R> AsyncWork for Work<F>
where
    F: Fn(i64) -> R,
    R: Future<Output = ()> + 'static,
{
    fn run(&self, n: i64) -> futures_util::future::LocalBoxFuture<'_, ()> {
        Box::pin((self.0)(n))
    }
}

/// Somebody with a token that has ended, and somebody who makes tokens up.
#[actix_web::test]
async fn tokens_of_nobody_cost_next_to_nothing() {
    let server = TestServer::start().await;
    let counter = Counter::of(&server).await;
    let (_, token) = sign_up(&server.anonymous(), "ann").await;
    let session = server.session(&token);
    session.get("/users/me").await.ok();
    session.post("/logout", json!({})).await.ok();
    let started = std::time::Instant::now();
    let (calls, texts) = counter
        .during(async {
            for _ in 0..300 {
                assert_eq!(session.get("/classes/House").await.error().1, 209);
            }
        })
        .await;
    // One look-up a second, and one at each end.
    let seconds = started.elapsed().as_secs() as i64;
    assert!(calls <= seconds + 2, "{calls} statements in {seconds} s\n{texts}");
    // Many at the same time are one look-up.
    let crowd = server.session("r:00000000000000000000000000000001");
    let (calls, texts) = counter
        .during(async {
            futures_util::future::join_all((0..100).map(|_| crowd.get("/classes/House"))).await;
        })
        .await;
    assert!(calls <= 2 + started.elapsed().as_secs() as i64, "{calls}\n{texts}");
    // Each made-up one is looked up once by its index, and no request goes further than that.
    let (calls, texts) = counter
        .during(async {
            for n in 0..100 {
                let made_up = server.session(&format!("r:{n:032x}f"));
                for _ in 0..3 {
                    assert_eq!(made_up.get("/classes/House").await.error().1, 209);
                }
            }
        })
        .await;
    assert!(calls <= 100 + started.elapsed().as_secs() as i64, "{calls}\n{texts}");
    // Texts that cannot be tokens are not looked up at all.
    let huge = server.session(&"r".repeat(2000));
    let (calls, texts) = counter
        .during(async {
            for _ in 0..20 {
                assert_eq!(huge.get("/classes/House").await.error().1, 209);
            }
        })
        .await;
    assert_eq!(calls, 0, "{texts}");
}
