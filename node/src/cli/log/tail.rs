//! `vsm log tail`: the end of a node's log, and what comes after it.
//!
//! What is there is read in pages. Following is a stream that begins where the
//! pages end and, when it breaks, is opened again from its cursor: nothing is
//! missed or printed twice.

use std::{
    io::{self, Write},
    time::Duration,
};

use clap::Args;
use futures_util::StreamExt;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use super::{
    super::{
        Done, Global,
        client::{Client, Problem, Socket, encoded},
        exit::Exit,
        output::{self, Format},
    },
    row::row,
};

/// Records that are shown when nobody says from where.
const LAST: usize = 20;
/// How far back they are looked for with a filter.
const BACK_MAX: u64 = 200_000;
/// How long to wait before a broken stream is opened again: at first, at most.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// `vsm log tail`
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Go on with what comes, until interrupted.
    #[arg(long, short)]
    follow: bool,
    /// The first record; the last 20 are shown when not given.
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,
    /// Only this channel.
    #[arg(long, value_name = "C")]
    channel: Option<String>,
    /// Only from or to this subsystem.
    #[arg(long, value_name = "S")]
    system: Option<String>,
    /// Only this conversation.
    #[arg(long, value_name = "ID")]
    correlation: Option<String>,
}

/// Prints records.
///
/// # Errors
/// When the node does not answer or refuses.
pub fn run(global: &Global, args: &TailArgs) -> Done {
    let tail = Tail {
        client: Client::new(global)?,
        format: global.format,
        filter: filter(args),
    };
    super::super::runtime()?.block_on(async {
        let next = match args.from {
            Some(from) => tail.print_from(from).await?,
            None => tail.print_last().await?,
        };
        if args.follow {
            tail.follow(next).await?;
        }
        Ok(Exit::Ok)
    })
}

/// The filter, as it stands in a query.
fn filter(args: &TailArgs) -> String {
    let parts = [
        ("channel", &args.channel),
        ("system", &args.system),
        ("correlation_id", &args.correlation),
    ];
    parts
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .map(|(name, value)| format!("&{name}={}", encoded(value)))
        .collect()
}

struct Tail {
    client: Client,
    format: Format,
    filter: String,
}

/// Part of the log.
struct Part {
    records: Vec<Value>,
    /// Where the next part begins, if there is more of it.
    next: Option<u64>,
    /// The last record of the log.
    last: u64,
}

impl Tail {
    async fn page(&self, from: u64, to: Option<u64>) -> anyhow::Result<Part> {
        let to = to.map(|to| format!("&to={to}")).unwrap_or_default();
        let path = format!("/v1/log?limit=1000&from={from}{to}{}", self.filter);
        let mut answer = self.client.get(&path).await?;
        Ok(Part {
            records: match answer["records"].take() {
                Value::Array(records) => records,
                _ => Vec::new(),
            },
            next: answer["next"].as_u64(),
            last: answer["last"].as_u64().unwrap_or_default(),
        })
    }

    /// Prints everything from a record on; the answer is where to go on.
    async fn print_from(&self, from: u64) -> anyhow::Result<u64> {
        let mut next = from;
        loop {
            let part = self.page(next, None).await?;
            self.print(&part.records)?;
            match part.next {
                Some(more) => next = more,
                None => return Ok((part.last + 1).max(from)),
            }
        }
    }

    /// Prints the last records. With a filter they may be far back: looks in
    /// ever larger steps.
    async fn print_last(&self) -> anyhow::Result<u64> {
        // Beyond every end: the answer says where the end is.
        let last = self.page(u64::MAX, None).await?.last;
        let step = if self.filter.is_empty() {
            LAST as u64
        } else {
            2_000
        };
        let (mut end, mut step) = (last, step);
        let mut found: Vec<Value> = Vec::new();
        loop {
            let begin = (end + 1).saturating_sub(step);
            let mut part = self.all(begin, end).await?;
            part.append(&mut found);
            found = part;
            if found.len() >= LAST || begin == 0 {
                break;
            }
            if last - begin >= BACK_MAX {
                eprintln!("looked back to record {begin} only; --from goes further");
                break;
            }
            end = begin - 1;
            step *= 4;
        }
        self.print(&found[found.len().saturating_sub(LAST)..])?;
        Ok(last + 1)
    }

    /// Everything that fits between two records.
    async fn all(&self, from: u64, to: u64) -> anyhow::Result<Vec<Value>> {
        let mut found = Vec::new();
        let mut next = Some(from);
        while let Some(from) = next {
            let part = self.page(from, Some(to)).await?;
            found.extend(part.records);
            next = part.next;
        }
        Ok(found)
    }

    fn print(&self, records: &[Value]) -> io::Result<()> {
        for record in records {
            match self.format {
                Format::Json => output::json_line(record)?,
                Format::Text => writeln!(io::stdout().lock(), "{}", row(record))?,
            }
        }
        io::stdout().lock().flush()
    }

    /// Prints what comes, until the node refuses.
    async fn follow(&self, from: u64) -> anyhow::Result<()> {
        let mut cursor = from;
        let mut wait = AGAIN.0;
        loop {
            let path = format!("/v1/stream?from={cursor}{}", self.filter);
            let why = match self.client.socket(&path).await {
                Ok(socket) => {
                    wait = AGAIN.0;
                    self.read(socket, &mut cursor).await?
                }
                // A node that restarts or is full may take it later.
                Err(error) => match error.downcast_ref::<Problem>() {
                    Some(problem) if !problem.status.is_server_error() => return Err(error),
                    _ => error.to_string(),
                },
            };
            eprintln!("the stream broke off ({why}); going on from record {cursor}");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(AGAIN.1);
        }
    }

    /// Prints a stream until it ends; the answer is why.
    async fn read(&self, mut socket: Socket, cursor: &mut u64) -> anyhow::Result<String> {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let mut frame: Value = serde_json::from_str(&text)?;
                    let record = frame["data"].take();
                    if !record.is_null() {
                        self.print(&[record])?;
                    }
                    *cursor = frame["cursor"].as_u64().unwrap_or(*cursor);
                }
                Some(Ok(Message::Close(Some(close)))) => return Ok(close.reason.to_string()),
                Some(Ok(Message::Close(None))) | None => return Ok("closed".into()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Ok(error.to_string()),
            }
        }
    }
}
