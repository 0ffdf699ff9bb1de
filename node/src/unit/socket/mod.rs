//! `/v1/unit`: a unit's connection.
//!
//! ```text
//!   register ──► Register on the log ──► registered (durable)
//!   frames   ──► messages of S1, in order
//!   the hub's line (durable messages only) ──► frames
//!   the end  ──► Left: in order after `leave`, otherwise not
//! ```
//!
//! A unit that does not read loses its line, and with it the connection; what
//! it missed it gets when it resumes its session.

mod references;
mod talk;

use std::time::Duration;

use axum::{
    extract::{
        State,
        ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code},
    },
    response::Response,
};
use futures_util::{SinkExt, StreamExt, stream::SplitSink, stream::SplitStream};
use vsm_core::{Millis, payload::operations};

use self::talk::Connected;
use super::{
    close,
    frame::{self, FromUnit, Register},
    session::{self, Entered},
};
use crate::{
    api::{
        Answer, Shared, body,
        caller::Caller,
        problem::{Kind, Problem},
        upgrade::{Upgrade, is_too_long},
    },
    runtime::SendError,
    security::{Action, Principal},
};

/// `GET /v1/unit`
///
/// # Errors
/// 401, 403, and 503 when as many units as may are connected.
pub async fn connect(State(api): State<Shared>, caller: Caller, upgrade: Upgrade) -> Answer {
    let principal = caller.may(Action::BeUnit)?.clone();
    let max = body::body_max(&api);
    let tasks = api.unit_tasks.clone();
    let talking = move |socket| async move {
        let Ok(_permit) = api.unit_lines.try_acquire() else {
            let problem = Problem::new(
                Kind::Overloaded,
                "as many units as may be are connected (units.connections_max)",
            );
            refuse(socket, &problem).await;
            return;
        };
        serve(&api, socket, principal).await;
    };
    let response: Response = upgrade
        .wanted()?
        .max_message_size(max)
        .max_frame_size(max)
        .on_upgrade(move |socket| tasks.track_future(talking(socket)));
    Ok(response)
}

async fn refuse(mut socket: WebSocket, problem: &Problem) {
    let _ = socket
        .send(Message::Text(frame::error(problem).into()))
        .await;
    let _ = socket
        .send(Message::Close(Some(CloseFrame {
            code: close_code::AGAIN,
            reason: Utf8Bytes::from_static("overloaded"),
        })))
        .await;
}

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The unit said that it goes.
    Orderly,
    /// The socket is gone.
    Lost,
    /// The node closes it, with a code and why.
    Close(u16, &'static str),
}

async fn serve(api: &Shared, socket: WebSocket, principal: Principal) {
    let (mut sink, mut stream) = socket.split();
    let limit = Duration::from_millis(api.config.units.register_ms);
    let mut malformed = 0;
    let asked = async {
        loop {
            match next_frame(api, &mut stream).await {
                Ok(FromUnit::Register(register)) => return Ok(register),
                Ok(_) => {
                    let problem = Problem::field("type", "the first frame is register");
                    reject(api, &mut sink, &problem, &mut malformed).await?;
                }
                Err(Incoming::Bad(problem)) => {
                    reject(api, &mut sink, &problem, &mut malformed).await?;
                }
                Err(Incoming::End(end)) => return Err(end),
            }
        }
    };
    let asked = tokio::select! {
        asked = tokio::time::timeout(limit, asked) => {
            asked.unwrap_or(Err(End::Close(close_code::POLICY, "no register in time")))
        }
        () = api.stopping.cancelled() => Err(stopping()),
    };
    // Not within the limit: once it is sent, somebody must be there to take
    // the answer, or to say that the unit left.
    let entered = match asked {
        Ok(register) => enter(api, &principal, register).await,
        Err(end) => Err(end),
    };
    let entered = match entered {
        Ok(entered) => entered,
        Err(end) => return hang_up(&mut sink, &end).await,
    };
    let taken_on = entered.taken_on();
    let (unit, line, answer) = Connected::new(entered);
    let end = match unit.deliver(api, &mut sink, vec![answer]).await {
        Ok(()) => unit.run(api, line, &mut sink, &mut stream).await,
        Err(end) => end,
    };
    if !taken_on {
        let refused = End::Close(close::REFUSED, "the registration was refused");
        return hang_up(&mut sink, &refused).await;
    }
    hang_up(&mut sink, &end).await;
    let speaker = &unit.speaker;
    let hub = &api.handle.shared().hub;
    hub.disconnect(&speaker.name, speaker.session);
    // A node that stops takes no more; the next run finds everybody gone.
    let left = speaker.left(matches!(end, End::Orderly));
    if let Err(error) = api.handle.send(left).await {
        tracing::debug!(unit = %speaker.name, %error, "a unit's leaving could not be noted");
    }
}

