//! `vsm send`: a message into a channel.

use std::io::{self, Write};

use clap::Args;
use hyper::Method;
use serde_json::{Value, json};

use super::{
    Done, Global,
    client::{Client, encoded},
    exit::Exit,
    op,
    output::{self, Format},
};

/// `vsm send CHANNEL`
#[derive(Debug, Args)]
pub struct SendArgs {
    /// The channel: command, coordination, audit, `resource_bargain`,
    /// algedonic, operations, intelligence or sharing.
    channel: String,
    /// As whom: operator, environment, or a subsystem (admins only).
    #[arg(long, value_name = "S")]
    from: String,
    /// To whom.
    #[arg(long, value_name = "S")]
    to: String,
    /// Which of the channel's types.
    #[arg(long = "type", value_name = "T")]
    kind: String,
    /// What the type holds, as JSON; `-` reads it from stdin.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    payload: String,
    /// The conversation that it is part of.
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
    /// The message that moved you to it.
    #[arg(long, value_name = "ID")]
    causation: Option<String>,
    /// How long it makes sense, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS")]
    deadline_ms: Option<u64>,
    /// Something to keep with it, as NAME=TEXT; as often as needed.
    #[arg(long, value_name = "NAME=TEXT", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Wait for the reply: as long as the node allows, or this long.
    #[arg(long, value_name = "SPAN", num_args = 0..=1, default_missing_value = "")]
    wait: Option<String>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=TEXT")?;
    Ok((name.into(), value.into()))
}

/// Sends.
///
/// # Errors
/// When the node does not answer or refuses.
pub fn run(global: &Global, args: SendArgs) -> Done {
    let client = Client::new(global)?;
    let mut body = json!({
        "channel": args.channel,
        "from": args.from,
        "to": args.to,
        "type": args.kind,
        "payload": op::payload(&args.payload)?,
    });
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body[name] = value;
        }
    };
    set("correlation_id", args.correlation.map(Value::from));
    set("causation", args.causation.map(Value::from));
    set("deadline_ms", args.deadline_ms.map(Value::from));
    if !args.metadata.is_empty() {
        let metadata = args.metadata.into_iter();
        set(
            "metadata",
            Some(metadata.map(|(k, v)| (k, Value::from(v))).collect()),
        );
    }
    let path = match &args.wait {
        Some(span) => format!("/v1/messages?wait={}", encoded(span)),
        None => "/v1/messages".into(),
    };
    let call = client.call(Method::POST, &path, Some(&body));
    let answer = super::runtime()?.block_on(call)?.body;
    match global.format {
        Format::Json => output::json_line(&answer)?,
        Format::Text => {
            let mut out = io::stdout().lock();
            for key in ["id", "seq", "correlation_id", "reply"] {
                match &answer[key] {
                    Value::Null => {}
                    Value::String(text) => writeln!(out, "{key:<15} {text}")?,
                    other => writeln!(out, "{key:<15} {other}")?,
                }
            }
        }
    }
    if args.wait.is_some() && answer["reply"].is_null() {
        eprintln!("no reply yet; the message is on the log and may still be answered");
    }
    Ok(Exit::Ok)
}
