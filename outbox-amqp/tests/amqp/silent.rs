//! Connections that are open and on which nothing comes any more, as behind a firewall that has forgotten them.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::*;

/// Messages that fill every buffer on the way.
const LARGE: usize = 1 << 20;

/// A way to the broker on which the connections of the moment go silent, while new ones pass.
struct Way {
    url: String,
    silence: watch::Sender<u32>,
    /// Tells of each silent connection that the client has closed.
    closed: mpsc::UnboundedReceiver<()>,
    /// Silent connections are read from, so that their end is seen.
    look: Arc<watch::Sender<bool>>,
}

impl Way {
    async fn to(broker: &RabbitMq) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        // Without heartbeats: it is the deadlines that are looked at.
        let port = listener.local_addr().expect("an address").port();
        let url = format!("{}/%2f?heartbeat=0&connection_timeout=1000", broker.url_by(port));
        let (silence, look) = (watch::Sender::new(0), Arc::new(watch::Sender::new(false)));
        let (tell, closed) = mpsc::unbounded_channel();
        let (upstream, silences, looks) = (format!("127.0.0.1:{}", broker.port()), silence.clone(), look.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (upstream, tell) = (upstream.clone(), tell.clone());
                let (mut silent, mut look) = (silences.subscribe(), looks.subscribe());
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(upstream).await.expect("the broker");
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        changed = silent.changed() => {
                            if changed.is_ok() && look.wait_for(|look| *look).await.is_ok() {
                                let mut rest = Vec::new();
                                _ = client.read_to_end(&mut rest).await;
                                _ = tell.send(());
                            }
                        }
                    }
                });
            }
        });
        Self { url, silence, closed, look }
    }

    /// All connections of now go silent.
    fn fall_silent(&self) {
        self.silence.send_modify(|times| *times += 1);
    }

    /// Completes when the client has closed a silent connection.
    async fn is_closed(&mut self) {
        self.look.send_replace(true);
        timeout(SOON, self.closed.recv()).await.expect("the silent connection is closed").expect("the way is there");
    }

    fn transport(&self, deadline: Duration) -> AmqpTransport {
        AmqpTransport::connect(AmqpConfig::new(&self.url).deadline(deadline)).expect("valid settings")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_replaced_after_two_deadlines() {
    let broker = RabbitMq::shared().await;
    let topic = broker.queue("silent", true).await;
    let mut way = Way::to(&broker).await;
    let transport = way.transport(Duration::from_secs(1));
    // Several channels, each of which would take a deadline to be found silent.
    let (a, b, c) = (numbers(&topic, 0..100), numbers(&topic, 100..200), numbers(&topic, 200..300));
    let all = [publish(&transport, &a, SOON), publish(&transport, &b, SOON), publish(&transport, &c, SOON)];
    assert!(futures_util::future::join_all(all).await.iter().all(|said| all_delivered(said)));
    way.fall_silent();
    let mut tries = 0;
    while publish(&transport, &numbers(&topic, 300..301), SOON).await != [Outcome::Delivered] {
        tries += 1;
        assert!(tries <= 2, "the silent connection is still in use");
    }
    assert!(tries > 0, "it was silent");
    way.is_closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_that_is_dropped_half_sent_takes_its_connection_along() {
    let broker = RabbitMq::shared().await;
    let topic = broker.queue("half", true).await;
    let mut way = Way::to(&broker).await;
    let transport = way.transport(SOON);
    assert!(all_delivered(&publish(&transport, &numbers(&topic, 0..1), SOON).await));
    way.fall_silent();
    let large = |n: i64| number(&topic, n, n).payload(vec![b'x'; LARGE]);
    let samples: Vec<Sample<'_>> = (1..33).map(large).collect();
    assert!(all_unknown(&publish(&transport, &batch(1, &samples), Duration::from_millis(500)).await));
    // Where its frames stayed with the client, they would be held in memory, and sent some day.
    way.is_closed().await;
    assert!(all_delivered(&publish(&transport, &numbers(&topic, 1..2), SOON).await));
    assert_eq!(texts(&broker, &topic).await, ["0", "1"]);
}

/// A way on which so many bytes reach the broker, and every answer comes back.
async fn narrow_way(broker: &RabbitMq, bytes: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let upstream = format!("127.0.0.1:{}", broker.port());
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("a connection");
        let mut server = TcpStream::connect(upstream).await.expect("the broker");
        let ((from_client, mut to_client), (mut from_server, mut to_server)) = (client.split(), server.split());
        let there = async {
            _ = copy(&mut from_client.take(bytes), &mut to_server).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = there => {}
            _ = copy(&mut from_server, &mut to_client) => {}
        }
    });
    format!("{}/%2f?heartbeat=0", broker.url_by(port))
}

