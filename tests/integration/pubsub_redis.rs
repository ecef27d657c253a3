//! What servers tell each other through a real Redis where their storage cannot carry it. Live events through it are
//! in `live_query::table`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parsimony::actors::registry::ClassRegistry;
use parsimony::config::AppConfig;
use parsimony::operations::ports::{ClassDirectory, IndexChange, SchemaChange};
use parsimony::pubsub::redis::RedisPubSub;
use parsimony::pubsub::{Notice, PubSub};
use parsimony::storage::memory::MemoryAdapter;
use parsimony::types::{ClassName, ClassSchema, Field, FieldName, FieldType};
use serde_json::json;
use tokio::sync::broadcast::Receiver;

use crate::support::wait::{PATIENCE, until_some};
use crate::users_redis::{Redis, free_port};

fn bus(redis: &Redis) -> Arc<RedisPubSub> {
    RedisPubSub::new(&redis.url(), None, "test").unwrap()
}

async fn next(heard: &mut Receiver<Notice>) -> Notice {
    tokio::time::timeout(PATIENCE, heard.recv()).await.expect("a notice").unwrap()
}

/// Waits until the one hears the other.
async fn connected(teller: &dyn PubSub, heard: &mut Receiver<Notice>) {
    let since = Instant::now();
    loop {
        teller.notify(Notice::Roles).await.unwrap();
        let told = tokio::time::timeout(Duration::from_millis(300), heard.recv()).await;
        if told.is_ok_and(|notice| notice.unwrap() == Notice::Roles) {
            return;
        }
        assert!(since.elapsed() < PATIENCE, "nothing is heard");
    }
}

#[actix_web::test]
async fn notices_cross_in_their_order_and_a_loss_is_told() {
    let mut redis = Redis::start(free_port());
    let (one, other) = (bus(&redis), bus(&redis));
    let (mut own, mut heard) = (one.notices(), other.notices());
    connected(&*one, &mut heard).await;
    connected(&*other, &mut own).await;
    let told = [
        Notice::Schema { class: Some(ClassName::known("Game")) },
        Notice::Schema { class: None },
        Notice::Session { token_hash: "hash".to_owned() },
        Notice::User { user_id: "ann".to_owned() },
        Notice::Other { channel: "hooks".to_owned(), payload: "{}".to_owned() },
    ];
    for notice in &told {
        one.notify(notice.clone()).await.unwrap();
    }
    for notice in told {
        let arrived = loop {
            match next(&mut heard).await {
                // Of the beginning, late.
                Notice::Roles => {}
                arrived => break arrived,
            }
        };
        assert_eq!(arrived, notice);
    }
    // Whoever tells something does not hear it.
    while let Ok(notice) = own.try_recv() {
        assert_eq!(notice, Notice::Roles);
    }

    redis.stop();
    assert_eq!(next(&mut heard).await, Notice::Deaf);
    let _redis = Redis::start(redis.port());
    assert_eq!(next(&mut heard).await, Notice::Lost);
}

/// Two servers on one storage that tells nobody anything.
#[actix_web::test]
async fn a_change_of_a_class_crosses() {
    let redis = Redis::start(free_port());
    let storage = MemoryAdapter::new();
    let (buses, config) = ([bus(&redis), bus(&redis)], Arc::new(AppConfig::for_tests(json!({}))));
    let mut servers = Vec::new();
    for bus in &buses {
        servers.push(ClassRegistry::start(storage.clone(), bus.clone(), config.clone()).await.unwrap());
    }
    let [one, other] = &servers[..] else { panic!("two servers") };
    connected(&*buses[0], &mut buses[1].notices()).await;
    let game = ClassName::known("Game");
    one.create(ClassSchema::with_defaults(game.clone())).await.unwrap();
    let shown = async || other.known().await.unwrap().1.iter().find(|class| *class.name() == game).cloned();
    until_some("the class at the other server", async || shown().await).await;

    let score = [(FieldName::known("score"), Field::of(FieldType::Number))];
    one.evolve(&game, &score).await.unwrap();
    let has_field = async || shown().await?.schema.field("score").map(drop);
    until_some("the field at the other server", has_field).await;

    let indexes = IndexChange {
        create: json!({ "by_score": { "score": 1 } }).as_object().unwrap().clone(),
        drop: Vec::new(),
    };
    let change = SchemaChange { indexes: Some(indexes), ..SchemaChange::default() };
    one.change(&game, change).await.unwrap();
    let has_index = async || shown().await?.schema.indexes.get("by_score").map(drop);
    until_some("the index at the other server", has_index).await;

    one.delete(&game).await.unwrap();
    until_some("the class to go", async || shown().await.is_none().then_some(())).await;
}
