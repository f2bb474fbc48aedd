use std::ops::Deref;

use async_nats::ConnectOptions;
use futures_util::FutureExt;
use testcontainers::{ContainerRequest, GenericImage, ImageExt};
use tokio::sync::OnceCell;

use crate::Handle;
use crate::broker::BrokerKind;

static NATS: BrokerKind = kind("outbox-test-nats", "OUTBOX_TEST_NATS_URL", "OUTBOX_TEST_NATS_IMAGE", "2.15");
static NATS_210: BrokerKind =
    kind("outbox-test-nats-210", "OUTBOX_TEST_NATS210_URL", "OUTBOX_TEST_NATS210_IMAGE", "2.10");

/// Users, permissions and TLS; both TLS and plain connections.
const SECURED_CONFIG: &str = r#"
jetstream { store_dir: "/data" }
allow_non_tls: true
tls { cert_file: "/server.pem", key_file: "/server.key", ca_file: "/ca.pem", verify: true }
authorization { users: [
  { user: "admin", password: "admin" }
  { user: "app", password: "s3cr3t", permissions: { publish: ["open.>", "$JS.API.>"], subscribe: "_INBOX.>" } }
] }
"#;
static SECURED: BrokerKind = BrokerKind {
    image: |image, _| {
        image
            .with_cmd(["-c", "/nats.conf"])
            .with_copy_to("/nats.conf", SECURED_CONFIG.as_bytes().to_vec())
            .with_copy_to("/ca.pem", Nats::CA.as_bytes().to_vec())
            .with_copy_to("/server.pem", include_bytes!("nats/server.pem").to_vec())
            .with_copy_to("/server.key", include_bytes!("nats/server.key").to_vec())
    },
    answers: |url| {
        async move {
            let admin = ConnectOptions::with_user_and_password("admin".into(), "admin".into());
            admin.connect(url).await.map(drop).map_err(|e| e.to_string())
        }
        .boxed()
    },
    name: "outbox-test-nats-secured",
    url_variable: "OUTBOX_TEST_NATS_URL",
    image_variable: "OUTBOX_TEST_NATS_IMAGE",
    usual_image: ("nats", "2.15"),
    port: 4222,
    url_at: |port| format!("nats://127.0.0.1:{port}"),
    shared: OnceCell::const_new(),
};

const fn kind(
    name: &'static str,
    url_variable: &'static str,
    image_variable: &'static str,
    tag: &'static str,
) -> BrokerKind {
    BrokerKind {
        name,
        url_variable,
        image_variable,
        usual_image: ("nats", tag),
        port: 4222,
        url_at: |port| format!("nats://127.0.0.1:{port}"),
        image,
        answers: |url| {
            async move {
                let client = async_nats::connect(url).await.map_err(|e| e.to_string())?;
                let jetstream = async_nats::jetstream::new(client);
                // A stream that is not there is an answer of JetStream too.
                match jetstream.get_stream_no_info("outbox-test-ready").await {
                    Ok(stream) => match stream.get_info().await {
                        Ok(_) => Ok(()),
                        Err(e) if e.to_string().contains("not found") => Ok(()),
                        Err(e) => Err(e.to_string()),
                    },
                    Err(e) => Err(e.to_string()),
                }
            }
            .boxed()
        },
        shared: OnceCell::const_new(),
    }
}

fn image(image: GenericImage, port: Option<u16>) -> ContainerRequest<GenericImage> {
    let port = port.unwrap_or(4222).to_string();
    image.with_cmd(["--jetstream", "--store_dir", "/data", "--port", &port])
}

/// A real NATS server with JetStream: [`shared`](Self::shared) for most tests, [`own`](Self::own) for those that harm
/// it. 2.15, or 2.10.
#[derive(Debug)]
pub struct Nats(Handle);

impl Nats {
    /// The authority, in PEM, that signed the certificates of [`own_secured`](Self::own_secured) and of its clients.
    pub const CA: &str = include_str!("nats/ca.pem");
    /// A client's certificate, in PEM.
    pub const CLIENT_CERTIFICATE: &str = include_str!("nats/client.pem");
    /// Its key, in PEM. Made for these tests, and used nowhere else.
    pub const CLIENT_KEY: &str = include_str!("nats/client.key");

    /// The server of `OUTBOX_TEST_NATS_URL` (2.15, or what is there), else one container that all test processes share
    /// (left running).
    ///
    /// # Panics
    /// If there is neither the variable nor a Docker engine, or the server does not start.
    pub async fn shared() -> Self {
        Self(Handle::shared(&NATS).await)
    }

    /// The same for 2.10, with `OUTBOX_TEST_NATS210_URL`.
    ///
    /// # Panics
    /// Like [`shared`](Self::shared).
    pub async fn shared_210() -> Self {
        Self(Handle::shared(&NATS_210).await)
    }

    /// A container of this test's own, removed on drop. Its data survive [`kill`](Handle::kill).
    ///
    /// # Panics
    /// If there is no Docker engine, or the server does not start.
    pub async fn own() -> Self {
        Self(Handle::own(&NATS).await)
    }

    /// The same for 2.10.
    ///
    /// # Panics
    /// Like [`own`](Self::own).
    pub async fn own_210() -> Self {
        Self(Handle::own(&NATS_210).await)
    }

    /// 2.15 with users: `admin` with the password `admin` may do everything, `app` with `s3cr3t` may publish to `open.>`
    /// only. TLS demands a client's certificate; connections without TLS are taken too.
    ///
    /// # Panics
    /// Like [`own`](Self::own).
    pub async fn own_secured() -> Self {
        Self(Handle::own(&SECURED).await)
    }

    /// 2.15 in the host's network, for benchmarks.
    ///
    /// # Panics
    /// Like [`own`](Self::own).
    pub async fn own_on_host() -> Self {
        Self(NATS.own_on_host().await)
    }
}

impl Deref for Nats {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.0
    }
}
