//! A node as a process, and as much of an HTTP client as talking to it takes.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long anything may take before it counts as hanging.
const LIMIT: Duration = Duration::from_secs(60);

/// A node that runs.
pub struct NodeProcess {
    child: Child,
    /// How to reach it.
    pub client: Client,
}

impl NodeProcess {
    /// Starts a command that runs a node with `--format json`, and waits until
    /// the node listens.
    ///
    /// # Errors
    /// With how it ended and what it said, when it never does.
    ///
    /// # Panics
    /// When the command can't be run.
    pub fn start(command: &mut Command) -> Result<Self, (ExitStatus, String)> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("stdout can be read");
        let Ok(begun) = serde_json::from_str::<Value>(&line) else {
            return Err(ended(child));
        };
        let text = |name: &str| begun[name].as_str().unwrap_or_default().to_owned();
        let address = text("url").trim_start_matches("http://").to_owned();
        let client = Client {
            address: address.parse().expect("an address"),
            token: text("token"),
        };
        Ok(Self { child, client })
    }

    /// Asks it to stop, and waits for its end.
    ///
    /// # Panics
    /// When it can't be asked.
    #[must_use]
    pub fn stop(self) -> (ExitStatus, String) {
        let asked = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(asked.expect("kill runs").success());
        ended(self.child)
    }

    /// Waits for it to end by itself.
    #[must_use]
    pub fn ended(self) -> (ExitStatus, String) {
        ended(self.child)
    }
}

fn ended(mut child: Child) -> (ExitStatus, String) {
    let mut stderr = child.stderr.take().expect("stderr is piped");
    let said = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).expect("stderr can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            return (status, said.join().expect("stderr was read"));
        }
        if begun.elapsed() > LIMIT {
            child.kill().expect("it can be killed");
            panic!("the process does not end: {}", said.join().expect("read"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Talks to a node, one request a connection.
#[derive(Clone)]
pub struct Client {
    /// Where it listens.
    pub address: SocketAddr,
    /// The token, which only the first start of a directory prints.
    pub token: String,
}

impl Client {
    /// A request and its answer: the status, and the body if it is JSON.
    ///
    /// # Errors
    /// When the line breaks.
    pub fn request(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, Value)> {
        let mut stream = TcpStream::connect_timeout(&self.address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\
             Authorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        Ok((status.ok_or_else(broken)?, body))
    }
}
