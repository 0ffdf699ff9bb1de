//! Binary messages of a WebSocket, whichever library holds its other end.

use std::{io, pin::Pin, time::Duration};

use axum::extract::ws;
use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt, future};
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, ClientRequestBuilder, Message,
        protocol::{WebSocketConfig, frame::coding::CloseCode},
    },
};
use vsm_replication::peer::{FRAME_BYTES_MAX, SUBPROTOCOL};

/// Where nodes meet.
pub const PATH: &str = "/v1/peer";
/// How long the other end has to agree to a WebSocket.
const UPGRADE: Duration = Duration::from_secs(10);
/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(2);

type Writing = Pin<Box<dyn Sink<Bytes, Error = io::Error> + Send>>;
type Reading = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// A connection to another node, as messages.
pub(super) struct Wire {
    writing: Writing,
    pub(super) reading: Reading,
}

impl Wire {
    /// A connection that came.
    pub(super) fn accepted(socket: ws::WebSocket) -> Self {
        let (sink, stream) = socket.split();
        let writing = sink
            .sink_map_err(io::Error::other)
            .with(|bytes: Bytes| future::ok::<_, io::Error>(ws::Message::Binary(bytes)));
        let reading = stream.filter_map(|message| {
            future::ready(match message {
                Ok(ws::Message::Binary(bytes)) => Some(Ok(bytes)),
                Ok(ws::Message::Text(_)) => Some(Err(io::Error::other("frames are binary"))),
                Ok(_) => None,
                Err(error) => Some(Err(io::Error::other(error))),
            })
        });
        Self {
            writing: Box::pin(writing),
            reading: Box::pin(reading),
        }
    }

    /// Asks who answers at `address` for a WebSocket.
    pub(super) async fn dialed(
        address: &str,
        stream: TlsStream<TcpStream>,
    ) -> Result<Self, tungstenite::Error> {
        let uri = format!("wss://{address}{PATH}").parse();
        let uri = uri.map_err(tungstenite::http::Error::from)?;
        let request = ClientRequestBuilder::new(uri).with_sub_protocol(SUBPROTOCOL);
        let config = WebSocketConfig::default()
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        let asking = client_async_with_config(request, stream, Some(config));
        let slow = || tungstenite::Error::Io(io::ErrorKind::TimedOut.into());
        let (socket, _) = timeout(UPGRADE, asking).await.map_err(|_| slow())??;
        Ok(Self::of(socket))
    }

    fn of(socket: WebSocketStream<TlsStream<TcpStream>>) -> Self {
        let (sink, stream) = socket.split();
        let writing = sink
            .sink_map_err(io::Error::other)
            .with(|bytes: Bytes| future::ok::<_, io::Error>(Message::Binary(bytes)));
        let reading = stream.filter_map(|message| {
            future::ready(match message {
                Ok(Message::Binary(bytes)) => Some(Ok(bytes)),
                Ok(Message::Text(_)) => Some(Err(io::Error::other("frames are binary"))),
                Ok(Message::Close(Some(close))) if close.code != CloseCode::Normal => {
                    Some(Err(io::Error::other(close.reason.to_string())))
                }
                Ok(_) => None,
                Err(error) => Some(Err(io::Error::other(error))),
            })
        });
        Self {
            writing: Box::pin(writing),
            reading: Box::pin(reading),
        }
    }

    /// Writes on a task of its own, so that a slow peer holds up nobody who
    /// reads. Each frame's length is told once it is on its way. The task ends,
    /// and the connection with it, when `frames` does, when the peer is gone or
    /// when it takes nothing for `patience`.
    pub(super) fn write(
        self,
        patience: Duration,
    ) -> (
        Reading,
        mpsc::UnboundedSender<Bytes>,
        mpsc::UnboundedReceiver<usize>,
    ) {
        // The session bounds what is under way.
        let (frames, mut waiting) = mpsc::unbounded_channel::<Bytes>();
        let (written, told) = mpsc::unbounded_channel();
        let mut writing = self.writing;
        tokio::spawn(async move {
            while let Some(frame) = waiting.recv().await {
                let length = frame.len();
                // One that failed must not be used again, not even to close.
                let Ok(Ok(())) = timeout(patience, writing.send(frame)).await else {
                    return;
                };
                // What was said before the link ended is still written.
                let _ = written.send(length);
            }
            let _ = timeout(FAREWELL, writing.close()).await;
        });
        (self.reading, frames, told)
    }
}
