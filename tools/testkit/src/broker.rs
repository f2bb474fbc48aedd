use futures_util::future::BoxFuture;
use testcontainers::{ContainerRequest, GenericImage};
use tokio::sync::OnceCell;

use crate::handle::{Handle, Recipe};
use crate::{free_port, shared};

/// One kind of broker: how to find or start it.
#[derive(Debug)]
pub(crate) struct BrokerKind {
    /// Of the shared container, and of its lock.
    pub(crate) name: &'static str,
    pub(crate) url_variable: &'static str,
    pub(crate) image_variable: &'static str,
    pub(crate) usual_image: (&'static str, &'static str),
    /// Inside the container.
    pub(crate) port: u16,
    /// Where clients find it on 127.0.0.1.
    pub(crate) url_at: fn(u16) -> String,
    /// The image with its settings; with a port to listen on, in the host's network, instead of the usual one.
    pub(crate) image: fn(GenericImage, Option<u16>) -> ContainerRequest<GenericImage>,
    /// Whether it answers at this URL.
    pub(crate) answers: fn(String) -> BoxFuture<'static, Result<(), String>>,
    /// The shared broker's URL, and whether it is our container.
    pub(crate) shared: OnceCell<(String, bool)>,
}

impl BrokerKind {
    fn image(&self, port: Option<u16>) -> ContainerRequest<GenericImage> {
        (self.image)(shared::image(self.image_variable, self.usual_image), port)
    }

    /// A container of the caller's own in the host's network, without Docker's proxy in between: for benchmarks.
    pub(crate) async fn own_on_host(&'static self) -> Handle {
        let (container, port) = shared::own(self.url_variable, || {
            let port = free_port();
            (self.image(Some(port)), vec![], port)
        })
        .await;
        Handle::started(self, self.url_at(port), port, container).await
    }
}

impl Recipe for BrokerKind {
    fn name(&self) -> &'static str {
        self.name
    }

    fn url_variable(&self) -> &'static str {
        self.url_variable
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn url_at(&self, port: u16) -> String {
        (self.url_at)(port)
    }

    fn shared_image(&self) -> ContainerRequest<GenericImage> {
        self.image(None)
    }

    fn own_image(&self) -> ContainerRequest<GenericImage> {
        self.image(None)
    }

    fn answers(&self, url: String) -> BoxFuture<'static, Result<(), String>> {
        (self.answers)(url)
    }

    fn found(&self) -> &OnceCell<(String, bool)> {
        &self.shared
    }
}
