//! The serial console of a server: a WebSocket of binary frames both ways, and its log as plain text.

use super::{
    Api, Shared,
    common::{Answer, find, told},
    extract::{Id, Params, Who},
    problem::Problem,
};
use axum::{
    body::{Body, Bytes},
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::Deserialize;
use std::{sync::Arc, time::Duration};
use sutler_drivers::compute::Console;
use sutler_model::{Permission, Server, ServerId};
use tokio::{sync::watch, time::Instant};
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

/// A person types; nobody pastes more than this at once.
const MESSAGE_BYTES: usize = 64 * 1024;
/// A ping this often keeps proxies from closing a silent console, and finds dead clients.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Longest time a log is followed in one request, seconds.
const LOG_SECONDS: u64 = 600;

/// The routes of consoles.
pub fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(open_console)).routes(routes!(read_console_log))
}

/// For how long.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LogPeriod {
    /// Follow the console for this many seconds, 0–600; 0 gives what its log holds now.
    #[param(minimum = 0, maximum = 600, default = 0)]
    seconds: Option<u64>,
}

/// Open a server's serial console.
///
/// A WebSocket over HTTP/1.1. Binary frames from the server are what the guest prints, beginning with what its log still
/// holds; binary and text frames to it are what is typed.
#[utoipa::path(get, path = "/servers/{id}/console", tag = "servers", params(("id" = ServerId, Path)),
    responses((status = 101, description = "The console, as a WebSocket.")))]
async fn open_console(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ServerId>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Answer {
    caller.must(Permission::ServersConsole)?;
    find::<Server>(&api, &caller, id).await?;
    let upgrade = upgrade.map_err(|_| Problem::upgrade_required())?;
    let console = api.system.server_console(&caller, id).await?;
    let stopping = api.stopping.clone();
    Ok(upgrade
        .max_message_size(MESSAGE_BYTES)
        .max_frame_size(MESSAGE_BYTES)
        .on_upgrade(move |socket| serve(socket, console, stopping)))
}

/// Read a server's serial console as text.
#[utoipa::path(get, path = "/servers/{id}/console-log", tag = "servers",
    params(("id" = ServerId, Path), LogPeriod),
    responses((status = 200, description = "What the guest printed.", content_type = "text/plain", body = String)))]
async fn read_console_log(
    State(api): State<Arc<Api>>,
    Who(caller): Who,
    Id(id): Id<ServerId>,
    Params(period): Params<LogPeriod>,
) -> Answer {
    caller.must(Permission::ServersConsole)?;
    let seconds = period.seconds.unwrap_or(0);
    if seconds > LOG_SECONDS {
        return Err(Problem::malformed("seconds", format!("is {seconds}; must be from 0 to {LOG_SECONDS}")));
    }
    let console = api.system.server_console(&caller, id).await?;
    Ok(log(console, seconds, api.stopping.clone()))
}

/// The log as it comes; a slow reader holds up only the console's own bounded queue.
fn log(console: Console, seconds: u64, stopping: watch::Receiver<bool>) -> Response {
    /// What the log holds already comes without a pause worth mentioning.
    const SETTLE: Duration = Duration::from_millis(300);
    let end = Instant::now() + Duration::from_secs(seconds);
    let pieces = stream::unfold((console, stopping), move |(mut console, mut stopping)| async move {
        let until = if seconds == 0 { Instant::now() + SETTLE } else { end };
        let piece = tokio::select! {
            piece = console.output.recv() => piece?,
            () = tokio::time::sleep_until(until) => return None,
            () = told(&mut stopping) => return None,
        };
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(piece)), (console, stopping)))
    });
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(pieces)).into_response()
}

async fn serve(mut socket: WebSocket, mut console: Console, mut stopping: watch::Receiver<bool>) {
    let mut ping = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    let mut answered = true;
    let farewell = loop {
        tokio::select! {
            piece = console.output.recv() => match piece {
                Some(piece) => if socket.send(Message::Binary(piece.into())).await.is_err() {
                    return;
                },
                None => break (close_code::NORMAL, "the console has ended"),
            },
            message = socket.recv() => {
                answered = true;
                let typed = match message {
                    Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
                    Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                };
                if console.input.send(typed).await.is_err() {
                    break (close_code::NORMAL, "the console has ended");
                }
            }
            _ = ping.tick() => {
                if !std::mem::take(&mut answered) || socket.send(Message::Ping(Bytes::new())).await.is_err() {
                    return;
                }
            }
            () = told(&mut stopping) => break (close_code::AWAY, "the program is stopping"),
        }
    };
    let frame = CloseFrame { code: farewell.0, reason: farewell.1.into() };
    let _ = socket.send(Message::Close(Some(frame))).await;
}
