//! A node's membership of a cluster: its certificate and the authority's, in
//! one file.
//!
//! `cluster/membership.pem` in the node's directory holds the node's
//! certificate, then the authority's. There is no key in it: the certificate's
//! key is `node.key`. The folder is made beside its place and then renamed, and
//! the file is replaced as a whole, so that a node is a member or is not.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use sha2::{Digest as _, Sha256};

use super::{
    identity::{Identity, IdentityError},
    private_directory, write_private,
};

/// The folder in the node's directory.
pub(super) const FOLDER: &str = "cluster";
const FILE: &str = "membership.pem";
/// The authority's certificate alone, to be given to clients; the node does not
/// read it.
const FOR_CLIENTS: &str = "authority.pem";

/// What tells an authority from every other: the SHA-256 of its certificate,
/// which `openssl x509 -fingerprint -sha256` prints too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// That of a certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(Sha256::digest(certificate).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// A text is no fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint has 64 hexadecimal digits")]
pub struct ParseFingerprintError;

impl FromStr for Fingerprint {
    type Err = ParseFingerprintError;

    fn from_str(text: &str) -> Result<Self, ParseFingerprintError> {
        unhex(text).map(Self).ok_or(ParseFingerprintError)
    }
}

/// Bytes as hexadecimal digits.
#[must_use]
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// As many bytes as are wanted out of hexadecimal digits.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        let digit = |at: u8| char::from(at).to_digit(16);
        let value = digit(pair[0])? << 4 | digit(pair[1])?;
        *byte = u8::try_from(value).ok()?;
    }
    Some(bytes)
}

/// A certificate as PEM (RFC 7468).
#[must_use]
pub fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII: every place is a boundary.
        let (line, more) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// The membership can't be read, or is not this node's.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// A file can't be read or written.
    #[error("the cluster's file {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} holds no two certificates; put it back, or leave the cluster with `vsm cluster leave` and join again", .0.display())]
    Malformed(PathBuf),
    /// The certificate names no node.
    #[error("the certificate in {}: {source}", path.display())]
    Identity {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: IdentityError,
    },
    /// The certificate is for another key.
    #[error("the certificate in {} is for another key than node.key; put the node's own files back, or leave the cluster with `vsm cluster leave` and join again", .0.display())]
    Key(PathBuf),
    /// There is one already.
    #[error(
        "this node is in the cluster {0:?} already; to leave it, stop the node and use `vsm cluster leave`"
    )]
    Member(String),
}

/// A node's certificate, with the authority's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Who the node is.
    pub identity: Identity,
    /// Its certificate.
    pub certificate: CertificateDer<'static>,
    /// That of the authority that signed it.
    pub authority: CertificateDer<'static>,
}

impl Membership {
    /// Puts the two together, for a node with this key.
    ///
    /// # Errors
    /// When the certificate is none of a node, or another's.
    pub fn new(
        certificate: CertificateDer<'static>,
        authority: CertificateDer<'static>,
        key: &[u8; 32],
    ) -> Result<Self, MembershipError> {
        let path = Path::new(FILE).to_owned();
        let identity = match Identity::of(&certificate) {
            Ok(identity) => identity,
            Err(source) => return Err(MembershipError::Identity { path, source }),
        };
        if identity.key != *key {
            return Err(MembershipError::Key(path));
        }
        Ok(Self {
            identity,
            certificate,
            authority,
        })
    }

    /// The cluster's folder in a node's directory.
    #[must_use]
    pub fn folder(directory: &Path) -> PathBuf {
        directory.join(FOLDER)
    }

    /// Reads the membership of the node in `directory`, if it is a member;
    /// `key` is its public key.
    ///
    /// # Errors
    /// When it can't be read or is another node's.
    pub fn read(directory: &Path, key: &[u8; 32]) -> Result<Option<Self>, MembershipError> {
        let path = Self::folder(directory).join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(MembershipError::File { path, source }),
        };
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
        let Ok(Ok([certificate, authority])) =
            certificates.map(<[CertificateDer<'static>; 2]>::try_from)
        else {
            return Err(MembershipError::Malformed(path));
        };
        let read = Self::new(certificate, authority, key);
        read.map(Some).map_err(|error| match error {
            MembershipError::Identity { source, .. } => MembershipError::Identity { path, source },
            MembershipError::Key(_) => MembershipError::Key(path),
            other => other,
        })
    }

    /// Begins the membership of the node in `directory`: `fill` writes what
    /// else belongs into the folder. It is all there afterwards, or nothing is.
    ///
    /// # Errors
    /// When there is one, or `fill` fails, or the files can't be written.
    pub fn begin<E: From<MembershipError>>(
        &self,
        directory: &Path,
        fill: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let place = Self::folder(directory);
        let file = |path: &Path, source| {
            let path = path.to_owned();
            E::from(MembershipError::File { path, source })
        };
        if let Some(other) = Self::read(directory, &self.identity.key)? {
            return Err(MembershipError::Member(other.identity.cluster.to_string()).into());
        }
        let beside = directory.join(format!("{FOLDER}.writing"));
        // What an interrupted attempt left is nobody's.
        match fs::remove_dir_all(&beside) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(file(&beside, source));
            }
            _ => {}
        }
        private_directory(&beside).map_err(|source| file(&beside, source))?;
        self.write(&beside)?;
        let clients = beside.join(FOR_CLIENTS);
        write_private(&clients, pem(&self.authority).as_bytes())
            .map_err(|source| file(&clients, source))?;
        fill(&beside)?;
        fs::rename(&beside, &place).map_err(|source| file(&place, source))?;
        fs::File::open(directory)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| file(directory, source))
    }

    /// Replaces the certificate of a member, as a renewal does.
    ///
    /// # Errors
    /// When the file can't be written; it is then as it was.
    pub fn replace(&self, directory: &Path) -> Result<(), MembershipError> {
        self.write(&Self::folder(directory))
    }

    fn write(&self, folder: &Path) -> Result<(), MembershipError> {
        let path = folder.join(FILE);
        let text = pem(&self.certificate) + &pem(&self.authority);
        write_private(&path, text.as_bytes())
            .map_err(|source| MembershipError::File { path, source })
    }

    /// What tells the authority from every other.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_written() {
        let fingerprint = Fingerprint::of(&CertificateDer::from(vec![1, 2, 3]));
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        for text in ["", "zz", "é".repeat(32).as_str()] {
            assert_eq!(text.parse::<Fingerprint>(), Err(ParseFingerprintError));
        }
    }
}
