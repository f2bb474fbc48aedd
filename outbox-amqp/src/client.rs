use std::net::{Shutdown, SocketAddr, TcpStream as StdTcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use async_compat::Compat;
use lapin::options::ConfirmSelectOptions;
use lapin::uri::AMQPScheme;
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, Error};
use outbox_core::BoxError;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Mutex;
use tokio::time::{Instant, interval, timeout};

use crate::config::Settings;

/// How often a publish that waits looks whether the broker blocks publishers.
const LOOK: Duration = Duration::from_millis(20);
/// A connection that is younger brought the password of today.
const YOUNG: Duration = Duration::from_secs(10);
/// How long an orderly end may take.
const LAST: Duration = Duration::from_secs(5);

/// What is said of messages while the broker is short of memory or disk.
pub(crate) const BLOCKED: &str = "the broker blocks publishers: its memory or disk alarm is on";

/// The socket below a connection. Closing it ends the client's thread and drops what it still holds, whatever state it
/// is in: a connection that is merely dropped waits for the broker.
#[derive(Debug)]
struct Socket(StdTcpStream);

impl Drop for Socket {
    fn drop(&mut self) {
        // It may be closed already.
        _ = self.0.shutdown(Shutdown::Both);
    }
}

/// One connection, until it is thrown away.
#[derive(Debug)]
pub(crate) struct Link {
    // First, so that the client sees a closed socket before it is asked to take its leave.
    socket: Socket,
    connection: Connection,
    since: Instant,
    /// Channels in confirm mode with nothing under way.
    idle: StdMutex<Vec<Channel>>,
    /// The broker blocked it once: frames of publishes that were given up may still be in it.
    stained: AtomicBool,
    /// Channels with such frames.
    kept: StdMutex<Vec<Channel>>,
    shut: AtomicBool,
}

impl Link {
    async fn connect(settings: &Settings) -> Result<Self, String> {
        let at = &settings.uri.authority;
        let place = format!("{}:{}", at.host, at.port);
        match timeout(settings.connect, Self::connect_to(settings)).await {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(e)) => Err(format!("no connection to RabbitMQ at {place}: {e}")),
            Err(_) => Err(format!("no connection to RabbitMQ at {place} within {:?}", settings.connect)),
        }
    }

    async fn connect_to(settings: &Settings) -> Result<Self, BoxError> {
        let mut uri = settings.uri.clone();
        if let Some(source) = &settings.password {
            uri.authority.userinfo.password = source.ask().await?;
        }
        let at = &settings.uri.authority;
        let stream = dial(&at.host, at.port, settings.connect).await?;
        stream.set_nodelay(true)?;
        let stream = stream.into_std()?;
        let socket = Socket(stream.try_clone()?);
        let mut stream = AsyncTcpStream::Plain(Compat::new(TcpStream::from_std(stream)?));
        if settings.uri.scheme == AMQPScheme::AMQPS {
            stream = stream.into_tls(&at.host, settings.tls.as_ref()).await?;
        }
        // The client asks for it once; it would ask again if it were to reconnect.
        let stream = StdMutex::new(Some(stream));
        let take = async move |_, _| {
            let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
            stream.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected).into())
        };
        let properties = ConnectionProperties::default().with_connection_name(settings.name.as_str().into());
        let runtime = lapin::runtime::default_runtime()?;
        let connection = Connection::connector(uri, runtime, take, properties).await?;
        Ok(Self {
            socket,
            connection,
            since: Instant::now(),
            idle: StdMutex::default(),
            stained: AtomicBool::new(false),
            kept: StdMutex::default(),
            shut: AtomicBool::new(false),
        })
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.shut.load(Ordering::Acquire) && self.connection.status().connected()
    }

    /// Whether the broker blocks publishers.
    pub(crate) fn is_blocked(&self) -> bool {
        let blocked = self.connection.status().blocked();
        if blocked {
            self.stained.store(true, Ordering::Release);
        }
        blocked
    }

    /// Completes when the broker blocks publishers.
    pub(crate) async fn blocked(&self) {
        let mut looks = interval(LOOK);
        while !self.is_blocked() {
            looks.tick().await;
        }
    }

    /// The largest frame, in bytes.
    pub(crate) fn frame_max(&self) -> usize {
        self.connection.configuration().frame_max() as usize
    }

    /// Ends it, with all that it holds.
    pub(crate) fn shut(&self) {
        self.shut.store(true, Ordering::Release);
        _ = self.socket.0.shutdown(Shutdown::Both);
    }

    /// A channel without confirms, for questions: one that is answered with an error is closed.
    pub(crate) async fn plain_channel(&self) -> Result<Channel, Error> {
        self.connection.create_channel().await
    }

    /// A channel of the caller's own.
    pub(crate) async fn lease(self: &Arc<Self>) -> Result<Leased, Error> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        while let Some(channel) = idle() {
            if channel.status().connected() {
                return Ok(Leased { link: self.clone(), channel, sending: false, given_back: false });
            }
        }
        let channel = self.connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Leased { link: self.clone(), channel, sending: false, given_back: false })
    }

    /// Closes the channels with nothing under way.
    pub(crate) fn forget_idle(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// An orderly end.
    async fn close(&self) {
        if !self.is_blocked() {
            _ = timeout(LAST, self.connection.close(200, "bye".into())).await;
        }
        self.shut();
    }
}

