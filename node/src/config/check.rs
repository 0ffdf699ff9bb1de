//! Whether values make sense: each on its own, and together.

use vsm_store::BODY_BYTES_MAX;

use super::{Config, Problem};

/// Bounds of the numbers that have any: key, least, most.
const BOUNDS: &[(&str, u64, u64)] = &[
    ("node.drain_ms", 0, 600_000),
    ("storage.volume_bytes", 1 << 16, 1 << 40),
    ("storage.cache_bytes", 1 << 16, 1 << 36),
    ("storage.pending_bytes_max", 1 << 16, 1 << 36),
    ("storage.body_bytes_max", 1, BODY_BYTES_MAX as u64),
    ("storage.snapshot_steps", 1_000, u64::MAX),
    // serde_json stops at 128.
    ("api.depth_max", 1, 120),
    ("api.connections_max", 1, 1_000_000),
    ("api.requests_max", 1, 1_000_000),
    ("api.streams_max", 1, 100_000),
    ("api.sync_clients_max", 1, 100_000),
    ("api.wait_max_ms", 1, 86_400_000),
    ("api.answer_ms", 100, 600_000),
    ("api.read_ms", 100, 600_000),
    ("api.slow_reader_ms", 100, 600_000),
    ("api.credits", 64, 1_000_000),
    ("api.tls.handshake_ms", 100, 600_000),
    ("api.tls.handshakes_max", 1, 100_000),
    ("cluster.certificate_days", 1, 3_650),
    ("units.connections_max", 1, 1_000_000),
    ("units.register_ms", 100, 600_000),
    ("units.malformed_max", 1, 1_000),
    ("model.operations.units_max", 1, 1_000_000),
    ("model.operations.heartbeat", 100, 3_600_000),
    ("model.operations.deadline", 1, 31_536_000_000),
    ("model.operations.attempts_max", 1, 1_000),
    ("model.coordination.slot_max", 1, 31_536_000_000),
    ("model.audit.sample", 1, 32),
    ("model.intelligence.values_max", 1, 10_000),
];

/// The largest whole number that JSON carries exactly.
const WHOLE_MAX: u64 = (1 << 53) - 1;

/// The most peers that a configuration names.
const PEERS_MAX: usize = 1_000;

/// What is wrong with a configuration.
pub(super) fn problems(config: &Config) -> Vec<Problem> {
    let table = toml::Value::try_from(config).unwrap_or_else(|_| toml::Table::new().into());
    let number = |key: &str| {
        key.split('.')
            .try_fold(&table, |value, part| value.get(part))
            .and_then(toml::Value::as_integer)
            .and_then(|number| u64::try_from(number).ok())
    };
    let mut problems: Vec<_> = BOUNDS
        .iter()
        .filter_map(|(key, least, most)| {
            let value = number(key)?;
            (value < *least || value > *most).then(|| {
                let bounds = match most {
                    &u64::MAX => format!("at least {least}"),
                    _ => format!("{least} to {most}"),
                };
                Problem::new(
                    *key,
                    format!("{value} is out of bounds; it may be {bounds}"),
                )
            })
        })
        .collect();
    let operations = &config.model.operations;
    if operations.backoff > operations.backoff_max {
        problems.push(Problem::new(
            "model.operations.backoff",
            "it is more than model.operations.backoff_max, where it ends; lower one or raise the other",
        ));
    }
    for (pool, total) in &config.model.control.pools {
        if *total > WHOLE_MAX {
            problems.push(Problem::new(
                format!("model.control.pools.{pool}"),
                format!("{total} is more than JSON carries exactly; use a larger unit, so that it is at most {WHOLE_MAX}"),
            ));
        }
    }
    exposure(config, &mut problems);
    cluster(config, &mut problems);
    if !crate::telemetry::filter_is_valid(&config.telemetry.log_filter) {
        problems.push(Problem::new(
            "telemetry.log_filter",
            format!(
                "{:?} is no filter; write a level (error, warn, info, debug, trace) or target=level, with commas between",
                config.telemetry.log_filter
            ),
        ));
    }
    problems
}

