//! `vsm config`: what is configured, and whether it makes sense.

use clap::Subcommand;
use serde_json::json;

use super::{
    Done, Global,
    exit::{Exit, ExitError},
    output::{self, Format},
};
use crate::config::{ConfigError, Layers};

/// `vsm config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every key with its value and where that comes from.
    Show,
    /// Says what is wrong; exit code 78 when something is.
    Validate,
}

/// A wrong configuration, as a command's error.
#[must_use]
pub fn invalid(error: ConfigError) -> anyhow::Error {
    ExitError::configuration(error.to_string()).into()
}

/// Runs a subcommand.
///
/// # Errors
/// When the configuration is wrong.
pub fn run(global: &Global, command: &ConfigCommand) -> Done {
    let effective = Layers::of_process(global.config.as_deref())
        .read()
        .map_err(invalid)?;
    match (command, global.format) {
        (ConfigCommand::Validate, _) => eprintln!("the configuration is valid"),
        (ConfigCommand::Show, Format::Json) => {
            let values: serde_json::Map<_, _> = effective
                .values
                .iter()
                .map(|(key, (value, origin))| {
                    let entry = json!({"value": value, "origin": origin.to_string()});
                    (key.clone(), entry)
                })
                .collect();
            output::json_pretty(&values)?;
        }
        (ConfigCommand::Show, Format::Text) => {
            let rows = effective
                .values
                .iter()
                .map(|(key, (value, origin))| [key.clone(), value.to_string(), origin.to_string()]);
            output::table(["key", "value", "origin"], rows)?;
        }
    }
    Ok(Exit::Ok)
}
