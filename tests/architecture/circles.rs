//! No two files use each other, by however many steps: what is read first needs nothing of what is read later.
//!
//! An arrow goes from a file to the file that defines what it names. A name that a module hands on (`pub use`) is followed
//! to where it is defined; to declare a module (`mod x;`) or to hand a name on is no arrow. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

type Path = Vec<String>;

/// What one file says of others.
#[derive(Default)]
struct Names {
    module: Path,
    /// What the file hands on, by the name under which it does.
    handed_on: BTreeMap<String, Path>,
    /// What the file brings into scope.
    imported: BTreeMap<String, Path>,
    /// Every path that the file names, from the crate's root.
    used: BTreeSet<Path>,
}

impl Names {
    fn of(file: &str, text: &str, modules: &BTreeSet<Path>) -> Self {
        let module = crate::checker::module_of(file);
        let syntax = syn::parse_file(text).unwrap();
        let mut names = Self { module, ..Self::default() };
        // Imports first: a path may begin with a name that is brought into scope further down.
        for item in syntax.items.iter().filter(|item| !is_test(item)) {
            if let syn::Item::Use(item) = item {
                names.import(item, modules);
            }
        }
        let mut mentions = Mentions { names: &mut names, modules };
        syntax.items.iter().filter(|item| !is_test(item)).for_each(|item| mentions.visit_item(item));
        names
    }

    /// From the crate's root, if it is a path of this crate.
    fn absolute(&self, path: &[String], modules: &BTreeSet<Path>) -> Option<Path> {
        let (first, rest) = path.split_first()?;
        let mut module = self.module.clone();
        match first.as_str() {
            "crate" => return Some(rest.to_vec()),
            "self" => {}
            "super" => {
                let steps = path.iter().take_while(|part| *part == "super").count();
                module.truncate(module.len().saturating_sub(steps));
                module.extend_from_slice(&path[steps..]);
                return Some(module);
            }
            name => {
                if let Some(known) = self.imported.get(name) {
                    return Some([known.as_slice(), rest].concat());
                }
                module.push(name.to_owned());
                if !modules.contains(&module) {
                    return None;
                }
            }
        }
        Some([module.as_slice(), rest].concat())
    }

    fn import(&mut self, item: &syn::ItemUse, modules: &BTreeSet<Path>) {
        let mut leaves = Vec::new();
        leaves_of(&[], &item.tree, &mut leaves);
        for (name, path) in leaves {
            let Some(path) = self.absolute(&path, modules) else { continue };
            if matches!(item.vis, syn::Visibility::Inherited) {
                self.used.insert(path.clone());
            } else {
                self.handed_on.insert(name.clone(), path.clone());
            }
            self.imported.insert(name, path);
        }
    }
}

fn leaves_of(before: &[String], tree: &syn::UseTree, leaves: &mut Vec<(String, Path)>) {
    let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
    match tree {
        syn::UseTree::Path(path) => leaves_of(&with(&path.ident), &path.tree, leaves),
        syn::UseTree::Name(name) if name.ident == "self" => {
            leaves.push((before.last().cloned().unwrap_or_default(), before.to_vec()));
        }
        syn::UseTree::Name(name) => leaves.push((name.ident.to_string(), with(&name.ident))),
        syn::UseTree::Rename(rename) => leaves.push((rename.rename.to_string(), with(&rename.ident))),
        syn::UseTree::Glob(_) => leaves.push(("*".to_owned(), [before, &["*".to_owned()]].concat())),
        syn::UseTree::Group(group) => group.items.iter().for_each(|item| leaves_of(before, item, leaves)),
    }
}

/// Paths outside of `use`.
struct Mentions<'a> {
    names: &'a mut Names,
    modules: &'a BTreeSet<Path>,
}

impl<'ast> Visit<'ast> for Mentions<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(item) && !matches!(item, syn::Item::Use(_)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Path = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1
            && let Some(path) = self.names.absolute(&segments, self.modules)
        {
            self.names.used.insert(path);
        }
        visit::visit_path(self, path);
    }
}

fn is_test(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(crate::checker::is_test)
}

/// Which files each file uses.
fn arrows(files: &[(String, String)]) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeMap<Path, String> =
        files.iter().map(|(file, _)| (crate::checker::module_of(file), file.clone())).collect();
    let known: BTreeSet<Path> = modules.keys().cloned().collect();
    let names: BTreeMap<Path, Names> = files
        .iter()
        .map(|(file, text)| Names::of(file, text, &known))
        .map(|names| (names.module.clone(), names))
        .collect();
    let arrows = files.iter().map(|(file, _)| {
        let own = &names[&crate::checker::module_of(file)];
        let targets = own.used.iter().filter_map(|path| defined_in(path, &modules, &names, 0));
        (file.clone(), targets.filter(|target| target != file).collect())
    });
    arrows.collect()
}

