//! Connections as they come: plain or TLS, and for whom.
//!
//! ```text
//!   first byte 0x16 ──► ClientHello's ALPN ──► vsm-peer/1   cluster certificate, and one is required
//!        │                                ├──► vsm-join/1   cluster certificate
//!        │                                └──► otherwise    the API's certificate
//!        └ otherwise ──► plain HTTP, where that is permitted
//! ```
//!
//! A request begins with a letter, a TLS record with the byte 0x16: the first
//! byte decides.

use std::time::Duration;

use rustls::server::{Acceptor, ClientHello};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use super::{
    ALPN_JOIN, ALPN_PEER, Transport,
    fault::Fault,
    material::Material,
    peer::{Arrival, Peer},
};
use crate::api::patient::Patient;

/// What a TLS handshake begins with (RFC 8446, 5.1).
const HANDSHAKE: u8 = 0x16;

/// A TCP connection that gives up when nothing it writes is taken. TLS is on
/// top, so that its own records are under the same limit.
pub(crate) type Line = Patient<TcpStream>;

/// A connection that can be served.
pub(crate) enum Accepted {
    /// As it is.
    Plain(Line),
    /// Without TLS, where that is not permitted.
    Bare(Line),
    /// Over TLS.
    Tls(Box<TlsStream<Line>>, Arrival, Option<Peer>),
}

/// How long a connection may take with what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// To send its first byte.
    pub(crate) first: Duration,
    /// To take something of what is written.
    pub(crate) write: Duration,
}

impl Transport {
    /// Finds out how a connection comes, and shakes hands. `None` when it went
    /// before it said anything.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
        patience: Patience,
    ) -> Result<Option<Accepted>, Fault> {
        let material = self.material();
        let local = stream
            .local_addr()
            .is_ok_and(|it| it.ip().to_canonical().is_loopback());
        let plain_is_fine = !self.settings.required && (local || self.settings.plain_everywhere);
        if !material.speaks_tls() {
            let line = Patient::new(stream, patience.write);
            return Ok(Some(match plain_is_fine {
                true => Accepted::Plain(line),
                false => Accepted::Bare(line),
            }));
        }
        let mut first = [0];
        let first = match timeout(patience.first, stream.peek(&mut first)).await {
            Ok(Ok(1)) => first[0],
            _ => return Ok(None),
        };
        let line = Patient::new(stream, patience.write);
        if first != HANDSHAKE {
            return Ok(Some(match plain_is_fine {
                true => Accepted::Plain(line),
                false => Accepted::Bare(line),
            }));
        }
        let place = self.handshakes.begin();
        let shaking = timeout(self.settings.handshake, self.shake(line, &material));
        let accepted = tokio::select! {
            shaken = shaking => shaken.unwrap_or(Err(Fault::Slow))?,
            () = place.lost() => return Err(Fault::Crowded),
        };
        Ok(Some(accepted))
    }

    async fn shake(&self, line: Line, material: &Material) -> Result<Accepted, Fault> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), line)
            .await
            .map_err(|error| Fault::of_handshake(&error))?;
        let wants = wanted(&start.client_hello());
        let config = match wants {
            Arrival::Peer => material.peer.as_ref().map(|it| it.server.clone()),
            Arrival::Joining => material.joining.clone(),
            Arrival::Tls | Arrival::Plain => material.api.clone(),
        };
        let config = config.ok_or(Fault::Protocol(
            "this node is in no cluster, and has no certificate for the API".into(),
        ))?;
        let stream = start
            .into_stream(config)
            .await
            .map_err(|error| Fault::of_handshake(&error))?;
        let peer = match wants {
            Arrival::Peer => Some(self.peer(stream.get_ref().1.peer_certificates())?),
            _ => None,
        };
        Ok(Accepted::Tls(Box::new(stream), wants, peer))
    }
}

/// What the client wants to speak.
fn wanted(hello: &ClientHello<'_>) -> Arrival {
    let offers = |name: &[u8]| {
        hello
            .alpn()
            .is_some_and(|mut offered| offered.any(|it| it == name))
    };
    if offers(ALPN_PEER) {
        Arrival::Peer
    } else if offers(ALPN_JOIN) {
        Arrival::Joining
    } else {
        Arrival::Tls
    }
}
