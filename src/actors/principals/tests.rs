use serde_json::json;

use super::*;
use crate::actors::registry::ClassRegistry;
use crate::pubsub::local::LocalPubSub;
use crate::query::Filter;
use crate::storage::memory::MemoryAdapter;
use crate::storage::{Session, Target};
use crate::types::{ClassName, ClassSchema, ObjectId};

/// No other server.
fn alone() -> Arc<dyn PubSub> {
    Arc::new(LocalPubSub::default())
}

struct World {
    storage: Arc<MemoryAdapter>,
    registry: Arc<PrincipalRegistry>,
}

fn schema(class: &'static str) -> Arc<ClassSchema> {
    Arc::new(ClassSchema::with_defaults(ClassName::known(class)))
}

impl World {
    async fn with(options: serde_json::Value) -> Self {
        let storage = MemoryAdapter::new();
        for class in ["_User", "_Session", "_Role"] {
            storage.create_class(&schema(class)).await.expect("class");
        }
        let config = Arc::new(AppConfig::for_tests(options));
        let classes = ClassRegistry::start(storage.clone(), alone(), config.clone()).await.expect("classes");
        let registry = PrincipalRegistry::start(storage.clone(), alone(), classes, config);
        Self { storage, registry }
    }

    async fn add_session(&self, user: &str, token: &str) {
        let time = "2026-01-01T00:00:00.000Z";
        let session = json!({
            "objectId": format!("s-{token}"), "createdAt": time, "updatedAt": time, "sessionToken": token,
            "user": {"__type": "Pointer", "className": "_User", "objectId": user},
        });
        let rows: [crate::types::Object; 1] = [serde_json::from_value(session).expect("row")];
        self.storage.create(&schema("_Session"), &rows).await.expect("session");
    }

    async fn add_user(&self, id: &str) {
        let time = "2026-01-01T00:00:00.000Z";
        let user = json!({"objectId": id, "createdAt": time, "updatedAt": time, "username": id});
        let rows: [crate::types::Object; 1] = [serde_json::from_value(user).expect("row")];
        self.storage.create(&schema("_User"), &rows).await.expect("user");
    }

    async fn remove_session(&self, token: &str) {
        let id = ObjectId::new(&format!("s-{token}")).expect("id");
        let target = Target { filter: Filter::by_id(&id), writers: None };
        self.storage.delete(&schema("_Session"), &target, false).await.expect("delete");
    }

    fn actors(&self) -> usize {
        self.registry.lock().sessions.len()
    }
}

#[actix_web::test]
async fn tokens_of_nobody_start_no_actor() {
    let world = World::with(json!({})).await;
    for n in 0..500 {
        let refused = world.registry.authenticate(&format!("r:{n}")).await.expect_err("unknown");
        assert_eq!(refused.public_message(true), "Invalid session token");
    }
    assert!(world.registry.authenticate(&"x".repeat(100_000)).await.is_err());
    assert!(world.registry.authenticate("").await.is_err());
    let table = world.registry.lock();
    assert_eq!((table.sessions.len(), table.flights.len()), (0, 0));
    assert!(table.unknown.len() <= 500);
}

#[actix_web::test]
async fn many_requests_share_one_look_up() {
    let world = World::with(json!({})).await;
    world.add_user("u").await;
    world.add_session("u", "r:1").await;
    let asking = (0..50).map(|_| world.registry.authenticate("r:1"));
    let principals = futures_util::future::join_all(asking).await;
    let first = principals[0].as_ref().expect("principal");
    assert!(principals.iter().all(|p| Arc::ptr_eq(p.as_ref().expect("principal"), first)));
    assert_eq!(world.actors(), 1);
    let warm = world.registry.authenticate("r:1").await.expect("principal");
    assert!(Arc::ptr_eq(&warm, first));
    assert_eq!(warm.acl_ids.to_vec(), ["*", "u"]);
}

