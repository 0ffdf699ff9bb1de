//! A cluster's authority: an Ed25519 key that signs the nodes' certificates
//! and the list of those that are revoked.
//!
//! `vsm cluster create` makes it in the directory of the founding node:
//!
//! ```text
//!   cluster/authority.key    its seed, 32 bytes; nobody else has it
//!   cluster/register.json    members, and join tokens that may still come
//!   cluster/membership.pem   the founding node's certificate, the authority's
//!   cluster/authority.pem    the latter alone, to be given to clients
//!   cluster/revoked.json     who is no longer good, signed
//! ```
//!
//! The authority is needed to let nodes join, to renew certificates and to
//! revoke; nodes that have certificates work without it. Keep a copy of
//! `cluster` where no node runs: whoever restores it on another node carries
//! on the authority there.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use ed25519_dalek::{Signer, SigningKey};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyIdMethod, KeyUsagePurpose, PKCS_ED25519, PublicKeyData, SanType, SerialNumber,
    SignatureAlgorithm, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use vsm_core::{Name, Timestamp};

use super::{
    identity::{PeerRole, key_of, uri},
    membership::Fingerprint,
    write_private,
};

/// The key's file in the cluster's folder.
const KEY: &str = "authority.key";
/// How long the authority's own certificate is valid: the life of a machine.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// Certificates are valid from so long ago on: the clocks of machines differ.
const CLOCKS_DIFFER: Duration = Duration::from_secs(300);
/// The most names and addresses in a certificate.
pub const HOSTS_MAX: usize = 16;

/// The authority can't be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file can't be read or written.
    #[error("the cluster's file {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key's file holds something else.
    #[error("the authority's key {} has {bytes} bytes, a key has 32; put the authority's key back", path.display())]
    Length {
        /// Which file.
        path: PathBuf,
        /// How long it is.
        bytes: usize,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Random(getrandom::Error),
    /// A name can't stand in a certificate.
    #[error(
        "{0:?} is neither a host's name nor an address; name hosts as in node-1.example or 10.0.0.1"
    )]
    Host(String),
    /// More names than a certificate may have.
    #[error("a certificate names at most {HOSTS_MAX} hosts, not {0}; name fewer")]
    Hosts(usize),
    /// The certificate can't be made.
    #[error("a certificate can't be made: {0}")]
    Certificate(rcgen::Error),
    /// The authority is elsewhere.
    #[error("there is no authority in {}; name the directory of the node that founded the cluster", .0.display())]
    Missing(PathBuf),
    /// The key and the certificate beside it are not one authority.
    #[error("the key in {} is not that of the authority's certificate beside it; put the authority's key back", .0.display())]
    Foreign(PathBuf),
}

/// A cluster's authority.
pub struct Authority {
    key: SigningKey,
    certificate: CertificateDer<'static>,
    cluster: Name,
}

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The node.
    pub node: &'a Name,
    /// What it may do in the cluster.
    pub role: PeerRole,
    /// Its Ed25519 key.
    pub key: [u8; 32],
    /// Hosts that it is reached as: names and addresses.
    pub hosts: &'a [String],
    /// From when on it is valid.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
}

/// A certificate that the authority signed.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// Its serial number.
    pub serial: [u8; 16],
}

/// A public key as rcgen takes it.
struct Public([u8; 32]);

impl PublicKeyData for Public {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

/// A key that signs, as rcgen takes it.
struct Signing<'a>(&'a SigningKey, [u8; 32]);

impl PublicKeyData for Signing<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.1
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl rcgen::SigningKey for Signing<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.0.sign(message).to_bytes().to_vec())
    }
}

