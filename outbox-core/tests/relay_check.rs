//! What a relay asks its transport before anything goes wrong, beside its work.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_core::memory::MemoryStore;
use outbox_core::{
    Batch, BoxError, Finding, Message, Observer, Outcomes, Relay, RelayEvent, StoreRelay, Transport,
    TransportCapabilities, async_trait,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answers {
    Finds,
    Fails,
    Never,
    Panics,
}

/// What it is asked, and what it answers, one after the other.
#[derive(Debug)]
struct Asked {
    answers: Mutex<Vec<Answers>>,
    topics: Mutex<Vec<Vec<String>>>,
    /// Publishes that are still to get no answer.
    away: Mutex<usize>,
    window: Option<Duration>,
}

impl Asked {
    fn new(answers: &[Answers]) -> Arc<Self> {
        Self::with(answers, 0, None)
    }

    fn with(answers: &[Answers], away: usize, window: Option<Duration>) -> Arc<Self> {
        let answers = answers.iter().rev().copied().collect();
        Arc::new(Self { answers: Mutex::new(answers), topics: Mutex::default(), away: Mutex::new(away), window })
    }

    fn times(&self) -> usize {
        self.topics.lock().unwrap().len()
    }
}

#[async_trait]
impl Transport for Asked {
    fn capabilities(&self) -> TransportCapabilities {
        let all = TransportCapabilities::new();
        self.window.map_or(all, |window| all.dedup_window(window))
    }

    async fn publish(&self, batch: Batch, out: &Outcomes) {
        sleep(Duration::from_millis(1)).await;
        let mut away = self.away.lock().unwrap();
        if *away > 0 {
            *away -= 1;
            return;
        }
        batch.iter().for_each(|m| out.delivered(m));
    }

    async fn check(&self, topics: &[String]) -> Result<Vec<Finding>, BoxError> {
        self.topics.lock().unwrap().push(topics.to_vec());
        let answer = self.answers.lock().unwrap().pop();
        match answer {
            None => Ok(Vec::new()),
            Some(Answers::Finds) => Ok(vec![Finding::new("the queue is not durable", "declare it durable")]),
            Some(Answers::Fails) => Err("nobody is there".into()),
            Some(Answers::Never) => std::future::pending().await,
            Some(Answers::Panics) => panic!("no transport should"),
        }
    }
}

#[derive(Debug, Default, Clone)]
struct Findings(Arc<Mutex<Vec<Finding>>>);

impl Observer for Findings {
    fn on_event(&self, _relay: &str, event: &RelayEvent) {
        if let RelayEvent::Finding(finding) = event {
            self.0.lock().unwrap().push(finding.clone());
        }
    }
}

impl Findings {
    fn take(&self) -> Vec<String> {
        self.0.lock().unwrap().drain(..).map(|f| f.to_string()).collect()
    }
}

fn relay(store: &MemoryStore, transport: &Arc<Asked>) -> (StoreRelay, Findings) {
    let findings = Findings::default();
    let relay = StoreRelay::builder("test", store.clone(), transport.clone()).observer(findings.clone());
    (relay.topics(["orders", "bills.*", "shipments"]).build().expect("valid settings"), findings)
}

fn enqueue(store: &MemoryStore, messages: usize) {
    let mut tx = store.begin();
    for i in 0..messages {
        tx.enqueue(Message::new("orders", "e").text(i.to_string())).expect("valid");
    }
    tx.commit();
}

/// Runs the relay until `what` holds, then a little longer, and stops it. Says how long the stop took.
async fn run_until(relay: &StoreRelay, what: impl Fn() -> bool) -> Duration {
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn({
        let relay = relay.clone();
        async move { relay.run(async move { _ = stopped.await }).await }
    });
    let looks = async {
        while !what() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(300), looks).await.expect("never came");
    sleep(Duration::from_secs(30)).await;
    let began = Instant::now();
    _ = stop.send(());
    running.await.expect("no panic").expect("runs");
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn the_transport_is_asked_once_a_process_with_the_exact_topics_and_told_of() {
    let (store, transport) = (MemoryStore::new(), Asked::new(&[Answers::Finds]));
    let (relay, findings) = relay(&store, &transport);
    run_until(&relay, || true).await;
    assert_eq!(findings.take(), ["the queue is not durable: declare it durable"]);
    run_until(&relay, || true).await;
    assert_eq!(*transport.topics.lock().unwrap(), [["orders", "shipments"]]);
    assert!(findings.take().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_check_that_never_ends_delays_neither_a_publish_nor_a_drain() {
    let (store, transport) = (MemoryStore::new(), Asked::new(&[Answers::Never, Answers::Never]));
    let (relay, _) = relay(&store, &transport);
    enqueue(&store, 100);
    let began = Instant::now();
    assert_eq!(relay.until_drained(Duration::from_secs(60)).await.expect("drained"), 100);
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    // Its answer did not come in the first session, so it is asked again in the second.
    let took = run_until(&relay, || transport.times() == 2).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    run_until(&relay, || true).await;
    assert_eq!(transport.times(), 2, "the deadline ended the second");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_could_not_be_asked_is_asked_when_it_is_back() {
    for answer in [Answers::Fails, Answers::Panics, Answers::Never] {
        let (store, transport) = (MemoryStore::new(), Asked::with(&[answer, Answers::Finds], 20, None));
        let (relay, findings) = relay(&store, &transport);
        run_until(&relay, || transport.times() == 1).await;
        assert_eq!((transport.times(), findings.take().len()), (1, 0), "{answer:?}");
        enqueue(&store, 1);
        run_until(&relay, || transport.times() == 2).await;
        assert_eq!((transport.times(), findings.take().len()), (2, 1), "{answer:?}");
        assert_eq!(relay.handle().stats().outages, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_comes_back_before_the_answer_is_asked_again_too() {
    let (store, transport) = (MemoryStore::new(), Asked::with(&[Answers::Never, Answers::Finds], 3, None));
    let (relay, findings) = relay(&store, &transport);
    enqueue(&store, 1);
    run_until(&relay, || transport.times() == 2).await;
    assert_eq!(findings.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_window_of_the_broker_that_is_shorter_than_the_retries_is_told_of_once() {
    let minutes = |n: u64| Some(Duration::from_secs(60 * n));
    let (store, transport) = (MemoryStore::new(), Asked::with(&[], 0, minutes(2)));
    let (short, findings) = relay(&store, &transport);
    run_until(&short, || true).await;
    run_until(&short, || true).await;
    let found = findings.take();
    assert_eq!(found.len(), 1, "{found:?}");
    for part in ["for 2m,", "up to 11m 18s", "max_attempts 10", "retry 1s to 5m", "window to 12m or more"] {
        assert!(found[0].contains(part), "{part:?} is not in {found:?}");
    }
    let (long, findings) = relay(&store, &Asked::with(&[], 0, minutes(12)));
    run_until(&long, || true).await;
    assert!(findings.take().is_empty());
}
