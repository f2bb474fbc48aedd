//! What the broker refuses, and what cannot even be said in AMQP.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;

use super::*;

/// A channel dies of one message, with everything that is under way on it.
#[tokio::test(flavor = "multi_thread")]
async fn one_message_that_the_broker_refuses_costs_only_itself() {
    let broker = RabbitMq::shared().await;
    let topic = broker.queue("refused", true).await;
    let transport = connect(broker.url());
    // RabbitMQ wants a list of routing keys in this header.
    let sample = |n: i64| match n {
        150 | 170 => number(&topic, n, n).headers(r#"{"CC":"a text"}"#),
        _ => number(&topic, n, n),
    };
    let samples: Vec<Sample<'_>> = (0..300).map(sample).collect();
    let outcomes = publish(&transport, &batch(0, &samples), SOON).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        if n == 150 || n == 170 {
            assert!(
                matches!(outcome, Outcome::Rejected(why) if why.contains("PRECONDITION_FAILED")),
                "{n}: {outcome:?}"
            );
        } else {
            assert_eq!(*outcome, Outcome::Delivered, "{n}");
        }
    }
    let mut stored: Vec<i64> = texts(&broker, &topic).await.iter().map(|n| n.parse().expect("a number")).collect();
    assert!(stored.len() <= 2 * 300, "each is sent again once at most: {}", stored.len());
    stored.sort_unstable();
    stored.dedup();
    assert_eq!(stored, (0..300).filter(|n| ![150, 170].contains(n)).collect::<Vec<_>>());
    assert_eq!(publish(&transport, &numbers(&topic, 300..301), SOON).await, [Outcome::Delivered], "it goes on");
}

