//! The floors of the domain: each file may use what lies on its own floor and below. A record never asks a rule, neither by
//! name nor by a method that a floor above gives it.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};

use crate::rules::FLOORS;

/// The number of a file's floor; none outside the floors.
fn floor_of(file: &str) -> Option<usize> {
    let name = file.strip_prefix("src/domain/")?.split('/').next()?.trim_end_matches(".rs");
    FLOORS.iter().position(|floor| *floor == name)
}

/// Methods that a file defines for types, and those that it calls.
#[derive(Default)]
struct Methods {
    types: BTreeSet<String>,
    defined: BTreeSet<(String, String)>,
    called: BTreeSet<String>,
}

impl<'ast> Visit<'ast> for Methods {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !item.attrs.iter().any(crate::checker::is_test) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.types.insert(item.ident.to_string());
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.types.insert(item.ident.to_string());
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if let (None, syn::Type::Path(of)) = (&item.trait_, &*item.self_ty) {
            let of = of.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
            let methods =
                item.items.iter().filter_map(|item| if let syn::ImplItem::Fn(it) = item { Some(it) } else { None });
            self.defined.extend(methods.map(|method| (of.clone(), method.sig.ident.to_string())));
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.called.insert(call.method.to_string());
        visit::visit_expr_method_call(self, call);
    }
}

/// Calls of methods that a floor above gives to a type of a floor below: (file, method).
fn calls_upward(files: &[(String, String)]) -> Vec<(String, String)> {
    let read: Vec<(usize, &String, Methods)> = files
        .iter()
        .filter_map(|(file, text)| {
            let mut methods = Methods::default();
            methods.visit_file(&syn::parse_file(text).unwrap());
            Some((floor_of(file)?, file, methods))
        })
        .collect();
    let types: BTreeMap<&String, usize> =
        read.iter().flat_map(|(floor, _, methods)| methods.types.iter().map(|name| (name, *floor))).collect();
    let lowest = |method: &String| {
        let defined = read.iter().filter(|(_, _, methods)| methods.defined.iter().any(|(_, name)| name == method));
        defined.map(|(floor, ..)| *floor).min()
    };
    let given = |(floor, _, methods): &(usize, &String, Methods)| {
        let floor = *floor;
        let above = methods.defined.iter().filter(|(of, _)| types.get(of).is_some_and(|own| *own < floor));
        above.map(|(_, method)| (method.clone(), floor)).collect::<Vec<_>>()
    };
    let given: BTreeMap<String, usize> = read.iter().flat_map(given).collect();
    let upward = read.iter().flat_map(|(floor, file, methods)| {
        let up = methods.called.iter().filter(|method| given.get(*method).is_some_and(|from| from > floor));
        // A name that some lower floor defines as well is that one's.
        let up = up.filter(|method| lowest(method).is_some_and(|lowest| lowest > *floor));
        up.map(|method| ((*file).clone(), method.clone())).collect::<Vec<_>>()
    });
    upward.collect()
}

#[test]
fn no_floor_calls_a_method_that_a_floor_above_gives() {
    let files = crate::files("src/domain");
    let files: Vec<_> = files.into_iter().filter(|(file, _)| !crate::checker::is_test_file(file)).collect();
    assert_eq!(calls_upward(&files), []);
}

#[test]
fn a_record_that_asks_a_rule_by_a_method_is_found() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let state =
        file("src/domain/state/organisation.rs", "pub struct Organisation; impl Organisation { fn people(&self) {} }");
    let rule = file("src/domain/rule/eligibility.rs", "impl Organisation { fn eligible_in(&self) { self.people() } }");
    let asks = file("src/domain/record/lock.rs", "fn f(it: &X) { it.eligible_in(); }");
    let reads = file("src/domain/record/grant.rs", "fn f(it: &X) { it.people(); }");
    let found = calls_upward(&[state.clone(), rule.clone(), asks, reads.clone()]);
    // What lies above by definition is not to be called from below either, whoever gives it.
    assert_eq!(found, [("src/domain/record/lock.rs".to_owned(), "eligible_in".to_owned())]);
    assert_eq!(calls_upward(&[state, rule, reads]), []);
}

#[test]
fn every_room_of_the_domain_is_a_floor() {
    let rooms: BTreeSet<String> = crate::files("src/domain")
        .iter()
        .filter_map(|(file, _)| {
            file.strip_prefix("src/domain/")?.split('/').next().map(|it| it.trim_end_matches(".rs").to_owned())
        })
        .filter(|room| room != "mod" && !room.ends_with("_tests"))
        .collect();
    assert_eq!(rooms, FLOORS.iter().map(|floor| (*floor).to_owned()).collect());
    assert!(FLOORS.len() <= 9, "at most nine rooms at the top of the domain");
}
