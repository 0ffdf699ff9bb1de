//! `/v1/peer`: where nodes meet. `/v1/peers`: which ones this node knows.

use std::collections::BTreeSet;

use axum::{
    Extension,
    extract::{State, ws::WebSocketUpgrade},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};
use vsm_core::Name;
use vsm_replication::peer::{FRAME_BYTES_MAX, SUBPROTOCOL};

use super::{
    Answer, Shared,
    caller::Caller,
    json,
    problem::{Kind, Problem},
    upgrade::Upgrade,
};
use crate::{
    peering,
    security::{Action, tls::Peer},
};

/// `GET /v1/peer`, over mutual TLS: a link between two nodes.
///
/// # Errors
/// 400, 403.
pub async fn connect(
    State(api): State<Shared>,
    peer: Option<Extension<Peer>>,
    upgrade: Upgrade,
) -> Answer {
    let Some(Extension(peer)) = peer else {
        let detail = "nodes meet here, and show their certificates (mutual TLS); programs use /v1/unit or the other paths";
        return Err(Problem::new(Kind::Forbidden, detail));
    };
    let links = api.peering.accepted.clone();
    let upgrade: WebSocketUpgrade = upgrade.wanted()?;
    let response: Response = upgrade
        .protocols([SUBPROTOCOL])
        .max_message_size(FRAME_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .on_upgrade(move |socket| links.track_future(peering::accept(api, socket, peer)));
    Ok(response)
}

/// `GET /v1/peers`: nodes that are known, links, and addresses that are tried.
///
/// # Errors
/// 401, 403.
pub async fn list(State(api): State<Shared>, caller: Caller) -> Answer {
    caller.may(Action::ReadSystems)?;
    let members = api.peering.members();
    let roster = &api.peering.roster;
    let (mut links, seeds) = (roster.links(), roster.seeds());
    let mut names: BTreeSet<Name> = members.iter().map(|(node, _)| node.clone()).collect();
    names.extend(links.keys().cloned());
    let nodes = names.into_iter().map(|node| {
        let known = members.get(&node);
        json!({
            "key": known.map(|it| it.key().to_string()),
            "role": known.map(|it| if it.auditor { "auditor" } else { "member" }),
            "revoked": known.is_some_and(|it| it.revoked),
            "accused": known.and_then(|it| it.accused.as_ref()),
            "checkpoint_size": known.and_then(|it| checkpoint_size(it.checkpoint.as_deref())),
            "link": links.remove(&node),
            "node": node,
        })
    });
    let nodes: Vec<Value> = nodes.collect();
    Ok(json(
        StatusCode::OK,
        json!({"node": api.config.node.name, "nodes": nodes, "addresses": seeds}),
    ))
}

/// How many records the last checkpoint that was witnessed is of.
fn checkpoint_size(checkpoint: Option<&str>) -> Option<u64> {
    checkpoint?.lines().nth(1)?.parse().ok()
}
