use crate::server::config::*;

const GOOD: &str = r#"
listen = "127.0.0.1:7443"
journal = "journal.sqlite"
runtimes = 2
[tls]
certificate = "broker.pem"
key = "/etc/countersign/broker.key"
[[tls.authorities]]
file = "ca.pem"
trust_domains = ["northwind.example"]
[limits]
per_address = 9
"#;

fn read(text: &str) -> Result<ServeSettings, ConfigMistakes> {
    parse(text, Path::new("/conf"), &BTreeMap::new(), &ServeOverrides::default())
}

#[test]
fn a_file_is_read_and_its_paths_begin_at_its_folder() {
    let settings = read(GOOD).unwrap();
    assert_eq!(settings.journal, Path::new("/conf/journal.sqlite"));
    assert_eq!(settings.tls.key, Path::new("/etc/countersign/broker.key"));
    assert_eq!((settings.runtimes, settings.limits.per_address, settings.limits.half_open), (2, 9, 512));
    assert_eq!(settings.grants_on_restart, GrantsOnRestart::Resume);
    assert_eq!(settings.keep_closed, Span::DAY);
}

#[test]
fn environment_goes_before_the_file_and_a_flag_before_both() {
    let environment = BTreeMap::from([
        ("COUNTERSIGN_RUNTIMES".to_owned(), "3".to_owned()),
        ("COUNTERSIGN_LISTEN".to_owned(), "127.0.0.1:1".to_owned()),
        ("COUNTERSIGN_JOURNAL".to_owned(), "here.sqlite".to_owned()),
        ("COUNTERSIGN_ADDR".to_owned(), "a client's variable".to_owned()),
    ]);
    let overrides = ServeOverrides { listen: Some("127.0.0.1:2".to_owned()), ..ServeOverrides::default() };
    let settings = parse(GOOD, Path::new("/conf"), &environment, &overrides).unwrap();
    assert_eq!(settings.runtimes, 3);
    assert_eq!(settings.listen, "127.0.0.1:2".parse().unwrap());
    assert_eq!(settings.journal, Path::new("here.sqlite"));
}

#[test]
fn every_mistake_is_reported_with_its_key_and_what_would_be_right() {
    let text = r#"
listen = "nowhere"
runtimes = 0
grants_on_restart = "maybe"
drain_deadline = "soon"
lisen = "x"
[tls]
certificate = "a.pem"
[[tls.authorities]]
file = "ca.pem"
trust_domains = ["Northwind"]
domains = []
[metrics]
listen = "0.0.0.0:9090"
[limits]
connections = true
per_adress = 3
"#;
    let mistakes = read(text).unwrap_err();
    let shown = mistakes.to_string();
    for (place, said) in [
        ("`listen`", "`nowhere` is not an address and port"),
        ("`runtimes`", "`0` is not a whole number from 1 to 1024"),
        ("`grants_on_restart`", "`maybe` is not `resume` or `void`"),
        ("`drain_deadline`", "`soon` is not a duration"),
        ("`lisen`", "unknown key; there are `listen`"),
        ("`journal`", "is missing"),
        ("`tls.key`", "is missing"),
        ("`tls.authorities[0]`", "unknown key `domains`"),
        ("`tls.authorities[0]`", "`Northwind` is not a trust domain"),
        ("`tls.authorities[0]`", "missing or empty"),
        ("`metrics.listen`", "not a loopback address"),
        ("`limits.connections`", "a boolean is not a whole number"),
        ("`limits.per_adress`", "there are `connections`, `per_address`, `half_open`"),
    ] {
        let found = mistakes.0.iter().any(|mistake| mistake.place == place && mistake.problem.contains(said));
        assert!(found, "{place}: {said}\nin:\n{shown}");
    }
    assert_eq!(mistakes.0.len(), 13, "{shown}");
}

