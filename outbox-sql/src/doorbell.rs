use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use outbox_core::StoreError;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::signal::wake;
use crate::{Connection, Driver, Names};

/// The longest wait for a ring to be sent, and for the first one to be heard.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts to connect: doubles from the first to the second.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// From one ring to the next, so that many commits cost few: none of it is waited for at 200 a second.
const GAP: Duration = Duration::from_millis(1);

/// Asynchronous by itself: a ring need not survive a crash.
const RING: &str = "select pg_notify($1, $2)::text, set_config('synchronous_commit', 'off', true)";

/// A connection that hears the rings of other processes.
#[async_trait]
pub trait Line: std::fmt::Debug + Send {
    /// The text of the next ring, or `None` when some may have been missed.
    ///
    /// # Errors
    /// When the connection is lost; the engine drops it and listens anew.
    ///
    /// # Cancel safety
    /// No ring is lost.
    async fn heard(&mut self) -> Result<Option<String>, StoreError>;
}

/// Rings over a connection of its own, so that no transaction of the application waits for it: `NOTIFY` takes a lock of
/// the whole server through its commit.
#[derive(Debug)]
pub(crate) struct Doorbell {
    driver: Arc<dyn Driver>,
    channel: String,
    /// The text of our own rings: our relays are awake by then.
    me: String,
    local: watch::Sender<u64>,
    rings: watch::Sender<u64>,
    starting: Mutex<()>,
    listening: Mutex<Weak<Listening>>,
}

impl Doorbell {
    pub(crate) fn new(driver: Arc<dyn Driver>, names: &Names, local: watch::Sender<u64>) -> Self {
        Self {
            driver,
            channel: channel(names),
            me: uuid::Uuid::now_v7().simple().to_string(),
            local,
            rings: watch::Sender::new(0),
            starting: Mutex::default(),
            listening: Mutex::default(),
        }
    }

    pub(crate) fn renamed(&self, names: &Names) -> Self {
        Self::new(self.driver.clone(), names, self.local.clone())
    }

    /// Never waits. Many rings while one is under way become one more.
    pub(crate) fn ring(&self) {
        wake(&self.rings);
        if self.rings.receiver_count() > 0 {
            return;
        }
        let _one = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let (0, Ok(runtime)) = (self.rings.receiver_count(), Handle::try_current()) {
            let mut rings = self.rings.subscribe();
            rings.mark_changed();
            runtime.spawn(ringer(self.driver.clone(), self.channel.clone(), self.me.clone(), rings));
        }
    }

    /// Makes a signal of every ring of others, as long as what is returned is kept. One connection for all that listen.
    pub(crate) fn listen(&self) -> Option<Arc<Listening>> {
        let runtime = Handle::try_current().ok()?;
        let mut known = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = known.upgrade().filter(|l| !l.0.is_finished()) {
            return Some(running);
        }
        let (driver, channel, me) = (self.driver.clone(), self.channel.clone(), self.me.clone());
        let listening = Arc::new(Listening(runtime.spawn(listener(driver, channel, me, self.local.clone()))));
        *known = Arc::downgrade(&listening);
        Some(listening)
    }
}

/// The task that listens; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Listening(JoinHandle<()>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The same for every process with these names. Channels are a database's own, so its name is not part of it.
fn channel(names: &Names) -> String {
    // FNV-1a: a schema and a prefix may be longer than the 63 bytes of a channel.
    let tables = names.render("outbox");
    let hash = tables.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    format!("outbox_doorbell_{hash:016x}")
}

fn pause(failures: u32) -> Duration {
    PAUSE.0.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(PAUSE.1)
}

/// Ends when the last handle is dropped.
async fn ringer(driver: Arc<dyn Driver>, channel: String, me: String, mut rings: watch::Receiver<u64>) {
    let mut conn: Option<Box<dyn Connection>> = None;
    let mut failures = 0;
    while rings.changed().await.is_ok() {
        loop {
            let used = conn.is_some();
            let error = match timeout(PATIENCE, ring(&*driver, &mut conn, &channel, &me)).await {
                Ok(Ok(())) => break,
                Ok(Err(e)) => e.with_causes(),
                Err(_) => format!("no answer within {PATIENCE:?}"),
            };
            conn = None;
            if used {
                // Lost while it was idle, most often.
                tracing::debug!(error, "the doorbell's connection was lost");
                continue;
            }
            failures += 1;
            tracing::warn!(error, failures, "the doorbell cannot ring: other processes find new messages by polling");
            let gone = async { while rings.changed().await.is_ok() {} };
            if timeout(pause(failures), gone).await.is_ok() {
                return;
            }
        }
        failures = 0;
        sleep(GAP).await;
    }
}

