use std::fs::File;

use testcontainers::{ContainerRequest, GenericImage};

use crate::container::Container;
use crate::engine;

/// The container that all test processes use: the running one, or a new one, with its outside port. The machine-wide
/// lock is to be held until it serves, so that a second process neither starts another nor uses a half started one.
pub(crate) async fn container(
    name: &'static str,
    url_variable: &'static str,
    image: impl FnOnce() -> (ContainerRequest<GenericImage>, u16, u16),
) -> (Container, u16, File) {
    let lock = lock(name).await;
    engine::run(async move { engine::docker(url_variable).await }).await;
    if let Some((found, port)) = Container::find(name).await {
        return (found, port, lock);
    }
    let (image, outside, inside) = image();
    let started = Container::start(image, Some(name), &[(outside, inside)]).await;
    (started.unwrap_or_else(|e| panic!("the container {name} does not start: {e}")), outside, lock)
}

/// A container of the caller's own, with these ports (none: in the host's network); tried again with other ports if
/// somebody else took one meanwhile.
pub(crate) async fn own<P>(
    url_variable: &'static str,
    image: impl Fn() -> (ContainerRequest<GenericImage>, Vec<(u16, u16)>, P),
) -> (Container, P) {
    engine::run(async move { engine::docker(url_variable).await }).await;
    let mut why = String::new();
    for _ in 0..3 {
        let (image, ports, kept) = image();
        match Container::start(image, None, &ports).await {
            Ok(container) => return (container, kept),
            Err(e) if e.contains("port is already allocated") || e.contains("address already in use") => why = e,
            Err(e) => panic!("a container for {url_variable} does not start: {e}"),
        }
    }
    panic!("a container for {url_variable} does not start: {why}")
}

/// The image and tag of the environment variable, or the usual ones.
pub(crate) fn image(variable: &str, usual: (&str, &str)) -> GenericImage {
    let chosen = std::env::var(variable).ok();
    let (name, tag) = match &chosen {
        Some(image) => image.rsplit_once(':').unwrap_or((image, "latest")),
        None => usual,
    };
    GenericImage::new(name, tag)
}

/// Waits for the lock on a thread of its own: it may take as long as a server's start.
async fn lock(name: &str) -> File {
    let path = std::env::temp_dir().join(format!("{name}.lock"));
    let shown = path.display().to_string();
    let locked = tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        file.lock()?;
        Ok::<_, std::io::Error>(file)
    });
    locked.await.expect("the lock's thread").unwrap_or_else(|e| panic!("the lock {shown}: {e}"))
}
