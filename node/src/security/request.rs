//! One request to another node, over a connection that identified it.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{revocation::BYTES_MAX, tls::Fault};

/// How long the other has to answer.
const ANSWER: Duration = Duration::from_secs(20);

/// A request was not answered as it should.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The other refused.
    #[error("{detail}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The problem's `reason`, when it has one.
        reason: Option<String>,
        /// What the other says about it.
        detail: String,
    },
    /// The other refused this node's certificate.
    #[error(transparent)]
    Handshake(Fault),
    /// The connection broke off.
    #[error("the connection broke off: {0}")]
    Broken(String),
    /// It took too long.
    #[error("no answer within {ANSWER:?}")]
    Slow,
    /// It is no answer of a node.
    #[error("the answer makes no sense; is it a VSM node of the same version? {0}")]
    Answer(String),
}

/// Sends a request and reads the answer.
///
/// # Errors
/// When the other refuses, or does not answer.
pub async fn ask<T: DeserializeOwned>(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<T, RequestError> {
    let asked = tokio::time::timeout(ANSWER, exchange(stream, method, path, body));
    let (status, bytes) = asked.await.map_err(|_| RequestError::Slow)??;
    let malformed = |error: serde_json::Error| RequestError::Answer(error.to_string());
    if status.is_success() {
        return serde_json::from_slice(&bytes).map_err(malformed);
    }
    let problem: Value = serde_json::from_slice(&bytes).map_err(malformed)?;
    let text = |name: &str| problem[name].as_str().map(str::to_owned);
    Err(RequestError::Refused {
        status,
        reason: text("reason"),
        detail: text("detail").unwrap_or_else(|| format!("the other answered {status}")),
    })
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<(StatusCode, Bytes), RequestError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let driving = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "cluster")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|error| RequestError::Answer(error.to_string()))?;
    let answered = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| broken(&error))?;
        let status = response.status();
        let most = usize::try_from(BYTES_MAX).unwrap_or(usize::MAX);
        let body = Limited::new(response.into_body(), most).collect().await;
        let body = body.map_err(|error| RequestError::Broken(error.to_string()))?;
        Ok((status, body.to_bytes()))
    };
    let answered = answered.await;
    drop(sender);
    let Err(RequestError::Broken(_)) = &answered else {
        driving.abort();
        return answered;
    };
    // Why it broke, the connection knows, where the request was only dropped.
    match driving.await {
        Ok(Err(error)) => Err(broken(&error)),
        _ => answered,
    }
}

/// A refused certificate shows at the first read, as the cause of a cause.
fn broken(error: &hyper::Error) -> RequestError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(at) = cause {
        if let Some(fault) = at.downcast_ref::<std::io::Error>().and_then(Fault::of) {
            return RequestError::Handshake(fault);
        }
        cause = at.source();
    }
    RequestError::Broken(error.to_string())
}
