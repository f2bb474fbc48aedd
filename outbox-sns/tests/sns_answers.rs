//! Answers that LocalStack never gives: a server that says what a test wants.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outbox_core::transport::Outcome;
use outbox_sns::{SnsConfig, SnsTransport};
use support::{publish, sample};
use testkit::{Sample, batch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

mod support;

const PREFIX: &str = "arn:aws:sns:eu-west-1:123456789012:";

/// The entries of a request: id and body.
type Entries = Vec<(String, String)>;
/// Status and body of an answer.
type Answer = (u16, String);
type Script = dyn Fn(&Entries) -> Answer + Send + Sync;

/// What was asked, in order of arrival.
#[derive(Clone)]
struct Server {
    script: Arc<Script>,
    asked: Arc<Mutex<Vec<Entries>>>,
    /// How many requests are under way, and how many were at most.
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    /// Requests are answered when so many wait.
    together: usize,
    url: String,
}

impl Server {
    async fn start(script: impl Fn(&Entries) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_together(1, script).await
    }

    async fn start_together(together: usize, script: impl Fn(&Entries) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let (asked, now, most) = Default::default();
        let server = Self { script: Arc::new(script), asked, now, most, together, url };
        let serves = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serves.clone().serve(stream));
            }
        });
        server
    }

    async fn serve(self, mut stream: TcpStream) -> Option<()> {
        let mut seen = Vec::new();
        loop {
            let end = loop {
                match seen.windows(4).position(|w| w == b"\r\n\r\n") {
                    Some(end) => break end + 4,
                    None => more(&mut stream, &mut seen).await?,
                }
            };
            let head = String::from_utf8_lossy(&seen[..end]).to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse::<usize>().ok()?;
            while seen.len() < end + length {
                more(&mut stream, &mut seen).await?;
            }
            let entries = entries(std::str::from_utf8(&seen[end..end + length]).ok()?);
            seen.drain(..end + length);
            self.asked.lock().expect("no panic").push(entries.clone());
            self.most.fetch_max(self.now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            while self.most.load(Ordering::SeqCst) < self.together {
                tokio::task::yield_now().await;
            }
            // Time for a request too many.
            tokio::time::sleep(Duration::from_millis(2)).await;
            let (status, body) = (self.script)(&entries);
            self.now.fetch_sub(1, Ordering::SeqCst);
            let head =
                format!("HTTP/1.1 {status} Answer\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
        }
    }

    async fn transport(&self, change: impl FnOnce(SnsConfig) -> SnsConfig) -> SnsTransport {
        let settings = aws_config::defaults(aws_config::BehaviorVersion::latest()).test_credentials();
        let client = aws_sdk_sns::Client::new(&settings.region("us-east-1").load().await);
        let config = SnsConfig::new(PREFIX).endpoint(&self.url);
        let config = config.attempt_timeout(Duration::from_secs(2)).give_up_after(Duration::from_secs(2));
        SnsTransport::with_client(change(config), client).expect("valid settings")
    }

    /// Publishes so many messages, `m0`, `m1`, ...
    async fn publish(&self, messages: usize) -> Vec<Outcome> {
        publish(&self.transport(|config| config).await, &batch(1, &samples(messages))).await
    }

    /// The ids of each request.
    fn asked(&self) -> Vec<Vec<String>> {
        let asked = self.asked.lock().expect("no panic");
        asked.iter().map(|entries| entries.iter().map(|(id, _)| id.clone()).collect()).collect()
    }
}

async fn more(stream: &mut TcpStream, seen: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 65_536];
    let n = stream.read(&mut buffer).await.ok().filter(|n| *n > 0)?;
    seen.extend_from_slice(&buffer[..n]);
    Some(())
}

/// Of the form of a request; the tests use nothing that is escaped there.
fn entries(form: &str) -> Entries {
    let (mut ids, mut bodies) = (Vec::new(), Vec::new());
    for (name, value) in form.split('&').filter_map(|pair| pair.split_once('=')) {
        let Some(name) = name.strip_prefix("PublishBatchRequestEntries.member.") else { continue };
        match name.split_once('.') {
            Some((_, "Id")) => ids.push(value.to_owned()),
            Some((_, "Message")) => bodies.push(value.to_owned()),
            _ => {}
        }
    }
    ids.into_iter().zip(bodies).collect()
}

fn samples(messages: usize) -> Vec<Sample<'static>> {
    (0..messages).map(|n| sample("orders", None, format!("m{n}"))).collect()
}