/// The confirms of what is being handed over are lost, and one of them may have brought a return.
#[tokio::test(flavor = "multi_thread")]
async fn while_messages_are_handed_over_no_acknowledgement_counts_at_the_deadline() {
    let broker = RabbitMq::shared().await;
    let topic = broker.queue("narrow", false).await;
    let config = AmqpConfig::new(narrow_way(&broker, LARGE as u64).await).deadline(Duration::from_secs(2));
    let transport = AmqpTransport::connect(config).expect("valid settings");
    // The client takes 128 at once, and goes on when they are on their way.
    let sample = |n: i64| {
        let sample = number(&topic, n, n);
        if n < 128 { sample } else { sample.payload(vec![b'x'; LARGE]) }
    };
    let samples: Vec<Sample<'_>> = (0..160).map(sample).collect();
    let outcomes = publish(&transport, &batch(0, &samples), SOON).await;
    assert!(all_unknown(&outcomes), "{outcomes:?}");
    assert!(texts(&broker, &topic).await.len() >= 128, "they were acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_never_answers_is_left_without_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let transport = connect(&format!("amqp://127.0.0.1:{port}?connection_timeout=200"));
    for n in 0..3 {
        let said = publish(&transport, &numbers("orders", n..n + 1), SOON).await;
        assert!(matches!(&said[0], Outcome::Unknown(Some(why)) if why.contains("within 200ms")), "{said:?}");
        let (mut socket, _) = listener.accept().await.expect("a connection");
        let mut sent = Vec::new();
        timeout(SOON, socket.read_to_end(&mut sent)).await.expect("it is closed").expect("and not reset");
        assert!(sent.starts_with(b"AMQP"), "{sent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_on_a_silent_connection_ends_by_itself() {
    let broker = RabbitMq::shared().await;
    let topic = broker.queue("silent", true).await;
    let way = Way::to(&broker).await;
    let transport = way.transport(Duration::from_secs(1));
    assert!(all_delivered(&publish(&transport, &numbers(&topic, 0..1), SOON).await));
    way.fall_silent();
    let error = timeout(SOON, transport.check(&[topic])).await.expect("it ends").expect_err("nobody answers");
    assert!(error.to_string().contains("within 1s"), "{error}");
}

/// Suspends the process of a classic queue, or lets it go on: it confirms nothing meanwhile.
async fn process(broker: &RabbitMq, queue: &str, what: &str) {
    let lookup = format!("{{ok, Q}} = rabbit_amqqueue:lookup({{resource, <<\"/\">>, queue, <<\"{queue}\">>}})");
    broker.exec(&["rabbitmqctl", "eval", &format!("{lookup}, sys:{what}(amqqueue:get_pid(Q)).")]).await;
}

/// However late the transport's own deadline is: the relay drops a publish at its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_does_not_confirm_holds_up_no_other() {
    let broker = RabbitMq::shared().await;
    let healthy = broker.queue("healthy", true).await;
    let silent = broker.queue("silent", false).await;
    let transport = connect(broker.url());
    assert!(all_delivered(&publish(&transport, &numbers(&silent, 0..1), SOON).await));
    process(&broker, &silent, "suspend").await;
    let sample = |n: i64| number(if n % 2 == 0 { &silent } else { &healthy }, n, n);
    let samples: Vec<Sample<'_>> = (0..300).map(sample).collect();
    let outcomes = publish(&transport, &batch(1, &samples), Duration::from_secs(5)).await;
    process(&broker, &silent, "resume").await;
    for (n, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Outcome::Unknown(_) => assert_eq!(n % 2, 0, "{n}"),
            outcome => assert!(n % 2 == 1 && *outcome == Outcome::Delivered, "{n}: {outcome:?}"),
        }
    }
    assert!(all_delivered(&publish(&transport, &numbers(&silent, 300..301), SOON).await), "it goes on");
}
