//! Files of certificates and keys as people and programs write them: each is read whole, or refused with its name and line, by a
//! start and by a look at the configuration alike (known failure G18).

use std::process::Command;

use crate::common::certificates::{Authority, client, write};
use crate::harness::{Broker, Ended, Start, countersign, run};
use crate::organisation::Organisation;

fn looked_at(organisation: &Organisation) -> Ended {
    run(countersign().args(["serve", "--check-config", "--config"]).arg(organisation.path("broker.toml")))
}

/// What a start and a look at the configuration say, which is the same.
fn refused(organisation: &Organisation, what: &str) -> String {
    let (looked, started) = (looked_at(organisation), run(&mut organisation.serve_command(&Start::default())));
    assert_eq!((looked.code, started.code), (Some(2), Some(2)), "{what}: {}{}", looked.stderr, started.stderr);
    assert_eq!(looked.stderr, started.stderr, "{what}");
    looked.stderr
}

#[test]
fn what_would_be_read_by_half_is_refused_with_its_name_by_a_start_and_by_a_look_at_it() {
    let organisation = Organisation::new();
    assert_eq!(organisation.init().code, Some(0));
    let folder = organisation.folder.path();
    let read = |name: &str| std::fs::read_to_string(organisation.path(name)).unwrap();
    let (root, leaf, key) = (read("northwind.pem"), read("broker.pem"), read("broker.key"));
    let other = Authority::new("other");
    let begin = "-----BEGIN CERTIFICATE-----";
    for (name, text, told) in [
        ("northwind.pem", format!("{root}{}", other.pem().replace("BEGIN", "Begin")), "begins or ends no part"),
        ("northwind.pem", format!("{root}{}", other.pem().replace(begin, "")), "lost its line"),
        ("northwind.pem", format!("{}{root}", other.pem().replace("END CERT", "END X509 CERT")), "ends as"),
        ("northwind.pem", format!("{}{root}", other.pem().replace("-----END CERTIFICATE-----", "")), "begins before"),
        (
            "northwind.pem",
            format!("{root}{}", other.pem().replace("CERTIFICATE", "TRUSTED CERTIFICATE")),
            "would not be read",
        ),
        ("northwind.pem", format!("{root}{key}"), "`PRIVATE KEY` would not be read"),
        ("northwind.pem", format!("{root}{leaf}"), "do not say CA"),
        ("northwind.pem", String::new(), "no certificate"),
        ("broker.pem", leaf.replace("-----END CERTIFICATE-----", ""), "does not end"),
        ("broker.key", format!("{key}{}", other.issue(&client("spiffe://other.example/x")).key_pem), "2 private keys"),
        ("broker.key", leaf.clone(), "no private key"),
        ("broker.key", other.issue(&client("spiffe://other.example/x")).key_pem, "cannot be used with the key"),
        ("broker.key", key.replacen('\n', "\nProc-Type: 4,ENCRYPTED\n", 1), "passphrase"),
    ] {
        let before = read(name);
        write(folder, name, &text);
        let said = refused(&organisation, told);
        assert!(said.contains(told) && (said.contains(name) || told.contains("the key")), "{told}: {said}");
        assert!(!said.contains(key.lines().nth(1).unwrap()), "a key in a log: {said}");
        write(folder, name, &before);
    }
}

#[test]
fn a_pipe_in_place_of_a_certificate_is_no_file_and_nobody_waits_for_it() {
    let organisation = Organisation::new();
    assert_eq!(organisation.init().code, Some(0));
    std::fs::remove_file(organisation.path("broker.pem")).unwrap();
    assert!(Command::new("mkfifo").arg(organisation.path("broker.pem")).status().unwrap().success());
    assert!(refused(&organisation, "a pipe").contains("is not a file"));
}

#[tokio::test]
async fn what_editors_and_openssl_write_is_read_whole() {
    // given files with a mark, with other line ends, with words around and with the key beside the certificate
    let organisation = Organisation::new();
    assert_eq!(organisation.init().code, Some(0));
    let folder = organisation.folder.path().to_owned();
    let read = |name: &str| std::fs::read_to_string(organisation.path(name)).unwrap();
    let (root, leaf, key) = (read("northwind.pem"), read("broker.pem"), read("broker.key"));
    let bundle =
        format!("\u{feff}subject=/CN=other\n{}\nissuer=/CN=week-end\n{root}trailing\n", Authority::new("o").pem());
    write(&folder, "northwind.pem", &bundle.replace('\n', "\r\n"));
    write(&folder, "broker.pem", &format!("\u{feff}{leaf}{key}"));
    write(&folder, "broker.key", &format!("{leaf}{key}").replace('\n', "\r\n"));
    assert_eq!(looked_at(&organisation).code, Some(0));
    // then whoever is of the last root gets in
    write(&folder, "own.pem", &root);
    let broker = Broker::serve(&organisation.into(), &Start::default());
    broker.person("ana").await.accounts().who_am_i(countersign::wire::v1::WhoAmIRequest {}).await.unwrap();
}
