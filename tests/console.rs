//! The serial console: bytes both ways over a WebSocket, and its log as text.

use crate::support::{Client, Program, World, program::DEADLINE};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

async fn connect(program: &Program, client: &Client, server: &str) -> Result<WebSocketStream<TcpStream>, Error> {
    let address = program.base.trim_start_matches("http://");
    let url = format!("ws://{address}/api/v1/servers/{server}/console");
    let mut request = url.into_client_request()?;
    if let Some(token) = &client.token {
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let stream = TcpStream::connect(address).await?;
    client_async(request, stream).await.map(|(socket, _)| socket)
}

#[tokio::test]
async fn a_console_carries_bytes_both_ways() {
    let world = World::new().await;
    let server = world.running_server(&world.ada.client, "web-1").await;
    let mut socket = connect(&world.program, &world.ada.client, &server).await.expect("a console");
    socket.send(Message::Binary(b"hello console\r".to_vec().into())).await.unwrap();
    let mut seen = Vec::new();
    let heard = tokio::time::timeout(DEADLINE, async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Binary(bytes) = message {
                seen.extend_from_slice(&bytes);
                if seen.windows(13).any(|w| w == b"hello console") {
                    return true;
                }
            }
        }
        false
    });
    assert!(heard.await.expect("an echo in time"), "{}", String::from_utf8_lossy(&seen));
}

#[tokio::test]
async fn a_consoles_log_is_plain_text() {
    let world = World::new().await;
    let server = world.running_server(&world.ada.client, "web-1").await;
    let log = world.ada.client.get(&format!("/servers/{server}/console-log?seconds=0")).await.expect(200);
    assert_eq!(log.header("content-type"), "text/plain; charset=utf-8");
    let too_long = world.ada.client.get(&format!("/servers/{server}/console-log?seconds=601")).await;
    assert_eq!(too_long.problem(400, "malformed").fields(), ["seconds"]);
}

#[tokio::test]
async fn a_console_is_for_its_owner_and_for_those_who_may_type() {
    let world = World::new().await;
    let server = world.running_server(&world.ada.client, "web-1").await;
    let (_, viewer) = world.user(&world.ada.id, "eve", "customer_viewer").await;
    for (client, status) in [(&world.bob.client, 404), (&viewer, 403), (&world.program.client(), 401)] {
        match connect(&world.program, client, &server).await {
            Err(Error::Http(reply)) => assert_eq!(reply.status().as_u16(), status),
            other => panic!("{other:?}"),
        }
        let path = format!("/servers/{server}/console-log");
        assert_eq!(client.get(&path).await.status, status);
    }
    let plain = world.ada.client.get(&format!("/servers/{server}/console")).await;
    assert_eq!(plain.problem(426, "upgrade_required").header("upgrade"), "websocket");
}
