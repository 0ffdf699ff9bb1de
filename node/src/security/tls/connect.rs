//! Connections that this node makes.

use std::{io, sync::Arc, time::Duration};

use rustls::{
    ClientConfig,
    client::{Resumption, danger::ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::ServerName,
    sign::SingleCertAndKey,
    version::TLS13,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use vsm_core::Name;

use super::{
    ALPN_JOIN, ALPN_PEER, Transport,
    fault::Fault,
    peer::Peer,
    verify::{Meant, Pinned},
};
use crate::security::join_token::JoinToken;

/// How long a connection may take, and then its handshake.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// This node is in no cluster.
    #[error("this node is in no cluster; join one with `vsm cluster join TOKEN`")]
    NoMember,
    /// The address makes no sense.
    #[error("{0:?} is no address; write HOST:PORT")]
    Address(String),
    /// Nobody answers.
    #[error("no node answers at {address}: {source}")]
    Unreachable {
        /// Where.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The handshake failed.
    #[error("the node at {address}: {fault}")]
    Handshake {
        /// Where.
        address: String,
        /// What is wrong.
        fault: Fault,
    },
    /// The parts of a handshake don't fit.
    #[error("this node's certificate can't be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// A connection to another node, over mutual TLS.
#[derive(Debug)]
pub struct PeerStream {
    /// The connection.
    pub stream: TlsStream<TcpStream>,
    /// Who is at the other end, as its certificate showed.
    pub peer: Peer,
}

/// Connects to a node of the cluster at `host:port` and checks that it is the
/// one that is meant, or any member when none is named.
///
/// With TLS 1.3 the other side may still refuse this node's certificate; the
/// first read fails then, and [`Fault::of`] names the reason.
///
/// # Errors
/// When nobody answers, or the other is not that node.
pub async fn connect(
    transport: &Transport,
    address: &str,
    node: Option<&Name>,
) -> Result<PeerStream, ConnectError> {
    let material = transport.material();
    let side = material.peer.as_ref().ok_or(ConnectError::NoMember)?;
    let verifier = Meant {
        judge: side.judge.clone(),
        node: node.cloned(),
    };
    let mut config = client(&transport.provider, Arc::new(verifier))?
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(side.key.clone())));
    config.alpn_protocols = vec![ALPN_PEER.to_vec()];
    let stream = shake(address, config).await?;
    let peer = transport.peer(stream.get_ref().1.peer_certificates());
    let peer = peer.map_err(|fault| ConnectError::Handshake {
        address: address.to_owned(),
        fault,
    })?;
    Ok(PeerStream { stream, peer })
}

/// Connects to one address of a join token, and checks that the authority that
/// the token names vouches for who answers.
///
/// # Errors
/// When nobody answers, or the authority does not vouch.
pub async fn connect_to_join(
    token: &JoinToken,
    address: &str,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Pinned {
        cluster: token.cluster.clone(),
        authority: token.authority,
        provider: provider.clone(),
    };
    let mut config = client(&provider, Arc::new(verifier))?.with_no_client_auth();
    config.alpn_protocols = vec![ALPN_JOIN.to_vec()];
    shake(address, config).await
}

fn client(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, rustls::Error> {
    Ok(ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier))
}

async fn shake(
    address: &str,
    mut config: ClientConfig,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    // Every connection is judged anew, and nobody on the way learns a name.
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    let malformed = || ConnectError::Address(address.to_owned());
    let (host, _) = address.rsplit_once(':').ok_or_else(malformed)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|_| malformed())?;
    let slow = || io::Error::from(io::ErrorKind::TimedOut);
    let stream = timeout(CONNECT, TcpStream::connect(address))
        .await
        .unwrap_or_else(|_| Err(slow()))
        .map_err(|source| ConnectError::Unreachable {
            address: address.to_owned(),
            source,
        })?;
    // Frames are small and wanted now.
    let _ = stream.set_nodelay(true);
    let connector = TlsConnector::from(Arc::new(config));
    let shaken = timeout(CONNECT, connector.connect(name, stream)).await;
    let fault = match shaken {
        Ok(Ok(stream)) => return Ok(stream),
        Ok(Err(error)) => Fault::of_handshake(&error),
        Err(_) => Fault::Slow,
    };
    Err(ConnectError::Handshake {
        address: address.to_owned(),
        fault,
    })
}
