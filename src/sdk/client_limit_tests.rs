//! What a call may take, all its attempts together, and what is made of a host that is no broker.

use tonic::metadata::MetadataMap;
use tonic::service::Routes;

use super::*;

/// The time that a message gives to whoever answers it.
pub(super) fn limit_of(metadata: &MetadataMap) -> Duration {
    let text = metadata.get("grpc-timeout").unwrap().to_str().unwrap();
    let (number, unit) = text.split_at(text.len() - 1);
    let number = number.parse().unwrap();
    match unit {
        "n" => Duration::from_nanos(number),
        "u" => Duration::from_micros(number),
        "m" => Duration::from_millis(number),
        "S" => Duration::from_secs(number),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn all_attempts_of_a_call_have_one_limit_together() {
    // given a broker that is overloaded twice
    let broker = Broker::failing([
        refusal(Code::ResourceExhausted, "OVERLOADED"),
        refusal(Code::ResourceExhausted, "OVERLOADED"),
    ]);
    let authority = Authority::new();
    let port = broker.clone().serve(&authority).await;
    let whole = Duration::from_secs(60);
    let client = builder(port, &authority, &authority).call_timeout(whole).connect_unasked().await.unwrap();
    // when a call succeeds at last
    let request = v1::RelinquishGrantRequest { request_id: "one".into(), grant_id: "g".into() };
    client.relinquish_grant(request).await.unwrap();
    // then each attempt had what the one before and the pause behind it left
    let limits = broker.limits.lock().unwrap().clone();
    assert_eq!(limits.len(), 3);
    assert!(limits[0] <= whole && whole - limits[0] < Duration::from_secs(30), "{limits:?}");
    assert!(limits.windows(2).all(|pair| pair[0] - pair[1] >= FIRST_PAUSE), "{limits:?}");
}

/// A host that ends TLS and speaks HTTP/2, and answers with a page.
async fn page(authority: &Authority, status: u16) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (certificate, key) = authority.leaf();
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key));
    let status = axum::http::StatusCode::from_u16(status).unwrap();
    let answer = move || async move { (status, [("content-type", "text/html")], "<html>Northwind</html>") };
    let routes = Routes::from(axum::Router::new().fallback(answer));
    let server = Server::builder().tls_config(tls).unwrap().add_routes(routes);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    port
}

#[tokio::test]
async fn a_page_is_no_answer_of_a_broker() {
    for status in [200, 302, 403, 404, 502] {
        // given a proxy or a web server where a broker should be
        let authority = Authority::new();
        let port = page(&authority, status).await;
        let client = builder(port, &authority, &authority).retries(0).connect_unasked().await.unwrap();
        // when it is asked, then that is told, with what it said
        let asked = client.check("ana", "db.read", "prod/db").await.unwrap_err();
        let mut watch = client.watch_grants(v1::WatchGrantsRequest::default());
        let watched = watch.next().await.unwrap_err();
        for error in [asked, watched] {
            let words = format!("HTTP {status}");
            assert_eq!(error.exit_code(), 8, "{words}: {error:?}");
            assert!(error.to_string().contains("is no broker but a proxy or a web server"), "{words}: {error}");
            assert!(error.to_string().contains(&words) && error.to_string().contains("text/html"), "{words}: {error}");
        }
    }
}

#[tokio::test]
async fn a_key_of_another_certificate_is_told_with_both_files_before_anybody_is_asked() {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    let [certificate, key] = ["ana.pem", "ben.key"].map(|name| directory.path().join(name));
    std::fs::write(&certificate, authority.leaf().0).unwrap();
    std::fs::write(&key, authority.leaf().1).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let error = Client::builder("localhost:1").authority_pem(authority.0.pem()).identity_files(&certificate, &key);
    let error = error.connect_unasked().await.unwrap_err();
    assert_eq!(error.exit_code(), 7, "{error:?}");
    for file in [certificate, key] {
        assert!(error.to_string().contains(&format!("`{}`", file.display())), "{error}");
    }
}
