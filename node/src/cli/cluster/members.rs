//! Who is in a cluster, and who no longer is.

use std::{fs, path::Path};

use anyhow::{Context, bail};
use serde_json::json;
use vsm_core::Name;

use super::{NodeArgs, authority};
use crate::{
    cli::{
        Done, Global,
        exit::Exit,
        output::{self, Format},
    },
    runtime::wall_clock,
    security::{
        admission::Desk,
        membership::{Membership, hex},
        register::{Member, Register},
        renewal::life,
        revocation::{Revocations, SignedList},
        tls::Transport,
    },
    telemetry::time::Rfc3339,
};

pub(super) fn run(global: &Global, node: &NodeArgs) -> Done {
    let (config, key, membership) = node.member(global)?;
    let own = &membership.identity;
    let folder = Membership::folder(&config.node.data_dir);
    let present =
        crate::security::authority::Authority::read(&folder, &own.cluster, &membership.authority)?;
    let members = match present {
        Some(_) => Register::read(&folder)?.members,
        // Without the authority a node knows itself alone.
        None => {
            let expires = Transport::read(&config, &key)?.expires();
            let member = Member {
                key: hex(&own.key),
                role: own.role,
                hosts: Vec::new(),
                serial: hex(&own.serial),
                expires: Rfc3339(expires.unwrap_or_default()),
            };
            [(own.node.clone(), member)].into()
        }
    };
    match global.format {
        Format::Json => {
            for (name, it) in &members {
                output::json_line(&json!({
                    "cluster": own.cluster, "name": name, "role": it.role, "key": it.key,
                    "hosts": it.hosts, "serial": it.serial, "expires": it.expires,
                }))?;
            }
        }
        Format::Text => {
            let rows = members.iter().map(|(name, it)| {
                [
                    name.to_string(),
                    it.role.to_string(),
                    it.expires.to_string(),
                    it.key.clone(),
                ]
            });
            output::table(["name", "role", "expires", "key"], rows)?;
        }
    }
    Ok(Exit::Ok)
}

pub(super) fn revoke(global: &Global, node: &NodeArgs, name: &Name) -> Done {
    let (config, _, membership) = node.member(global)?;
    let authority = authority(&config, &membership)?;
    if *name == membership.identity.node {
        bail!(
            "{name} has the authority: a node can't revoke itself; move the authority to another node first"
        );
    }
    let desk = Desk {
        authority: &authority,
        folder: &Membership::folder(&config.node.data_dir),
        life: life(&config),
    };
    let list = desk.revoke(name, wall_clock())?;
    eprintln!(
        "revoked {name}; this node refuses it once it gets SIGHUP. The others take list {} from their peers within the hour, or by `vsm cluster revocations FILE` with {}",
        list.number(),
        desk.folder.join("revoked.json").display()
    );
    Ok(Exit::Ok)
}

pub(super) fn take(global: &Global, node: &NodeArgs, file: &Path) -> Done {
    let (config, _, membership) = node.member(global)?;
    let text = fs::read(file).with_context(|| format!("can't read {}", file.display()))?;
    let signed: SignedList = serde_json::from_slice(&text)
        .with_context(|| format!("{} is no revocation list", file.display()))?;
    let cluster = &membership.identity.cluster;
    let list = Revocations::check(signed, cluster, &membership.authority)?;
    let folder = Membership::folder(&config.node.data_dir);
    match list.take(&folder, &membership.authority)? {
        true => eprintln!(
            "took list {}; a running node goes by it once it gets SIGHUP",
            list.number()
        ),
        false => eprintln!("this node's list is as late; nothing was changed"),
    }
    Ok(Exit::Ok)
}

pub(super) fn leave(global: &Global, node: &NodeArgs, with_authority: bool) -> Done {
    let (config, _) = node.node(global)?;
    let folder = Membership::folder(&config.node.data_dir);
    if !folder.exists() {
        bail!("this node is in no cluster");
    }
    if folder.join("authority.key").exists() && !with_authority {
        bail!(
            "the cluster's authority is in {}: without it nobody joins and no certificate is renewed. Copy the folder's authority.key and register.json into that of another member first, or give --with-authority",
            folder.display()
        );
    }
    // Away in one step, then removed.
    let gone = config.node.data_dir.join("cluster.left");
    match fs::remove_dir_all(&gone) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("can't remove {}", gone.display()));
        }
        _ => {}
    }
    fs::rename(&folder, &gone)
        .and_then(|()| fs::remove_dir_all(&gone))
        .with_context(|| format!("can't remove {}", folder.display()))?;
    eprintln!(
        "{} left; unset cluster.name, and revoke it where the authority is: `vsm cluster revoke {}`",
        config.node.name, config.node.name
    );
    Ok(Exit::Ok)
}
