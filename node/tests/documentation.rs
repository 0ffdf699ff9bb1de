//! The documentation names everything there is.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{fs, path::Path};

use vsm_node::{
    config::Layers,
    unit::{close, frame},
};

fn doc(name: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    fs::read_to_string(docs.join(name)).unwrap()
}

#[test]
fn every_key_of_the_configuration_with_its_default() {
    let doc = doc("configuration.md");
    let effective = Layers::default().read().unwrap();
    for (key, (value, _)) in &effective.values {
        let row = format!("| `{key}` | `{value}` |");
        assert!(doc.contains(&row), "docs/configuration.md has no {row}");
    }
    assert!(doc.contains("| `model.control.pools` |"));
    // And nothing that is not there any more.
    let rows = doc
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for key in rows.filter(|key| *key != "model.control.pools") {
        assert!(effective.values.contains_key(key), "there is no {key}");
    }
}

#[test]
fn every_frame_and_every_close_code() {
    let doc = doc("units.md");
    let (from, to) = doc.split_once("### Frames to the unit").unwrap();
    for frame in frame::TYPES {
        assert!(from.contains(&format!("**`{frame}`**")), "no {frame}");
    }
    let types = frame::TO_UNIT_TYPES;
    for frame in types {
        assert!(to.contains(&format!("**`{frame}`**")), "no {frame}");
    }
    for code in [
        close::REPLACED,
        close::STOPPED,
        close::REGISTER_AGAIN,
        close::REFUSED,
        close::SLOW,
    ] {
        assert!(to.contains(&format!("| {code} |")), "no {code}");
    }
}