/// What came in instead of a frame.
enum Incoming {
    Bad(Problem),
    End(End),
}

async fn next_frame(
    api: &Shared,
    stream: &mut SplitStream<WebSocket>,
) -> Result<FromUnit, Incoming> {
    loop {
        match stream.next().await {
            Some(Ok(Message::Text(text))) => {
                return FromUnit::parse(&text, api.config.api.depth_max).map_err(Incoming::Bad);
            }
            Some(Ok(Message::Binary(_))) => {
                let problem = Problem::new(Kind::BadRequest, "frames are texts");
                return Err(Incoming::Bad(problem));
            }
            // Pings are answered below us.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Err(error)) if is_too_long(&error) => {
                return Err(Incoming::End(End::Close(
                    close_code::SIZE,
                    "frame too long",
                )));
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Incoming::End(End::Lost)),
        }
    }
}

async fn reject(
    api: &Shared,
    sink: &mut SplitSink<WebSocket, Message>,
    problem: &Problem,
    malformed: &mut u32,
) -> Result<(), End> {
    *malformed += 1;
    write(api, sink, [frame::error(problem)]).await?;
    if *malformed >= api.config.units.malformed_max {
        return Err(too_many());
    }
    Ok(())
}

async fn write(
    api: &Shared,
    sink: &mut SplitSink<WebSocket, Message>,
    frames: impl IntoIterator<Item = String>,
) -> Result<(), End> {
    let limit = Duration::from_millis(api.config.api.slow_reader_ms);
    let writing = async {
        for frame in frames {
            sink.feed(Message::Text(frame.into())).await?;
        }
        sink.flush().await
    };
    match tokio::time::timeout(limit, writing).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Lost),
        Err(_) => Err(End::Close(
            close::SLOW,
            "the unit did not read what it was sent",
        )),
    }
}

async fn hang_up(sink: &mut SplitSink<WebSocket, Message>, end: &End) {
    let (code, reason) = match end {
        End::Lost => return,
        End::Orderly => (close_code::NORMAL, "left"),
        End::Close(code, reason) => (*code, *reason),
    };
    let closing = sink.send(Message::Close(Some(CloseFrame {
        code,
        reason: Utf8Bytes::from_static(reason),
    })));
    let _ = tokio::time::timeout(Duration::from_secs(1), closing).await;
}

/// Registers a unit.
async fn enter(api: &Shared, principal: &Principal, register: Register) -> Result<Entered, End> {
    let payload = operations::Register {
        unit: register.name,
        capabilities: register.capabilities.into_iter().map(|it| it.0).collect(),
        capacity: register.capacity,
        recovery_time: Millis(register.recovery_time_ms),
        labels: register.labels,
        resume: register.resume,
    };
    let entered = session::enter(&api.handle, payload, principal.name.clone()).await;
    entered.map_err(|error| {
        tracing::debug!(%error, "a registration was not sent");
        gone(&error)
    })
}

fn gone(error: &SendError) -> End {
    match error {
        SendError::Closing => stopping(),
        _ => End::Close(close_code::ERROR, "the node takes nothing more"),
    }
}

fn stopping() -> End {
    End::Close(close_code::RESTART, "the node is stopping")
}

fn too_many() -> End {
    End::Close(close_code::POLICY, "too many malformed frames")
}