/// The return of one message may have come with the confirm of another when the channel dies.
#[tokio::test(flavor = "multi_thread")]
async fn what_went_nowhere_is_not_delivered_where_the_channel_died() {
    let broker = RabbitMq::shared().await;
    let topic = broker.queue("both", false).await;
    let config = AmqpConfig::new(broker.url()).deadline(Duration::from_secs(60));
    let transport = AmqpTransport::connect(config).expect("valid settings");
    for round in 0..5 {
        let first = round * 500;
        let sample = |n: i64| {
            let sample = number(if n % 7 == 3 { "nobody-here" } else { &topic }, n, n);
            if n == first + 450 { sample.headers(r#"{"CC":"a text"}"#) } else { sample }
        };
        let samples: Vec<Sample<'_>> = (first..first + 500).map(sample).collect();
        let outcomes = publish(&transport, &batch(first, &samples), SOON * 2).await;
        for (n, outcome) in (first..).zip(&outcomes) {
            match outcome {
                Outcome::Rejected(_) => assert_eq!(n, first + 450),
                Outcome::Destination(_) => assert_eq!(n % 7, 3, "{n}"),
                Outcome::Delivered => assert_ne!(n % 7, 3, "{n}"),
                other => panic!("{n} was {other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_over_the_brokers_own_limit_is_refused_and_its_neighbours_are_not() {
    let broker = RabbitMq::shared().await;
    let topic = broker.queue("large", true).await;
    // The relay is told that more fits than the broker takes.
    let config = AmqpConfig::new(broker.url()).max_payload(32 << 20);
    let transport = AmqpTransport::connect(config).expect("valid settings");
    let large = |bytes| Sample::new(&topic).payload(vec![b'x'; bytes]);
    let samples = [number(&topic, "a", 1), large((16 << 20) + 1), large(2 << 20), number(&topic, "b", 2)];
    let outcomes = publish(&transport, &batch(1, &samples), SOON).await;
    assert!(matches!(&outcomes[1], Outcome::Rejected(why) if why.contains("larger than")), "{:?}", outcomes[1]);
    assert!(
        [0, 2, 3].iter().all(|i| outcomes[*i] == Outcome::Delivered),
        "{:?}",
        [&outcomes[0], &outcomes[2], &outcomes[3]]
    );
    assert!(broker.take(&topic).await.iter().any(|m| m.data.len() == 2 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_is_not_there_is_a_matter_of_the_destination() {
    let broker = RabbitMq::shared().await;
    let config = AmqpConfig::new(broker.url()).exchange("never-declared");
    let transport = AmqpTransport::connect(config).expect("valid settings");
    let outcomes = publish(&transport, &numbers("orders", 0..500), SOON).await;
    let said = |o: &Outcome| matches!(o, Outcome::Destination(why) if why.contains("no exchange 'never-declared'"));
    assert!(outcomes.iter().all(said), "{:?}", outcomes[0]);
    let one = publish(&transport, &numbers("orders", 0..1), SOON).await;
    assert!(said(&one[0]), "{one:?}");
}

/// A user that may write to one topic and not to the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_the_user_may_not_write_to_concerns_its_own_messages_only() {
    let broker = RabbitMq::shared().await;
    let allowed = broker.queue("allowed", true).await;
    let channel = broker.channel().await;
    let bound = channel.queue_bind(
        allowed.as_str().into(),
        "amq.topic".into(),
        allowed.as_str().into(),
        lapin::options::QueueBindOptions::default(),
        lapin::types::FieldTable::default(),
    );
    bound.await.expect("bound");
    let user = allowed.as_str();
    broker.exec(&["rabbitmqctl", "add_user", user, "secret"]).await;
    broker.exec(&["rabbitmqctl", "set_permissions", user, "", "^amq.topic$", ""]).await;
    broker.exec(&["rabbitmqctl", "set_topic_permissions", user, "amq.topic", "^allowed", ""]).await;
    let url = broker.url().replace("guest:guest", &format!("{user}:secret"));
    let transport = AmqpTransport::connect(AmqpConfig::new(&url).exchange("amq.topic")).expect("valid settings");
    let sample = |n: i64| number(if n % 10 == 3 { "secrets" } else { &allowed }, n, n);
    let samples: Vec<Sample<'_>> = (0..50).map(sample).collect();
    let outcomes = publish(&transport, &batch(0, &samples), SOON).await;
    for (n, outcome) in outcomes.iter().enumerate() {
        if n % 10 == 3 {
            assert!(matches!(outcome, Outcome::Destination(why) if why.contains("ACCESS_REFUSED")), "{n}: {outcome:?}");
        } else {
            assert_eq!(*outcome, Outcome::Delivered, "{n}");
        }
    }
    broker.exec(&["rabbitmqctl", "delete_user", user]).await;
    // No connection at all is nobody's destination.
    let outcomes = publish(&connect(&url), &numbers(&allowed, 0..1), SOON).await;
    let said = matches!(&outcomes[0], Outcome::Unknown(Some(why)) if why.contains("ACCESS_REFUSED") && !why.contains("secret"));
    assert!(said, "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_input_costs_only_itself() {
    let broker = RabbitMq::shared().await;
    let topic = broker.queue("hostile", true).await;
    let transport = connect(broker.url());
    let long = "x".repeat(300);
    let many = format!("{{{}}}", (0..100).map(|n| format!(r#""h{n}":"v""#)).collect::<Vec<_>>().join(","));
    let huge = format!(r#"{{"h":"{}"}}"#, "v".repeat(200_000));
    let huger = format!(r#"{{"h":"{}"}}"#, "v".repeat(6_000_000));
    let (long_name, odd) = (format!(r#"{{"{long}":"v"}}"#), r#"{"a\r\nb\u0000":"c\r\nd\u0000"}"#);
    let cases = [
        ("a topic of 300 bytes", number(&long, "k", 1), "300 bytes"),
        ("a topic with NUL", number("a\0b", "k", 2), "312"),
        ("a topic with CR and LF", number("a\r\nb", "k", 3), "312"),
        ("an empty topic", number("", "k", 4), "312"),
        ("a header name of 300 bytes", number(&topic, "k", 5).headers(&long_name), "300 bytes"),
        ("headers over a frame", number(&topic, "k", 6).headers(&huge), "frame_max"),
        ("headers over the client's buffer", number(&topic, "k", 7).headers(&huger), "frame_max"),
        ("headers that are no object", number(&topic, "k", 8).headers("[1]"), "JSON"),
        ("a header with CR, LF and NUL", number(&topic, "k", 9).headers(odd), ""),
        ("a hundred headers", number(&topic, "k", 10).headers(&many), ""),
        ("a key of 5,000 bytes", number(&topic, "k".repeat(5_000), 11), ""),
        ("an empty payload", number(&topic, "k", 12).payload(vec![]), ""),
        ("a payload of 2 MiB", number(&topic, "k", 13).payload(vec![0; 2 << 20]), ""),
    ];
    for (n, (what, case, refused)) in (0..).zip(cases) {
        let samples = [number(&topic, "a", -1), case, number(&topic, "b", -2)];
        let sent = batch(n * 10, &samples);
        let published = AssertUnwindSafe(publish(&transport, &sent, SOON)).catch_unwind().await;
        let outcomes = published.unwrap_or_else(|_| panic!("a panic on {what}"));
        assert_eq!((&outcomes[0], &outcomes[2]), (&Outcome::Delivered, &Outcome::Delivered), "beside {what}");
        let stored = broker.take(&topic).await;
        match &outcomes[1] {
            Outcome::Delivered if refused.is_empty() => {
                assert_eq!(stored.iter().filter(|m| m.data == sent.get(1).payload()).count(), 1, "{what}");
            }
            Outcome::Rejected(why) | Outcome::Destination(why) if !refused.is_empty() => {
                assert!(why.contains(refused), "{what}: {why}");
            }
            other => panic!("{what} was {other:?}"),
        }
        assert_eq!(stored.len(), if refused.is_empty() { 3 } else { 2 }, "nothing was sent again beside {what}");
    }
}
