use std::future::Future;
use std::time::Duration;

use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error;
use testcontainers::bollard::query_parameters as query;
use testcontainers::core::IntoContainerPort;
use testcontainers::core::client::docker_client_instance;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerRequest, GenericImage, ImageExt};

use crate::{engine, exec};

/// Every container carries this label, so that `cargo xtask` finds those that a killed test left behind.
const LABEL: (&str, &str) = ("outbox-test", "1");

/// A running container: removed with its data on drop, unless it is shared.
#[derive(Debug)]
pub(crate) struct Container {
    id: String,
    shared: bool,
}

impl Container {
    /// Starts the image with these ports, (outside, inside); without any it is in the host's network. Does not wait
    /// until it serves.
    pub(crate) async fn start(
        image: ContainerRequest<GenericImage>,
        name: Option<&'static str>,
        ports: &[(u16, u16)],
    ) -> Result<Self, String> {
        let mut image = image.with_label(LABEL.0, LABEL.1).with_startup_timeout(Duration::from_secs(120));
        image = image.with_label("outbox-test-pid", std::process::id().to_string());
        for (outside, inside) in ports {
            image = image.with_mapped_port(*outside, inside.tcp());
        }
        if let Some(name) = name {
            image = image.with_container_name(name);
        }
        let in_host_network = ports.is_empty();
        let image = image.with_host_config_modifier(move |host| {
            if in_host_network {
                host.network_mode = Some("host".into());
            }
            for binding in host.port_bindings.iter_mut().flat_map(|all| all.values_mut()).flatten().flatten() {
                binding.host_ip = Some("127.0.0.1".into());
            }
        });
        engine::run(async move {
            let started = image.start().await.map_err(|e| e.to_string())?;
            let id = started.id().to_owned();
            // It would be removed on the drop of a handle that belongs to the Docker runtime: `Drop` below does it.
            std::mem::forget(started);
            Ok(Self { id, shared: name.is_some() })
        })
        .await
    }

    /// The container of that name and its outside port if it runs; if it is dead it is removed.
    pub(crate) async fn find(name: &'static str) -> Option<(Self, u16)> {
        let found = engine::run(async move {
            let docker = client().await;
            let found = match docker.inspect_container(name, None::<query::InspectContainerOptions>).await {
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => return None,
                other => other.unwrap_or_else(|e| panic!("docker inspect {name}: {e}")),
            };
            let running = found.state.as_ref().and_then(|s| s.running) == Some(true);
            let port = found
                .host_config
                .as_ref()
                .and_then(|h| h.port_bindings.as_ref())
                .and_then(|all| all.values().flatten().flatten().find_map(|b| b.host_port.as_ref()?.parse().ok()));
            if let (Some(id), true, Some(port)) = (found.id, running, port) {
                return Some((Self { id, shared: true }, port));
            }
            remove(&docker, name).await;
            None
        });
        found.await
    }

    /// SIGKILL to all processes; returns when they are gone.
    pub(crate) async fn kill(&self) {
        self.call("kill", |docker, id| async move {
            docker.kill_container(&id, None::<query::KillContainerOptions>).await?;
            while is_running(&docker, &id).await? {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        })
        .await;
    }

    /// The stop signal, and SIGKILL only after a minute.
    pub(crate) async fn stop(&self) {
        let patience = query::StopContainerOptionsBuilder::new().t(60).build();
        self.call("stop", |docker, id| async move { docker.stop_container(&id, Some(patience)).await }).await;
    }

    /// Starts a stopped container again, with its data and ports. Does not wait until it serves.
    pub(crate) async fn start_again(&self) {
        self.call("start", |docker, id| async move {
            docker.start_container(&id, None::<query::StartContainerOptions>).await
        })
        .await;
    }

    pub(crate) async fn pause(&self) {
        self.call("pause", |docker, id| async move { docker.pause_container(&id).await }).await;
    }

    pub(crate) async fn unpause(&self) {
        self.call("unpause", |docker, id| async move { docker.unpause_container(&id).await }).await;
    }

    /// Runs a command in the container; its stdout, or a panic with its stderr.
    pub(crate) async fn exec(&self, argv: &[&str]) -> String {
        let (id, argv) = (self.id.clone(), argv.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>());
        let command = argv.join(" ");
        let (code, stdout, stderr) = engine::run(async move { exec::exec(&client().await, &id, argv).await })
            .await
            .unwrap_or_else(|e| panic!("docker exec {command}: {e}"));
        assert!(code == 0, "`{command}` in the container ended with {code}: {stderr}");
        stdout
    }

    /// The end of its log, if its process has ended.
    pub(crate) async fn log_if_ended(&self) -> Option<String> {
        let id = self.id.clone();
        let log = engine::run(async move {
            let docker = client().await;
            Ok(if is_running(&docker, &id).await? { None } else { Some(exec::log_tail(&docker, &id).await) })
        });
        log.await.unwrap_or_else(|e: Error| panic!("docker inspect: {e}"))
    }

    async fn call<F, Fut>(&self, what: &'static str, call: F)
    where
        F: FnOnce(Docker, String) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        assert!(!self.shared, "{what}: other tests use the shared server too; a test with faults takes its own()");
        let id = self.id.clone();
        let done = engine::run(async move { call(client().await, id).await });
        done.await.unwrap_or_else(|e| panic!("docker {what}: {e}"));
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if !self.shared {
            let id = self.id.clone();
            engine::run_blocking(async move { remove(&client().await, &id).await });
        }
    }
}

async fn client() -> Docker {
    docker_client_instance().await.unwrap_or_else(|e| panic!("the Docker client: {e}"))
}

async fn is_running(docker: &Docker, id: &str) -> Result<bool, Error> {
    let found = docker.inspect_container(id, None::<query::InspectContainerOptions>).await?;
    Ok(found.state.and_then(|s| s.running) == Some(true))
}

async fn remove(docker: &Docker, id: &str) {
    let options = query::RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    if let Err(e) = docker.remove_container(id, Some(options)).await {
        eprintln!("testkit: the container {id} could not be removed: {e}");
    }
}
