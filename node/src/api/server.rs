//! Connections: accepted, limited, served, drained.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::patient::Patient;
use crate::config::Config;

/// How long to wait after accepting failed, which it does when file
/// descriptors run out.
const BREATH: Duration = Duration::from_millis(50);

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many connections.
    pub connections_max: u32,
    /// To send a request's head.
    pub read: Duration,
    /// To take something of what is written.
    pub write: Duration,
    /// To end, once the node stops.
    pub drain: Duration,
}

impl Limits {
    /// As configured.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let read = config.api.read_ms;
        // Beyond what WebSockets are given to read, and then to hear that they
        // were too slow.
        let write = read.max(config.api.slow_reader_ms.saturating_mul(3));
        Self {
            connections_max: config.api.connections_max,
            read: Duration::from_millis(read),
            write: Duration::from_millis(write),
            drain: Duration::from_millis(config.node.drain_ms),
        }
    }
}

/// Serves connections until `stopping`; then lets the requests that are under
/// way end, for `drain` at most.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stopping: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(
        usize::try_from(limits.connections_max).unwrap_or(usize::MAX >> 3),
    ));
    let mut connections = JoinSet::new();
    loop {
        // What waits for a permit waits in the system's queue.
        let permit = tokio::select! {
            () = stopping.cancelled() => break,
            permit = permits.clone().acquire_owned() => permit,
        };
        let accepted = tokio::select! {
            () = stopping.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer)) => {
                let (router, stopping) = (router.clone(), stopping.clone());
                connections.spawn(async move {
                    connection(stream, peer, router, limits, stopping).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, ended).await.is_err() {
        tracing::warn!("connections did not end in time");
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    stopping: CancellationToken,
) {
    // Answers are small and wanted now.
    let _ = stream.set_nodelay(true);
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.read);
    let stream = Patient::new(stream, limits.write);
    let served = http
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stopping.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection broke off");
    }
}