/// Who can reach the node, and what they could read and do.
fn exposure(config: &Config, problems: &mut Vec<Problem>) {
    let api = &config.api;
    let empty = |path: &std::path::Path| path.as_os_str().is_empty();
    match (empty(&api.tls.certificate), empty(&api.tls.key)) {
        (false, true) => problems.push(Problem::new(
            "api.tls.key",
            "it is missing: api.tls.certificate needs its key",
        )),
        (true, false) => problems.push(Problem::new(
            "api.tls.certificate",
            "it is missing: api.tls.key is the key of a certificate",
        )),
        _ => {}
    }
    // Being in a cluster brings a certificate.
    let tls = !empty(&api.tls.certificate) || !config.cluster.name.is_empty();
    if api.tls.required && !tls {
        problems.push(Problem::new(
            "api.tls.required",
            "there is no certificate to speak TLS with; set api.tls.certificate and api.tls.key, or cluster.name",
        ));
    }
    if api.listen.ip().is_loopback() || api.allow_insecure {
        return;
    }
    if !tls {
        problems.push(Problem::new(
            "api.listen",
            format!(
                "{} can be reached from other machines: set api.tls.certificate and api.tls.key, or cluster.name once the node is in a cluster, or listen on 127.0.0.1; api.allow_insecure = true if the network is yours",
                api.listen
            ),
        ));
    }
    if !config.security.require_token {
        problems.push(Problem::new(
            "security.require_token",
            format!(
                "{} can be reached from other machines, and without tokens everybody there may do everything: set it to true, or api.allow_insecure = true if the network is yours",
                api.listen
            ),
        ));
    }
}

fn cluster(config: &Config, problems: &mut Vec<Problem>) {
    let cluster = &config.cluster;
    if !cluster.name.is_empty()
        && let Err(error) = cluster.name.parse::<vsm_core::Name>()
    {
        problems.push(Problem::new("cluster.name", error.to_string()));
    }
    let named = Some(&cluster.advertise).filter(|it| !it.is_empty());
    let addresses = named.map(|it| ("cluster.advertise", it));
    let peers = cluster.peers.iter().map(|it| ("cluster.peers", it));
    for (key, address) in addresses.into_iter().chain(peers) {
        if !crate::security::join_token::is_address(address) {
            let message = format!("{address:?} is no address; write HOST:PORT");
            problems.push(Problem::new(key, message));
        }
    }
    if cluster.peers.len() > PEERS_MAX {
        let message = format!(
            "{} are more than {PEERS_MAX}; name fewer",
            cluster.peers.len()
        );
        problems.push(Problem::new("cluster.peers", message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_right() {
        assert_eq!(problems(&Config::default()), []);
    }

    #[test]
    fn every_bounded_key_exists() {
        let table = toml::Value::try_from(Config::default()).unwrap();
        for (key, ..) in BOUNDS {
            let found = key
                .split('.')
                .try_fold(&table, |value, part| value.get(part));
            assert!(found.is_some(), "{key}");
        }
    }

    #[test]
    fn every_problem_names_its_key() {
        let mut config = Config::default();
        config.api.listen = "0.0.0.0:4000".parse().unwrap();
        config.api.depth_max = 4_000;
        config.telemetry.log_filter = "a=b=c".into();
        config.model.operations.attempts_max = 0;
        let keys: Vec<_> = problems(&config).into_iter().map(|it| it.key).collect();
        assert_eq!(
            keys,
            [
                "api.depth_max",
                "model.operations.attempts_max",
                "api.listen",
                "telemetry.log_filter"
            ]
        );
        config = Config::default();
        config.api.listen = "0.0.0.0:4000".parse().unwrap();
        config.api.allow_insecure = true;
        assert_eq!(problems(&config), []);
    }
}
