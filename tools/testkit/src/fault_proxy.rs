use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::free_port;
use crate::link::{Link, Mode, State};

/// A TCP proxy on 127.0.0.1 whose connections fail on demand. Dropped, it resets them and is gone.
///
/// Exactly one fault is in force at a time: each call replaces the one before.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    state: watch::Sender<State>,
}

impl Proxy {
    /// A proxy in front of `upstream` (`127.0.0.1:5432`) on a free port.
    ///
    /// # Panics
    /// If it cannot listen.
    pub async fn start(upstream: impl Into<String>) -> Self {
        Self::start_on(free_port(), upstream).await
    }

    /// The same on a port of [`free_port`], for a server that must know it beforehand.
    ///
    /// # Panics
    /// If it cannot listen.
    pub async fn start_on(port: u16, upstream: impl Into<String>) -> Self {
        let listener = listen(port);
        let state = watch::Sender::new(State::default());
        tokio::spawn(serve(listener, port, upstream.into(), state.subscribe()));
        Self { port, state }
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Resets all connections; new ones are served, under the fault that is in force, if any.
    pub fn cut(&self) {
        self.state.send_modify(|s| s.cuts += 1);
    }

    /// Resets all connections, and refuses new ones until [`heal`](Self::heal). One that is made in the moment of the
    /// call may still be accepted, to be reset before a byte passes.
    pub fn refuse(&self) {
        self.state.send_modify(|s| (s.mode, s.cuts) = (Mode::Refuse, s.cuts + 1));
    }

    /// Every chunk of bytes arrives so much later, in both directions. A longer way, not a narrower one: chunks travel
    /// at the same time.
    pub fn delay(&self, by: Duration) {
        self.set(Mode::Delay(by));
    }

    /// Bytes are swallowed in both directions, and so are the ends of connections: neither side learns anything.
    pub fn black_hole(&self) {
        self.set(Mode::BlackHole);
    }

    /// What the server says is swallowed; requests still reach it.
    pub fn drop_replies(&self) {
        self.set(Mode::DropReplies);
    }

    /// Back to normal. Connections of which anything was swallowed are reset, the others go on.
    pub fn heal(&self) {
        self.state.send_modify(|s| (s.mode, s.heals) = (Mode::Pass, s.heals + 1));
    }

    fn set(&self, mode: Mode) {
        self.state.send_modify(|s| s.mode = mode);
    }
}

/// std sets SO_REUSEADDR, so that the port can be taken again while old connections linger.
fn listen(port: u16) -> TcpListener {
    let listener = StdListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = listener.unwrap_or_else(|e| panic!("the proxy cannot listen on port {port}: {e}"));
    listener.set_nonblocking(true).expect("a nonblocking listener");
    TcpListener::from_std(listener).expect("a listener in a runtime")
}

/// Accepts until the proxy is dropped. To refuse, it closes the listener: a client sees what a dead server shows.
async fn serve(listener: TcpListener, port: u16, upstream: String, mut state: watch::Receiver<State>) {
    let mut listener = Some(listener);
    loop {
        let refusing = state.borrow_and_update().mode == Mode::Refuse;
        if refusing {
            listener = None;
        }
        let open = match &listener {
            Some(open) => open,
            None if refusing => {
                if state.changed().await.is_err() {
                    return;
                }
                continue;
            }
            None => listener.insert(listen(port)),
        };
        tokio::select! {
            biased;
            changed = state.changed() => if changed.is_err() { return },
            accepted = open.accept() => if let Ok((client, _)) = accepted {
                tokio::spawn(connect(client, upstream.clone(), state.clone()));
            },
        }
    }
}

async fn connect(client: TcpStream, upstream: String, state: watch::Receiver<State>) {
    // What happens while the server accepts concerns this connection too.
    let born = *state.borrow();
    match TcpStream::connect(&upstream).await {
        Ok(server) => Link::new(born, state).carry(client, server).await,
        Err(_) => drop(client.set_zero_linger()),
    }
}
