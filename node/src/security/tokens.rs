//! Tokens: who is on the other end of a connection.
//!
//! A token is 32 random bytes as text. The file `tokens.json` in the node's
//! directory keeps the BLAKE3 digest of each, never the token.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use vsm_core::{Digest, Name, Timestamp};

use super::{Principal, Role, write_private};
use crate::telemetry::time::Rfc3339;

/// The file's name in the node's directory.
pub const FILE: &str = "tokens.json";
/// Whoever changes the file holds a lock on this one.
const LOCK: &str = "tokens.lock";
/// What every token starts with, so that people and scanners know one.
const PREFIX: &str = "vsm_";
/// Principals without a token: the node itself, and everybody where none are
/// needed. On the log nobody else must look like them.
const RESERVED: [&str; 2] = ["node", "anonymous"];
/// The most tokens of a node.
const TOKENS_MAX: usize = 10_000;

/// What the file keeps of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its principal's name.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// The digest of the token.
    pub hash: Digest,
    /// When it was made.
    pub created: Rfc3339,
    /// From when on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Rfc3339>,
}

/// The tokens of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// All of them.
    pub tokens: Vec<Entry>,
}

/// Tokens can't be read, written or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file can't be read or written.
    #[error("the token file {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no token file.
    #[error("the token file {}: {source}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness: {0}")]
    Random(getrandom::Error),
    /// There is one of that name.
    #[error("there is a token named {0:?}; revoke it first or choose another name")]
    NameTaken(String),
    /// Nobody may be called that.
    #[error("{0:?} is what the log calls somebody without a token; choose another name")]
    NameReserved(String),
    /// There is none of that name.
    #[error("there is no token named {0:?}; `vsm token list` shows them")]
    Unknown(String),
    /// There are as many as there may be.
    #[error("there are {TOKENS_MAX} tokens, the most there may be; revoke some")]
    Full,
}

