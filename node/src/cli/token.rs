//! `vsm token`: who may talk to a node.
//!
//! These commands change the file of a node's directory, so whoever may write
//! there may hand out tokens. A running node reads it again at SIGHUP.

use std::{
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use anyhow::bail;
use clap::{Args, Subcommand};
use serde_json::json;
use vsm_core::{Millis, Name, Timestamp};

use super::{
    Done, Global,
    exit::Exit,
    output::{self, Format},
};
use crate::{
    runtime::wall_clock,
    security::{Entry, NodeKey, Role, Tokens},
    telemetry::time::{Rfc3339, span},
};

/// `vsm token …`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it: it is kept nowhere.
    Create(CreateArgs),
    /// Every token's name, role, and when it was made and expires.
    List {
        /// Whose.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Take a token back.
    Revoke {
        /// The token's name.
        name: Name,
        /// Whose.
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// Whose tokens.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// The node's directory; that of the configuration when not given.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// `vsm token create`
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What it may do: docs/api.md has the table.
    #[arg(long, value_enum)]
    role: Role,
    /// Its principal's name, as it will be on the log; the role and a number
    /// when not given.
    #[arg(long)]
    name: Option<Name>,
    /// Until when it is good: a span from now (12h, 30d) or an instant
    /// (2027-01-01T00:00:00Z). For ever when not given.
    #[arg(long, value_name = "WHEN", value_parser = expiry)]
    expires: Option<Timestamp>,
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) fn expiry(text: &str) -> Result<Timestamp, String> {
    let now = wall_clock();
    let days = text.strip_suffix('d').and_then(|it| it.parse::<u64>().ok());
    let span = match days {
        Some(days) => Ok(Duration::from_secs(days.saturating_mul(86_400))),
        None => span(text),
    };
    let instant = match span {
        Ok(span) => now + Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)),
        Err(_) => text.parse::<Rfc3339>().map(|it| it.0).map_err(|_| {
            format!(
                "{text:?} is neither a span, like 12h or 30d, nor an instant, like 2027-01-01T00:00:00Z"
            )
        })?,
    };
    if instant <= now {
        return Err(format!("{text:?} is not in the future"));
    }
    Ok(instant)
}

/// Runs a subcommand.
///
/// # Errors
/// When the directory has no node, or the file can't be read or changed.
pub fn run(global: &Global, command: TokenCommand) -> Done {
    match command {
        TokenCommand::Create(args) => create(global, args),
        TokenCommand::List { node } => list(global, &node),
        TokenCommand::Revoke { name, node } => {
            let dir = directory(global, &node)?;
            Tokens::change(&dir, |tokens| tokens.revoke(&name))?;
            eprintln!("revoked {name}; a running node refuses it once it gets SIGHUP");
            Ok(Exit::Ok)
        }
    }
}

/// The directory, if a node lives there.
fn directory(global: &Global, node: &NodeArgs) -> anyhow::Result<PathBuf> {
    let effective = super::layers(global, node.data_dir.as_deref())
        .read()
        .map_err(super::config::invalid)?;
    let dir = effective.config.node.data_dir;
    if NodeKey::read(&dir)?.is_none() {
        bail!(
            "no node lives in {}: name its directory with --data-dir, or its file with --config; `vsm init DIR` makes one",
            dir.display()
        );
    }
    Ok(dir)
}

fn create(global: &Global, args: CreateArgs) -> Done {
    let dir = directory(global, &args.node)?;
    let (name, token) = Tokens::change(&dir, |tokens| {
        let name = args.name.unwrap_or_else(|| tokens.free_name(args.role));
        let token = tokens.create(name.clone(), args.role, wall_clock(), args.expires)?;
        Ok((name, token))
    })?;
    match global.format {
        Format::Json => {
            let expires = args.expires.map(Rfc3339);
            let line = json!({
                "name": name, "role": args.role, "token": token, "expires": expires,
            });
            output::json_line(&line)?;
        }
        Format::Text => {
            eprintln!(
                "{name} may do what role {} may; a running node knows it once it gets SIGHUP",
                args.role
            );
            eprintln!("the token is kept nowhere, so keep it:");
            writeln!(io::stdout().lock(), "token: {token}")?;
        }
    }
    Ok(Exit::Ok)
}

fn list(global: &Global, node: &NodeArgs) -> Done {
    let tokens = Tokens::read(&directory(global, node)?)?.tokens;
    let now = wall_clock();
    let expired = |it: &Entry| it.expires.is_some_and(|at| at.0 <= now);
    match global.format {
        Format::Json => {
            for it in &tokens {
                output::json_line(&json!({
                    "name": it.name,
                    "role": it.role,
                    "created": it.created,
                    "expires": it.expires,
                    "expired": expired(it),
                }))?;
            }
        }
        Format::Text => {
            let rows = tokens.iter().map(|it| {
                let expires = match it.expires {
                    None => "never".to_owned(),
                    Some(at) if expired(it) => format!("{at} (expired)"),
                    Some(at) => at.to_string(),
                };
                [
                    it.name.to_string(),
                    it.role.to_string(),
                    it.created.to_string(),
                    expires,
                ]
            });
            output::table(["name", "role", "created", "expires"], rows)?;
        }
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiries() {
        let now = wall_clock();
        let hour = expiry("1h").unwrap();
        assert!(hour > now && hour < now + Millis(2 * 3_600_000));
        assert!(expiry("30d").unwrap() > now + Millis(29 * 86_400_000));
        assert_eq!(
            expiry("2999-01-01T00:00:00Z").unwrap(),
            "2999-01-01T00:00:00Z".parse::<Rfc3339>().unwrap().0
        );
        for text in ["", "soon", "0", "0d", "2001-01-01T00:00:00Z", "-3h"] {
            assert!(expiry(text).is_err(), "{text}");
        }
    }
}
