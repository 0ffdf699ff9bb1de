//! `vsm peers`: the other nodes, as a node sees them.

use std::io::{self, Write};

use anyhow::bail;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};
use vsm_core::Timestamp;

use super::{
    Done, Global,
    client::Client,
    exit::Exit,
    output::{self, Format},
};
use crate::telemetry::time::Rfc3339;

/// `vsm peers`
#[derive(Debug, Args)]
pub struct PeersArgs {
    #[command(subcommand)]
    command: Option<PeersCommand>,
}

#[derive(Debug, Subcommand)]
enum PeersCommand {
    /// Show nodes, links, and addresses that can't be reached. The default.
    List,
    /// Talk again to a node that is in quarantine, after you looked at the
    /// evidence: `vsm peers` names its record.
    Readmit {
        /// The node's name.
        node: String,
    },
}

/// Shows them, or readmits one.
///
/// # Errors
/// When the node does not answer or refuses.
pub fn run(global: &Global, args: &PeersArgs) -> Done {
    let client = Client::new(global)?;
    match &args.command {
        None | Some(PeersCommand::List) => {
            let peers = super::runtime()?.block_on(client.get("/v1/peers"))?;
            match global.format {
                Format::Json => output::json_pretty(&peers)?,
                Format::Text => print(&peers)?,
            }
        }
        Some(PeersCommand::Readmit { node }) => {
            let runtime = super::runtime()?;
            let peers = runtime.block_on(client.get("/v1/peers"))?;
            let known = peers["nodes"].as_array().into_iter().flatten();
            let accused = known
                .filter(|it| it["node"] == **node)
                .any(|it| !it["accused"].is_null());
            if !accused {
                bail!("{node} is not in quarantine here; `vsm peers` shows who is");
            }
            let body = json!({
                "channel": "sharing",
                "from": "operator",
                "to": "shared",
                "type": "readmit",
                "payload": {"node": node},
            });
            let call = client.call(Method::POST, "/v1/messages", Some(&body));
            let answer = runtime.block_on(call)?.body;
            match global.format {
                Format::Json => output::json_line(&answer)?,
                Format::Text => eprintln!("{node} is talked to again (record {})", answer["seq"]),
            }
        }
    }
    Ok(Exit::Ok)
}

fn print(peers: &Value) -> io::Result<()> {
    let nodes = peers["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let number = |value: &Value| {
        value
            .as_u64()
            .map_or_else(|| "-".into(), |it| it.to_string())
    };
    let rows = nodes.iter().map(|node| {
        let link = &node["link"];
        let since = link["since"].as_u64();
        [
            text(&node["node"]),
            match node["revoked"].as_bool() {
                Some(true) => "revoked".into(),
                _ => text(&node["role"]),
            },
            since.map_or_else(|| "no".into(), |at| Rfc3339(Timestamp(at)).to_string()),
            text(&link["dialed_by"]),
            text(&link["address"]),
            number(&link["changes_received"]),
            number(&node["checkpoint_size"]),
        ]
    });
    let heading = [
        "NODE",
        "ROLE",
        "LINKED SINCE",
        "DIALED BY",
        "ADDRESS",
        "CHANGES RECEIVED",
        "RECORDS WITNESSED",
    ];
    output::table(heading, rows)?;
    let mut out = io::stdout().lock();
    for node in nodes {
        if let (Some(reason), Some(record)) = (
            node["accused"]["reason"].as_str(),
            node["accused"]["evidence"].as_u64(),
        ) {
            writeln!(
                out,
                "IN QUARANTINE: {}: {reason} (evidence: record {record})",
                text(&node["node"])
            )?;
        }
    }
    for (address, seed) in peers["addresses"].as_object().into_iter().flatten() {
        if let Some(error) = seed["error"].as_str() {
            writeln!(out, "no link to {address}: {error}")?;
        }
    }
    Ok(())
}
