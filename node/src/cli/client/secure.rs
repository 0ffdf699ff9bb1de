//! TLS for subcommands: `--server https://…` with `--ca FILE`.
//!
//! The file names whom to believe; the system's authorities play no part, since
//! a cluster has its own.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;

use super::ExitError;
use crate::security::tls::Fault;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A connection to a node.
pub type Line = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Whom to believe, and by which name.
#[derive(Clone, Debug)]
pub(super) struct Secure {
    config: Arc<ClientConfig>,
    host: ServerName<'static>,
}

impl Secure {
    /// Believes the authorities in a file about a host.
    pub(super) fn new(host: &str, file: Option<&Path>) -> anyhow::Result<Self> {
        let usage = |why: String| anyhow!(ExitError::usage(why));
        let file = file.ok_or_else(|| {
            usage("https needs --ca FILE (VSM_CA): the certificate of the node's authority, for a cluster the file cluster/authority.pem of any member".into())
        })?;
        let refused = |why: String| usage(format!("--ca {}: {why}", file.display()));
        let certificates = CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| refused(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates {
            roots
                .add(certificate)
                .map_err(|error| refused(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(refused("it holds no certificate; it must be PEM".into()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let host = ServerName::try_from(bare.to_owned())
            .map_err(|_| usage(format!("--server: {host:?} is no host")))?;
        Ok(Self {
            config: Arc::new(config),
            host,
        })
    }

    /// Shakes hands.
    pub(super) async fn shake(&self, stream: TcpStream) -> anyhow::Result<Line> {
        let connector = TlsConnector::from(self.config.clone());
        let shaken = timeout(HANDSHAKE, connector.connect(self.host.clone(), stream)).await;
        let stream = shaken.context("the handshake took too long")?;
        let stream = stream.map_err(|error| match Fault::of(&error) {
            Some(fault) => anyhow!(fault)
                .context("the node's certificate is not believed; check --server and --ca"),
            None => anyhow!(error).context("the handshake broke off; does the node speak TLS?"),
        })?;
        Ok(Either::Right(Box::new(stream)))
    }
}
