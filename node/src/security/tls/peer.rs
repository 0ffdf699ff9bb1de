//! How a connection came, and which node is at its other end.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use tokio::sync::watch;

use crate::security::{identity::Identity, revocation::Revocations};

/// How a request's connection came: an extension of every request that came
/// over the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Without TLS.
    Plain,
    /// Over TLS, as browsers and clients do.
    Tls,
    /// Over TLS, from a node that wants to join: it knows the authority, and
    /// nobody knows it.
    Joining,
    /// Over mutual TLS, from a node; the request also has a [`Peer`].
    Peer,
}

impl Arrival {
    /// Whether nobody on the way could read along.
    #[must_use]
    pub const fn is_private(self) -> bool {
        !matches!(self, Self::Plain)
    }
}

/// The node that a request comes from, as its certificate showed: an extension
/// of requests over mutual TLS, and of no others.
#[derive(Clone, Debug)]
pub struct Peer {
    pub(super) identity: Arc<Identity>,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) revocations: watch::Receiver<Option<Arc<Revocations>>>,
}

impl Peer {
    /// Name, key, role and the certificate's serial number.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The certificate that it showed.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Waits until the node is revoked: whoever keeps a connection open for
    /// long ends it then.
    pub async fn revoked(&self) {
        let mut lists = self.revocations.clone();
        let named = |list: &Option<Arc<Revocations>>| {
            list.as_ref()
                .is_some_and(|it| it.revoked(&self.identity.key).is_some())
        };
        if lists.wait_for(named).await.is_err() {
            // The node that judges is gone, and its connections with it.
            std::future::pending::<()>().await;
        }
    }
}
