use super::{Asked, RouteMap, RouteRefusal};

const FILE: &str = r#"
[[routes]]
host = "orders.example"
methods = ["GET", "HEAD"]
path = "/orders/{id}"
action = "db.read"
resource = "prod/eu/db/orders/{id}"
"#;

fn map() -> RouteMap {
    RouteMap::read(FILE).unwrap()
}

#[test]
fn a_canonical_request_is_resolved_and_its_query_is_cut_off() {
    for path in ["/orders/a7", "/orders/a7?x=1", "/orders/a7?x=/../%2f;#"] {
        let Asked { action, resource } = map().resolve("GET", "orders.example", path).unwrap();
        assert_eq!((action.as_str(), resource.as_str()), ("db.read", "prod/eu/db/orders/a7"), "{path}");
    }
}

#[test]
fn threats_d3_d4_a_path_that_two_parsers_may_read_differently_is_refused() {
    let long = format!("/orders/{}", "a".repeat(129));
    let paths = [
        "",
        "?",
        "orders/a7",
        "*",
        "/orders//a7",
        "//orders/a7",
        "/orders/a7/",
        "/orders/./a7",
        "/orders/../a7",
        "/orders/..",
        "/orders/%2e%2e",
        "/orders/%2E",
        "/orders/a%2fb",
        "/orders/a%2Fb",
        "/orders/%61",
        "/orders/%",
        "/orders/a%252fb",
        "/orders/a%00",
        "/orders/a\0",
        "/orders/a;b",
        "/orders;x=1/a7",
        "/orders/a\\b",
        "/orders\\a7",
        "/orders/a%5cb",
        "/orders/\u{e9}",
        "/orders/\u{ff0e}",
        "/orders/a b",
        "/orders/a\tb",
        "/orders/a\r\nx: y",
        "/orders/a#b",
        "/orders/a7#?x",
        "/orders/a7?\u{e9}",
        "http://orders.example/orders/a7",
        "https://other.example/orders/a7",
        "orders.example:443",
        "/orders/{id}",
        "/orders/a*",
        "/orders/a7?x\0",
        long.as_str(),
    ];
    for path in paths {
        assert_eq!(map().resolve("GET", "orders.example", path), Err(RouteRefusal::Path), "`{path}`");
    }
}

#[test]
fn threats_d4_f11_a_host_or_method_that_is_absent_or_not_canonical_is_refused() {
    let hosts = [
        "",
        "Orders.example",
        "orders.example.",
        ".orders.example",
        "orders..example",
        "orders.example:",
        "orders.example:0",
        "orders.example:080",
        "orders.example:x",
        "user@orders.example",
        "orders.example/",
        "orders.example\0",
        "[::1]",
        "\u{f6}rders.example",
    ];
    for host in hosts {
        assert_eq!(map().resolve("GET", host, "/orders/a7"), Err(RouteRefusal::Host), "`{host}`");
    }
    for method in ["", "get", "Get", "GET ", "CONNECT", "GET\0", "G-T"] {
        assert_eq!(map().resolve(method, "orders.example", "/orders/a7"), Err(RouteRefusal::Method), "`{method}`");
    }
}

#[test]
fn threats_f12_what_no_route_names_is_refused() {
    let asked = [
        ("POST", "orders.example", "/orders/a7"),
        ("GET", "orders.example:8443", "/orders/a7"),
        ("GET", "other.example", "/orders/a7"),
        ("GET", "orders.example", "/orders"),
        ("GET", "orders.example", "/Orders/a7"),
        ("GET", "orders.example", "/orders/a7/b"),
        ("GET", "orders.example", "/orders-old/a7"),
    ];
    for (method, host, path) in asked {
        assert_eq!(map().resolve(method, host, path), Err(RouteRefusal::NoRoute), "{method} {host} {path}");
    }
    assert_eq!(RouteMap::default().resolve("GET", "orders.example", "/orders/a7"), Err(RouteRefusal::NoRoute));
}

#[test]
fn routes_that_overlap_are_refused_with_the_line() {
    let second = FILE.replace("{id}", "special").replace(r#""GET", "#, "");
    let mistakes = RouteMap::read(&format!("{FILE}{second}")).unwrap_err();
    assert_eq!(mistakes.len(), 1);
    assert_eq!(mistakes[0].to_string(), "line 9: overlaps the route at line 2; no request may match two");
}

#[test]
fn every_mistake_is_told_with_its_line() {
    let cases = [
        ("orders.example", "Orders.example"),
        (r#"["GET", "HEAD"]"#, "[]"),
        ("HEAD", "head"),
        ("HEAD", "CONNECT"),
        ("/orders/{id}", "/orders//{id}"),
        ("/orders/{id}", "orders/{id}"),
        ("/orders/{id}\"", "/{id}/{id}\""),
        ("db.read", "DB"),
        ("orders/{id}\"\n", "orders/{who}\"\n"),
        ("prod/eu", "{id}/eu"),
    ];
    for (right, wrong) in cases {
        let text = if right.starts_with("orders/{id}") {
            FILE.replacen("db/orders/{id}", "db/orders/{who}", 1)
        } else {
            FILE.replacen(right, wrong, 1)
        };
        let mistakes = RouteMap::read(&text).expect_err(wrong);
        assert!(mistakes.iter().all(|mistake| mistake.line == 2), "{wrong}: {mistakes:?}");
    }
    assert_eq!(RouteMap::read(&FILE.replace("action", "actoin")).unwrap_err()[0].line, 6);
}
