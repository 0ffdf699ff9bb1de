//! Records as CloudEvents 1.0, in JSON.

use serde_json::{Value, json};
use vsm_core::{LogId, Name, Timestamp};

use crate::telemetry::time::Rfc3339;

/// The type of a frame that holds no record, only a cursor.
const CURSOR: &str = "vsm.stream.cursor";

/// Where the records of a stream are from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) log: LogId,
    pub(super) node: Name,
}

impl Source {
    /// A URI reference that no other log has.
    fn text(&self) -> String {
        format!("/nodes/{}/logs/{}", self.node, self.log)
    }

    /// A record, as `GET /v1/log` shows it. `cursor` is what to ask for as
    /// `from` to go on after it.
    pub(super) fn record(&self, line: Value) -> String {
        let seq = line["seq"].as_u64().unwrap_or_default();
        let time = line["time"].as_u64().unwrap_or_default();
        let kind = match line["kind"].as_str() {
            Some(kind) if !kind.is_empty() => kind,
            // The log's own: genesis, resumed.
            _ => line["record_kind"].as_str().unwrap_or("record"),
        };
        let id = match line["id"].as_str() {
            Some(id) => id.to_owned(),
            None => format!("{kind}-{seq}"),
        };
        json!({
            "specversion": "1.0",
            "id": id,
            "source": self.text(),
            "type": format!("vsm.{kind}"),
            "time": Rfc3339(Timestamp(time)),
            "datacontenttype": "application/json",
            "seq": seq,
            "cursor": seq + 1,
            "data": line,
        })
        .to_string()
    }

    /// How far a stream got, when nothing fits its filter.
    pub(super) fn cursor(&self, next: u64, now: Timestamp) -> String {
        json!({
            "specversion": "1.0",
            "id": format!("cursor-{next}"),
            "source": self.text(),
            "type": CURSOR,
            "time": Rfc3339(now),
            "datacontenttype": "application/json",
            "cursor": next,
            "data": null,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_what_cloudevents_asks_for() {
        let source = Source {
            log: LogId([1; 16]),
            node: "n".parse().unwrap(),
        };
        let frame = source.record(json!({
            "seq": 7, "time": 1_700_000_000_000_000_u64, "kind": "algedonic.pain", "id": "x",
        }));
        let frame: Value = serde_json::from_str(&frame).unwrap();
        assert_eq!(frame["specversion"], "1.0");
        assert_eq!(frame["type"], "vsm.algedonic.pain");
        assert_eq!(frame["time"], "2023-11-14T22:13:20.000000Z");
        assert_eq!((&frame["seq"], &frame["cursor"]), (&json!(7), &json!(8)));
        assert_eq!(frame["data"]["seq"], 7);
        let own = source.record(json!({"seq": 0, "time": 0, "kind": "", "record_kind": "genesis"}));
        let own: Value = serde_json::from_str(&own).unwrap();
        assert_eq!(
            (own["type"].as_str(), own["id"].as_str()),
            (Some("vsm.genesis"), Some("genesis-0"))
        );
    }
}