/// The first address of a host that takes a connection. Each has its share of the time: one that does not answer would
/// take it all.
async fn dial(host: &str, port: u16, within: Duration) -> std::io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    let share = within / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut failed = std::io::Error::new(std::io::ErrorKind::NotFound, "the host has no address");
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(e)) => failed = e,
            Err(_) => failed = std::io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}

/// A channel with one publish on it. Dropped, it is closed: what was not confirmed stays unknown.
pub(crate) struct Leased {
    link: Arc<Link>,
    pub(crate) channel: Channel,
    /// Frames may be with the client that are not on the socket yet.
    pub(crate) sending: bool,
    given_back: bool,
}

impl Leased {
    /// Everything on it was confirmed: another publish may have it.
    pub(crate) fn give_back(mut self) {
        self.given_back = true;
        self.link.idle.lock().unwrap_or_else(PoisonError::into_inner).push(self.channel.clone());
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if self.given_back {
            return;
        }
        if self.link.is_blocked() {
            // Not closed: the end of a channel goes in front of the frames that wait, and those on a closed channel end
            // the connection. This one shows when the alarm is over, and is replaced then.
            self.link.kept.lock().unwrap_or_else(PoisonError::into_inner).push(self.channel.clone());
        } else if self.sending && self.channel.status().connected() {
            self.link.shut();
        }
    }
}

/// Makes connections, one at a time, and throws them away.
#[derive(Debug)]
pub(crate) struct Client {
    settings: Settings,
    current: Mutex<Current>,
    /// How many attempts to connect have failed.
    failures: AtomicU64,
}

#[derive(Debug, Default)]
struct Current {
    link: Option<Arc<Link>>,
    failure: String,
}

impl Client {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, current: Mutex::default(), failures: AtomicU64::new(0) }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The connection to use now, a new one in place of one that has ended. Who waited while another attempt failed
    /// shares its failure: the relay decides when the broker is tried again.
    pub(crate) async fn link(&self) -> Result<Arc<Link>, String> {
        let before = self.failures.load(Ordering::Acquire);
        let mut current = self.current.lock().await;
        if let Some(link) = &current.link {
            if link.is_alive() && link.is_blocked() {
                return Err(BLOCKED.into());
            }
            if link.is_alive() && !link.stained.load(Ordering::Acquire) {
                return Ok(link.clone());
            }
            link.shut();
            current.link = None;
        }
        if self.failures.load(Ordering::Acquire) != before {
            return Err(current.failure.clone());
        }
        match Link::connect(&self.settings).await {
            Ok(link) => Ok(current.link.insert(Arc::new(link)).clone()),
            Err(e) => {
                self.failures.fetch_add(1, Ordering::AcqRel);
                current.failure.clone_from(&e);
                Err(e)
            }
        }
    }

    /// This connection is refused what it sends: with passwords that change, the next one may not be. It stays for those
    /// who send by it. Says whether another one is worth a try.
    pub(crate) async fn renew(&self, link: &Arc<Link>) -> bool {
        if self.settings.password.is_none() || link.since.elapsed() < YOUNG {
            return false;
        }
        _ = self.current.lock().await.link.take_if(|current| Arc::ptr_eq(current, link));
        true
    }

    /// A connection of the caller's own, which nobody else sends by.
    pub(crate) async fn own_link(&self) -> Result<Arc<Link>, String> {
        Link::connect(&self.settings).await.map(Arc::new)
    }

    pub(crate) async fn close(&self) {
        let link = self.current.lock().await.link.take();
        if let Some(link) = link {
            link.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_address_of_a_host_is_tried() {
        // On most machines it has two, and one of them listens.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let stream = dial("localhost", port, LAST).await.expect("connected");
        assert_eq!(stream.peer_addr().expect("connected").port(), port);
        drop((stream, listener));
        assert!(dial("localhost", port, LAST).await.is_err());
    }
}