#[test]
fn an_authority_lists_the_identities_that_it_may_speak_for() {
    // given none, it speaks for all of its trust domains
    assert!(read(GOOD).unwrap().tls.authorities[0].identities.is_empty());
    let with = |line: &str| read(&GOOD.replace("[limits]", &format!("{line}\n[limits]")));
    // when they are listed, they are read as patterns of whole identities
    let read = with("identities = [\"spiffe://northwind.example/person/*\"]").unwrap();
    let [pattern] = read.tls.authorities[0].identities.iter().collect::<Vec<_>>()[..] else { panic!() };
    assert_eq!(pattern.as_str(), "spiffe://northwind.example/person/*");
    // then what is none, is of a foreign domain, or says nothing is a mistake
    for (line, told) in [
        ("identities = [\"person/*\"]", "`person/*` is not a pattern of identities"),
        ("identities = [\"spiffe://acme.example/person/*\"]", "is of none of its `trust_domains`"),
        ("identities = []", "`identities` is empty"),
        ("identities = \"spiffe://northwind.example/person/*\"", "a string is no list"),
        ("identities = [7]", "`identities`: not a text"),
    ] {
        let shown = with(line).unwrap_err().to_string();
        assert!(shown.contains(told), "{told} in {shown}");
    }
}

#[test]
fn two_authorities_that_share_a_trust_domain_are_worth_a_warning() {
    let second = |identities: &str| {
        format!(
            "[[tls.authorities]]\nfile = \"two.pem\"\ntrust_domains = [\"northwind.example\"]\n{identities}\n[limits]"
        )
    };
    // given one authority a domain, then nothing is said
    assert_eq!(warnings(&read(GOOD).unwrap().tls), []);
    // given two of one, of which one may speak for all of it, then the domain and that one are named
    let told = warnings(&read(&GOOD.replace("[limits]", &second(""))).unwrap().tls);
    let [warning] = &told[..] else { panic!("{told:?}") };
    assert!(warning.problem.contains("share the trust domain `northwind.example`"), "{warning}");
    let listed = "identities = [\"spiffe://northwind.example/service/**\"]";
    let told = warnings(&read(&GOOD.replace("[limits]", &second(listed))).unwrap().tls);
    assert!(told[0].problem.contains("the one in `/conf/ca.pem`"), "{told:?}");
    // and where each lists its own, nothing
    let text = GOOD
        .replace("[limits]", &format!("identities = [\"spiffe://northwind.example/person/*\"]\n{}", second(listed)));
    assert_eq!(warnings(&read(&text).unwrap().tls), []);
}

#[test]
fn a_mistake_in_the_environment_or_a_flag_names_it() {
    let environment = BTreeMap::from([("COUNTERSIGN_LIMITS_CONNECTIONS".to_owned(), "-1".to_owned())]);
    let overrides = ServeOverrides { log_format: Some("xml".to_owned()), ..ServeOverrides::default() };
    let shown = parse(GOOD, Path::new("/conf"), &environment, &overrides).unwrap_err().to_string();
    assert!(shown.contains("`COUNTERSIGN_LIMITS_CONNECTIONS`: `-1` is not a whole number"), "{shown}");
    assert!(shown.contains("`--log-format`: `xml` is not `text` or `json`"), "{shown}");
}

#[test]
fn checking_names_every_file_that_is_not_there() {
    let settings = read(&GOOD.replace("\"journal.sqlite\"", "\"/nowhere/journal.sqlite\"")).unwrap();
    let shown = check(&settings).unwrap_err().to_string();
    for place in ["`tls.certificate`", "`tls.key`", "`tls.authorities.file`", "`journal`"] {
        assert!(shown.contains(place), "{place} in {shown}");
    }
}

#[test]
fn a_file_of_routes_is_read_whole_or_not_at_all() {
    // given none, then every request is denied; given one, its place begins at the configuration's folder
    assert_eq!(read(GOOD).unwrap().ext_authz_routes, None);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.toml");
    let text = format!("ext_authz.routes = \"routes.toml\"\n{GOOD}");
    let settings = parse(&text, folder.path(), &BTreeMap::new(), &ServeOverrides::default()).unwrap();
    assert_eq!(settings.ext_authz_routes.as_deref(), Some(file.as_path()));
    // when it is missing or has a mistake, then that is told with its line
    let told = |settings: &ServeSettings| route_map(settings).unwrap_err().to_string();
    assert!(told(&settings).contains("cannot be read"), "{}", told(&settings));
    std::fs::write(&file, include_str!("../../../examples/routes.toml")).unwrap();
    assert!(route_map(&settings).unwrap().resolve("GET", "orders.northwind.example", "/eu/orders/primary").is_ok());
    std::fs::write(&file, include_str!("../../../examples/routes.toml").replace("db.write", "db write")).unwrap();
    assert!(told(&settings).contains("line 13"), "{}", told(&settings));
}
