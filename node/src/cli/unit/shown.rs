//! Evidence: what an operation's process said, kept for the auditor.

use std::collections::VecDeque;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Results kept at most.
const RESULTS_MAX: usize = 1_024;
/// Bytes kept at most.
const BYTES_MAX: usize = 16 << 20;

/// The last outputs, by operation. The unit binds itself to each with its
/// digest in the result; the auditor may ask for any of them later.
#[derive(Debug, Default)]
pub struct Evidence {
    kept: VecDeque<(String, String)>,
    bytes: usize,
}

impl Evidence {
    /// Keeps an output; its SHA-256 in hexadecimal.
    pub fn keep(&mut self, operation: &str, output: &Value) -> String {
        let text = output.to_string();
        let digest = Sha256::digest(text.as_bytes());
        let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        self.bytes += text.len();
        self.kept.push_back((operation.to_owned(), text));
        while self.kept.len() > RESULTS_MAX || self.bytes > BYTES_MAX {
            match self.kept.pop_front() {
                Some((_, text)) => self.bytes -= text.len(),
                None => break,
            }
        }
        digest
    }

    /// The frames that answer an audit: evidence, or that there is none.
    pub fn show(&self, audit: &Value) -> Vec<String> {
        let sample = audit["sample"].as_array().map_or(&[][..], Vec::as_slice);
        let frames = sample.iter().map(|id| {
            // An operation may have been done twice: the last one counts.
            let found = self.kept.iter().rev().find(|(it, _)| id == it.as_str());
            let evidence = found.map(|(_, text)| text);
            let audit = &audit["audit"];
            json!({"type": "evidence", "audit": audit, "id": id, "evidence": evidence}).to_string()
        });
        frames.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_bound_is_shown() {
        let mut evidence = Evidence::default();
        let digest = evidence.keep("o", &json!("done"));
        let frames = evidence.show(&json!({"audit": "a", "sample": ["o", "p"]}));
        let frames: Vec<Value> = frames
            .iter()
            .map(|frame| serde_json::from_str(frame).unwrap())
            .collect();
        let shown = frames[0]["evidence"].as_str().unwrap();
        let again: String = Sha256::digest(shown)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(digest, again);
        assert!(frames[1]["evidence"].is_null());
        for number in 0..2_000 {
            evidence.keep(&number.to_string(), &json!("x"));
        }
        assert_eq!(evidence.kept.len(), RESULTS_MAX);
        assert_eq!(evidence.bytes, RESULTS_MAX * 3);
    }
}
