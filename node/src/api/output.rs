//! What came of an operation: the body of the record that ended it.

use serde_json::{Value, json};
use vsm_core::Seq;

use super::{
    Answer, Shared,
    bodies::Stored,
    problem::{Kind, Problem},
};

/// Adds `output` and `output_seq` to what is told of an operation, and
/// `output_gone` when the output is no longer on the log.
///
/// # Errors
/// 500 when the log can't be read.
pub(super) async fn add(api: &Shared, view: &mut Value, seq: Option<Seq>) -> Answer<()> {
    let stored = match seq {
        Some(seq) => api.bodies.read(&api.handle, seq).await,
        None => Ok(Stored::None),
    };
    let stored = stored.map_err(|error| Problem::new(Kind::Internal, error))?;
    let Value::Object(view) = view else {
        return Ok(());
    };
    if let Some(gone) = stored.gone() {
        view.insert("output_gone".into(), gone.into());
    }
    let output = match stored {
        Stored::Present(body) => content(&body),
        _ => Value::Null,
    };
    view.insert("output".into(), output);
    view.insert("output_seq".into(), json!(seq));
    Ok(())
}

/// The same for a view of an operation, which names the record itself.
///
/// # Errors
/// As [`add`].
pub(super) async fn with_output(api: &Shared, mut view: Value) -> Answer<Value> {
    let seq = view.get("output").and_then(Value::as_u64).map(Seq);
    add(api, &mut view, seq).await?;
    Ok(view)
}

/// A body as JSON; a text when it is none.
fn content(body: &[u8]) -> Value {
    serde_json::from_slice(body)
        .unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into())
}
