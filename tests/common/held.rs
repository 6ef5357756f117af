//! A way to a broker on which its answers can be held back: a connection between two sockets, one direction of which waits.
#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its own part; a test may panic")]

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Whoever connects to `address` speaks with the broker. While it holds, what the broker says is read and kept.
pub struct Held {
    pub address: SocketAddr,
    holds: watch::Sender<bool>,
}

impl Held {
    pub async fn before(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (holds, held) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(broker) = TcpStream::connect(broker).await else { continue };
                let ((from_client, to_client), (from_broker, to_broker)) = (client.into_split(), broker.into_split());
                let never = watch::channel(false).1;
                tokio::spawn(pass(from_client, to_broker, never));
                tokio::spawn(pass(from_broker, to_client, held.clone()));
            }
        });
        Self { address, holds }
    }

    pub fn hold(&self) {
        self.holds.send_replace(true);
    }

    pub fn let_go(&self) {
        self.holds.send_replace(false);
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut held: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        // Whoever held it and is gone holds nothing any more.
        let _ = held.wait_for(|holds| !holds).await;
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
