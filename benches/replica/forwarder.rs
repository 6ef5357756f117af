//! Bytes from here to there and back, until they are cut: all connections at once.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Forwarder {
    address: SocketAddr,
    cut: Arc<watch::Sender<u32>>,
}

impl Forwarder {
    pub fn start(to: &str) -> Self {
        let (ready, address) = std::sync::mpsc::channel();
        let cut = Arc::new(watch::Sender::new(0));
        let (to, its) = (to.to_owned(), Arc::clone(&cut));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                ready.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (near, _) = listener.accept().await.unwrap();
                    tokio::spawn(forward(near, to.clone(), its.subscribe()));
                }
            });
        });
        Self { address: address.recv().unwrap(), cut }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections that there are.
    pub fn cut(&self) {
        self.cut.send_modify(|times| *times += 1);
    }
}

async fn forward(mut near: TcpStream, to: String, mut cut: watch::Receiver<u32>) {
    let Ok(mut far) = TcpStream::connect(to).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        _ = cut.changed() => {}
    }
}
