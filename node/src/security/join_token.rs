//! Join tokens: one text with which a new node finds its cluster, knows it
//! again, and is let in once.
//!
//! ```text
//!   vsmjoin_ base64url( version 1 · role · expiry, seconds u64 · authority's fingerprint 32
//!                     · secret 32 · cluster · one address or more · first 4 bytes of the BLAKE3 of all that )
//! ```
//!
//! Texts have their length before them, as a u16; numbers are big-endian. The
//! checksum finds slips of the hand. Who alters a token on purpose makes
//! another one: the authority keeps a digest of the whole and knows only what
//! it made.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use vsm_core::{Digest, Name, Timestamp};

use super::{identity::PeerRole, membership::Fingerprint};

/// What every join token begins with, so that people and scanners know one.
const PREFIX: &str = "vsmjoin_";
const VERSION: u8 = 1;
const CHECKSUM: usize = 4;
/// The most addresses in a token.
pub const ADDRESSES_MAX: usize = 8;
/// The longest address: a host's name, a colon and a port.
pub const ADDRESS_LEN_MAX: usize = 253 + 6;

/// A text is no join token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseJoinTokenError {
    /// It begins otherwise.
    #[error("a join token begins with vsmjoin_; `vsm cluster join-token` prints one")]
    Prefix,
    /// A character is missing or another.
    #[error("the join token is damaged: a part is missing or altered; copy it again as a whole")]
    Damaged,
    /// A later version's.
    #[error(
        "the join token has format {0}, this version reads 1; use the same version of vsm on both nodes"
    )]
    Version(u8),
}

/// A join token can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinTokenError {
    /// Nobody would know where to go.
    #[error(
        "a join token needs 1 to {ADDRESSES_MAX} addresses, not {0}; name them with --address HOST:PORT or set cluster.advertise"
    )]
    Addresses(usize),
    /// An address makes no sense.
    #[error("{0:?} is no address; write HOST:PORT")]
    Address(String),
}

/// What a join token says.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Which cluster.
    pub cluster: Name,
    /// Its authority.
    pub authority: Fingerprint,
    /// Where the authority's node is, `host:port`.
    pub addresses: Vec<String>,
    /// What the new node may do.
    pub role: PeerRole,
    /// From when on it is refused; whole seconds.
    pub expires: Timestamp,
    /// What nobody can guess.
    pub secret: [u8; 32],
}

