//! Founding a cluster, and what its first node gets.

use std::{path::Path, time::Duration};

use vsm_core::{Name, Timestamp};

use super::{
    admission::{AdmissionError, Desk},
    authority::Authority,
    identity::PeerRole,
    key::NodeKey,
    membership::Membership,
    register::Register,
    revocation::Revocations,
};

/// Founds a cluster in the directory of the node with this key: makes the
/// authority, and the node its first member. It is all there afterwards, or
/// nothing is.
///
/// # Errors
/// When the node is a member already, or the files can't be written.
pub fn found(
    directory: &Path,
    cluster: &Name,
    (node, key): (&Name, &NodeKey),
    hosts: &[String],
    life: Duration,
    now: Timestamp,
) -> Result<Membership, AdmissionError> {
    let authority = Authority::draw(cluster.clone(), now)?;
    let desk = Desk {
        authority: &authority,
        folder: &Membership::folder(directory),
        life,
    };
    let mut register = Register::default();
    let role = PeerRole::Member;
    let certificate = desk.enter(&mut register, node, key.public(), role, hosts, now)?;
    let authoritys = authority.certificate().clone();
    let membership = Membership::new(certificate, authoritys, &key.public())?;
    membership.begin(directory, |folder| {
        authority.write(folder)?;
        register.write(folder)?;
        Revocations::none(&authority).write(folder)?;
        Ok::<_, AdmissionError>(())
    })?;
    Ok(membership)
}