#[actix_web::test]
async fn actors_are_as_many_as_the_cache_holds() {
    let world = World::with(json!({"cacheMaxSize": 20})).await;
    world.add_user("u").await;
    for n in 0..100 {
        world.add_session("u", &format!("r:{n}")).await;
        world.registry.authenticate(&format!("r:{n}")).await.expect("principal");
        assert!(world.actors() <= 20, "{}", world.actors());
    }
    // The latest are the ones that stayed.
    assert!(world.registry.lock().sessions.contains_key("r:99"));
    assert!(!world.registry.lock().sessions.contains_key("r:0"));
    world.registry.authenticate("r:0").await.expect("principal");
}

#[actix_web::test]
async fn a_session_that_is_forgotten_is_read_again() {
    let world = World::with(json!({})).await;
    world.add_user("u").await;
    world.add_session("u", "r:1").await;
    world.registry.authenticate("r:1").await.expect("principal");
    world.remove_session("r:1").await;
    world.registry.authenticate("r:1").await.expect("still known");
    world.registry.forget_session("r:1").await;
    world.registry.authenticate("r:1").await.expect_err("gone");

    world.add_session("u", "r:2").await;
    world.registry.authenticate("r:2").await.expect("principal");
    world.remove_session("r:2").await;
    world.registry.forget_user("u").await;
    world.registry.authenticate("r:2").await.expect_err("gone");
}

#[actix_web::test]
async fn what_was_read_before_an_invalidation_does_not_count() {
    let cell = SessionCell::new("r:1".into());
    let world = World::with(json!({})).await;
    world.add_user("u").await;
    world.add_session("u", "r:1").await;
    let before = cell.generation();
    world.registry.lookup.load_into(&cell).await.expect("loaded");
    let loaded = cell.fresh(&world.registry.lookup).expect("published");
    cell.invalidate();
    assert!(!cell.publish(before, loaded));
    assert!(cell.fresh(&world.registry.lookup).is_none());
}

#[actix_web::test]
async fn the_first_session_of_all_counts_at_once() {
    let storage = MemoryAdapter::new();
    let config = Arc::new(AppConfig::for_tests(json!({})));
    let classes = ClassRegistry::start(storage.clone(), alone(), config.clone()).await.expect("classes");
    let registry = PrincipalRegistry::start(storage.clone(), alone(), classes, config);
    let world = World { storage, registry };
    world.registry.authenticate("r:0").await.expect_err("unknown");
    // Another server makes the classes, and nobody tells.
    for class in ["_User", "_Session"] {
        world.storage.create_class(&schema(class)).await.expect("class");
    }
    world.add_user("u").await;
    world.add_session("u", "r:1").await;
    world.registry.authenticate("r:1").await.expect("principal");
}

#[actix_web::test]
async fn events_look_for_unknown_tokens_again_but_not_without_end() {
    let world = World::with(json!({})).await;
    world.add_user("u").await;
    world.registry.authenticate("r:1").await.expect_err("unknown");
    world.add_session("u", "r:1").await;
    world.registry.authenticate("r:1").await.expect_err("refused without a look");
    world.registry.authenticate_for_event("r:1").await.expect("principal");

    for n in 0..=SECOND_LOOKS {
        world.registry.authenticate(&format!("r:late{n}")).await.expect_err("unknown");
        world.add_session("u", &format!("r:late{n}")).await;
    }
    let mut found = 1;
    for n in 0..=SECOND_LOOKS {
        found += u32::from(world.registry.authenticate_for_event(&format!("r:late{n}")).await.is_ok());
    }
    // Unless a second went by.
    assert!(found >= SECOND_LOOKS, "{found}");
    let mut table = world.registry.lock();
    let token: Arc<str> = "r:none".into();
    table.second_looks = Some((Instant::now(), SECOND_LOOKS));
    table.remember_unknown(token.clone());
    table.allow_second_look(&token);
    assert!(table.unknown.contains_key(&token));
}