impl Tokens {
    /// Reads the tokens of the node in `directory`; none when it has no file.
    ///
    /// # Errors
    /// When the file can't be read or is none.
    pub fn read(directory: &Path) -> Result<Self, TokenError> {
        let path = directory.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(TokenError::File { path, source }),
        };
        serde_json::from_slice(&text).map_err(|source| TokenError::Malformed { path, source })
    }

    /// Writes the tokens of the node in `directory`.
    ///
    /// # Errors
    /// When the file can't be written; it is then as it was.
    pub fn write(&self, directory: &Path) -> Result<(), TokenError> {
        let path = directory.join(FILE);
        let text = serde_json::to_vec_pretty(self).map_err(|source| TokenError::Malformed {
            path: path.clone(),
            source,
        })?;
        write_private(&path, &text).map_err(|source| TokenError::File { path, source })
    }

    /// Reads the tokens of the node in `directory`, changes and writes them,
    /// while nobody else does.
    ///
    /// # Errors
    /// When the file can't be read or written, or the change fails; it is then
    /// as it was.
    pub fn change<T>(
        directory: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let path = directory.join(LOCK);
        let mut options = fs::OpenOptions::new();
        options.create(true).write(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = options
            .open(&path)
            .and_then(|file| file.lock().map(|()| file));
        let _lock = lock.map_err(|source| TokenError::File { path, source })?;
        let mut tokens = Self::read(directory)?;
        let changed = change(&mut tokens)?;
        tokens.write(directory)?;
        Ok(changed)
    }

    /// A name that nobody has: the role's and a number.
    ///
    /// # Panics
    /// Never: a role and a number are a name.
    #[must_use]
    pub fn free_name(&self, role: Role) -> Name {
        let taken = |name: &str| self.tokens.iter().any(|it| &*it.name == name);
        (1_usize..)
            .map(|number| format!("{role}-{number}"))
            .find(|name| !taken(name))
            .and_then(|name| name.parse().ok())
            .unwrap_or_else(|| unreachable!("there are more numbers than tokens"))
    }

    /// Makes a token. The answer is the token itself, which is kept nowhere.
    ///
    /// # Errors
    /// When the name is taken or reserved, or there are too many.
    pub fn create(
        &mut self,
        name: Name,
        role: Role,
        now: Timestamp,
        expires: Option<Timestamp>,
    ) -> Result<String, TokenError> {
        if RESERVED.contains(&&*name) {
            return Err(TokenError::NameReserved(name.to_string()));
        }
        if self.tokens.iter().any(|it| it.name == name) {
            return Err(TokenError::NameTaken(name.to_string()));
        }
        if self.tokens.len() >= TOKENS_MAX {
            return Err(TokenError::Full);
        }
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(TokenError::Random)?;
        let token = format!("{PREFIX}{}", Digest(bytes));
        self.tokens.push(Entry {
            name,
            role,
            hash: Digest::of(token.as_bytes()),
            created: Rfc3339(now),
            expires: expires.map(Rfc3339),
        });
        Ok(token)
    }

    /// Takes a token back.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn revoke(&mut self, name: &Name) -> Result<(), TokenError> {
        let before = self.tokens.len();
        self.tokens.retain(|it| it.name != *name);
        if self.tokens.len() == before {
            return Err(TokenError::Unknown(name.to_string()));
        }
        Ok(())
    }

    /// Whose token this is. Takes the same time for every wrong one.
    #[must_use]
    pub fn principal(&self, token: &str, now: Timestamp) -> Option<Principal> {
        self.holder(&Digest::of(token.as_bytes()), now)
    }

    /// Whose token has this digest.
    #[must_use]
    pub fn holder(&self, token: &Digest, now: Timestamp) -> Option<Principal> {
        let hash = blake3::Hash::from_bytes(token.0);
        let mut found = None;
        for entry in &self.tokens {
            // Comparing BLAKE3 hashes takes constant time.
            if hash == blake3::Hash::from_bytes(entry.hash.0) {
                found = Some(entry);
            }
        }
        let entry = found?;
        if entry.expires.is_some_and(|expires| expires.0 <= now) {
            return None;
        }
        Some(Principal {
            name: entry.name.clone(),
            role: entry.role,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    #[test]
    fn a_token_is_known_until_it_expires_or_is_revoked() {
        let mut tokens = Tokens::default();
        let name: Name = "ann".parse().unwrap();
        let token = tokens
            .create(
                name.clone(),
                Role::Operator,
                NOW,
                Some(Timestamp(NOW.0 + 1)),
            )
            .unwrap();
        let found = tokens.principal(&token, NOW).unwrap();
        assert_eq!((found.name, found.role), (name.clone(), Role::Operator));
        assert_eq!(tokens.principal(&token, Timestamp(NOW.0 + 1)), None);
        assert_eq!(tokens.principal("vsm_", NOW), None);
        assert!(matches!(
            tokens.create(name.clone(), Role::Unit, NOW, None),
            Err(TokenError::NameTaken(_))
        ));
        assert!(matches!(
            tokens.create("node".parse().unwrap(), Role::Admin, NOW, None),
            Err(TokenError::NameReserved(_))
        ));
        tokens.revoke(&name).unwrap();
        assert_eq!(tokens.principal(&token, NOW), None);
        assert!(tokens.revoke(&name).is_err());
    }

    #[test]
    fn changes_at_the_same_time_are_all_kept() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let created = Tokens::change(dir.path(), |tokens| {
                        let name = tokens.free_name(Role::Unit);
                        tokens.create(name, Role::Unit, NOW, None)
                    });
                    created.unwrap();
                });
            }
        });
        let tokens = Tokens::read(dir.path()).unwrap();
        let mut names: Vec<_> = tokens.tokens.iter().map(|it| it.name.to_string()).collect();
        names.sort();
        assert_eq!(
            names,
            [1, 2, 3, 4, 5, 6, 7, 8].map(|it| format!("unit-{it}"))
        );
    }

    #[test]
    fn the_file_keeps_no_token_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Tokens::read(dir.path()).unwrap(), Tokens::default());
        let mut tokens = Tokens::default();
        let token = tokens
            .create("a".parse().unwrap(), Role::Admin, NOW, None)
            .unwrap();
        tokens.write(dir.path()).unwrap();
        assert_eq!(Tokens::read(dir.path()).unwrap(), tokens);
        let text = fs::read_to_string(dir.path().join(FILE)).unwrap();
        assert!(!text.contains(&token));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions();
            assert_eq!(mode.mode() & 0o777, 0o600);
        }
        fs::write(dir.path().join(FILE), "{\"tokens\": 3}").unwrap();
        assert!(matches!(
            Tokens::read(dir.path()),
            Err(TokenError::Malformed { .. })
        ));
    }
}
