//! Connections: accepted, limited, served, drained.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderValue, Request, header},
    response::IntoResponse,
};
use hyper::{body::Incoming, service::Service};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    Shared,
    problem::{Kind, Problem},
};
use crate::{
    config::Config,
    security::tls::{Accepted, Arrival, Patience, Peer},
};

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
    api: Shared,
    limits: Limits,
    stopping: CancellationToken,
) {
    let router = super::router(api.clone());
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
                let (api, router) = (api.clone(), router.clone());
                let stopping = stopping.clone();
                connections.spawn(async move {
                    connection(stream, peer, (&api, router), limits, stopping).await;
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
    (api, router): (&Shared, Router),
    limits: Limits,
    stopping: CancellationToken,
) {
    // Answers are small and wanted now.
    let _ = stream.set_nodelay(true);
    let patience = Patience {
        first: limits.read,
        write: limits.write,
    };
    let accepted = tokio::select! {
        accepted = api.transport.accept(stream, patience) => accepted,
        () = stopping.cancelled() => return,
    };
    let served = match accepted {
        Ok(None) => return,
        Ok(Some(Accepted::Plain(line))) => {
            let way = Way::new(router, Arrival::Plain, None);
            serve_on(line, way, limits, stopping).await
        }
        Ok(Some(Accepted::Bare(line))) => {
            let mut way = Way::new(router, Arrival::Plain, None);
            way.refused = true;
            serve_on(line, way, limits, stopping).await
        }
        Ok(Some(Accepted::Tls(line, arrival, None))) => {
            let way = Way::new(router, arrival, None);
            serve_on(*line, way, limits, stopping).await
        }
        Ok(Some(Accepted::Tls(line, arrival, Some(node)))) => {
            let way = Way::new(router, arrival, Some(node.clone()));
            tokio::select! {
                served = serve_on(*line, way, limits, stopping) => served,
                () = node.revoked() => {
                    tracing::warn!(%peer, node = %node.identity().node, "cut off a node that was revoked");
                    return;
                }
            }
        }
        Err(fault) => {
            tracing::info!(%peer, %fault, "a handshake was refused");
            return;
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, %error, "a connection broke off");
    }
}

async fn serve_on(
    line: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    way: Way,
    limits: Limits,
    stopping: CancellationToken,
) -> hyper::Result<()> {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.read);
    let serve = hyper::service::service_fn(move |request| {
        let way = way.clone();
        async move { way.answer(request).await }
    });
    let served = http
        .serve_connection(TokioIo::new(line), serve)
        .with_upgrades();
    let mut served = std::pin::pin!(served);
    tokio::select! {
        ended = served.as_mut() => ended,
        () = stopping.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    }
}

/// What requests of one connection have in common.
#[derive(Clone)]
struct Way {
    router: TowerToHyperService<Router>,
    arrival: Arrival,
    peer: Option<Peer>,
    /// In plain text where that is not permitted: every answer says so.
    refused: bool,
}

impl Way {
    fn new(router: Router, arrival: Arrival, peer: Option<Peer>) -> Self {
        Self {
            router: TowerToHyperService::new(router),
            arrival,
            peer,
            refused: false,
        }
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<axum::response::Response, Infallible> {
        if self.refused {
            let detail =
                "this port speaks TLS: use https://, with the authority of its certificate";
            let mut response = Problem::new(Kind::TlsRequired, detail).into_response();
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            return Ok(response);
        }
        let extensions = request.extensions_mut();
        extensions.insert(self.arrival);
        if let Some(peer) = &self.peer {
            extensions.insert(peer.clone());
        }
        self.router.call(request).await
    }
}
