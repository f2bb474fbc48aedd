//! How the webhook is made, and what the receiver has.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use custom_transport::Webhook;
use outbox::Message;
use outbox_conformance::transport::{Faults, Proxy, Stored, TransportHarness};
use tokio::net::TcpListener;

type Received = Arc<Mutex<Vec<Stored>>>;

pub(crate) struct WebhookHarness {
    received: Received,
    proxy: Arc<Proxy>,
}

impl TransportHarness for WebhookHarness {
    type Transport = Webhook;

    async fn start() -> Self {
        let received = Received::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
        let receiver = Router::new().fallback(receive).with_state(received.clone());
        tokio::spawn(async { axum::serve(listener, receiver).await });
        Self { received, proxy: Arc::new(proxy) }
    }

    async fn transport(&self) -> Webhook {
        Webhook { client: reqwest::Client::new(), url: format!("http://{}", self.proxy.addr()) }
    }

    async fn stored(&self) -> Vec<Stored> {
        self.received.lock().unwrap().clone()
    }

    async fn faults(&mut self) -> Option<Arc<dyn Faults>> {
        Some(self.proxy.clone())
    }

    async fn poison(&self) -> Option<Message> {
        Some(Message::new("orders", "order.created").text("poison"))
    }

    async fn nowhere(&self) -> Option<String> {
        Some("nowhere".into())
    }
}

/// The receiver's side.
async fn receive(State(received): State<Received>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name| headers.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
    let own: Option<HashMap<String, String>> = header("x-headers").and_then(|json| serde_json::from_str(&json).ok());
    let stored = Stored {
        id: header("idempotency-key").unwrap_or_default(),
        topic: header("x-topic").unwrap_or_default(),
        key: header("x-key"),
        event_type: header("x-event-type").unwrap_or_default(),
        content_type: header("content-type"),
        headers: own.unwrap_or_default().into_iter().collect(),
        payload: body.to_vec(),
    };
    match (&*stored.topic, &*stored.payload) {
        ("nowhere", _) => StatusCode::NOT_FOUND,
        (_, b"poison") => StatusCode::UNPROCESSABLE_ENTITY,
        _ => {
            received.lock().unwrap().push(stored);
            StatusCode::OK
        }
    }
}