/// The file that defines what a path means; none for a module as such: what is meant of it is named where it is used.
fn defined_in(
    path: &[String],
    modules: &BTreeMap<Path, String>,
    names: &BTreeMap<Path, Names>,
    steps: usize,
) -> Option<String> {
    let inside = (0..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]))?;
    if inside == path.len() || steps > 20 {
        return None;
    }
    let module = &path[..inside];
    match names[module].handed_on.get(&path[inside]) {
        Some(target) if *target != path => {
            defined_in(&[target.as_slice(), &path[inside + 1..]].concat(), modules, names, steps + 1)
        }
        _ => modules.get(module).cloned(),
    }
}

/// Every set of files that use each other.
fn circles(arrows: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        arrows.keys().map(|file| (file, all_from(file, arrows))).collect();
    let mut circles: Vec<BTreeSet<String>> = Vec::new();
    for (file, from) in &reached {
        let back = from.iter().filter(|other| reached.get(**other).is_some_and(|from| from.contains(file)));
        let circle: BTreeSet<String> = back.map(|other| (*other).clone()).collect();
        if !circle.is_empty() && !circles.contains(&circle) {
            circles.push(circle);
        }
    }
    circles
}

fn all_from<'a>(file: &'a String, arrows: &'a BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&'a String> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&String> = vec![file];
    while let Some(file) = next.pop() {
        next.extend(arrows.get(file).into_iter().flatten().filter(|target| seen.insert(*target)));
    }
    seen
}

fn product() -> Vec<(String, String)> {
    crate::sources().into_iter().filter(|(file, _)| !crate::checker::is_test_file(file)).collect()
}

#[test]
fn no_file_uses_one_that_uses_it() {
    let arrows = arrows(&product());
    assert!(arrows.values().map(BTreeSet::len).sum::<usize>() > 500, "the arrows were not read");
    let circles = circles(&arrows);
    assert!(circles.is_empty(), "files that use each other: {circles:#?}");
}

fn found(files: &[(&str, &str)]) -> Vec<BTreeSet<String>> {
    let files: Vec<_> = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
    circles(&arrows(&files))
}

fn set(files: &[&str]) -> BTreeSet<String> {
    files.iter().map(|file| (*file).to_owned()).collect()
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let (a, b, c) = ("src/domain/a.rs", "src/domain/b.rs", "src/domain/c.rs");
    // given two files, one by `use` and one by a full path
    assert_eq!(found(&[(a, "use super::b::B;"), (b, "fn f() -> crate::domain::a::A {}")]), [set(&[a, b])]);
    // by way of a third, a renamed module, and a parent that hands on
    let by_three =
        [(a, "use crate::domain::b as other; fn f(_: other::B) {}"), (b, "use super::c::C;"), (c, "use super::a::A;")];
    assert_eq!(found(&by_three), [set(&[a, b, c])]);
    let parent = "mod a; mod b; pub use a::A;";
    let handed_on = [("src/domain/mod.rs", parent), (a, "use super::b::B;"), (b, "use super::A;")];
    assert_eq!(found(&handed_on), [set(&[a, b])]);
    // and a parent whose own things its child uses
    let child = [("src/domain/mod.rs", "mod a; fn f() { a::g(); } struct S;"), (a, "use super::S; fn g() {}")];
    assert_eq!(found(&child), [set(&["src/domain/mod.rs", a])]);
}

#[test]
fn what_is_no_circle_is_none() {
    let (a, b) = ("src/domain/a.rs", "src/domain/b.rs");
    assert!(found(&[(a, "use super::b::B;"), (b, "use std::fmt; pub(in crate::domain) struct B;")]).is_empty());
    // what a parent declares and hands on is not its own use of it
    let parent = "mod a; mod b; pub use a::A; pub use b::B;";
    assert!(found(&[("src/domain/mod.rs", parent), (a, "struct A;"), (b, "use super::a::A; struct B;")]).is_empty());
    // nor what tests use
    assert!(found(&[(a, "use super::b::B;"), (b, "#[cfg(test)] mod tests { use super::super::a::A; }")]).is_empty());
}
