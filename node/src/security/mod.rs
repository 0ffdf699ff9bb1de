//! Who may do what: roles, tokens, the node's key; and what identifies the
//! nodes of a cluster to each other: an authority, certificates, TLS.

pub mod admission;
pub mod authority;
pub mod founding;
pub mod identity;
pub mod join_token;
mod key;
pub mod membership;
pub mod register;
pub mod renewal;
pub mod request;
pub mod revocation;
mod role;
pub mod tls;
mod tokens;

pub use self::{
    identity::{Identity, PeerRole},
    key::{KeyError, NodeKey},
    role::{Action, Role},
    tokens::{Entry, FILE, TokenError, Tokens},
};

use vsm_core::Name;

/// On whose behalf a request is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The name on the log: that of the token.
    pub name: Name,
    /// What it may do.
    pub role: Role,
}

impl Principal {
    /// Everybody, on a node that requires no tokens.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            name: "anonymous"
                .parse()
                .unwrap_or_else(|_| unreachable!("\"anonymous\" is a name")),
            role: Role::Admin,
        }
    }
}

/// Makes a directory that only its owner may enter, with those above it. One
/// that is there stays as it is.
///
/// # Errors
/// When it can't be made.
pub fn private_directory(path: &std::path::Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_private(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".writing");
    let beside = std::path::PathBuf::from(beside);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
