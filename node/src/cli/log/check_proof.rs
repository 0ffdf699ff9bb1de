//! `vsm log check-proof`: what a text proves to somebody who has the key.
//!
//! Neither the log nor a node is needed, and nothing is believed but the key.

use std::{
    fmt::Write as _,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};
use vsm_core::Digest;
use vsm_store::note::{
    CheckError, ConsistencyProof, EventProof, ForkEvidence, InclusionProof, SignedCheckpoint,
    VerifierKey,
};

use super::{
    super::{
        Done, Global,
        exit::{Exit, ExitError},
        output::{self, Format},
    },
    given,
};

/// `vsm log check-proof FILE`
#[derive(Debug, Args)]
pub struct CheckProofArgs {
    /// A checkpoint, a proof or evidence of a fork; - for stdin.
    file: PathBuf,
    /// The key that must have signed it, as `vsm log key` printed it.
    #[arg(long, value_name = "VKEY")]
    key: String,
    /// Which log it must be of; the one that the key is named after when not
    /// given.
    #[arg(long)]
    origin: Option<String>,
    /// The earlier checkpoint that the log must have grown from: for a proof of
    /// that.
    #[arg(long, value_name = "FILE")]
    old: Option<PathBuf>,
    /// The chain hash of the record, for a proof that does not carry it.
    #[arg(long, value_name = "HEX")]
    chain_hash: Option<Digest>,
}

/// Who must have signed what.
struct Pinned {
    key: VerifierKey,
    origin: String,
    old: Option<SignedCheckpoint>,
    chain_hash: Option<Digest>,
}

/// Checks, and prints what is proven.
///
/// # Errors
/// With exit code 3 when it does not hold; 2 when something to check it with
/// is missing.
pub fn run(global: &Global, args: &CheckProofArgs) -> Done {
    let usage = |why: String| anyhow::Error::from(ExitError::usage(why));
    let key = VerifierKey::parse(args.key.trim())
        .map_err(|error| usage(format!("--key: {error}; `vsm log key` prints one")))?;
    let old = match &args.old {
        Some(file) => {
            let text = read(file)?;
            let old = SignedCheckpoint::parse(&text);
            Some(old.map_err(|error| failed(&format!("the earlier checkpoint: {error}")))?)
        }
        None => None,
    };
    let pinned = Pinned {
        origin: args.origin.clone().unwrap_or_else(|| key.name().to_owned()),
        key,
        old,
        chain_hash: args.chain_hash,
    };
    let proven = pinned.check(&read(&args.file)?)?;
    match global.format {
        Format::Json => output::json_line(&proven)?,
        Format::Text => io::stdout().lock().write_all(lines(&proven).as_bytes())?,
    }
    Ok(Exit::Ok)
}

impl Pinned {
    /// What a text proves; its first line says what it is.
    fn check(&self, text: &str) -> anyhow::Result<Value> {
        let first = text.lines().next().unwrap_or_default();
        let is_consistency = first.starts_with("old ");
        if self.old.is_some() && !is_consistency {
            let why = "--old is for a proof that a log has grown, and this is none";
            return Err(ExitError::usage(why).into());
        }
        if first.starts_with("c2sp.org/tlog-proof@") {
            self.inclusion(text)
        } else if is_consistency {
            self.consistency(text)
        } else if first.starts_with("vsm-store/fork-evidence@") {
            self.fork(text)
        } else {
            let checkpoint = SignedCheckpoint::parse(text).map_err(|error| failed(&error))?;
            self.signed(&checkpoint)?;
            Ok(json!({
                "proven": "checkpoint",
                "means": "the key's holder stated this root",
                "checkpoint": shown(&checkpoint),
            }))
        }
    }

    fn signed(&self, checkpoint: &SignedCheckpoint) -> anyhow::Result<()> {
        let verified = checkpoint.verify(&self.key, &self.origin);
        verified.map_err(|error| failed(&error))
    }