impl Authority {
    /// A new authority, in memory.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn draw(cluster: Name, now: Timestamp) -> Result<Self, AuthorityError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(AuthorityError::Random)?;
        let key = SigningKey::from_bytes(&seed);
        let mut params = issuer(&cluster, &key);
        params.serial_number = Some(SerialNumber::from_slice(&serial()?));
        params.not_before = date_time_ymd(1970, 1, 1) + since_1970(before(now));
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970(after(now, AUTHORITY_LIFE));
        let signing = Signing(&key, key.verifying_key().to_bytes());
        let certificate = params
            .self_signed(&signing)
            .map_err(AuthorityError::Certificate)?
            .der()
            .clone();
        Ok(Self {
            key,
            certificate,
            cluster,
        })
    }

    /// Reads the authority in the folder `cluster` of a node's directory, if it
    /// is there; its certificate is that of the membership.
    ///
    /// # Errors
    /// When the key can't be read, or is another authority's.
    pub fn read(
        folder: &Path,
        cluster: &Name,
        certificate: &CertificateDer<'static>,
    ) -> Result<Option<Self>, AuthorityError> {
        let path = folder.join(KEY);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(AuthorityError::File { path, source }),
        };
        let seed: [u8; 32] = match bytes.try_into() {
            Ok(seed) => seed,
            Err(bytes) => {
                let bytes: Vec<u8> = bytes;
                return Err(AuthorityError::Length {
                    path,
                    bytes: bytes.len(),
                });
            }
        };
        let key = SigningKey::from_bytes(&seed);
        let own = key.verifying_key().to_bytes();
        if key_of(certificate) != Some(own) {
            return Err(AuthorityError::Foreign(path));
        }
        Ok(Some(Self {
            key,
            certificate: certificate.clone(),
            cluster: cluster.clone(),
        }))
    }

    /// Writes its key into a cluster's folder.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn write(&self, folder: &Path) -> Result<(), AuthorityError> {
        let path = folder.join(KEY);
        write_private(&path, &self.key.to_bytes())
            .map_err(|source| AuthorityError::File { path, source })
    }

    /// Its certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its cluster.
    #[must_use]
    pub const fn cluster(&self) -> &Name {
        &self.cluster
    }

    /// What tells it from every other.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    /// Signs bytes: the list of what is revoked.
    #[must_use]
    pub(super) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.key.sign(bytes).to_bytes()
    }

    /// Signs a node's certificate.
    ///
    /// # Errors
    /// When a host has no name that a certificate can carry.
    pub fn issue(&self, subject: &Subject<'_>) -> Result<Issued, AuthorityError> {
        let serial = serial()?;
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.distinguished_name = distinguished(subject.node);
        params.subject_alt_names = names(&self.cluster, subject)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.not_before = date_time_ymd(1970, 1, 1) + since_1970(before(subject.from));
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970(subject.until);
        let authority = issuer(&self.cluster, &self.key);
        let signing = Signing(&self.key, self.key.verifying_key().to_bytes());
        let certificate = params
            .signed_by(&Public(subject.key), &Issuer::new(authority, signing))
            .map_err(AuthorityError::Certificate)?
            .der()
            .clone();
        Ok(Issued {
            certificate,
            serial,
        })
    }
}

/// What the authority's own certificate says. Names, usages and the key's
/// identifier follow from cluster and key, so that an authority that was read
/// signs like the one that was made.
fn issuer(cluster: &Name, key: &SigningKey) -> CertificateParams {
    let identifier = Sha256::digest(key.verifying_key().to_bytes());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "vsm cluster");
    params
        .distinguished_name
        .push(DnType::CommonName, cluster.to_string());
    // It signs nodes, no further authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.key_identifier_method = KeyIdMethod::PreSpecified(identifier[..20].to_vec());
    params
}

fn distinguished(node: &Name) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, node.to_string());
    name
}

fn names(cluster: &Name, subject: &Subject<'_>) -> Result<Vec<SanType>, AuthorityError> {
    if subject.hosts.len() > HOSTS_MAX {
        return Err(AuthorityError::Hosts(subject.hosts.len()));
    }
    let own = uri(cluster, subject.node, subject.role);
    let own = own.try_into().map_err(AuthorityError::Certificate)?;
    let mut names = vec![SanType::URI(own)];
    for host in subject.hosts {
        names.push(match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(dns_name(host)?),
        });
    }
    Ok(names)
}

fn dns_name(host: &str) -> Result<rcgen::string::Ia5String, AuthorityError> {
    let refused = || AuthorityError::Host(host.to_owned());
    // A wildcard would speak for hosts that nobody asked about.
    rustls::pki_types::DnsName::try_from(host).map_err(|_| refused())?;
    host.to_owned().try_into().map_err(|_| refused())
}

/// A serial number of 127 random bits; RFC 5280 wants it positive.
fn serial() -> Result<[u8; 16], AuthorityError> {
    let mut serial = [0; 16];
    getrandom::fill(&mut serial).map_err(AuthorityError::Random)?;
    // Neither negative nor with a leading zero, which encodings drop.
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

fn before(now: Timestamp) -> Timestamp {
    let micros = u64::try_from(CLOCKS_DIFFER.as_micros()).unwrap_or(u64::MAX);
    Timestamp(now.0.saturating_sub(micros))
}

pub(super) fn after(now: Timestamp, span: Duration) -> Timestamp {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    Timestamp(now.0.saturating_add(micros))
}

/// Since 1970, to the second, as certificates have it; ends with the year 9999,
/// as they do.
fn since_1970(at: Timestamp) -> Duration {
    const LAST: u64 = 253_402_300_799;
    Duration::from_secs((at.0 / 1_000_000).min(LAST))
}
