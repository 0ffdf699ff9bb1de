//! What crates may depend on.

use std::collections::BTreeSet;

/// The dependencies that a manifest names, those for tests and benches apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// Of the crate itself, for every platform, and of its build script.
    pub normal: BTreeSet<String>,
    /// Of its tests and benches.
    pub dev: BTreeSet<String>,
}

impl Dependencies {
    /// Reads a manifest's text. Only as much of TOML as manifests use.
    #[must_use]
    pub fn of(manifest: &str) -> Self {
        let mut found = Self::default();
        let mut section = String::new();
        for line in manifest.lines().map(str::trim) {
            if let Some(header) = line.strip_prefix('[') {
                header.trim_end_matches(']').clone_into(&mut section);
                // `[dependencies.name]`
                if let Some((of, name)) = section.rsplit_once('.')
                    && of.ends_with("dependencies")
                {
                    found.add(of, name);
                }
            } else if section.ends_with("dependencies")
                && !line.starts_with('#')
                && let Some((name, _)) = line.split_once(['=', '.'])
            {
                found.add(&section, name);
            }
        }
        found
    }

    fn add(&mut self, section: &str, name: &str) {
        let set = if section.ends_with("dev-dependencies") {
            &mut self.dev
        } else {
            &mut self.normal
        };
        set.insert(name.trim().trim_matches('"').to_owned());
    }

    /// Those of ours.
    pub fn ours(&self) -> impl Iterator<Item = &str> {
        let all = self.normal.iter().chain(&self.dev);
        all.map(String::as_str)
            .filter(|name| name.starts_with("vsm-"))
    }

    /// Whatever is not among `allowed`, of the crate itself.
    #[must_use]
    pub fn beyond(&self, allowed: &[&str]) -> Vec<&str> {
        let normal = self.normal.iter().map(String::as_str);
        normal.filter(|name| !allowed.contains(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_name_a_dependency_is_read() {
        let found = Dependencies::of(
            r#"
            [package]
            name = "vsm-core"
            [dependencies]
            # vsm-store would be wrong
            serde.workspace = true
            libm = "1"
            "quoted" = { version = "1" }
            [target.'cfg(unix)'.dependencies]
            nix = "1"
            [dependencies.vsm-store]
            path = "../store"
            [build-dependencies]
            cc = "1"
            [dev-dependencies]
            vsm-node.workspace = true
            "#,
        );
        let normal = ["cc", "libm", "nix", "quoted", "serde", "vsm-store"];
        assert_eq!(found.normal, normal.map(str::to_owned).into());
        assert_eq!(found.dev, ["vsm-node".to_owned()].into());
        assert_eq!(found.ours().collect::<Vec<_>>(), ["vsm-store", "vsm-node"]);
        assert_eq!(
            found.beyond(&["cc", "libm", "nix", "quoted", "serde"]),
            ["vsm-store"]
        );
    }
}