async fn ring(
    driver: &dyn Driver,
    conn: &mut Option<Box<dyn Connection>>,
    channel: &str,
    text: &str,
) -> Result<(), StoreError> {
    let conn = match conn {
        Some(conn) => conn,
        None => conn.insert(driver.connect().await?),
    };
    conn.query(RING, &[channel.into(), text.into()]).await.map_err(|e| e.during("ring the doorbell"))?;
    Ok(())
}

/// How listening ended without an error.
enum Ended {
    /// This client cannot listen.
    Unsupported,
    /// A ring was sent and not heard.
    Deaf,
}

/// Ends only where listening is of no use.
async fn listener(driver: Arc<dyn Driver>, channel: String, me: String, local: watch::Sender<u64>) {
    let mut failures = 0;
    loop {
        let error = match listen(&*driver, &channel, &me, &local, &mut failures).await {
            Ok(Ended::Unsupported) => return,
            Ok(Ended::Deaf) => {
                tracing::warn!(
                    "the doorbell is not heard: a ring was sent and did not come back within {PATIENCE:?}, as through \
                     a pooler in transaction mode. This relay finds the messages of other processes by polling only: \
                     give `doorbell` a direct URL of the server"
                );
                return;
            }
            Err(e) => e.with_causes(),
        };
        failures += 1;
        tracing::warn!(error, failures, "the doorbell is not heard for now: new messages are found by polling");
        sleep(pause(failures)).await;
    }
}

async fn listen(
    driver: &dyn Driver,
    channel: &str,
    me: &str,
    local: &watch::Sender<u64>,
    failures: &mut u32,
) -> Result<Ended, StoreError> {
    let Some(mut line) = driver.listen(channel).await? else { return Ok(Ended::Unsupported) };
    // What was rung before is lost.
    wake(local);
    // LISTEN through a pooler in transaction mode says that all is well, and hears nothing.
    let test = format!("{me} test");
    let Ok(other) = timeout(PATIENCE, driver.connect()).await else { return Ok(Ended::Deaf) };
    let mut other = other?;
    // Whether it says that it was sent tells nothing: the pooler may give it the server's connection that listens, where
    // a client that does not listen gets an answer that it cannot read.
    if timeout(PATIENCE, other.query(RING, &[channel.into(), test.as_str().into()])).await.is_err() {
        return Ok(Ended::Deaf);
    }
    let heard = async {
        loop {
            match line.heard().await? {
                Some(text) if text == test => return Ok::<(), StoreError>(()),
                _ => wake(local),
            }
        }
    };
    match timeout(PATIENCE, heard).await {
        Ok(heard) => heard?,
        Err(_) => return Ok(Ended::Deaf),
    }
    drop(other);
    tracing::debug!(channel, "the doorbell is heard");
    *failures = 0;
    loop {
        if line.heard().await?.is_none_or(|text| text != me) {
            wake(local);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outbox_has_a_channel_of_its_own_that_fits() {
        let long = Names::default().schema(&"s".repeat(63)).unwrap().prefix(&"p".repeat(40)).unwrap();
        let (usual, other) = (Names::default(), Names::default().schema("shop").unwrap());
        for names in [&long, &usual, &other] {
            assert!(channel(names).len() < 63);
        }
        // Never another one: processes of different versions hear each other.
        assert_eq!(channel(&usual), "outbox_doorbell_d0e08d64a6a6c506");
        assert_ne!(channel(&usual), channel(&other));
        assert_ne!(channel(&long), channel(&other));
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        assert_eq!((pause(1), pause(3)), (Duration::from_millis(100), Duration::from_millis(400)));
        assert_eq!(pause(u32::MAX), Duration::from_secs(30));
    }
}
