//! `vsm op`: work for the units.

use std::io::{self, Read, Write};

use anyhow::Context;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::{
    Done, Global,
    client::{Client, encoded},
    exit::{Exit, ExitError},
    output::{self, Format},
};

/// `vsm op …`
#[derive(Debug, Subcommand)]
pub enum OpCommand {
    /// Submit an operation.
    Submit(SubmitArgs),
    /// Show an operation and its output.
    Show {
        /// The operation.
        id: String,
    },
    /// The youngest operations.
    List {
        /// How many.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// No longer want an operation.
    Cancel {
        /// The operation.
        id: String,
    },
}

/// `vsm op submit`
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// What a unit must be capable of.
    #[arg(long)]
    capability: String,
    /// What the unit gets, as JSON; `-` reads it from stdin.
    #[arg(long, value_name = "JSON", default_value = "null")]
    payload: String,
    /// What the operation is placed by.
    #[arg(long)]
    key: Option<String>,
    /// A second submission under the same key is the first one.
    #[arg(long)]
    idempotency_key: Option<String>,
    /// How long it makes sense, in milliseconds.
    #[arg(long, value_name = "MILLISECONDS")]
    deadline_ms: Option<u64>,
    /// Wait for the result: as long as the node allows, or this long.
    #[arg(long, value_name = "SPAN", num_args = 0..=1, default_missing_value = "")]
    wait: Option<String>,
}

/// Runs a subcommand.
///
/// # Errors
/// When the node does not answer or refuses.
pub fn run(global: &Global, command: OpCommand) -> Done {
    let client = Client::new(global)?;
    super::runtime()?.block_on(async {
        match command {
            OpCommand::Submit(args) => submit(global, &client, args).await,
            OpCommand::Show { id } => {
                let path = format!("/v1/operations/{}", encoded(&id));
                print(global, &client.get(&path).await?)
            }
            OpCommand::List { limit } => list(global, &client, limit).await,
            OpCommand::Cancel { id } => {
                let path = format!("/v1/operations/{}/cancel", encoded(&id));
                let reply = client.call(Method::POST, &path, None).await?;
                print(global, &reply.body)?;
                Ok(Exit::Ok)
            }
        }
    })
}

async fn submit(global: &Global, client: &Client, args: SubmitArgs) -> Done {
    let payload = payload(&args.payload)?;
    let mut body = json!({"capability": args.capability, "payload": payload});
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body[name] = value;
        }
    };
    set("key", args.key.map(Value::from));
    set("idempotency_key", args.idempotency_key.map(Value::from));
    set("deadline_ms", args.deadline_ms.map(Value::from));
    let path = match &args.wait {
        Some(span) => format!("/v1/operations?wait={}", encoded(span)),
        None => "/v1/operations".into(),
    };
    let reply = client.call(Method::POST, &path, Some(&body)).await?;
    if args.wait.is_some() && reply.status != hyper::StatusCode::OK {
        eprintln!("not done yet; `vsm op show ID` tells when it is");
    }
    print(global, &reply.body)
}

/// What `--payload` says; `-`: stdin.
pub(super) fn payload(text: &str) -> anyhow::Result<Value> {
    let text = match text {
        "-" => {
            let mut text = String::new();
            io::stdin().lock().read_to_string(&mut text)?;
            text
        }
        text => text.to_owned(),
    };
    let payload = serde_json::from_str(&text)
        .map_err(|error| ExitError::usage(format!("--payload is no JSON: {error}")))?;
    Ok(payload)
}

/// Prints an operation; the exit code says whether it failed.
fn print(global: &Global, it: &Value) -> Done {
    match global.format {
        Format::Json => output::json_line(it)?,
        Format::Text => {
            let mut out = io::stdout().lock();
            for key in ["id", "state", "capability", "unit", "attempt", "reason"] {
                match &it[key] {
                    Value::Null => {}
                    Value::String(text) => writeln!(out, "{key:<11} {text}")?,
                    other => writeln!(out, "{key:<11} {other}")?,
                }
            }
            match &it["output"] {
                Value::Null => {}
                Value::String(text) => writeln!(out, "output      {text}")?,
                other => {
                    let text = serde_json::to_string_pretty(other).context("the output")?;
                    writeln!(out, "output      {text}")?;
                }
            }
        }
    }
    let failed = matches!(
        it["state"].as_str(),
        Some("failed" | "timed_out" | "cancelled")
    );
    Ok(if failed { Exit::Failure } else { Exit::Ok })
}

async fn list(global: &Global, client: &Client, limit: usize) -> Done {
    let answer = client.get(&format!("/v1/operations?limit={limit}")).await?;
    let operations = answer["operations"].as_array().cloned().unwrap_or_default();
    match global.format {
        Format::Json => {
            for operation in &operations {
                output::json_line(operation)?;
            }
        }
        Format::Text => {
            let text = |value: &Value| match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let rows = operations.iter().map(|it| {
                ["id", "state", "capability", "unit", "attempt"].map(|key| text(&it[key]))
            });
            output::table(["id", "state", "capability", "unit", "attempt"], rows)?;
        }
    }
    Ok(Exit::Ok)
}
