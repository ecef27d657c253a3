//! What the database refuses because of a client is never answered as a fault of the server, whatever
//! language the database speaks.

use serde_json::{Value, json};

use crate::support::server::TestServer;

/// A rule on the table that fails with the code in the object's `title`, in words nobody knows.
const RULE: &str = r#"
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW."title" ~ '^[0-9A-Z]{5}$' THEN
    RAISE EXCEPTION 'irgendein Unsinn existiert nicht' USING ERRCODE = NEW."title";
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON "Game" FOR EACH ROW EXECUTE FUNCTION fail();"#;

#[actix_web::test]
async fn every_code_has_its_answer() {
    let server = TestServer::start().await;
    let client = server.anonymous();
    let made = client.post("/classes/Game", json!({"title": "a"})).await.ok();
    server.database().connect().await.batch_execute(RULE).await.unwrap();
    let expected = [
        (400, 111, &["22003", "22007", "22008", "22021", "22P05"][..]),
        (400, 162, &["22000", "22012", "22023", "22P02", "2202E", "22032", "0F000", "10608"]),
        (
            400,
            102,
            &["2201B", "21000", "20000", "42601", "42704", "42883", "42804", "42846", "54001", "53400"],
        ),
        (400, 142, &["27000", "44000", "09000", "P0001", "P0004"]),
        (400, 137, &["23505"]),
        (400, 116, &["54000"]),
        (400, 255, &["54011"]),
        (400, 124, &["57014", "25P03"]),
        (
            500,
            1,
            &[
                "0A000", "23000", "23502", "23503", "23514", "23P01", "25P02", "42501", "40001", "55P03",
                "53100", "58030", "F0000", "HV000", "XX000", "XX001",
            ],
        ),
    ];
    for (status, code, states) in expected {
        for state in states {
            let created = client.post("/classes/Game", json!({"title": state})).await;
            assert_eq!((created.error().0, created.error().1), (status, code), "create {state}");
            assert!(!created.text.contains("Unsinn"), "{}", created.text);
            let path = format!("/classes/Game/{}", made["objectId"].as_str().unwrap());
            let updated = client.put(&path, json!({"title": state})).await;
            assert_eq!((updated.error().0, updated.error().1), (status, code), "update {state}");
        }
    }
    assert_eq!(client.get("/classes/Game").await.ok()["results"].as_array().map(Vec::len), Some(1));
}

#[actix_web::test]
async fn mistakes_of_clients_are_theirs() {
    let server = TestServer::start().await;
    let client = server.master();
    let made = client.post("/classes/Game", json!({"score": 1, "o": {"a": 1}})).await.ok();
    let path = format!("/classes/Game/{}", made["objectId"].as_str().unwrap());
    let huge = json!({"__op": "Increment", "amount": 1e308});
    client.put(&path, json!({"score": huge})).await.ok();
    let overflow = client.put(&path, json!({"score": huge})).await;
    assert!(overflow.status < 500, "{}", overflow.text);
    let deep: String = (0..200).map(|_| "(a|b)*?").collect::<String>() + "\\1";
    let wheres: [Value; 3] = [
        json!({"createdAt": {"$lt": {"__type": "Date", "iso": "-009999-01-01T00:00:00.000Z"}}}),
        json!({"title": {"$regex": format!("{}x{{255}}", "(a{255}".repeat(4))}}),
        json!({"title": {"$regex": deep}}),
    ];
    for condition in wheres {
        let answer = client.find("Game", json!({"where": condition.to_string()})).await;
        assert!(answer.status < 500, "{condition}: {}", answer.text);
    }
    let wide: serde_json::Map<String, Value> = (0..1700).map(|n| (format!("f{n}"), json!(true))).collect();
    let answer = client.post("/classes/Wide", Value::Object(wide)).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    // The server still works.
    client.get(&path).await.ok();
}
