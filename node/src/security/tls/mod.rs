//! TLS on the API's port, and between nodes.
//!
//! The crypto provider is ring: it builds with a C compiler alone, without
//! CMake or a bindings generator, on every target the node is built for, and
//! has all that is needed here (TLS 1.3, Ed25519, X25519). It is handed to
//! every configuration explicitly, so that a program that has the node as a
//! library may install whichever it likes.

mod accept;
mod connect;
mod fault;
mod handshakes;
mod material;
mod peer;
mod verify;

use std::{path::PathBuf, sync::Arc, time::Duration};

use parking_lot::RwLock;
use rustls::{crypto::CryptoProvider, pki_types::CertificateDer};
use tokio::sync::watch;
use vsm_core::{Name, Timestamp};

pub(crate) use self::accept::{Accepted, Patience};
pub use self::{
    connect::{ConnectError, PeerStream, connect, connect_to_join},
    fault::Fault,
    material::MaterialError,
    peer::{Arrival, Peer},
};
use self::{handshakes::Handshakes, material::Material};
use super::{identity::Identity, key::NodeKey, membership::Membership, revocation::Revocations};
use crate::config::Config;

/// What nodes agree on for the link between them.
pub const ALPN_PEER: &[u8] = b"vsm-peer/1";
/// What a node that wants to join asks for.
pub const ALPN_JOIN: &[u8] = b"vsm-join/1";

/// What of the configuration concerns handshakes.
struct Settings {
    directory: PathBuf,
    node: Name,
    cluster: String,
    api: Option<(PathBuf, PathBuf)>,
    required: bool,
    plain_everywhere: bool,
    handshake: Duration,
}

/// A node's side of every handshake.
pub struct Transport {
    settings: Settings,
    provider: Arc<CryptoProvider>,
    // Taken as a whole by each handshake, replaced as a whole by a reload.
    material: RwLock<Arc<Material>>,
    revocations: watch::Sender<Option<Arc<Revocations>>>,
    handshakes: Handshakes,
}

impl Transport {
    /// Reads the certificates that a configuration and the node's directory
    /// name.
    ///
    /// # Errors
    /// When they can't be used.
    pub fn read(config: &Config, key: &NodeKey) -> Result<Self, MaterialError> {
        let tls = &config.api.tls;
        let named = |path: &PathBuf| !path.as_os_str().is_empty();
        let settings = Settings {
            directory: config.node.data_dir.clone(),
            node: config.node.name.clone(),
            cluster: config.cluster.name.clone(),
            api: named(&tls.certificate).then(|| (tls.certificate.clone(), tls.key.clone())),
            required: tls.required,
            plain_everywhere: config.api.allow_insecure,
            handshake: Duration::from_millis(tls.handshake_ms),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let material = Material::read(&settings, key, &provider)?;
        let revocations = watch::Sender::new(material.revocations.clone());
        Ok(Self {
            settings,
            provider,
            material: RwLock::new(Arc::new(material)),
            revocations,
            handshakes: Handshakes::new(tls.handshakes_max),
        })
    }

    /// Reads certificates and the revocation list again. Connections that are
    /// open go on, but for those of nodes that are revoked now.
    ///
    /// # Errors
    /// When they can't be used; then all stays as it was.
    pub fn reload(&self, key: &NodeKey) -> Result<(), MaterialError> {
        let material = Material::read(&self.settings, key, &self.provider)?;
        let revocations = material.revocations.clone();
        *self.material.write() = Arc::new(material);
        self.revocations.send_replace(revocations);
        Ok(())
    }

    fn material(&self) -> Arc<Material> {
        self.material.read().clone()
    }

    /// Whether it has a certificate to show.
    #[must_use]
    pub fn speaks_tls(&self) -> bool {
        self.material().speaks_tls()
    }

    /// The node's membership of a cluster, if it has one.
    #[must_use]
    pub fn membership(&self) -> Option<Membership> {
        self.material().membership.clone()
    }

    /// Who is at the other end of a handshake that was judged.
    fn peer(&self, certificates: Option<&[CertificateDer<'_>]>) -> Result<Peer, Fault> {
        let shown = certificates.and_then(<[_]>::first).ok_or(Fault::Missing)?;
        let identity = Identity::of(shown).map_err(|error| Fault::Identity(error.to_string()))?;
        Ok(Peer {
            identity: Arc::new(identity),
            certificate: shown.clone().into_owned(),
            revocations: self.revocations.subscribe(),
        })
    }

    /// Whom a certificate names, if this node's authority ever signed it. It may
    /// have expired: what its key signed while it was good still counts.
    #[must_use]
    pub fn vouched(&self, certificate: &CertificateDer<'_>) -> Option<Identity> {
        let material = self.material();
        let judge = &material.peer.as_ref()?.judge;
        verify::expiry(certificate, &judge.roots, &self.provider)?;
        let identity = Identity::of(certificate).ok()?;
        let cluster = &material.membership.as_ref()?.identity.cluster;
        (identity.cluster == *cluster).then_some(identity)
    }

    /// Until when the node's certificate is valid, if it is in a cluster.
    #[must_use]
    pub fn expires(&self) -> Option<Timestamp> {
        let material = self.material();
        let membership = material.membership.as_ref()?;
        let judge = &material.peer.as_ref()?.judge;
        let at = verify::expiry(&membership.certificate, &judge.roots, &self.provider)?;
        Some(Timestamp(at.as_secs().saturating_mul(1_000_000)))
    }

    /// The latest revocation list, and whenever there is another.
    pub fn revocation_lists(&self) -> watch::Receiver<Option<Arc<Revocations>>> {
        self.revocations.subscribe()
    }

    /// The latest revocation list, if the node is in a cluster.
    #[must_use]
    pub fn revocations(&self) -> Option<Arc<Revocations>> {
        self.material().revocations.clone()
    }
}
