//! Judging the certificates of other nodes.
//!
//! webpki checks the signature, the time and the usage; here comes what only a
//! cluster knows: that the certificate names a node of this cluster, the one
//! that was meant, and that its key is not revoked. Hosts' names play no part
//! between nodes: an address may change, a node's name does not.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use vsm_core::Name;

use crate::security::{
    identity::{Identity, IdentityError},
    membership::Fingerprint,
    revocation::Revocations,
};

/// Why a node's certificate is refused, beyond what webpki says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Objection {
    /// It is none of a node.
    #[error(transparent)]
    NoNode(IdentityError),
    /// It is another cluster's.
    #[error("it is of the cluster {0:?}")]
    Cluster(String),
    /// It is another node's.
    #[error("it is that of {found:?}, and {meant:?} was meant")]
    Node {
        /// Who was meant.
        meant: String,
        /// Who answered.
        found: String,
    },
}

impl From<Objection> for Error {
    fn from(objection: Objection) -> Self {
        let other = OtherError(Arc::new(objection));
        Self::InvalidCertificate(CertificateError::Other(other))
    }
}

/// Judges nodes' certificates, in both directions.
pub(super) struct Judge {
    pub(super) cluster: Name,
    pub(super) roots: Arc<RootCertStore>,
    pub(super) revocations: Arc<Revocations>,
    pub(super) provider: Arc<CryptoProvider>,
    /// What webpki checks of clients.
    pub(super) clients: Arc<dyn ClientCertVerifier>,
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl Judge {
    fn member(&self, certificate: &CertificateDer<'_>) -> Result<Identity, Error> {
        let identity = Identity::of(certificate).map_err(Objection::NoNode)?;
        if identity.cluster != self.cluster {
            return Err(Objection::Cluster(identity.cluster.to_string()).into());
        }
        match self.revocations.revoked(&identity.key) {
            Some(_) => Err(Error::InvalidCertificate(CertificateError::Revoked)),
            None => Ok(identity),
        }
    }
}

impl ClientCertVerifier for Judge {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.clients.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .clients
            .verify_client_cert(certificate, intermediates, now)?;
        self.member(certificate)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.clients.supported_verify_schemes()
    }
}

/// Judges the node at the other end of a connection that this one made.
#[derive(Debug)]
pub(super) struct Meant {
    pub(super) judge: Arc<Judge>,
    /// Which node; any member when none is named.
    pub(super) node: Option<Name>,
}

impl ServerCertVerifier for Meant {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judge = &self.judge;
        signed_by(
            &judge.roots,
            &judge.provider,
            certificate,
            intermediates,
            now,
        )?;
        let found = judge.member(certificate)?.node;
        match &self.node {
            Some(meant) if *meant != found => Err(Objection::Node {
                meant: meant.to_string(),
                found: found.to_string(),
            }
            .into()),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.judge.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.judge.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = &self.judge.provider;
        provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Judges the authority's node before this one is a member: the chain must end
/// in the authority that the join token names.
#[derive(Debug)]
pub(super) struct Pinned {
    pub(super) cluster: Name,
    pub(super) authority: Fingerprint,
    pub(super) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = intermediates
            .iter()
            .find(|it| Fingerprint::of(it) == self.authority)
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        signed_by(&roots, &self.provider, certificate, &[], now)?;
        let identity = Identity::of(certificate).map_err(Objection::NoNode)?;
        if identity.cluster != self.cluster {
            return Err(Objection::Cluster(identity.cluster.to_string()).into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// The chain, the time and that it may be a server's.
fn signed_by(
    roots: &RootCertStore,
    provider: &CryptoProvider,
    certificate: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), Error> {
    let certificate = ParsedCertificate::try_from(certificate)?;
    let algorithms = provider.signature_verification_algorithms.all;
    verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, algorithms)
}

/// Until when a certificate is valid. webpki tells a certificate's times only
/// when it refuses it, so it is asked about the end of time.
pub(super) fn expiry(
    certificate: &CertificateDer<'_>,
    roots: &RootCertStore,
    provider: &CryptoProvider,
) -> Option<UnixTime> {
    let far = UnixTime::since_unix_epoch(std::time::Duration::from_secs(253_402_300_799));
    match signed_by(roots, provider, certificate, &[], far) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some(not_after)
        }
        _ => None,
    }
}
