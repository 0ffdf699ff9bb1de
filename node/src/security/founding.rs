//! Founding a cluster, and what its first node gets.

use std::{path::Path, time::Duration};

use vsm_core::{Name, Timestamp};

use super::{
    admission::{AdmissionError, Desk},
    authority::{Authority, AuthorityError},
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

/// Lets the node in `directory`, with this key, into the cluster whose authority
/// is in the directory `founders`: without a token, as whoever can write there
/// may. Both have to be on this machine.
///
/// # Errors
/// When the authority is not there, or the register refuses the node, or the
/// files can't be written.
pub fn admit(
    founders: &Path,
    founder: &NodeKey,
    directory: &Path,
    (node, key): (&Name, &NodeKey),
    hosts: &[String],
    life: Duration,
    now: Timestamp,
) -> Result<Membership, AdmissionError> {
    let folder = Membership::folder(founders);
    let missing = || AuthorityError::Missing(folder.clone());
    let first = Membership::read(founders, &founder.public())?.ok_or_else(missing)?;
    let authority = Authority::read(&folder, &first.identity.cluster, &first.authority)?;
    let authority = authority.ok_or_else(missing)?;
    let desk = Desk {
        authority: &authority,
        folder: &folder,
        life,
    };
    let role = PeerRole::Member;
    let certificate = Register::change(&folder, |register| {
        desk.enter(register, node, key.public(), role, hosts, now)
    })?;
    let membership = Membership::new(certificate, authority.certificate().clone(), &key.public())?;
    let list = Revocations::read(&folder, authority.cluster(), authority.certificate())?;
    membership.begin(directory, |folder| {
        list.write(folder)?;
        Ok::<_, AdmissionError>(())
    })?;
    Ok(membership)
}
