//! A server's serial console over a WebSocket.
//!
//! tokio-tungstenite does the framing (RFC 6455): reqwest has no WebSocket, and axum's server side already brings this crate.

use super::{
    client::Client,
    error::{Error, Problem, chain},
    nouns,
    output::note,
    session::Session,
    terminal,
};
use futures_util::{SinkExt, StreamExt};
use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::mpsc,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest, http},
};

/// Ctrl-], as in telnet: guests hardly use it.
const LEAVE: u8 = 0x1d;

/// Options of `server console`.
#[derive(clap::Args, Debug)]
pub struct Console {
    /// Name or id of the server
    server: String,
    /// Print what the console shows for this many seconds, then end
    #[arg(long, value_name = "SECONDS", conflicts_with = "until")]
    log: Option<u64>,
    /// Print what the console shows until this text appears, then end
    #[arg(long, value_name = "TEXT")]
    until: Option<String>,
    /// With --until: give up after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120, requires = "until")]
    timeout: u64,
}

/// A byte stream, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

type Socket = WebSocketStream<Box<dyn Stream>>;

/// Runs `server console`.
///
/// # Errors
/// Those of the connection; [`Error::Failed`] when the text of `--until` did not appear in time.
pub async fn run(session: &Session, asked: Console) -> Result<(), Error> {
    let id = match nouns::find("server") {
        Some(noun) => session.id(noun, &asked.server).await?,
        None => asked.server.clone(),
    };
    let mut socket = connect(&session.client, &format!("servers/{id}/console")).await?;
    if let Some(text) = asked.until {
        let limit = Duration::from_secs(asked.timeout);
        return match tokio::time::timeout(limit, show(&mut socket, Some(text.as_bytes()))).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Error::Failed(format!("the console closed before it showed `{text}`"))),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::Failed(format!("the console did not show `{text}` within {} s", asked.timeout))),
        };
    }
    if let Some(seconds) = asked.log {
        return match tokio::time::timeout(Duration::from_secs(seconds), show(&mut socket, None)).await {
            Ok(ended) => ended.map(|_| ()),
            Err(_) => Ok(()),
        };
    }
    talk(socket).await
}

/// Prints what the guest writes until `until` appears or the console closes; whether it appeared.
async fn show(socket: &mut Socket, until: Option<&[u8]>) -> Result<bool, Error> {
    // What is still needed to find a text that was cut between two messages.
    let mut tail: Vec<u8> = Vec::new();
    while let Some(bytes) = receive(socket).await? {
        print(&bytes)?;
        if let Some(wanted) = until.filter(|w| !w.is_empty()) {
            tail.extend_from_slice(&bytes);
            if tail.windows(wanted.len()).any(|w| w == wanted) {
                print(b"\n")?;
                return Ok(true);
            }
            let keep = tail.len().min(wanted.len() - 1);
            tail.drain(..tail.len() - keep);
        }
    }
    Ok(false)
}

/// Connects the terminal with the guest until Ctrl-] or until the console closes.
async fn talk(mut socket: Socket) -> Result<(), Error> {
    let _raw = if io::stdin().is_terminal() {
        note("connected; Ctrl-] leaves");
        Some(terminal::Changed::raw()?)
    } else {
        None
    };
    let mut typed = keyboard();
    let mut closed = false;
    loop {
        tokio::select! {
            shown = receive(&mut socket) => match shown? {
                Some(bytes) => print(&bytes)?,
                None => break,
            },
            keys = typed.recv(), if !closed => match keys {
                Some(keys) => {
                    let left = keys.iter().position(|k| *k == LEAVE);
                    let keys = keys[..left.unwrap_or(keys.len())].to_vec();
                    socket.send(Message::Binary(keys.into())).await.map_err(|e| lost(&e))?;
                    if left.is_some() {
                        break;
                    }
                }
                // The end of piped input is not the end of the guest's answer.
                None => closed = true,
            },
        }
    }
    let _ = socket.close(None).await;
    Ok(())
}

/// Bytes from the standard input. Read on a thread that ends with the process: tokio's own would hold up the exit until
/// the next key.
fn keyboard() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = io::Read::read(&mut io::stdin(), &mut buffer) {
            if sender.blocking_send(buffer[..read].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// The next bytes from the guest; none once the console has closed.
async fn receive(socket: &mut Socket) -> Result<Option<Vec<u8>>, Error> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => return Ok(Some(bytes.to_vec())),
            Some(Ok(Message::Text(text))) => return Ok(Some(text.as_bytes().to_vec())),
            Some(Ok(Message::Close(_))) | None => return Ok(None),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(lost(&error)),
        }
    }
}

fn print(bytes: &[u8]) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    Ok(out.flush()?)
}

fn lost(error: &tungstenite::Error) -> Error {
    Error::Unreachable(format!("the connection to the console was lost: {}", chain(error)))
}

async fn connect(client: &Client, path: &str) -> Result<Socket, Error> {
    let mut url = client.url(path);
    let secure = url.scheme() == "https";
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    let stream = TcpStream::connect((host.as_str(), port)).await.map_err(|e| client.unreachable(&e))?;
    // Keys are sent one by one; Nagle's algorithm would hold them back.
    let _ = stream.set_nodelay(true);
    let stream: Box<dyn Stream> = if secure {
        let name = rustls::pki_types::ServerName::try_from(host).map_err(|e| client.unreachable(&e))?;
        let connector = tokio_rustls::TlsConnector::from(client.tls());
        Box::new(connector.connect(name, stream).await.map_err(|e| client.unreachable(&e))?)
    } else {
        Box::new(stream)
    };
    // Both pairs of schemes are "special" to URLs, so this cannot fail.
    let _ = url.set_scheme(if secure { "wss" } else { "ws" });
    let mut request = url.as_str().into_client_request().map_err(|e| client.unreachable(&e))?;
    if let Some(token) = client.token() {
        let value = http::HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| Error::Usage("the token holds characters that no token has".to_owned()))?;
        request.headers_mut().insert(http::header::AUTHORIZATION, value);
    }
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => {
            let body = response.body().as_deref().and_then(|b| serde_json::from_slice(b).ok()).unwrap_or_default();
            let id = response.headers().get("x-request-id").and_then(|v| v.to_str().ok()).unwrap_or_default();
            Err(Error::Problem(Problem::read(response.status().as_u16(), &body, id).into()))
        }
        Err(error) => Err(client.unreachable(&error)),
    }
}
