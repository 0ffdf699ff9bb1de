//! What handshakes need: keys, certificates and who may come, ready for use.
//! Read at the start and again at SIGHUP, all of it or nothing.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};

use super::{ALPN_JOIN, ALPN_PEER, Settings, verify::Judge};
use crate::security::{
    key::NodeKey,
    membership::{Membership, MembershipError},
    revocation::{RevocationError, Revocations},
};

/// What the API's handshakes agree on.
const ALPN_HTTP: &[u8] = b"http/1.1";

/// Certificates and keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// A file of the API's certificate can't be read.
    #[error("{key}: {}: {why}", path.display())]
    File {
        /// Which key of the configuration names it.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Certificate and key are no pair, or of a kind that is not spoken.
    #[error("api.tls.certificate and api.tls.key can't be used together: {0}")]
    Pair(rustls::Error),
    /// The membership can't be used.
    #[error(transparent)]
    Membership(#[from] MembershipError),
    /// The revocation list can't be used.
    #[error(transparent)]
    Revocations(#[from] RevocationError),
    /// The node is in another cluster than configured.
    #[error(
        "cluster.name is {meant:?}, but this node is in the cluster {found:?}; correct cluster.name, or leave with `vsm cluster leave`"
    )]
    Cluster {
        /// What is configured.
        meant: String,
        /// What it is in.
        found: String,
    },
    /// The node is in no cluster.
    #[error(
        "cluster.name is {0:?}, but this node is in no cluster; found one with `vsm cluster create`, or join with `vsm cluster join TOKEN`"
    )]
    NoMember(String),
    /// The certificate is for another name.
    #[error(
        "node.name is {meant:?}, but this node's certificate is that of {found:?}; a member keeps its name"
    )]
    Name {
        /// What is configured.
        meant: String,
        /// What the certificate says.
        found: String,
    },
    /// The parts don't fit.
    #[error("the cluster's certificate can't be used: {0}")]
    Tls(#[from] rustls::Error),
    /// Client certificates can't be judged.
    #[error("the authority's certificate can't be used: {0}")]
    Authority(#[from] rustls::server::VerifierBuilderError),
}

/// What mutual TLS needs.
pub(super) struct PeerMaterial {
    pub(super) server: Arc<ServerConfig>,
    pub(super) judge: Arc<Judge>,
    pub(super) key: Arc<CertifiedKey>,
}

/// Everything that handshakes need.
pub(super) struct Material {
    pub(super) api: Option<Arc<ServerConfig>>,
    pub(super) peer: Option<PeerMaterial>,
    pub(super) joining: Option<Arc<ServerConfig>>,
    pub(super) membership: Option<Membership>,
    pub(super) revocations: Option<Arc<Revocations>>,
}

impl Material {
    /// Reads what a node has.
    pub(super) fn read(
        settings: &Settings,
        key: &NodeKey,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, MaterialError> {
        let membership = Membership::read(&settings.directory, &key.public())?;
        check(settings, membership.as_ref())?;
        let mut material = Self {
            api: None,
            peer: None,
            joining: None,
            membership: None,
            revocations: None,
        };
        if let Some(membership) = membership {
            material.cluster(settings, membership, key, provider)?;
        }
        if let Some((certificate, key)) = &settings.api {
            let pair = api_pair(certificate, key, provider)?;
            let versions = server(provider).with_safe_default_protocol_versions()?;
            material.api = Some(served(versions, Arc::new(pair)));
        }
        Ok(material)
    }

    fn cluster(
        &mut self,
        settings: &Settings,
        membership: Membership,
        key: &NodeKey,
        provider: &Arc<CryptoProvider>,
    ) -> Result<(), MaterialError> {
        let folder = Membership::folder(&settings.directory);
        let cluster = &membership.identity.cluster;
        let revocations = Revocations::read(&folder, cluster, &membership.authority)?;
        let revocations = Arc::new(revocations);
        let private = PrivatePkcs8KeyDer::from(key.pkcs8());
        let signing = provider
            .key_provider
            .load_private_key(PrivateKeyDer::Pkcs8(private))?;
        // With the authority's, so that a joining node can look for the one
        // that its token names.
        let chain = vec![membership.certificate.clone(), membership.authority.clone()];
        let pair = Arc::new(CertifiedKey::new(chain, signing));
        let mut roots = RootCertStore::empty();
        roots.add(membership.authority.clone())?;
        let roots = Arc::new(roots);
        let clients =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
        let judge = Arc::new(Judge {
            cluster: cluster.clone(),
            roots,
            revocations: revocations.clone(),
            provider: provider.clone(),
            clients,
        });
        let mut peer = server(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(judge.clone())
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair.clone())));
        peer.alpn_protocols = vec![ALPN_PEER.to_vec()];
        // A resumed session is not judged again: it would outlive a revocation.
        peer.session_storage = Arc::new(NoServerSessionStorage {});
        peer.send_tls13_tickets = 0;
        let mut joining = server(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair.clone())));
        joining.alpn_protocols = vec![ALPN_JOIN.to_vec()];
        joining.session_storage = Arc::new(NoServerSessionStorage {});
        joining.send_tls13_tickets = 0;
        // Clients that trust the authority need no other certificate; browsers
        // do, since they know no Ed25519.
        let versions = server(provider).with_safe_default_protocol_versions()?;
        self.api = Some(served(versions, pair.clone()));
        self.joining = Some(Arc::new(joining));
        self.peer = Some(PeerMaterial {
            server: Arc::new(peer),
            judge,
            key: pair,
        });
        self.revocations = Some(revocations);
        self.membership = Some(membership);
        Ok(())
    }

    /// Whether there is any certificate to show.
    pub(super) const fn speaks_tls(&self) -> bool {
        self.api.is_some()
    }
}

fn check(settings: &Settings, membership: Option<&Membership>) -> Result<(), MaterialError> {
    let meant = settings.cluster.to_string();
    let Some(found) = membership.map(|it| &it.identity) else {
        return match meant.is_empty() {
            true => Ok(()),
            false => Err(MaterialError::NoMember(meant)),
        };
    };
    if !meant.is_empty() && meant != *found.cluster {
        let found = found.cluster.to_string();
        return Err(MaterialError::Cluster { meant, found });
    }
    if settings.node != found.node {
        return Err(MaterialError::Name {
            meant: settings.node.to_string(),
            found: found.node.to_string(),
        });
    }
    Ok(())
}

/// The crypto provider is named in every configuration: a process may have
/// none installed, or another one.
fn server(provider: &Arc<CryptoProvider>) -> ConfigBuilder<ServerConfig, rustls::WantsVersions> {
    ServerConfig::builder_with_provider(provider.clone())
}

fn served(
    builder: ConfigBuilder<ServerConfig, WantsVerifier>,
    pair: Arc<CertifiedKey>,
) -> Arc<ServerConfig> {
    let mut config = builder
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    config.alpn_protocols = vec![ALPN_HTTP.to_vec()];
    Arc::new(config)
}

fn api_pair(
    certificate: &Path,
    key: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<CertifiedKey, MaterialError> {
    let failed = |name, path: &Path, why: String| MaterialError::File {
        key: name,
        path: path.to_owned(),
        why,
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(|error| failed("api.tls.certificate", certificate, error.to_string()));
    let chain = chain?;
    if chain.is_empty() {
        let why = "it holds no certificate; it must be PEM".to_owned();
        return Err(failed("api.tls.certificate", certificate, why));
    }
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| failed("api.tls.key", key, error.to_string()))?;
    CertifiedKey::from_der(chain, private, provider).map_err(MaterialError::Pair)
}
