//! `vsm cluster join`: this node becomes a member.

use anyhow::{Context, bail};
use hyper::Method;
use serde_json::json;

use super::{NodeArgs, hosts};
use crate::{
    cli::{
        Done, Global,
        exit::{Exit, ExitError},
        output::{self, Format},
    },
    runtime::wall_clock,
    security::{
        NodeKey,
        admission::{Admission, AdmissionError, JoinRequest},
        join_token::JoinToken,
        membership::{Membership, MembershipError},
        private_directory,
        request::{RequestError, ask},
        tls::connect_to_join,
    },
    telemetry::time::Rfc3339,
};

pub(super) fn run(global: &Global, node: &NodeArgs, token: &str, given: Vec<String>) -> Done {
    let token: JoinToken = token
        .parse()
        .map_err(|error| ExitError::usage(format!("TOKEN: {error}")))?;
    // The authority's clock decides; this only saves the way.
    if token.expires <= wall_clock() {
        bail!(
            "the join token expired at {}; make another with `vsm cluster join-token`",
            Rfc3339(token.expires)
        );
    }
    let config = node.config(global)?;
    let directory = &config.node.data_dir;
    private_directory(directory).with_context(|| format!("can't make {}", directory.display()))?;
    let key = match NodeKey::read(directory)? {
        Some(key) => key,
        None => NodeKey::create(directory)?,
    };
    if let Some(present) = Membership::read(directory, &key.public())? {
        return Err(MembershipError::Member(present.identity.cluster.to_string()).into());
    }
    let name = config.node.name.clone();
    let request = JoinRequest::new(&token, name, &key, hosts(&config, given));
    let admission = crate::cli::runtime()?.block_on(asked(&token, &request))?;
    let (membership, list) = admission.open(&key.public())?;
    let identity = &membership.identity;
    let as_meant = membership.fingerprint() == token.authority
        && identity.cluster == token.cluster
        && identity.node == config.node.name
        && identity.role == token.role;
    if !as_meant {
        return Err(AdmissionError::Answer.into());
    }
    membership.begin(directory, |folder| {
        list.write(folder).map_err(AdmissionError::from)
    })?;
    let cluster = &identity.cluster;
    match global.format {
        Format::Json => output::json_line(&json!({
            "cluster": cluster, "node": identity.node, "role": identity.role,
            "peers": token.addresses,
        }))?,
        Format::Text => {
            let peers: Vec<_> = token.addresses.iter().map(|it| format!("{it:?}")).collect();
            eprintln!(
                "{} is a member of the cluster {cluster}, as {}. Set, and start the node again:",
                identity.node, identity.role
            );
            eprintln!(
                "  [cluster]\n  name = \"{cluster}\"\n  peers = [{}]",
                peers.join(", ")
            );
        }
    }
    Ok(Exit::Ok)
}

/// Asks the token's addresses, one after the other, until one decides.
async fn asked(token: &JoinToken, request: &JoinRequest) -> anyhow::Result<Admission> {
    let body = serde_json::to_vec(request)?;
    let mut failures = Vec::new();
    for address in &token.addresses {
        let stream = match connect_to_join(token, address).await {
            Ok(stream) => stream,
            Err(error) => {
                failures.push(error.to_string());
                continue;
            }
        };
        match ask(stream, Method::POST, "/v1/cluster/join", body.clone()).await {
            Ok(admission) => return Ok(admission),
            // It had its say; another address is the same authority's.
            Err(error @ RequestError::Refused { .. }) => bail!("{address}: {error}"),
            // The token may be used up now: what came in between is not known.
            Err(error) => bail!(
                "{address}: {error}; if `vsm cluster members` shows this node there, make it a new token"
            ),
        }
    }
    bail!("{}", failures.join("; "))
}
