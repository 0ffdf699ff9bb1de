//! `/v1/stream`: the log from a record on, and then as it grows.
//!
//! ```text
//!   log ──► follower (reads batches, on a thread that may block) ──► frames ──► socket
//!    └─ durable watermark: wakes the follower when it has reached the end
//! ```
//!
//! The follower reads the log itself, so catching up and following are one
//! thing: there is no seam where a record could be lost or come twice, and a
//! slow reader costs one batch of memory. Only durable records are sent.

mod event;
mod follower;

use std::time::Duration;

use axum::{
    extract::{
        State,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code},
    },
    response::Response,
};
use futures_util::{FutureExt, SinkExt, StreamExt, stream::SplitSink, stream::SplitStream};
use serde::Deserialize;
use tokio::time::Instant;
use vsm_core::LogId;

use self::{event::Source, follower::Follower};
use super::{
    Answer, Shared,
    caller::Caller,
    log::Wanted,
    params::Params,
    problem::{Kind, Problem},
    upgrade::Upgrade,
};
use crate::{security::Action, unit::close};

/// How often a reader is told how far its filter got, when nothing fits.
const CURSOR_EVERY: Duration = Duration::from_secs(1);
/// How often a quiet connection is looked after.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A connection that answers no ping for so long is given up.
const SILENT_MAX: Duration = Duration::from_secs(65);
/// The longest frame that a reader may send: it has nothing to say.
const INCOMING_MAX: usize = 4 << 10;
/// Bytes that are written before the socket is flushed.
const WRITE_BYTES: usize = 64 << 10;

/// `?from=&channel=&system=&correlation_id=`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamParams {
    from: Option<u64>,
    channel: Option<String>,
    system: Option<String>,
    correlation_id: Option<String>,
    #[serde(rename = "token")]
    _token: Option<String>,
}

/// `GET /v1/stream`
///
/// # Errors
/// 401, 403, 422, and 503 when as many as may are reading.
pub async fn connect(
    State(api): State<Shared>,
    caller: Caller,
    Params(params): Params<StreamParams>,
    upgrade: Upgrade,
) -> Answer {
    caller.may(Action::ReadLog)?;
    let wanted = Wanted {
        channel: params.channel,
        system: params.system,
        correlation_id: params.correlation_id,
    };
    let filter = wanted.filter()?;
    let upgrade = upgrade.wanted()?;
    let permit = api.streams.clone().try_acquire_owned().map_err(|_| {
        let detail = "as many streams as may be are open (api.streams_max); try again";
        Problem::new(Kind::Overloaded, detail).retry_after_ms(1_000)
    })?;
    let log = api.handle.log().clone();
    let next = params.from.unwrap_or_else(|| log.durable() + 1);
    let source = Source {
        log: LogId(log.identity().log_id.0),
        node: api.config.node.name.clone(),
    };
    let follower = Follower::new(log, filter, source, next);
    let response: Response = upgrade
        .max_message_size(INCOMING_MAX)
        .max_frame_size(INCOMING_MAX)
        .on_upgrade(move |socket| async move {
            let (sink, stream) = socket.split();
            let reader = Reader {
                limit: Duration::from_millis(api.config.api.slow_reader_ms),
                sink,
                stream,
                heard: Instant::now(),
                told: params.from,
                told_at: Instant::now(),
            };
            reader.serve(&api, follower).await;
            drop(permit);
        });
    Ok(response)
}

/// Why a stream ends.
#[derive(Debug)]
enum End {
    /// The reader went, or its connection is gone.
    Lost,
    /// The node closes it, with a code and why.
    Close(u16, &'static str),
}

/// The other end of a stream.
struct Reader {
    sink: SplitSink<WebSocket, Message>,
    stream: SplitStream<WebSocket>,
    /// How long it may take nothing.
    limit: Duration,
    /// When something came from it.
    heard: Instant,
    /// The last cursor that it knows.
    told: Option<u64>,
    /// When it was told anything.
    told_at: Instant,
}

impl Reader {
    async fn serve(mut self, api: &Shared, follower: Follower) {
        let end = match self.follow(api, follower).await {
            Err(end) => end,
            Ok(never) => match never {},
        };
        self.hang_up(end).await;
    }

