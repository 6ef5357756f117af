//! The rooms of the server, and what each may name of this package. Transport knows no service, rule or engine, so that
//! what comes to live beside the broker can listen without them.

use syn::visit::{self, Visit};

use crate::checker::{is_test_file, module_of};

/// A room under `src/server/` and the modules that it may name, itself besides.
const ROOMS: &[(&str, &[&str])] = &[
    (
        "transport",
        &[
            "clock",
            "domain::record::called_from",
            "domain::rule::spender",
            "domain::value",
            "pem",
            "server::metrics",
            "wire::certificate",
        ],
    ),
    ("keys", &["domain::value", "journal::file", "journal::room", "wire"]),
    ("budget", &["clock", "domain::rule::spender", "domain::value", "server::metrics"]),
    (
        "config",
        &["domain::value", "reading", "server::budget", "server::check::ext_authz::routes", "server::transport"],
    ),
    (
        "check",
        &[
            "check",
            "domain",
            "engine",
            "server::caller",
            "server::keys",
            "server::metrics",
            "server::tenant_view",
            "server::transport",
            "wire",
        ],
    ),
    (
        "service",
        &[
            "domain",
            "engine",
            "journal::index",
            "server::caller",
            "server::check::replication",
            "server::keys",
            "server::tenant_view",
            "server::transport::peer",
            "wire",
        ],
    ),
    (
        "https",
        &["check", "domain", "server::caller", "server::check::access", "server::status", "server::transport", "wire"],
    ),
];

/// Paths of this package, as a file outside tests names them.
struct Named {
    module: Vec<String>,
    paths: Vec<String>,
}

impl Named {
    fn note(&mut self, segments: &[String]) {
        let mut module = self.module.clone();
        let mut rest = segments.iter().peekable();
        match rest.peek().map(|first| first.as_str()) {
            Some("crate" | "self" | "super") => {}
            _ => return,
        }
        while let Some(part) = rest.next_if(|part| matches!(part.as_str(), "crate" | "self" | "super")) {
            match part.as_str() {
                "super" => drop(module.pop()),
                "self" => {}
                _ => module.clear(),
            }
        }
        module.extend(rest.cloned());
        self.paths.push(module.join("::"));
    }

    fn note_use(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: String| before.iter().cloned().chain([name]).collect::<Vec<_>>();
        match tree {
            syn::UseTree::Path(path) => self.note_use(&with(path.ident.to_string()), &path.tree),
            syn::UseTree::Name(name) if name.ident == "self" => self.note(before),
            syn::UseTree::Name(name) => self.note(&with(name.ident.to_string())),
            syn::UseTree::Rename(rename) => self.note(&with(rename.ident.to_string())),
            syn::UseTree::Glob(_) => self.note(&with("*".to_owned())),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.note_use(before, item)),
        }
    }
}

impl<'ast> Visit<'ast> for Named {
    fn visit_item_use(&mut self, it: &'ast syn::ItemUse) {
        self.note_use(&[], &it.tree);
    }

    fn visit_path(&mut self, it: &'ast syn::Path) {
        let segments: Vec<String> = it.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            self.note(&segments);
        }
        visit::visit_path(self, it);
    }

    fn visit_item_mod(&mut self, it: &'ast syn::ItemMod) {
        if !it.attrs.iter().any(|attribute| attribute.path().is_ident("cfg")) {
            visit::visit_item_mod(self, it);
        }
    }
}

/// What a file of a room names that the room may not.
fn strayed(path: &str, text: &str) -> Vec<String> {
    let module = module_of(path);
    let [server, room, ..] = module.as_slice() else { return Vec::new() };
    let Some((_, may_use)) = ROOMS.iter().find(|(name, _)| server == "server" && room == name) else {
        return Vec::new();
    };
    let own = format!("server::{room}");
    let mut named = Named { module, paths: Vec::new() };
    named.visit_file(&syn::parse_file(text).unwrap());
    let lies_in = |path: &str, of: &str| path == of || path.starts_with(&format!("{of}::"));
    let allowed = |path: &String| lies_in(path, &own) || may_use.iter().any(|of| lies_in(path, of));
    named.paths.into_iter().filter(|path| !allowed(path)).collect()
}

#[test]
fn each_room_of_the_server_names_what_it_may() {
    let files = crate::files("src/server");
    let files = files.iter().filter(|(path, _)| !is_test_file(path));
    let strayed: Vec<(&str, Vec<String>)> = files.map(|(path, text)| (path.as_str(), strayed(path, text))).collect();
    let faults: Vec<_> = strayed.iter().filter(|(_, names)| !names.is_empty()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    for (room, _) in ROOMS {
        assert!(strayed.iter().any(|(path, _)| path.starts_with(&format!("src/server/{room}/"))), "no room {room}");
    }
}

#[test]
fn what_strays_from_its_room_is_caught() {
    for text in [
        "use crate::engine::Engine;",
        "use super::super::service::grants::Grants;",
        "use crate::{domain::{rule::visibility::may_see, value::ids::Digest}};",
        "fn f() { crate::server::caller::is_usable() }",
    ] {
        assert_eq!(strayed("src/server/transport/calls.rs", text).len(), 1, "{text}");
    }
    for text in [
        "use super::peer::Peer; use crate::domain::value::{ids::Digest, time::Timestamp};",
        "use tokio::sync::watch; use crate::server::metrics::{self, Metrics};",
        "#[cfg(test)] mod tests { use crate::engine::Engine; }",
    ] {
        assert!(strayed("src/server/transport/calls.rs", text).is_empty(), "{text}");
    }
    assert!(strayed("src/server/assembly.rs", "use crate::engine::Engine;").is_empty());
}