impl JoinToken {
    /// Checks what a token is to say.
    ///
    /// # Errors
    /// When there are no addresses, or they make no sense.
    pub fn check(&self) -> Result<(), JoinTokenError> {
        if self.addresses.is_empty() || self.addresses.len() > ADDRESSES_MAX {
            return Err(JoinTokenError::Addresses(self.addresses.len()));
        }
        match self.addresses.iter().find(|it| !is_address(it)) {
            Some(address) => Err(JoinTokenError::Address(address.clone())),
            None => Ok(()),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![
            VERSION,
            match self.role {
                PeerRole::Member => 0,
                PeerRole::Auditor => 1,
            },
        ];
        bytes.extend((self.expires.0 / 1_000_000).to_be_bytes());
        bytes.extend(self.authority.0);
        bytes.extend(self.secret);
        let mut text = |text: &str| {
            // Names and addresses are shorter, see `check`.
            let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
            bytes.extend(len.to_be_bytes());
            bytes.extend(text.as_bytes());
        };
        text(&self.cluster);
        self.addresses.iter().for_each(|address| text(address));
        bytes
    }

    /// What the authority keeps of it.
    #[must_use]
    pub fn hash(&self) -> Digest {
        Digest::of(&self.bytes())
    }
}

/// Whether it is `HOST:PORT`.
#[must_use]
pub fn is_address(text: &str) -> bool {
    text.len() <= ADDRESS_LEN_MAX
        && text.rsplit_once(':').is_some_and(|(host, port)| {
            let host = host
                .strip_prefix('[')
                .and_then(|it| it.strip_suffix(']'))
                .unwrap_or(host);
            port.parse::<u16>().is_ok_and(|port| port > 0)
                && rustls::pki_types::ServerName::try_from(host).is_ok()
        })
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.bytes();
        let checksum = blake3::hash(&bytes);
        bytes.extend(&checksum.as_bytes()[..CHECKSUM]);
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// Without the secret: this is for logs.
impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("cluster", &self.cluster)
            .field("addresses", &self.addresses)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl FromStr for JoinToken {
    type Err = ParseJoinTokenError;

    fn from_str(text: &str) -> Result<Self, ParseJoinTokenError> {
        use ParseJoinTokenError as E;
        let text = text.trim().strip_prefix(PREFIX).ok_or(E::Prefix)?;
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| E::Damaged)?;
        let (bytes, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(E::Damaged)?;
        if blake3::hash(bytes).as_bytes()[..CHECKSUM] != checksum[..] {
            return Err(E::Damaged);
        }
        let mut rest = Rest(bytes);
        let [version] = rest.array()?;
        if version != VERSION {
            return Err(E::Version(version));
        }
        let role = match rest.array()? {
            [0] => PeerRole::Member,
            [1] => PeerRole::Auditor,
            [_] => return Err(E::Damaged),
        };
        let expires = u64::from_be_bytes(rest.array()?);
        let expires = Timestamp(expires.checked_mul(1_000_000).ok_or(E::Damaged)?);
        let authority = Fingerprint(rest.array()?);
        let secret = rest.array()?;
        let cluster = rest.text()?.parse().map_err(|_| E::Damaged)?;
        let mut addresses = Vec::new();
        while !rest.0.is_empty() {
            addresses.push(rest.text()?.to_owned());
        }
        let token = Self {
            cluster,
            authority,
            addresses,
            role,
            expires,
            secret,
        };
        token.check().map_err(|_| E::Damaged)?;
        Ok(token)
    }
}

/// What of a token's bytes is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], ParseJoinTokenError> {
        let (taken, rest) = self
            .0
            .split_first_chunk()
            .ok_or(ParseJoinTokenError::Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn text(&mut self) -> Result<&'a str, ParseJoinTokenError> {
        let len = usize::from(u16::from_be_bytes(self.array()?));
        let (text, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(ParseJoinTokenError::Damaged)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| ParseJoinTokenError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            cluster: "plant-a".parse().unwrap(),
            authority: Fingerprint([7; 32]),
            addresses: vec!["node-1.example:4000".into(), "[::1]:4001".into()],
            role: PeerRole::Auditor,
            expires: Timestamp(1_700_000_000_000_000),
            secret: [9; 32],
        }
    }

    #[test]
    fn a_token_is_read_as_written_and_every_slip_is_noticed() {
        let text = token().to_string();
        assert_eq!(text.parse(), Ok(token()));
        assert_eq!(format!(" {text}\n").parse(), Ok(token()));
        for at in PREFIX.len()..text.len() {
            let mut slipped = text.clone().into_bytes();
            slipped[at] = if slipped[at] == b'A' { b'B' } else { b'A' };
            let slipped = String::from_utf8(slipped).unwrap();
            let read = slipped.parse::<JoinToken>();
            assert_eq!(read, Err(ParseJoinTokenError::Damaged), "{at}");
            let short = text[..at].parse::<JoinToken>();
            assert_eq!(short, Err(ParseJoinTokenError::Damaged), "{at}");
        }
        assert_eq!(
            "vsm_x".parse::<JoinToken>(),
            Err(ParseJoinTokenError::Prefix)
        );
    }

    #[test]
    fn whatever_is_altered_changes_what_the_authority_knows() {
        let made = token();
        let mut altered = vec![made.clone(); 4];
        altered[0].expires = Timestamp(made.expires.0 + 1_000_000);
        altered[1].role = PeerRole::Member;
        altered[2].secret[0] ^= 1;
        altered[3].addresses.pop();
        for altered in altered {
            assert_ne!(altered.hash(), made.hash());
        }
    }

    #[test]
    fn addresses() {
        for (text, expect) in [
            ("127.0.0.1:4000", true),
            ("node-1:4000", true),
            ("[::1]:4000", true),
            ("node-1", false),
            ("node-1:0", false),
            ("node 1:4000", false),
            (":4000", false),
            ("http://node-1:4000", false),
        ] {
            assert_eq!(is_address(text), expect, "{text}");
        }
    }
}
