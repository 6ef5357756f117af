//! Connections to a broker by the certificates in a folder.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each bench uses its own part; a bench may panic")]

use std::path::Path;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// A connection of its own, as this client.
pub async fn connect(folder: &Path, name: &str, address: &str) -> Channel {
    let read = |name: String| std::fs::read(folder.join(name)).unwrap();
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read("authority.pem".to_owned())))
        .domain_name("localhost")
        .identity(Identity::from_pem(read(format!("{name}.pem")), read(format!("{name}.key"))));
    let endpoint = Endpoint::from_shared(format!("https://{address}")).unwrap().tls_config(tls).unwrap();
    endpoint.tcp_nodelay(true).connect().await.unwrap()
}
