use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::{Context, ContextBuilder};
use futures_util::StreamExt;
use outbox_core::BoxError;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::config::Settings;
use crate::confirm::Confirmations;
use crate::error::chain;
use crate::servers::choose_cryptography;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(8);
/// How long a question about streams may take.
pub(crate) const ASK: Duration = Duration::from_secs(1);
/// How often a client is looked at whose events are not seen.
const LOOK: Duration = Duration::from_millis(50);

/// One client of async-nats, until it is thrown away.
///
/// The client's own tasks run on a runtime of its own, with one thread. It ends with the client, and with it all that
/// the client still holds: left to itself, a client that lost its connection connects again, for ever, and then sends
/// what was given up meanwhile.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) confirmations: Arc<Confirmations>,
    link: watch::Receiver<Link>,
}

#[derive(Debug, Clone)]
enum Link {
    Connecting,
    Connected(Arc<Connected>),
    Ended,
}

/// What a client can be used by.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) nats: async_nats::Client,
    pub(crate) jetstream: Context,
    /// Where acknowledgements go: this and a confirmation.
    pub(crate) inbox: String,
    /// By subject, whether its stream stores batches at once.
    pub(crate) atomic: Mutex<HashMap<String, Option<Arc<str>>>>,
}

impl Client {
    /// Begins to connect.
    pub(crate) fn start(settings: Arc<Settings>) -> Self {
        let confirmations = Arc::new(Confirmations::new());
        let (link, seen) = watch::channel(Link::Connecting);
        let shared = confirmations.clone();
        let thread = std::thread::Builder::new().name("outbox-nats".into());
        let spawned = thread.spawn({
            let confirmations = confirmations.clone();
            move || run(&settings, &confirmations, &link)
        });
        if let Err(e) = spawned {
            shared.die(format!("no thread can be had: {e}"));
        }
        Self { confirmations, link: seen }
    }

    /// The connection, when there is one.
    ///
    /// # Errors
    /// The reason, when there can be none.
    pub(crate) async fn connected(&self) -> Result<Arc<Connected>, String> {
        let mut link = self.link.clone();
        let link = link.wait_for(|link| !matches!(link, Link::Connecting)).await;
        match link.as_deref() {
            Ok(Link::Connected(connected)) if self.confirmations.dead().is_none() => Ok(connected.clone()),
            _ => Err(self.confirmations.dead().unwrap_or("the client has ended").to_owned()),
        }
    }

    /// Completes when the client has ended, its connection too.
    pub(crate) async fn ended(&self) {
        let mut link = self.link.clone();
        // An error says that its thread has ended.
        _ = link.wait_for(|link| matches!(link, Link::Ended)).await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.confirmations.die("the client was closed");
    }
}

/// However the client's thread ends, by a panic in a connector too, nobody is to go on with this client.
struct Ends<'a>(&'a Confirmations);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.die("the client's thread ended");
    }
}

/// The thread of a client.
fn run(settings: &Arc<Settings>, confirmations: &Arc<Confirmations>, link: &watch::Sender<Link>) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return confirmations.die(format!("no runtime can be had: {e}")),
    };
    // Before the runtime, whose end may have to wait for a lookup of a name.
    let _ends = Ends(confirmations);
    runtime.block_on(async {
        tokio::select! {
            why = live(settings, confirmations, link) => confirmations.die(why),
            why = confirmations.died() => tracing::debug!(why, "a client of NATS ends"),
        }
    });
    // Ends the client's tasks where they are. A lookup of a name may go on; nobody waits for it.
    runtime.shutdown_background();
    link.send_replace(Link::Ended);
}

/// Connects, and passes acknowledgements on as long as they come. Gives the reason why they do not.
async fn live(settings: &Arc<Settings>, confirmations: &Arc<Confirmations>, link: &watch::Sender<Link>) -> String {
    let connect = async {
        let nats = connect(settings, confirmations).await?;
        let inbox = format!("{}.", nats.new_inbox());
        let answers = nats.subscribe(format!("{inbox}*")).await?;
        // With a client that connects by itself, this waits for the connection.
        nats.flush().await?;
        Ok::<_, BoxError>((nats, inbox, answers))
    };
    let (nats, inbox, mut answers) = match timeout(CONNECT, connect).await {
        Ok(Ok(connected)) => connected,
        Ok(Err(e)) => return format!("NATS cannot be reached: {}", chain(&*e)),
        Err(_) => return format!("NATS did not answer within {CONNECT:?}"),
    };
    let mut latest = None;
    let prefix = inbox.len();
    let jetstream = ContextBuilder::new().api_prefix(&settings.api).timeout(ASK).build(nats.clone());
    link.send_replace(Link::Connected(Arc::new(Connected {
        nats: nats.clone(),
        jetstream,
        inbox,
        atomic: Mutex::default(),
    })));
    let connections = connections(&nats);
    let mut looks = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            answer = answers.next() => match answer {
                Some(answer) => confirmations.report(&answer, prefix, &mut latest),
                None => return "the client has ended".into(),
            },
            _ = looks.tick(), if settings.foreign => {
                if nats.connection_state() != State::Connected || self::connections(&nats) != connections {
                    return "the connection to NATS is lost".into();
                }
            }
        }
    }
}

fn connections(nats: &async_nats::Client) -> u64 {
    nats.statistics().connects.load(std::sync::atomic::Ordering::Relaxed)
}

async fn connect(settings: &Settings, confirmations: &Arc<Confirmations>) -> Result<async_nats::Client, BoxError> {
    choose_cryptography();
    if settings.foreign {
        return (settings.connector)().await;
    }
    let mut options = settings.options.clone();
    if let Some(path) = &settings.credentials_file {
        let read = options.credentials_file(path).await;
        options = read.map_err(|e| format!("the credentials file {} cannot be used: {e}", path.display()))?;
    }
    let (confirmations, api) = (confirmations.clone(), settings.api.clone());
    let options = options.event_callback(move |event| {
        confirmations.event(event, &api);
        futures_util::future::ready(())
    });
    Ok(options.connect(settings.servers.addresses.as_slice()).await?)
}
