//! Roles: what they need, what they give, and that members gain and lose it at once.

use serde_json::{Value, json};

use crate::support::server::TestServer;
use crate::users_sign_up::sign_up;

fn pointer(class: &str, id: &str) -> Value {
    json!({"__type": "Pointer", "className": class, "objectId": id})
}

fn add(class: &str, id: &str) -> Value {
    json!({"__op": "AddRelation", "objects": [pointer(class, id)]})
}

async fn role(server: &TestServer, name: &str) -> String {
    let role = server.master().post("/roles", json!({"name": name, "ACL": {}})).await.ok();
    role["objectId"].as_str().unwrap().to_owned()
}

#[actix_web::test]
async fn name_and_acl_are_required() {
    let server = TestServer::start().await;
    let master = server.master();
    assert_eq!(master.post("/roles", json!({"ACL": {}})).await.error(), (400, 111, "name is required."));
    assert_eq!(master.post("/roles", json!({"name": "a"})).await.error(), (400, 111, "ACL is required."));
    role(&server, "a").await;
    let again = master.post("/roles", json!({"name": "a", "ACL": {}})).await;
    let message = "A duplicate value for a field with unique values was provided";
    assert_eq!(again.error(), (400, 137, message));
}

#[actix_web::test]
async fn rights_go_up_through_child_roles() {
    let server = TestServer::start().await;
    let (ann, token) = sign_up(&server.anonymous(), "ann").await;
    let (staff, admins, loops) =
        (role(&server, "staff").await, role(&server, "admins").await, role(&server, "loops").await);
    let object = json!({"ACL": {"role:staff": {"read": true, "write": true}}});
    let object = server.master().post("/classes/Secret", object).await.ok()["objectId"].clone();
    let path = format!("/classes/Secret/{}", object.as_str().unwrap());
    let session = server.session(&token);
    assert_eq!(session.get(&path).await.status, 404);
    let master = server.master();
    // admins ⊂ staff, and a cycle: staff ⊂ loops ⊂ staff.
    master.put(&format!("/roles/{staff}"), json!({"roles": add("_Role", &admins)})).await.ok();
    master.put(&format!("/roles/{staff}"), json!({"roles": add("_Role", &loops)})).await.ok();
    master.put(&format!("/roles/{loops}"), json!({"roles": add("_Role", &staff)})).await.ok();
    master.put(&format!("/roles/{admins}"), json!({"users": add("_User", &ann)})).await.ok();
    assert_eq!(session.get(&path).await.status, 200);
    assert_eq!(session.put(&path, json!({"n": 1})).await.status, 200);
    master.delete(&format!("/roles/{admins}")).await.ok();
    assert_eq!(session.get(&path).await.status, 404);
}
