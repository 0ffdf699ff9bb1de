//! Measures vsm-store beside other engines that can hold an event log, each in
//! a process of its own, in turns. `run.sh` builds and runs this and puts what
//! it finds into the documentation; `--help` says the rest.

mod child;
mod disk;
mod document;
mod engines;
mod events;
mod job;
mod machine;
mod markdown;
mod options;
mod plot;
mod process;
mod queue;
mod results;
mod run;

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use options::{Command, CommandLine, Outputs};
use results::Results;

fn main() -> ExitCode {
    let line = CommandLine::parse();
    let done = match line.command {
        Some(Command::Child { job, answer }) => child::run(&job, &answer),
        Some(Command::Report { results, outputs }) => report(&results, &outputs),
        None => document::check_markers(&line.options.outputs)
            .and_then(|()| run::run(&line.options))
            .and_then(|results| publish(&results, &line.options.outputs)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn report(path: &std::path::Path, outputs: &Outputs) -> Result<()> {
    let bytes = fs::read(path).with_context(|| format!("can't read {}", path.display()))?;
    let results = serde_json::from_slice(&bytes);
    let results = results.with_context(|| format!("{} holds no results", path.display()))?;
    publish(&results, outputs)
}

fn publish(results: &Results, outputs: &Outputs) -> Result<()> {
    let write = |path: &std::path::Path, text: &str| {
        fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
    };
    // First what can't be had again without measuring.
    if let Some(path) = &outputs.json {
        write(path, &serde_json::to_string_pretty(results)?)?;
    }
    let tables = markdown::tables(results);
    println!("{tables}");
    if let Some(path) = &outputs.markdown {
        write(path, &tables)?;
    }
    if let Some(path) = &outputs.svg {
        write(path, &plot::appends(results))?;
    }
    if let Some(path) = &outputs.replace_in {
        document::replace_in(path, &tables)?;
    }
    Ok(())
}
