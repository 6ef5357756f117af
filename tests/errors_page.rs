//! docs/errors.md is printed from the catalogue. `UPDATE_PAGES=1 cargo test --test errors_page` writes it anew.
use std::path::Path;

use countersign::domain::value::refusal::catalogue_markdown;

#[test]
fn the_page_of_errors_is_the_catalogue() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors.md");
    if std::env::var_os("UPDATE_PAGES").is_some() {
        std::fs::write(&path, catalogue_markdown()).expect("docs/errors.md can be written");
    }
    let page = std::fs::read_to_string(&path).expect("docs/errors.md is there");
    assert_eq!(page, catalogue_markdown(), "write it anew: UPDATE_PAGES=1 cargo test --test errors_page");
}