    async fn follow(
        &mut self,
        api: &Shared,
        mut follower: Follower,
    ) -> Result<std::convert::Infallible, End> {
        let mut durable = api.handle.shared().durable.clone();
        loop {
            if api.stopping.is_cancelled() {
                return Err(End::Close(close_code::RESTART, "the node is stopping"));
            }
            // While catching up nothing else looks at what the reader sends.
            while let Some(incoming) = self.stream.next().now_or_never() {
                self.hear(incoming)?;
            }
            let read = tokio::task::spawn_blocking(move || {
                let batch = follower.batch();
                (follower, batch)
            });
            let (back, batch) = read.await.map_err(|_| unreadable())?;
            follower = back;
            let batch = batch.map_err(|error| {
                tracing::error!(%error, "a stream can't read the log");
                unreadable()
            })?;
            if batch.frames.is_empty() {
                self.look_after(&follower).await?;
            } else {
                self.write(batch.frames).await?;
                self.told = Some(follower.next());
            }
            if !batch.at_end {
                continue;
            }
            if durable.now().poisoned && !api.stopping.is_cancelled() {
                return Err(End::Close(close_code::ERROR, "the log takes nothing more"));
            }
            tokio::select! {
                // The log's last word; the next look says which.
                changed = durable.changed() => if changed.is_err() {
                    return Err(End::Close(close_code::RESTART, "the node is stopping"));
                },
                incoming = self.stream.next() => self.hear(incoming)?,
                () = tokio::time::sleep(CURSOR_EVERY) => self.look_after(&follower).await?,
                () = api.stopping.cancelled() => {}
            }
        }
    }

    /// Tells a reader how far its filter got, or asks whether it is there.
    async fn look_after(&mut self, follower: &Follower) -> Result<(), End> {
        if self.heard.elapsed() > SILENT_MAX {
            return Err(End::Lost);
        }
        let next = follower.next();
        if self.told != Some(next) && self.told_at.elapsed() >= CURSOR_EVERY {
            self.write(vec![follower.cursor()]).await?;
            self.told = Some(next);
        } else if self.told_at.elapsed() >= PING_EVERY {
            let ping = self.sink.send(Message::Ping(bytes::Bytes::new()));
            written(tokio::time::timeout(self.limit, ping).await)?;
            self.told_at = Instant::now();
        }
        Ok(())
    }

    fn hear(&mut self, incoming: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        self.heard = Instant::now();
        match incoming {
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Lost),
            Some(Ok(_)) => Ok(()),
        }
    }

    /// Writes frames, some at a time: each time the reader has the whole limit
    /// to take them.
    async fn write(&mut self, frames: Vec<String>) -> Result<(), End> {
        let mut frames = frames.into_iter().peekable();
        while frames.peek().is_some() {
            let writing = async {
                let mut bytes = 0;
                while bytes < WRITE_BYTES
                    && let Some(frame) = frames.next()
                {
                    bytes += frame.len();
                    self.sink.feed(Message::Text(frame.into())).await?;
                }
                self.sink.flush().await
            };
            written(tokio::time::timeout(self.limit, writing).await)?;
            self.heard = Instant::now();
        }
        self.told_at = Instant::now();
        Ok(())
    }

    /// Says why, and waits for the reader to have read it: whoever is slow is
    /// given the same limit once more.
    async fn hang_up(mut self, end: End) {
        let End::Close(code, reason) = end else {
            return;
        };
        let closing = async {
            let frame = CloseFrame {
                code,
                reason: Utf8Bytes::from_static(reason),
            };
            self.sink.send(Message::Close(Some(frame))).await?;
            // Dropping a socket that holds unread bytes would take back what
            // was written.
            while let Some(Ok(_)) = self.stream.next().await {}
            Ok::<_, axum::Error>(())
        };
        let _ = tokio::time::timeout(self.limit, closing).await;
    }
}

fn written(done: Result<Result<(), axum::Error>, tokio::time::error::Elapsed>) -> Result<(), End> {
    match done {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Lost),
        Err(_) => Err(End::Close(
            close::SLOW,
            "read faster; resume from the cursor",
        )),
    }
}

const fn unreadable() -> End {
    End::Close(close_code::ERROR, "the log can't be read")
}
