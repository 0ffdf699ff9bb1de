//! `vsm unit`: be a unit; look at units and control them.

pub mod amount;
pub mod child;
pub mod exec;
pub mod hold;
pub mod line;
pub mod need;
pub mod operation;
pub mod shown;
pub mod signals;

use clap::Subcommand;
use hyper::Method;
use serde_json::{Value, json};

use super::{
    Done, Global,
    client::{Client, encoded},
    exit::Exit,
    output::{self, Format},
};

/// `vsm unit …`
#[derive(Debug, Subcommand)]
pub enum UnitCommand {
    /// Run a program as a unit: an operation's payload on its stdin, its
    /// stdout the output, an exit code other than 0 a failure.
    Exec(exec::ExecArgs),
    /// Every unit.
    List,
    /// Give a unit no more work.
    Suspend {
        /// The unit.
        name: String,
        /// Why; it is on the log.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Give a unit work again.
    Resume {
        /// The unit.
        name: String,
    },
}

/// Runs a subcommand.
///
/// # Errors
/// When the node does not answer or refuses.
pub fn run(global: &Global, command: UnitCommand) -> Done {
    let client = Client::new(global)?;
    let runtime = super::runtime()?;
    match command {
        UnitCommand::Exec(args) => runtime.block_on(exec::run(client, args)),
        UnitCommand::List => runtime.block_on(list(global, &client)),
        UnitCommand::Suspend { name, reason } => {
            let path = format!("/v1/units/{}/suspend", encoded(&name));
            let body = reason.map_or_else(|| json!({}), |reason| json!({"reason": reason}));
            let call = client.call(Method::POST, &path, Some(&body));
            told(global, &runtime.block_on(call)?.body)
        }
        UnitCommand::Resume { name } => {
            let path = format!("/v1/units/{}/resume", encoded(&name));
            let call = client.call(Method::POST, &path, None);
            told(global, &runtime.block_on(call)?.body)
        }
    }
}

fn told(global: &Global, unit: &Value) -> Done {
    match global.format {
        Format::Json => output::json_line(unit)?,
        Format::Text => rows(std::slice::from_ref(unit))?,
    }
    Ok(Exit::Ok)
}

async fn list(global: &Global, client: &Client) -> Done {
    let answer = client.get("/v1/units").await?;
    let units = answer["units"].as_array().cloned().unwrap_or_default();
    match global.format {
        Format::Json => {
            for unit in &units {
                output::json_line(unit)?;
            }
        }
        Format::Text => rows(&units)?,
    }
    Ok(Exit::Ok)
}

fn rows(units: &[Value]) -> std::io::Result<()> {
    let rows = units.iter().map(|unit| {
        let capabilities: Vec<_> = unit["capabilities"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|it| it["name"].as_str())
            .collect();
        let state = match (&unit["suspended"], &unit["connected"]) {
            (Value::Bool(true), _) => "suspended",
            (_, Value::Bool(true)) => "connected",
            _ => "disconnected",
        };
        [
            unit["name"].as_str().unwrap_or("?").to_owned(),
            state.to_owned(),
            format!("{}/{}", unit["in_flight"], unit["capacity"]),
            unit["completed"].to_string(),
            unit["failed"].to_string(),
            capabilities.join(","),
        ]
    });
    output::table(
        [
            "unit",
            "state",
            "busy",
            "completed",
            "failed",
            "capabilities",
        ],
        rows,
    )
}
