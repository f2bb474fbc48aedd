use std::collections::HashSet;
use std::net::TcpListener;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Uuid;

/// Below the ports that the system hands to outgoing connections: one of those could take the port of a server that is
/// down for a moment.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// A port on 127.0.0.1 that nobody listens on and that this process was not given before.
///
/// # Panics
/// If a thousand tries find none.
#[must_use]
pub fn free_port() -> u16 {
    static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..1000 {
        let chance = u64::from_le_bytes(random());
        let port = PORTS.start + (chance % u64::from(PORTS.end - PORTS.start)) as u16;
        if !given.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            given.insert(port);
            return port;
        }
    }
    panic!("no free port in {PORTS:?}")
}

/// A name that no other test uses, and from which [`age`] tells when it was made.
pub(crate) fn unique(prefix: &str, separator: char) -> String {
    let made = since_epoch().as_secs();
    format!("{prefix}{separator}{made:x}{separator}{:012x}", u64::from_le_bytes(random()) >> 16)
}

/// How long ago [`unique`] made this name; `None` for a name it did not make.
pub(crate) fn age(name: &str, separator: char) -> Option<Duration> {
    let mut parts = name.rsplit(separator);
    let (chance, made) = (parts.next()?, parts.next()?);
    parts.next()?;
    let hex = |text: &str, len: usize| u64::from_str_radix(text, 16).ok().filter(|_| text.len() == len);
    hex(chance, 12)?;
    Some(since_epoch().saturating_sub(Duration::from_secs(hex(made, 8)?)))
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970")
}

fn random() -> [u8; 8] {
    let id = *Uuid::new_v4().as_bytes();
    // The version and variant bits stand in the middle.
    [id[0], id[1], id[2], id[3], id[12], id[13], id[14], id[15]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_age() {
        let name = unique("orders_x", '_');
        assert!(age(&name, '_').unwrap() < Duration::from_secs(5), "{name}");
        assert!(age("t_0000ffff_00000000000a", '_').unwrap() > Duration::from_secs(1_000_000));
        assert_eq!(age("postgres", '_'), None);
        assert_eq!(age("__consumer_offsets", '_'), None);
        assert_eq!(age("a_00000000000a", '_'), None);
    }

    #[test]
    fn ports_differ() {
        let ports: HashSet<u16> = (0..50).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 50);
    }
}