    fn inclusion(&self, text: &str) -> anyhow::Result<Value> {
        let inclusion = InclusionProof::parse(text).map_err(|error| failed(&error))?;
        if inclusion.extra().is_none() {
            let Some(hash) = self.chain_hash else {
                let why = "the proof carries no header; give the record's --chain-hash";
                return Err(ExitError::usage(why).into());
            };
            let checked = inclusion.check(&self.key, &self.origin, &vsm_store::Digest(hash.0));
            checked.map_err(|error| failed(&error))?;
            return Ok(json!({
                "proven": "inclusion",
                "means": "a record with this chain hash is in the log at this place",
                "seq": inclusion.index(),
                "chain_hash": hash,
                "checkpoint": shown(inclusion.checkpoint()),
            }));
        }
        let proof = EventProof::parse(text).map_err(|error| failed(&error))?;
        let event = proof.check(&self.key, &self.origin);
        let event = event.map_err(|error| failed(&error))?;
        let chain_hash = Digest(event.chain_hash.0);
        if self
            .chain_hash
            .is_some_and(|expected| expected != chain_hash)
        {
            return Err(failed(&format!("the record's chain hash is {chain_hash}")));
        }
        let header = &event.header;
        let has_body = header.body_commitment != vsm_store::Digest::ZERO;
        Ok(json!({
            "proven": "event",
            "means": "a record with these digests is in the log at this place",
            "seq": header.seq,
            "time": header.time,
            "stream_version": header.stream_version,
            "chain_hash": chain_hash,
            "descriptor": Digest(header.descriptor_digest.0),
            "body_commitment": has_body.then_some(Digest(header.body_commitment.0)),
            "body_bytes": header.body_len,
            "checkpoint": shown(proof.inclusion().checkpoint()),
        }))
    }

    fn consistency(&self, text: &str) -> anyhow::Result<Value> {
        let proof = ConsistencyProof::parse(text).map_err(|error| failed(&error))?;
        let Some(old) = &self.old else {
            let why = "this proves that a log has grown; give the earlier checkpoint as --old";
            return Err(ExitError::usage(why).into());
        };
        let checked = proof.check(&self.key, &self.origin, old);
        checked.map_err(|error| failed(&error))?;
        Ok(json!({
            "proven": "consistency",
            "means": "the log holds all that it held at the earlier checkpoint",
            "old": shown(old),
            "checkpoint": shown(proof.checkpoint()),
        }))
    }

    fn fork(&self, text: &str) -> anyhow::Result<Value> {
        let evidence = ForkEvidence::parse(text).map_err(|error| failed(&error))?;
        evidence.check(&self.key).map_err(|error| failed(&error))?;
        let found = evidence.second().origin();
        if found != self.origin {
            return Err(failed(&CheckError::Origin {
                expected: self.origin.clone(),
                found: found.to_owned(),
            }));
        }
        Ok(json!({
            "proven": "fork",
            "means": "the key's holder signed two histories that can't both be right",
            "first": shown(evidence.first()),
            "second": shown(evidence.second()),
        }))
    }
}

fn shown(checkpoint: &SignedCheckpoint) -> Value {
    json!({
        "origin": checkpoint.origin(),
        "size": checkpoint.size(),
        "root": Digest(checkpoint.root().0),
        "chain_hash": checkpoint.checkpoint().chain_hash().map(|hash| Digest(hash.0)),
    })
}

/// What is proven, a line each.
fn lines(proven: &Value) -> String {
    let mut text = String::new();
    let Value::Object(proven) = proven else {
        return text;
    };
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "{} holds: {}",
        proven["proven"].as_str().unwrap_or_default(),
        proven["means"].as_str().unwrap_or_default()
    );
    for (name, value) in proven {
        let value = match value {
            Value::Null => continue,
            _ if matches!(name.as_str(), "proven" | "means") => continue,
            Value::String(value) => value.clone(),
            Value::Object(of) => format!(
                "{} records of {}, root {}",
                of["size"],
                of["origin"].as_str().unwrap_or_default(),
                of["root"].as_str().unwrap_or_default()
            ),
            other => other.to_string(),
        };
        let _ = writeln!(text, "{name:<16} {value}");
    }
    text
}

fn failed(why: &dyn std::fmt::Display) -> anyhow::Error {
    ExitError::verification_failed(format!("it does not hold: {why}")).into()
}

fn read(file: &Path) -> anyhow::Result<String> {
    String::from_utf8(given::bytes(file)?).map_err(|_| failed(&"the file is no text"))
}
