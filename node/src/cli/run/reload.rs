//! What a running node reads again at SIGHUP: the tokens, the certificates with
//! the list of revoked nodes, and the log filter.
//! Everything else is as it was at the start.

use std::{collections::BTreeMap, io};

use crate::{
    config::{Layers, Origin},
    security::{TokenError, tls::MaterialError},
    telemetry::logging::Reload,
};

/// The one key that is read again.
const FILTER: &str = "telemetry.log_filter";

/// Hears SIGHUP.
pub(super) struct Asked {
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Asked {
    /// Hears it from now on: nothing is missed before somebody waits.
    pub(super) fn listen() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let hangup = signal(SignalKind::hangup())?;
            Ok(Self { hangup })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next one.
    pub(super) async fn again(&mut self) {
        #[cfg(unix)]
        if self.hangup.recv().await.is_some() {
            return;
        }
        std::future::pending::<()>().await;
    }
}

/// Reads again what can be; what can't be read stays as it was, and is said.
pub(super) fn all(
    layers: Layers,
    begun_with: &BTreeMap<String, (toml::Value, Origin)>,
    filter: Option<&Reload>,
    tokens: impl Fn() -> Result<usize, TokenError>,
) {
    match layers.read() {
        Ok(now) => {
            if let Some(filter) = filter
                && let Err(error) = filter.set(&now.config.telemetry.log_filter)
            {
                tracing::error!(%error, "the log filter stays as it was");
            }
            let keys = changed(begun_with, &now.values);
            if !keys.is_empty() {
                let keys = keys.join(", ");
                tracing::warn!(keys, "changed, but read at the next start only");
            }
        }
        Err(error) => tracing::error!(%error, "the configuration stays as it was"),
    }
    match tokens() {
        Ok(count) => tracing::info!(
            tokens = count,
            "read the configuration and the tokens again"
        ),
        Err(error) => tracing::error!(%error, "the tokens stay as they were"),
    }
}

/// Reads the certificates again; those that can't be used change nothing.
pub(super) fn certificates(read: impl Fn() -> Result<(), MaterialError>) {
    match read() {
        Ok(()) => tracing::info!("read the certificates and who is revoked again"),
        Err(error) => tracing::error!(%error, "the certificates stay as they were"),
    }
}

/// The keys whose change has no effect.
fn changed<'a>(
    before: &'a BTreeMap<String, (toml::Value, Origin)>,
    now: &'a BTreeMap<String, (toml::Value, Origin)>,
) -> Vec<&'a str> {
    let value = |of: &BTreeMap<String, (toml::Value, Origin)>, key: &str| {
        of.get(key).map(|(value, _)| value.clone())
    };
    let mut keys: Vec<_> = before
        .keys()
        .chain(now.keys())
        .map(String::as_str)
        .filter(|key| *key != FILTER && value(before, key) != value(now, key))
        .collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_changed_in_vain_are_named() {
        let layers = |toml: &[(&str, &str)]| Layers {
            file: None,
            environment: toml
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            flags: Vec::new(),
        };
        let before = layers(&[]).read().unwrap().values;
        let now = layers(&[
            ("VSM_API__DEPTH_MAX", "9"),
            ("VSM_TELEMETRY__LOG_FILTER", "debug"),
            ("VSM_MODEL__CONTROL__POOLS__gpu", "1"),
        ]);
        let now = now.read().unwrap().values;
        assert_eq!(
            changed(&before, &now),
            ["api.depth_max", "model.control.pools.gpu"]
        );
    }
}
