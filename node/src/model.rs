//! Which subsystems a node can host: those of the model, and the shared
//! documents.

use std::collections::BTreeSet;

use vsm_core::{
    Hosting, Name, Role,
    system::{Maker, SYSTEMS},
};
use vsm_replication::SHARED;

/// Every subsystem that a node hosts.
pub const ROLES: [Role; 7] = [
    Role::S1,
    Role::S2,
    Role::S3,
    Role::S3Star,
    Role::S4,
    Role::S5,
    Role::Shared,
];

fn makers() -> impl Iterator<Item = Maker> {
    SYSTEMS.into_iter().chain([SHARED])
}

/// What `node` hosts.
#[must_use]
pub fn hosting(node: Name) -> Hosting {
    Hosting::new(node, makers())
}

/// What `node` hosted in runs that hosted these roles.
#[must_use]
pub fn hosting_of(node: Name, roles: &BTreeSet<Role>) -> Hosting {
    let hosted = |maker: &Maker| roles.contains(&maker.role());
    Hosting::new(node, makers().filter(hosted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_that_is_listed_is_hosted() {
        let node = "node".parse().unwrap();
        let hosted = hosting(node);
        let roles: Vec<_> = hosted.systems().iter().map(|it| it.role).collect();
        assert_eq!(roles, ROLES);
    }
}
