//! The test environment itself: databases of their own, made from a template that is made once.

use crate::support::database::{TestDatabase, admin_uri};

async fn fill(uri: &str) {
    let (client, connection) = tokio_postgres::connect(uri, tokio_postgres::NoTls).await.unwrap();
    let fill = async move {
        client.batch_execute("CREATE TABLE made AS SELECT 1 AS x").await.unwrap();
    };
    let _ = futures_util::future::join(fill, connection).await;
}

#[tokio::test]
async fn databases_are_apart_and_go_away() {
    let one = TestDatabase::from_template("environment", fill).await;
    let two = TestDatabase::from_template("environment", async |_: &str| panic!("made twice")).await;
    one.connect().await.batch_execute("INSERT INTO made VALUES (2)").await.unwrap();
    let count = two.connect().await.query_one("SELECT count(*) FROM made", &[]).await.unwrap();
    assert_eq!(count.get::<_, i64>(0), 1);
    let name = one.name.clone();
    drop(one);
    let (client, connection) = tokio_postgres::connect(admin_uri(), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let left = client.query("SELECT FROM pg_database WHERE datname = $1", &[&name]).await.unwrap();
    assert!(left.is_empty());
}

#[tokio::test]
async fn an_empty_database_is_empty() {
    let database = TestDatabase::empty().await;
    let sql = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let tables = database.connect().await.query_one(sql, &[]).await.unwrap();
    assert_eq!(tables.get::<_, i64>(0), 0);
}
