//! The connection of `vsm unit exec`: made, lost, made again.

use std::time::Duration;

use anyhow::anyhow;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::{
    cli::client::{Client, Problem, Socket},
    unit::close,
};

/// The first pause before another attempt; doubles with each.
const PAUSE: Duration = Duration::from_millis(200);
/// Where that doubling ends.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long the node may take nothing of what it is sent.
const TAKE: Duration = Duration::from_secs(20);

/// A connection to the node.
pub struct Line {
    socket: Socket,
    /// The node does not read: nothing more is sent.
    stuck: bool,
}

/// What comes through it.
#[derive(Debug)]
pub enum Heard {
    /// A frame.
    Frame(Value),
    /// Something else: the node is there.
    Sign,
    /// The connection is gone; another may be made.
    Lost(String),
    /// The node closed it, and another would be closed too.
    Over(String),
}

impl Line {
    /// Connects, again and again, until it works.
    ///
    /// # Errors
    /// When it never will: the node refuses us.
    pub async fn connect(client: &Client) -> anyhow::Result<Self> {
        let mut pause = PAUSE;
        let mut said = false;
        loop {
            let error = match client.socket("/v1/unit").await {
                Ok(socket) => {
                    return Ok(Self {
                        socket,
                        stuck: false,
                    });
                }
                Err(error) => error,
            };
            if is_final(&error) {
                return Err(error);
            }
            if !said {
                eprintln!("{error:#}; trying again");
                said = true;
            }
            // Units that lost the same node come back at different times.
            let jitter = f64::from(std::process::id() % 1_000) / 2_000.0;
            tokio::time::sleep(pause.mul_f64(0.75 + jitter)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Sends a frame. A connection that is gone is noticed by [`Line::hear`].
    pub async fn say(&mut self, frame: String) {
        self.send(Message::text(frame)).await;
    }

    async fn send(&mut self, message: Message) {
        if !self.stuck {
            let sending = self.socket.send(message);
            self.stuck = tokio::time::timeout(TAKE, sending).await.is_err();
        }
    }

    /// Sends frames, in order.
    pub async fn say_all(&mut self, frames: impl IntoIterator<Item = String>) {
        for frame in frames {
            self.say(frame).await;
        }
    }

    /// Sends a ping, whose answer shows that the node is there.
    pub async fn ping(&mut self) {
        self.send(Message::Ping(Vec::new().into())).await;
    }

    /// The next thing that comes.
    pub async fn hear(&mut self) -> Heard {
        if self.stuck {
            return Heard::Lost("the node does not read".into());
        }
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(frame) => Heard::Frame(frame),
                Err(error) => {
                    Heard::Over(format!("the node sent a frame that is no JSON: {error}"))
                }
            },
            Some(Ok(Message::Close(frame))) => {
                let (code, reason) = frame.map_or((1005, String::new()), |frame| {
                    (u16::from(frame.code), frame.reason.to_string())
                });
                match code {
                    close::REPLACED | close::STOPPED => Heard::Over(reason),
                    1000 => Heard::Lost("left".into()),
                    _ => Heard::Lost(format!("the node closed the connection: {reason} ({code})")),
                }
            }
            Some(Ok(_)) => Heard::Sign,
            Some(Err(tungstenite::Error::Capacity(error))) => Heard::Over(error.to_string()),
            Some(Err(error)) => Heard::Lost(format!("the connection broke: {error}")),
            None => Heard::Lost("the connection broke".into()),
        }
    }
}

/// Whether trying again makes no sense.
fn is_final(error: &anyhow::Error) -> bool {
    if let Some(problem) = error.downcast_ref::<Problem>() {
        return problem.status.is_client_error() && problem.status.as_u16() != 429;
    }
    // A node that is not there yet, or not any more, may come.
    let io = error
        .chain()
        .any(|cause| cause.downcast_ref::<std::io::Error>().is_some());
    !io
}

/// What the node said no to.
#[must_use]
pub fn refused(frame: &Value) -> anyhow::Error {
    let detail = frame["detail"].as_str().unwrap_or("no reason given");
    match frame["field"].as_str() {
        Some(field) => anyhow!("the node refused the unit: {field}: {detail}"),
        None => anyhow!("the node refused the unit: {detail}"),
    }
}
