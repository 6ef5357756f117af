use super::*;

fn nothing(_: &str) -> Option<String> {
    None
}

fn file(text: &str) -> (tempfile::TempDir, ConnectionArguments) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("contexts.toml");
    std::fs::write(&path, text).unwrap();
    (folder, ConnectionArguments { context_file: Some(path), ..Default::default() })
}

const FILE: &str = r#"
current = "production"
[production]
address = "https://file:1"
authority = "authority.pem"
certificate = "ana.pem"
key = "/keys/ana.key"
[staging]
address = "https://staging:1"
"#;

#[test]
fn flags_go_before_the_environment_and_that_before_the_file() {
    // given all three
    let (folder, mut arguments) = file(FILE);
    let environment = |name: &str| (name == "COUNTERSIGN_ADDR").then(|| "https://environment:1".to_owned());
    // when the file alone speaks, its current section counts, with paths relative to it
    let target = resolve(&arguments, &nothing).unwrap();
    assert_eq!(target.address.as_deref(), Some("https://file:1"));
    assert_eq!(target.authority, Some(folder.path().join("authority.pem")));
    assert_eq!(target.key, Some("/keys/ana.key".into()));
    // then the environment goes before it, and a flag before both
    assert_eq!(resolve(&arguments, &environment).unwrap().address.as_deref(), Some("https://environment:1"));
    arguments.addr = Some("https://flag:1".into());
    assert_eq!(resolve(&arguments, &environment).unwrap().address.as_deref(), Some("https://flag:1"));
}

#[test]
fn a_certificate_never_goes_with_the_key_of_another_source() {
    let (_folder, mut arguments) = file(FILE);
    arguments.cert = Some("eva.pem".into());
    let target = resolve(&arguments, &nothing).unwrap();
    assert_eq!((target.certificate, target.key), (Some("eva.pem".into()), None));
}

#[test]
fn an_unknown_section_or_key_is_a_usage_error_that_says_what_there_is() {
    let (_folder, mut arguments) = file(FILE);
    arguments.context = Some("prod".into());
    let failure = resolve(&arguments, &nothing).unwrap_err();
    assert_eq!(failure.exit_code(), 2);
    assert!(failure.lines()[0].ends_with("has no context `prod`; it has `production`, `staging`"), "{failure:?}");
    let (_folder, arguments) = file("[a]\nadress = \"x\"\n");
    assert!(resolve(&arguments, &nothing).unwrap_err().lines()[0].contains("adress"));
}

#[test]
fn what_is_missing_is_named_with_the_ways_to_give_it() {
    let target = resolve(&ConnectionArguments::default(), &nothing).unwrap();
    let failure = builder(&target).unwrap_err();
    insta::assert_snapshot!(failure.lines().join("\n"), @r#"error: no broker's address is given: use `--addr`, `COUNTERSIGN_ADDR`, a context file, or `--as NAME` with `countersign dev`"#);
}

#[test]
fn a_person_of_dev_is_found_by_name_and_by_nothing_else() {
    // given the folder of a running dev
    let folder = tempfile::tempdir().unwrap();
    let dev = DevFile { address: "https://localhost:7443".into() };
    std::fs::write(folder.path().join(DEV_FILE), dev.text()).unwrap();
    std::fs::write(folder.path().join("ana.pem"), "").unwrap();
    // when / then
    let target = dev_target(folder.path(), "ana").unwrap();
    assert_eq!(target.address.as_deref(), Some("https://localhost:7443"));
    assert_eq!(target.key, Some(folder.path().join("ana.key")));
    for name in ["eva", "", "../ana", "ana\0"] {
        assert_eq!(dev_target(folder.path(), name).unwrap_err().exit_code(), 2, "{name:?}");
    }
    let absent = dev_target(&folder.path().join("absent"), "ana").unwrap_err();
    assert!(absent.lines()[0].contains("run `countersign dev`"));
}
