//! A password that is asked for when a connection is opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::eventually;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn each_connection_asks_for_its_password_and_says_what_came_of_it() {
    let broker = RabbitMq::shared().await;
    let queue = broker.queue("password", false).await;
    let (login, place) = broker.url().trim_start_matches("amqp://").split_once('@').expect("a login");
    let (user, right) = login.split_once(':').expect("a password");
    let (right, asked) = (right.to_owned(), Arc::new(AtomicUsize::new(0)));
    let times = asked.clone();
    let config = AmqpConfig::new(format!("amqp://{user}:hunter2@{place}")).password(move || {
        let (time, right) = (times.fetch_add(1, Ordering::Relaxed), right.clone());
        async move {
            match time {
                0 => Ok("hunter3".to_owned()),
                1 => Err("the vault is away".into()),
                2 => panic!("a fault of the source's"),
                _ => Ok(right),
            }
        }
    });
    let transport = AmqpTransport::connect(config).expect("valid settings");
    for part in ["ACCESS", "the vault is away", "panicked"] {
        let outcomes = publish(&transport, &numbers(&queue, 0..1), SOON).await;
        let Outcome::Unknown(Some(why)) = &outcomes[0] else { panic!("{part}: {outcomes:?}") };
        assert!(why.contains(part) && !why.contains("hunter"), "{why}");
    }
    assert!(all_delivered(&publish(&transport, &numbers(&queue, 0..10), SOON).await));
    assert!(all_delivered(&publish(&transport, &numbers(&queue, 10..20), SOON).await));
    assert_eq!(asked.load(Ordering::Relaxed), 4, "not for what goes by an open connection");
    assert_eq!(texts(&broker, &queue).await.len(), 20);
}

/// As a token that has expired is, on a broker that leaves its connection open.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_on_an_old_connection_is_tried_once_on_a_new_one() {
    let broker = RabbitMq::own().await;
    let queue = broker.queue("renewed", false).await;
    broker.exec(&["rabbitmqctl", "add_user", "renewed", "hunter2"]).await;
    broker.exec(&["rabbitmqctl", "set_permissions", "renewed", "", "", ""]).await;
    let (_, place) = broker.url().split_once('@').expect("a login");
    let asked = Arc::new(AtomicUsize::new(0));
    let times = asked.clone();
    let config = AmqpConfig::new(format!("amqp://renewed@{place}")).password(move || {
        times.fetch_add(1, Ordering::Relaxed);
        async { Ok("hunter2".to_owned()) }
    });
    let transport = AmqpTransport::connect(config).expect("valid settings");
    // How often it asked meanwhile, and whether the connection is still there. It may not be: where the client publishes
    // on a channel that the broker is closing just then, the broker closes the connection.
    let refused = async || {
        let before = asked.load(Ordering::Relaxed);
        let outcomes = publish(&transport, &numbers(&queue, 0..2), SOON).await;
        let destination = |o: &Outcome| matches!(o, Outcome::Destination(why) if why.contains("ACCESS_REFUSED"));
        let stays = outcomes.iter().all(destination);
        let lost = |o: &Outcome| matches!(o, Outcome::Unknown(Some(why)) if why.contains("CHANNEL_ERROR"));
        assert!(stays || outcomes.iter().all(|o| destination(o) || lost(o)), "{outcomes:?}");
        (asked.load(Ordering::Relaxed) - before, stays)
    };
    eventually("its password is new", SOON, async || refused().await == (0, true)).await;
    eventually("it is old", SOON, async || refused().await == (1, true)).await;
    eventually("it is asked for once", SOON, async || refused().await == (0, true)).await;
    broker.exec(&["rabbitmqctl", "set_permissions", "renewed", "", ".*", ""]).await;
    assert!(all_delivered(&publish(&transport, &numbers(&queue, 0..10), SOON).await));
    assert_eq!(texts(&broker, &queue).await.len(), 10);
}
