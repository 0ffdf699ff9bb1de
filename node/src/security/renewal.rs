//! Keeping a member's certificate and its list of revoked nodes fresh.

use std::{path::Path, sync::Arc, time::Duration};

use hyper::Method;

use super::{
    admission::{Admission, AdmissionError, Desk},
    authority::Authority,
    membership::Membership,
    request::{RequestError, ask},
    revocation::{Revocations, SignedList},
    tls::{ConnectError, MaterialError, Transport, connect},
};
use crate::{api::Api, config::Config, runtime::wall_clock, security::NodeKey};

/// How often a running node looks.
const EVERY: Duration = Duration::from_secs(3_600);
/// The first look, soon after the start: the node may have been off for long.
const FIRST: Duration = Duration::from_secs(10);
const DAY: u64 = 86_400;

/// A certificate can't be renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewalError {
    /// The node is in no cluster.
    #[error("this node is in no cluster; join one with `vsm cluster join TOKEN`")]
    NoMember,
    /// There is nobody to ask.
    #[error(
        "this node does not have the cluster's authority, and cluster.peers names no node to ask; name the node that has it"
    )]
    NoPeers,
    /// Nobody who was asked could.
    #[error("no node in cluster.peers renewed the certificate: {0}")]
    Nobody(String),
    /// The authority refuses, or its files can't be used.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// The new certificate can't be used.
    #[error(transparent)]
    Material(#[from] MaterialError),
}

/// One node could not help.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Request(#[from] RequestError),
}

/// Renews the certificate of the node with this configuration, from its own
/// authority or from the first of `cluster.peers` that can.
///
/// # Errors
/// When nobody can; then all stays as it was.
pub async fn renew(
    config: &Config,
    key: &NodeKey,
    transport: &Transport,
) -> Result<Membership, RenewalError> {
    let present = transport.membership().ok_or(RenewalError::NoMember)?;
    let directory = &config.node.data_dir;
    let admission = match own(config, key, &present)? {
        Some(admission) => admission,
        None => from_peers(config, transport).await?,
    };
    let (renewed, list) = admission.open(&key.public())?;
    // The connection showed a node of this cluster, and the list's signature
    // was checked with the certificate that came: it must be the same one.
    if renewed.authority != present.authority {
        return Err(AdmissionError::Answer.into());
    }
    renewed.replace(directory).map_err(AdmissionError::from)?;
    keep_list(directory, &renewed, &list).map_err(AdmissionError::from)?;
    transport.reload(key)?;
    Ok(renewed)
}

fn own(
    config: &Config,
    key: &NodeKey,
    present: &Membership,
) -> Result<Option<Admission>, AdmissionError> {
    let folder = Membership::folder(&config.node.data_dir);
    let cluster = &present.identity.cluster;
    let Some(authority) = Authority::read(&folder, cluster, &present.authority)? else {
        return Ok(None);
    };
    let desk = Desk {
        authority: &authority,
        folder: &folder,
        life: life(config),
    };
    desk.renew(&present.identity.node, key.public(), wall_clock())
        .map(Some)
}

async fn from_peers(config: &Config, transport: &Transport) -> Result<Admission, RenewalError> {
    let mut failures = Vec::new();
    for address in &config.cluster.peers {
        let asked = asked(transport, address, Method::POST, "/v1/cluster/renew").await;
        match asked {
            Ok(admission) => return Ok(admission),
            Err(error) => failures.push(format!("{address}: {error}")),
        }
    }
    match failures.is_empty() {
        true => Err(RenewalError::NoPeers),
        false => Err(RenewalError::Nobody(failures.join("; "))),
    }
}

async fn asked<T: serde::de::DeserializeOwned>(
    transport: &Transport,
    address: &str,
    method: Method,
    path: &str,
) -> Result<T, AskError> {
    let peer = connect(transport, address, None).await?;
    Ok(ask(peer.stream, method, path, Vec::new()).await?)
}

fn keep_list(
    directory: &Path,
    membership: &Membership,
    list: &Revocations,
) -> Result<bool, super::revocation::RevocationError> {
    list.take(&Membership::folder(directory), &membership.authority)
}

/// How long this node's authority makes certificates valid.
#[must_use]
pub fn life(config: &Config) -> Duration {
    Duration::from_secs(u64::from(config.cluster.certificate_days) * DAY)
}

/// Renews the certificate of a running node in the last third of its life, and
/// fetches later revocation lists from its peers, until the node stops.
pub(crate) async fn keep(api: Arc<Api>) {
    let mut wait = FIRST;
    loop {
        tokio::select! {
            () = api.stopping.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = EVERY;
        tokio::select! {
            () = api.stopping.cancelled() => return,
            () = round(&api) => {}
        }
    }
}

async fn round(api: &Api) {
    let (config, transport) = (&api.config, &api.transport);
    let Some(membership) = transport.membership() else {
        return;
    };
    let due = wall_clock().0 + u64::try_from(life(config).as_micros() / 3).unwrap_or(u64::MAX);
    if transport.expires().is_none_or(|at| at.0 <= due) {
        match renew(config, &api.key, transport).await {
            Ok(_) => tracing::info!("renewed the node's certificate"),
            Err(error) => tracing::error!(%error, "the node's certificate was not renewed"),
        }
    }
    for address in &config.cluster.peers {
        let path = "/v1/cluster/revocations";
        let list: SignedList = match asked(transport, address, Method::GET, path).await {
            Ok(list) => list,
            Err(error) => {
                tracing::debug!(address, %error, "no revocation list");
                continue;
            }
        };
        let cluster = &membership.identity.cluster;
        let taken = Revocations::check(list, cluster, &membership.authority)
            .and_then(|list| keep_list(&config.node.data_dir, &membership, &list));
        match taken {
            Ok(false) => {}
            Ok(true) => match transport.reload(&api.key) {
                Ok(()) => tracing::info!(address, "took a later revocation list"),
                Err(error) => tracing::error!(%error, "the certificates stay as they were"),
            },
            Err(error) => tracing::warn!(address, %error, "a revocation list was refused"),
        }
    }
}
