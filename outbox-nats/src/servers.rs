use std::sync::Once;

use async_nats::{ConnectOptions, ServerAddr, rustls};
use percent_encoding::percent_decode_str;

use crate::NatsConfigError;

/// The servers that the URLs name, without what is secret in them: the client prints URLs.
#[derive(Clone, Default)]
pub(crate) struct Servers {
    pub(crate) addresses: Vec<ServerAddr>,
    user: Option<(String, Option<String>)>,
}

impl Servers {
    pub(crate) fn parse(urls: &str) -> Result<Self, NatsConfigError> {
        let mut servers = Self::default();
        for (n, url) in urls.split(',').map(str::trim).filter(|url| !url.is_empty()).enumerate() {
            // Without the URL: a password may stand in it.
            let error = |what: &str| NatsConfigError::new(format!("the NATS URL number {} {what}", n + 1));
            let addr: ServerAddr =
                url.parse().map_err(|_| error("is not valid: give nats://host:4222 or tls://host:4222"))?;
            if addr.is_websocket() {
                return Err(error("is of a WebSocket: give nats:// or tls://"));
            }
            if let Some(user) = addr.username() {
                let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
                let user = (plain(user), addr.password().map(plain));
                if servers.user.as_ref().is_some_and(|other| *other != user) {
                    return Err(error("has another user or password than the ones before it: give the same in all"));
                }
                servers.user = Some(user);
            }
            let host = if addr.host().contains(':') { format!("[{}]", addr.host()) } else { addr.host().to_owned() };
            let plain = format!("{}://{host}:{}", addr.scheme(), addr.port());
            servers.addresses.push(plain.parse().map_err(|_| error("has no host"))?);
        }
        if servers.addresses.is_empty() {
            return Err(NatsConfigError::new(
                "no NATS server is named: give nats://host:4222, with commas between several",
            ));
        }
        Ok(servers)
    }

    /// The options with the credentials of the URLs.
    pub(crate) fn authorize(&self, options: ConnectOptions) -> ConnectOptions {
        match self.user.clone() {
            Some((user, Some(password))) => options.user_and_password(user, password),
            Some((token, None)) => options.token(token),
            None => options,
        }
    }
}

/// Where an application links two providers of cryptography, such as `ring` here and `aws-lc-rs` by an SDK of AWS,
/// rustls knows none to be the default, and the client panics at the first TLS connection: unless one was chosen.
pub(crate) fn choose_cryptography() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Fails where another thread has just chosen: then there is one.
            _ = rustls::crypto::ring::default_provider().install_default();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_taken_out_of_urls() {
        let servers = Servers::parse("nats://app:p%40ss@a, tls://b:1, c, nats://[::1]:5").expect("valid");
        let shown: Vec<&str> = servers.addresses.iter().map(|addr| addr.as_url_str()).collect();
        assert_eq!(shown, ["nats://a:4222", "tls://b:1", "nats://c:4222", "nats://[::1]:5"]);
        assert_eq!(servers.user, Some(("app".into(), Some("p@ss".into()))));
        let token = Servers::parse("nats://s3cr3t@a").expect("valid");
        assert_eq!(token.user, Some(("s3cr3t".into(), None)));
        for bad in ["nats://a:x@h,nats://b:x@h", "ws://a", "http://a", "nats://a:b:c", ",", "nats://"] {
            assert!(Servers::parse(bad).is_err(), "{bad}");
        }
    }
}
