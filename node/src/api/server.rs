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

/// How long to wait after accepting failed, which it does when file
/// descriptors run out.
const BREATH: Duration = Duration::from_millis(50);

/// Serves connections until `stopping`; then lets the requests that are under
/// way end, for `drain` at most.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections_max: u32,
    read: Duration,
    stopping: CancellationToken,
    drain: Duration,
) {
    let permits = Arc::new(Semaphore::new(
        usize::try_from(connections_max).unwrap_or(usize::MAX >> 3),
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
                    connection(stream, peer, router, read, stopping).await;
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
    if tokio::time::timeout(drain, ended).await.is_err() {
        tracing::warn!("connections did not end in time");
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    read: Duration,
    stopping: CancellationToken,
) {
    // Answers are small and wanted now.
    let _ = stream.set_nodelay(true);
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(read);
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