fn good(id: &str) -> String {
    format!("<member><Id>{id}</Id><MessageId>a-{id}</MessageId></member>")
}

fn bad(id: &str, code: &str, sender: bool) -> String {
    format!(
        "<member><Id>{id}</Id><Code>{code}</Code><Message>because</Message><SenderFault>{sender}</SenderFault></member>"
    )
}

fn mixed(successful: &str, failed: &str) -> Answer {
    let result = format!("<Failed>{failed}</Failed><Successful>{successful}</Successful>");
    let space = "http://sns.amazonaws.com/doc/2010-03-31/";
    let result = format!("<PublishBatchResult>{result}</PublishBatchResult>");
    (200, format!("<PublishBatchResponse xmlns=\"{space}\">{result}</PublishBatchResponse>"))
}

fn all_good(entries: &Entries) -> Answer {
    mixed(&entries.iter().map(|(id, _)| good(id)).collect::<String>(), "")
}

fn refused(status: u16, code: &str) -> Answer {
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>because</Message></Error>");
    (status, format!("<ErrorResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">{error}</ErrorResponse>"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_entry_of_a_batch_has_its_own_answer() {
    let server = Server::start(|entries| {
        if entries.len() < 8 {
            return all_good(entries);
        }
        // In another order, with one twice, strangers, and without 6.
        let failed = [
            bad("5", "Throttled", true),
            bad("1", "InvalidParameter", true),
            bad("2", "AuthorizationError", true),
            bad("3", "InternalError", false),
            bad("4", "WhoKnows", true),
        ];
        mixed(&[good("7"), good("99"), good("x"), good("0"), good("1")].concat(), &failed.concat())
    })
    .await;
    let said = server.publish(8).await;
    for i in [0, 3, 5, 6, 7] {
        assert_eq!(said[i], Outcome::Delivered, "{i}");
    }
    assert!(matches!(&said[1], Outcome::Rejected(e) if e == "SNS says InvalidParameter: because"), "{said:?}");
    assert!(matches!(&said[2], Outcome::Destination(e) if e.contains("AuthorizationError")), "{said:?}");
    assert!(matches!(&said[4], Outcome::Rejected(e) if e.contains("WhoKnows")), "{said:?}");
    assert_eq!(server.asked()[1..], [vec!["3".to_owned(), "5".into(), "6".into()]], "only these are sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_about_the_entries_of_its_request_only() {
    let server = Server::start(|entries| match entries.iter().any(|(id, _)| id == "0") {
        true => mixed(&entries.iter().map(|(id, _)| good(id)).chain([good("15")]).collect::<String>(), ""),
        false => refused(404, "NotFound"),
    })
    .await;
    let transport = server.transport(|config| config.in_flight(1)).await;
    let said = publish(&transport, &batch(1, &samples(20))).await;
    assert!(said[..10].iter().all(|s| *s == Outcome::Delivered), "{said:?}");
    assert!(said[10..].iter().all(|s| matches!(s, Outcome::Destination(_))), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_never_spoken_of_is_unknown() {
    let server = Server::start(|_| mixed(&good("0"), "")).await;
    let said = server.publish(2).await;
    assert_eq!(said[0], Outcome::Delivered);
    assert!(matches!(&said[1], Outcome::Unknown(Some(e)) if e.contains("did not say")), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_for_one_message_is_sent_again_singly() {
    let poisoned = |code: &'static str, status| {
        move |entries: &Entries| match entries.iter().any(|(_, body)| body == "m3") {
            true => refused(status, code),
            false => all_good(entries),
        }
    };
    for (code, status) in [
        ("InvalidParameter", 400),
        ("ParameterValueInvalid", 400),
        ("ValidationError", 400),
        ("BatchRequestTooLong", 400),
        ("AWS.Unheard", 413),
    ] {
        let server = Server::start(poisoned(code, status)).await;
        let said = server.publish(10).await;
        for (i, said) in said.iter().enumerate().filter(|(i, _)| *i != 3) {
            assert_eq!(*said, Outcome::Delivered, "{code} {i}");
        }
        assert!(matches!(&said[3], Outcome::Rejected(e) if e.contains(code)), "{code} {said:?}");
        assert_eq!(server.asked().len(), 11, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_is_tried_again_and_costs_nothing() {
    for (status, code) in
        [(400, "Throttled"), (400, "KMSThrottling"), (500, "InternalError"), (503, "ServiceUnavailable"), (502, "")]
    {
        let left = AtomicUsize::new(5);
        let server = Server::start(move |entries| {
            match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
                Ok(_) => refused(status, code),
                Err(_) => all_good(entries),
            }
        })
        .await;
        assert_eq!(server.publish(2).await, vec![Outcome::Delivered; 2], "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_pass_is_unknown_within_the_time() {
    for (answer, what) in [(refused(400, "Throttled"), "Throttled"), ((200, "<html>".into()), "")] {
        let server = Server::start(move |_| answer.clone()).await;
        let start = std::time::Instant::now();
        let said = server.publish(1).await;
        assert!(matches!(&said[0], Outcome::Unknown(Some(e)) if e.contains(what)), "{said:?}");
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        assert!(server.asked().len() > 3, "it was tried again: {} times", server.asked().len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_refuses_is_no_fault_of_its_messages() {
    for code in ["NotFound", "AuthorizationError", "KMSAccessDenied", "KMSDisabled", "KMSInvalidState", "KMSNotFound"] {
        let server = Server::start(move |_| refused(400, code)).await;
        let said = server.publish(2).await;
        assert!(said.iter().all(|s| matches!(s, Outcome::Destination(e) if e.contains(code))), "{said:?}");
        assert_eq!(server.asked().len(), 1, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_refused_are_an_outage() {
    for code in ["InvalidClientTokenId", "ExpiredToken", "SignatureDoesNotMatch", "InvalidSecurity"] {
        let server = Server::start(move |_| refused(403, code)).await;
        let said = server.publish(2).await;
        assert!(said.iter().all(|s| matches!(s, Outcome::Unknown(Some(e)) if e.contains(code))), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_are_bounded_over_all_publishes() {
    let server = Server::start_together(3, all_good).await;
    let transport = server.transport(|config| config.in_flight(3)).await;
    let (one, two) = (batch(1, &samples(100)), batch(200, &samples(100)));
    let (one, two) = tokio::join!(publish(&transport, &one), publish(&transport, &two));
    assert!(one.iter().chain(&two).all(|s| *s == Outcome::Delivered));
    assert_eq!(server.most.load(Ordering::SeqCst), 3);
    assert_eq!(server.asked().len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_an_outage() {
    let server = Server::start(all_good).await;
    let url = server.url.replace("http:", "https:");
    let transport = server.transport(|config| config.endpoint(url)).await;
    let said = publish(&transport, &batch(1, &samples(1))).await;
    assert!(matches!(&said[0], Outcome::Unknown(Some(why)) if !why.is_empty()), "{said:?}");
    assert_eq!(server.asked().len(), 0);
}

/// In a process of its own, whose environment has no credentials.
#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_the_reason_is_said_in_time() {
    const ENDPOINT: &str = "OUTBOX_SNS_TEST_NO_CREDENTIALS";
    if let Ok(url) = std::env::var(ENDPOINT) {
        let config = SnsConfig::new(PREFIX).endpoint(url).attempt_timeout(Duration::from_secs(2));
        let transport = SnsTransport::connect(config.give_up_after(Duration::from_secs(2))).expect("valid settings");
        let said = publish(&transport, &batch(1, &samples(1))).await;
        assert!(matches!(&said[0], Outcome::Unknown(Some(why)) if why.contains("credential")), "{said:?}");
        return;
    }
    let server = Server::start(all_good).await;
    let child = std::process::Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "without_credentials_the_reason_is_said_in_time", "--nocapture"])
        .env_clear()
        .env(ENDPOINT, &server.url)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .expect("a child");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
    assert_eq!(server.asked().len(), 0);
}

/// SNS takes ten messages each 20 ms, of two publishes, of which the first is not held up by the second. That has more
/// than is taken in its time.
#[tokio::test(flavor = "multi_thread")]
async fn where_sns_is_slow_the_earlier_publish_is_done_first() {
    let server = Server::start(|entries| {
        std::thread::sleep(Duration::from_millis(20));
        all_good(entries)
    })
    .await;
    let transport = server.transport(|config| config.in_flight(1)).await;
    let (one, two) = (batch(1, &samples(250)), batch(1_000, &samples(2_000)));
    let (one, two) = tokio::join!(publish(&transport, &one), publish(&transport, &two));
    assert!(one.iter().all(|s| *s == Outcome::Delivered), "{one:?}");
    let late = two.iter().filter(|s| matches!(s, Outcome::Unknown(Some(why)) if !why.is_empty())).count();
    let stored = two.iter().filter(|s| **s == Outcome::Delivered).count();
    assert!(late > 0 && late + stored == 2_000, "{two:?}");
}
