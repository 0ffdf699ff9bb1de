//! A record as a line for people.

use serde_json::Value;
use vsm_core::Timestamp;

use crate::telemetry::time::Rfc3339;

/// Characters of a payload that a line shows.
const PAYLOAD_MAX: usize = 100;

/// A record's time.
pub(super) fn time(record: &Value) -> String {
    Rfc3339(Timestamp(record["time"].as_u64().unwrap_or_default())).to_string()
}

/// Sequence number, time, type, route, and as much of the payload as fits.
pub(super) fn row(record: &Value) -> String {
    let text = |key: &str| record[key].as_str().unwrap_or_default();
    let kind = match (text("channel"), text("type")) {
        ("", _) => text("record_kind").to_owned(),
        (channel, kind) => format!("{channel}.{kind}"),
    };
    // The log's own records are from nobody.
    let route = match text("from") {
        "" => String::new(),
        from => format!("{from} → {}", text("to")),
    };
    let payload = match &record["payload"] {
        Value::Null => String::new(),
        payload => payload.to_string(),
    };
    let shown: String = payload.chars().take(PAYLOAD_MAX).collect();
    let more = if shown.len() < payload.len() {
        "…"
    } else {
        ""
    };
    let line = format!(
        "{:>8}  {}  {kind:<28} {route:<22} {shown}{more}",
        record["seq"].as_u64().unwrap_or_default(),
        time(record),
    );
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_payloads_are_cut() {
        let record = json!({
            "seq": 7, "time": 0, "channel": "command", "type": "resume", "from": "operator",
            "to": "s3", "payload": {"unit": "é".repeat(200)},
        });
        let line = row(&record);
        assert!(line.starts_with("       7  1970-01-01T00:00:00.000000Z  command.resume"));
        assert!(line.ends_with('…') && line.chars().count() < 200);
        let own = json!({"seq": 0, "time": 0, "record_kind": "genesis"});
        assert!(row(&own).ends_with("genesis"));
    }
}
