use serde_json::json;

use std::time::{Duration, Instant};

use super::*;
use crate::actors::directory::{Census, SECOND_LOOKS};
use crate::actors::registry::ClassRegistry;
use crate::pubsub::local::LocalPubSub;
use crate::query::Filter;
use crate::storage::memory::MemoryAdapter;
use crate::storage::{Session, WriteFilter};
use crate::types::{ClassName, ClassSchema, ObjectId};

/// No other server.
fn alone() -> Arc<dyn PubSub> {
    Arc::new(LocalPubSub::default())
}

struct World {
    storage: Arc<MemoryAdapter>,
    pubsub: Arc<LocalPubSub>,
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
        let pubsub = Arc::new(LocalPubSub::default());
        let registry = PrincipalRegistry::start(storage.clone(), pubsub.clone(), classes, config);
        Self { storage, pubsub, registry }
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
        let target = WriteFilter { filter: Filter::by_id(&id), writers: None };
        self.storage.delete(&schema("_Session"), &target, false).await.expect("delete");
    }

    /// Owners, look-ups under way, refused tokens.
    async fn census(&self) -> (usize, usize, usize) {
        self.registry.directory.send(Census).await.expect("directory")
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
    let (owners, look_ups, unknown) = world.census().await;
    assert_eq!((owners, look_ups), (0, 0));
    assert!(unknown <= 500);
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
    assert_eq!(world.census().await, (1, 0, 0));
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
        let (owners, ..) = world.census().await;
        assert!(owners <= 20, "{owners}");
    }
    // The latest are the ones that stayed.
    assert!(world.registry.owner_of("r:99").await.is_some());
    assert!(world.registry.owner_of("r:0").await.is_none());
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

/// Workers of their own ask without a pause while sessions are revoked: none is served to whoever begins to ask
/// after the revocation was answered.
#[actix_web::test]
async fn no_worker_serves_a_session_after_its_revocation_was_answered() {
    let world = World::with(json!({"cacheTTL": 600_000})).await;
    world.add_user("u").await;
    let revoked = Arc::new(AtomicU64::new(0));
    let served_late = Arc::new(AtomicU64::new(0));
    let served = Arc::new(AtomicU64::new(0));
    let rounds = 60;
    let workers: Vec<_> = (0..3)
        .map(|_| {
            let arbiter = actix::Arbiter::new();
            let (registry, revoked) = (world.registry.clone(), revoked.clone());
            let (served, served_late) = (served.clone(), served_late.clone());
            arbiter.spawn_fn(move || {
                actix::spawn(async move {
                    loop {
                        let gone = revoked.load(Ordering::SeqCst);
                        if gone == rounds {
                            return;
                        }
                        for n in gone.saturating_sub(1)..(gone + 2).min(rounds) {
                            if registry.authenticate(&format!("r:{n}")).await.is_ok() {
                                served.fetch_add(1, Ordering::SeqCst);
                                served_late.fetch_add(u64::from(n < gone), Ordering::SeqCst);
                            }
                        }
                        tokio::task::yield_now().await;
                    }
                });
            });
            arbiter
        })
        .collect();
    for n in 0..rounds {
        world.add_session("u", &format!("r:{n}")).await;
    }
    for n in 0..rounds {
        let before = served.load(Ordering::SeqCst);
        let token = format!("r:{n}");
        while served.load(Ordering::SeqCst) < before + 10 {
            // Unknown tokens are refused for a second: the workers may have asked before the session was there.
            let _ = world.registry.authenticate_for_event(&token).await;
            tokio::task::yield_now().await;
        }
        world.remove_session(&token).await;
        if n % 2 == 0 {
            world.registry.forget_session(&token).await;
        } else {
            world.registry.forget_user("u").await;
        }
        revoked.store(n + 1, Ordering::SeqCst);
    }
    for worker in workers {
        worker.stop();
        let _ = worker.join();
    }
    assert_eq!(served_late.load(Ordering::SeqCst), 0);
}

/// An evicted owner may have published to a worker that has not heard of the eviction.
#[actix_web::test]
async fn evicted_owners_are_reached_by_revocations() {
    let world = World::with(json!({"cacheTTL": 600_000, "cacheMaxSize": 1})).await;
    world.add_user("u").await;
    for n in 0..40 {
        let token = format!("r:{n}");
        world.add_session("u", &token).await;
        world.registry.authenticate(&token).await.expect("principal");
        let late = world.registry.near(&token).expect("published");
        world.add_session("u", &format!("r:other{n}")).await;
        world.registry.authenticate(&format!("r:other{n}")).await.expect("principal");
        world.registry.forget_session(&token).await;
        assert!(!late.counts(&world.registry.lookup), "{n}");
    }
}

#[actix_web::test]
async fn principals_are_read_again_soon_while_nothing_is_heard() {
    let world = World::with(json!({"cacheTTL": 600_000})).await;
    world.add_user("u").await;
    world.add_session("u", "r:1").await;
    world.registry.authenticate("r:1").await.expect("principal");
    world.pubsub.hear(Notice::Deaf);
    // Nobody tells that the session is gone.
    world.remove_session("r:1").await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.registry.authenticate("r:1").await.is_ok() {
        assert!(Instant::now() < deadline, "still served");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Once it hears again, what was read before does not count, and later reads count for long.
    world.add_session("u", "r:2").await;
    let deaf = world.registry.authenticate("r:2").await.expect("principal");
    world.pubsub.hear(Notice::Lost);
    while Arc::ptr_eq(&deaf, &world.registry.authenticate("r:2").await.expect("principal")) {
        assert!(Instant::now() < deadline, "not read again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.registry.lookup.limit_ms(), 600_000);
}

#[actix_web::test]
async fn role_changes_reach_principals_and_look_ups_are_shared() {
    let world = World::with(json!({"cacheTTL": 600_000})).await;
    world.add_user("u").await;
    world.add_session("u", "r:1").await;
    let first = world.registry.authenticate("r:1").await.expect("principal");
    assert!(first.roles.is_empty());
    let time = "2026-01-01T00:00:00.000Z";
    let role = json!({"objectId": "admins", "createdAt": time, "updatedAt": time, "name": "Admins"});
    let rows: [crate::types::Object; 1] = [serde_json::from_value(role).expect("row")];
    world.storage.create(&schema("_Role"), &rows).await.expect("role");
    world.registry.roles_changed().await;
    let asking = (0..20).map(|_| world.registry.roles_of("u"));
    for roles in futures_util::future::join_all(asking).await {
        assert_eq!(roles.expect("roles"), Vec::<String>::new());
    }
    let second = world.registry.authenticate("r:1").await.expect("principal");
    assert!(!Arc::ptr_eq(&first, &second), "read again after a role was written");
}

#[actix_web::test]
async fn the_first_session_of_all_counts_at_once() {
    let storage = MemoryAdapter::new();
    let config = Arc::new(AppConfig::for_tests(json!({})));
    let classes = ClassRegistry::start(storage.clone(), alone(), config.clone()).await.expect("classes");
    let pubsub = Arc::new(LocalPubSub::default());
    let registry = PrincipalRegistry::start(storage.clone(), pubsub.clone(), classes, config);
    let world = World { storage, pubsub, registry };
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
}
