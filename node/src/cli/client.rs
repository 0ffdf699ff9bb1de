//! How subcommands talk to a node.

mod secure;

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, StatusCode, header, http::response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, tungstenite};
use tokio_util::either::Either;

pub use self::secure::Line;
use self::secure::Secure;
use super::{Global, exit::ExitError};

/// The longest answer that is read.
const ANSWER_MAX: usize = 256 << 20;

/// How long a node may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// A node, as a subcommand sees it.
#[derive(Clone, Debug)]
pub struct Client {
    /// `host:port`.
    authority: String,
    /// What stands before every path.
    prefix: String,
    token: Option<String>,
    /// Over TLS, when there.
    secure: Option<Secure>,
}

/// What a node answered.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Value,
}

/// A node answered with a problem.
#[derive(Debug, thiserror::Error)]
#[error("{}", text(.status, .body))]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// The problem.
    pub body: Value,
}

fn text(status: &StatusCode, body: &Value) -> String {
    let detail = body["detail"].as_str().unwrap_or_default();
    match status.as_u16() {
        401 => format!("{detail} (give one with --token or VSM_TOKEN)"),
        _ if detail.is_empty() => format!("the server answered {status}"),
        _ => detail.to_owned(),
    }
}

/// A WebSocket to a node.
pub type Socket = WebSocketStream<Line>;

impl Client {
    /// The node that the command line names.
    ///
    /// # Errors
    /// When the URL can't be used.
    pub fn new(global: &Global) -> anyhow::Result<Self> {
        let url = &global.server;
        let usage = |why: &str| anyhow!(ExitError::usage(format!("--server {url}: {why}")));
        let uri: hyper::Uri = url.parse().map_err(|_| usage("it is no URL"))?;
        let host = uri.host().ok_or_else(|| usage("it names no host"))?;
        let secure = match uri.scheme_str() {
            Some("http") => None,
            Some("https") => Some(Secure::new(host, global.ca.as_deref())?),
            _ => return Err(usage("write it like http://127.0.0.1:4000")),
        };
        let port = if secure.is_some() { 443 } else { 80 };
        // What is no token is not repeated: it may nearly be one.
        let token = global.token.as_deref().map(str::trim);
        if token.is_some_and(|it| !it.bytes().all(|byte| byte.is_ascii_graphic())) {
            let why = "--token or VSM_TOKEN: a token has letters, digits and _ only";
            return Err(anyhow!(ExitError::usage(why)));
        }
        Ok(Self {
            authority: format!("{host}:{}", uri.port_u16().unwrap_or(port)),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            token: token.filter(|it| !it.is_empty()).map(str::to_owned),
            secure,
        })
    }

    /// The node that listens at an address.
    #[must_use]
    pub fn at(address: SocketAddr, token: Option<String>) -> Self {
        Self {
            authority: address.to_string(),
            prefix: String::new(),
            token,
            secure: None,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    async fn connect(&self) -> anyhow::Result<Line> {
        let connecting = tokio::time::timeout(CONNECT, TcpStream::connect(&self.authority));
        let stream = connecting
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        let stream = stream.with_context(|| {
            format!(
                "no node answers at {}; start one with `vsm run`, or name it with --server",
                self.authority
            )
        })?;
        // Frames are small and wanted now.
        stream.set_nodelay(true)?;
        match &self.secure {
            Some(secure) => secure.shake(stream).await,
            None => Ok(Either::Left(stream)),
        }
    }

    /// A request as it is; the answer as it comes.
    ///
    /// # Errors
    /// When nobody answers, or the answer breaks off.
    pub async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> anyhow::Result<(response::Parts, Bytes)> {
        let stream = self.connect().await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driving = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .body(Full::new(body))?;
        *request.headers_mut() = headers;
        request
            .headers_mut()
            .insert(header::HOST, self.authority.parse()?);
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}").parse()?;
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let answered = async {
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = http_body_util::Limited::new(body, ANSWER_MAX);
            let bytes = body
                .collect()
                .await
                .map_err(|error| anyhow!(error))?
                .to_bytes();
            anyhow::Ok((head, bytes))
        };
        let answered = answered.await;
        driving.abort();
        answered.with_context(|| format!("{} broke off its answer; is it a node?", self.authority))
    }

    /// A request; the answer whatever its status.
    ///
    /// # Errors
    /// When nobody answers, or what answers is no node.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Reply> {
        let mut headers = HeaderMap::new();
        let bytes = match body {
            Some(body) => {
                let json = header::HeaderValue::from_static("application/json");
                headers.insert(header::CONTENT_TYPE, json);
                serde_json::to_vec(body)?.into()
            }
            None => Bytes::new(),
        };
        let (head, bytes) = self.exchange(method, path, headers, bytes).await?;
        let json = head
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|kind| kind.contains("json"));
        if !json {
            bail!(
                "{} is no VSM node: it answered {} without JSON; check --server",
                self.authority,
                head.status
            );
        }
        Ok(Reply {
            status: head.status,
            body: serde_json::from_slice(&bytes)
                .with_context(|| format!("{} answered with something else", self.authority))?,
        })
    }

    /// A request that must succeed.
    ///
    /// # Errors
    /// As [`Client::request`], and the node's problem.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Reply> {
        let reply = self.request(method, path, body).await?;
        if reply.status.is_success() {
            Ok(reply)
        } else {
            Err(Problem {
                status: reply.status,
                body: reply.body,
            }
            .into())
        }
    }

    /// `GET` of a text that must succeed.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn text(&self, path: &str) -> anyhow::Result<String> {
        let exchanged = self.exchange(Method::GET, path, HeaderMap::new(), Bytes::new());
        let (head, bytes) = exchanged.await?;
        if !head.status.is_success() {
            return Err(Problem {
                status: head.status,
                body: serde_json::from_slice(&bytes).unwrap_or_default(),
            }
            .into());
        }
        String::from_utf8(bytes.into())
            .with_context(|| format!("{} answered with something else", self.authority))
    }

    /// `GET` that must succeed.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        Ok(self.call(Method::GET, path, None).await?.body)
    }

    /// A WebSocket.
    ///
    /// # Errors
    /// When nobody answers, or the node refuses.
    pub async fn socket(&self, path: &str) -> anyhow::Result<Socket> {
        use tungstenite::client::IntoClientRequest;
        let stream = self.connect().await?;
        let url = format!("ws://{}{}{path}", self.authority, self.prefix);
        let mut request = url.into_client_request()?;
        if let Some(token) = &self.token {
            let value = format!("Bearer {token}").parse()?;
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                Err(Problem {
                    status: response.status(),
                    body: serde_json::from_slice(body).unwrap_or(Value::Null),
                }
                .into())
            }
            Err(error) => Err(anyhow!(error)
                .context(format!("{} is no VSM node; check --server", self.authority))),
        }
    }
}

/// A text as it stands in a query or path.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
