//! The checker: a function of a file's path and text. It looks at `use` trees, at full paths and into macro calls, and
//! resolves `self`, `super` and `crate`, because a layer can be left by any of them.

use std::collections::BTreeSet;
use std::fmt;

use proc_macro2::{Delimiter, Spacing, Span, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::rules::{
    BANNED_NAMES_IN_DOMAIN, BANNED_STD_IN_DOMAIN, CLOCK_FILE, CLOCK_NAMES, Crates, FILE_LINES_MAX, FLOORS,
    FUNCTION_LINES_MAX, LAYERS, Layer,
};

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) rule: &'static str,
    pub(crate) detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.path, self.line, self.rule, self.detail)
    }
}

/// All broken rules of one file under `src/`, in order. `dependencies` are the names of the package's dependencies as
/// code writes them.
pub(crate) fn check(path: &str, text: &str, dependencies: &BTreeSet<String>) -> Vec<Fault> {
    let file = match syn::parse_file(text) {
        Ok(file) => file,
        Err(error) => return vec![fault(path, error.span().start().line, "parse", error.to_string())],
    };
    let module = module_of(path);
    let layer = module.first().and_then(|name| LAYERS.iter().find(|layer| layer.name == name));
    let mut checker =
        Checker { path, layer, module, dependencies, tests: usize::from(is_test_file(path)), faults: vec![] };
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        checker.faults.push(fault(path, lines, "file-length", format!("{lines} lines, {FILE_LINES_MAX} at most")));
    }
    if checker.layer.is_none() && !checker.module.is_empty() {
        let detail = format!("`{}` is in no layer of the table", checker.module[0]);
        checker.faults.push(fault(path, 1, "layer", detail));
    }
    checker.visit_file(&file);
    let mut faults = checker.faults;
    faults.sort();
    faults.dedup();
    faults
}

fn fault(path: &str, line: usize, rule: &'static str, detail: String) -> Fault {
    Fault { path: path.to_owned(), line, rule, detail }
}

/// `src/domain/value/scope.rs` is `domain::scope`; `x_tests.rs` is the module `tests` within `x`.
pub(crate) fn module_of(path: &str) -> Vec<String> {
    let inner = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut parts: Vec<String> = inner.split('/').map(str::to_owned).collect();
    let last = parts.pop().unwrap_or_default();
    match last.as_str() {
        "lib" | "main" if parts.is_empty() => {}
        "mod" => {}
        name => match name.strip_suffix("_tests") {
            Some(tested) => parts.extend([tested.to_owned(), "tests".to_owned()]),
            None => parts.push(last),
        },
    }
    parts
}

pub(crate) fn is_test_file(path: &str) -> bool {
    path.ends_with("_tests.rs") || path.ends_with("/tests.rs") || path.contains("/tests/")
}

struct Checker<'a> {
    path: &'a str,
    layer: Option<&'static Layer>,
    module: Vec<String>,
    dependencies: &'a BTreeSet<String>,
    /// How many test items enclose this place.
    tests: usize,
    faults: Vec<Fault>,
}

impl Checker<'_> {
    fn report(&mut self, span: Span, rule: &'static str, detail: String) {
        self.faults.push(fault(self.path, span.start().line, rule, detail));
    }

    fn in_domain(&self) -> bool {
        self.layer.is_some_and(|layer| layer.name == "domain") && self.tests == 0
    }

    /// A path as written, in a `use` or anywhere else.
    fn path(&mut self, segments: &[String], span: Span) {
        self.clocks(segments, span);
        self.domain_bans(segments, span);
        let Some(layer) = self.layer else { return };
        let first = segments.first().map_or("", String::as_str);
        if matches!(first, "crate" | "self" | "super" | "countersign") {
            self.layers(layer, segments, span);
        } else if segments.len() > 1 && self.tests == 0 && self.dependencies.contains(first) {
            let allowed = match layer.crates {
                Crates::Only(names) => names.contains(&first),
                Crates::AllBut(names) => !names.contains(&first),
            };
            if !allowed {
                self.report(span, "dependency", format!("{} may not name the crate `{first}`", layer.name));
            }
        }
    }

    /// A path outside a `use`: `self` or `crate` alone is a value or a visibility there.
    fn mention(&mut self, segments: &[String], span: Span) {
        let alone = matches!(segments, [one] if matches!(one.as_str(), "crate" | "self" | "super"));
        if !alone {
            self.path(segments, span);
        }
    }

    fn layers(&mut self, layer: &Layer, segments: &[String], span: Span) {
        let mut module = self.module.clone();
        let mut rest = segments.iter().map(String::as_str).peekable();
        while let Some(part) = rest.next_if(|part| matches!(*part, "crate" | "self" | "super" | "countersign")) {
            match part {
                "super" => drop(module.pop()),
                "self" => {}
                _ => module.clear(),
            }
        }
        module.extend(rest.map(str::to_owned));
        match module.first().map(String::as_str) {
            None | Some("*") => {
                self.report(span, "layer", "the crate's root is not to be named as a whole".to_owned());
            }
            Some(target) if target == layer.name || layer.may_use.contains(&target) => {}
            Some(target) if LAYERS.iter().any(|known| known.name == target) => {
                self.report(span, "layer", format!("{} may not use {target}", layer.name));
            }
            // A macro or another item of the root.
            Some(_) => {}
        }
        self.floors(&module, span);
    }

    /// Within the domain no arrow leads to a floor above.
    fn floors(&mut self, target: &[String], span: Span) {
        let number = |module: &[String]| {
            let [layer, floor, ..] = module else { return None };
            FLOORS.iter().position(|it| layer == "domain" && it == floor)
        };
        if let (0, Some(own), Some(meant)) = (self.tests, number(&self.module), number(target))
            && meant > own
        {
            self.report(span, "floor", format!("{} may not use {}, which lies above it", FLOORS[own], FLOORS[meant]));
        }
    }

    fn clocks(&mut self, segments: &[String], span: Span) {
        if self.path == CLOCK_FILE {
            return;
        }
        let last = segments.last().map_or("", String::as_str);
        let owner = segments.iter().rev().nth(1).map_or("", String::as_str);
        let now = last == "now" && !owner.is_empty() && !matches!(owner, "self" | "Self" | "Timekeeper");
        let elapsed = last == "elapsed" && !owner.is_empty() && !matches!(owner, "self" | "Self");
        let local = segments.windows(2).any(|pair| pair[0] == "chrono" && pair[1] == "Local");
        if now || elapsed || local || segments.iter().any(|part| CLOCK_NAMES.contains(&part.as_str())) {
            self.report(span, "clock", format!("`{}` reads a clock; only {CLOCK_FILE} does", segments.join("::")));
        }
    }

    fn domain_bans(&mut self, segments: &[String], span: Span) {
        if !self.in_domain() {
            return;
        }
        let whole = segments.join("::");
        if let [root, part, ..] = segments
            && matches!(root.as_str(), "std" | "core" | "alloc")
            && (BANNED_STD_IN_DOMAIN.contains(&part.as_str()) || part == "*")
        {
            self.report(span, "domain", format!("`{whole}` is not for the domain"));
        }
        if segments.iter().any(|part| BANNED_NAMES_IN_DOMAIN.contains(&part.as_str())) {
            self.report(span, "domain", format!("`{whole}` has no order, or is not from the arguments"));
        }
    }

    fn use_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |ident: &syn::Ident| {
            // `use a::{self}` is `use a`.
            let own = ident == "self" && !before.is_empty();
            before.iter().cloned().chain((!own).then(|| ident.to_string())).collect::<Vec<_>>()
        };
        match tree {
            syn::UseTree::Path(path) => {
                let mut longer = before.to_vec();
                longer.push(path.ident.to_string());
                self.use_tree(&longer, &path.tree);
            }
            syn::UseTree::Name(name) => self.path(&with(&name.ident), name.ident.span()),
            syn::UseTree::Rename(rename) => self.path(&with(&rename.ident), rename.ident.span()),
            syn::UseTree::Glob(glob) => {
                let mut whole = before.to_vec();
                whole.push("*".to_owned());
                // `use super::*` of a test module, and of a child, is everyday; of the root it is not.
                self.path(&whole, glob.span());
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.use_tree(before, item)),
        }
    }

    /// What a macro call is given is tokens: every chain of names in it counts as a path, every `use` as a `use`.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(ident) if ident == "use" => {
                    let end = tokens[at..].iter().position(is_semicolon).map_or(tokens.len(), |offset| at + offset + 1);
                    let item: TokenStream = tokens[at..end].iter().cloned().collect();
                    if let Ok(item) = syn::parse2::<syn::ItemUse>(item) {
                        self.use_tree(&[], &item.tree);
                        at = end;
                        continue;
                    }
                }
                TokenTree::Ident(ident) => {
                    let (chain, next) = chain(&tokens, at);
                    self.words(&tokens, at, next, &chain);
                    self.mention(&chain, ident.span());
                    at = next;
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
    }

    /// Method calls, macros and keywords within a macro call.
    fn words(&mut self, tokens: &[TokenTree], at: usize, next: usize, chain: &[String]) {
        let span = tokens[at].span();
        let called = matches!(tokens.get(next), Some(TokenTree::Group(g)) if g.delimiter() == Delimiter::Parenthesis);
        let after_dot = at > 0 && matches!(&tokens[at - 1], TokenTree::Punct(p) if p.as_char() == '.');
        if let [name] = chain {
            if after_dot && called {
                self.method(name, span);
            }
            if self.in_domain() && (name == "async" || (name == "await" && after_dot)) {
                self.report(span, "domain", format!("`{name}` is not for the domain"));
            }
        }
        if matches!(tokens.get(next), Some(TokenTree::Punct(p)) if p.as_char() == '!') {
            self.macro_name(chain.last().map_or("", String::as_str), span);
        }
    }

    fn method(&mut self, name: &str, span: Span) {
        if name == "elapsed" && self.path != CLOCK_FILE {
            self.report(span, "clock", format!("`.elapsed()` reads a clock; only {CLOCK_FILE} does"));
        }
        if name == "now" && self.in_domain() {
            self.report(span, "clock", "the domain is told the time".to_owned());
        }
    }

    fn macro_name(&mut self, name: &str, span: Span) {
        if matches!(name, "todo" | "unimplemented") {
            self.report(span, "unfinished", format!("`{name}!`"));
        }
    }

    fn function(&mut self, name: &syn::Ident, from: Span, block: &syn::Block) {
        let lines = block.span().end().line.saturating_sub(from.start().line) + 1;
        if self.tests == 0 && lines > FUNCTION_LINES_MAX {
            self.report(from, "function-length", format!("`{name}` has {lines} lines, {FUNCTION_LINES_MAX} at most"));
        }
    }

    fn asyncness(&mut self, signature: &syn::Signature) {
        if let (true, Some(keyword)) = (self.in_domain(), signature.asyncness) {
            self.report(keyword.span, "domain", format!("`async fn {}` is not for the domain", signature.ident));
        }
    }

    fn within(&mut self, attributes: &[syn::Attribute], inner: impl FnOnce(&mut Self)) {
        let test = usize::from(attributes.iter().any(is_test));
        self.tests += test;
        inner(self);
        self.tests -= test;
    }
}

impl<'ast> Visit<'ast> for Checker<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.module.push(item.ident.to_string());
        self.within(&item.attrs, |this| visit::visit_item_mod(this, item));
        self.module.pop();
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within(&item.attrs, |this| {
            this.asyncness(&item.sig);
            this.function(&item.sig.ident, item.sig.span(), &item.block);
            visit::visit_item_fn(this, item);
        });
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.within(&item.attrs, |this| {
            this.asyncness(&item.sig);
            this.function(&item.sig.ident, item.sig.span(), &item.block);
            visit::visit_impl_item_fn(this, item);
        });
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.within(&item.attrs, |this| {
            this.asyncness(&item.sig);
            if let Some(block) = &item.default {
                this.function(&item.sig.ident, item.sig.span(), block);
            }
            visit::visit_trait_item_fn(this, item);
        });
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.within(&item.attrs, |this| visit::visit_item_impl(this, item));
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.within(&item.attrs, |this| this.use_tree(&[], &item.tree));
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.path(&[item.ident.to_string(), "*".to_owned()], item.ident.span());
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {
        // `pub(crate)` names the root and reaches nothing.
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.mention(&segments, path.span());
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.args.is_empty() || call.method == "now" {
            self.method(&call.method.to_string(), call.method.span());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_async(&mut self, expression: &'ast syn::ExprAsync) {
        if self.in_domain() {
            self.report(expression.async_token.span, "domain", "`async` is not for the domain".to_owned());
        }
        visit::visit_expr_async(self, expression);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let name = call.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        self.macro_name(&name, call.span());
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        let path = attribute.path();
        if path.is_ident("ignore") {
            self.report(attribute.span(), "ignored-test", "a test that is not run says nothing".to_owned());
        }
        let given = attribute.meta.require_list().map(|list| list.tokens.clone()).unwrap_or_default();
        let tokens = compact(&given);
        self.tokens(given);
        let silences = path.is_ident("allow") || path.is_ident("expect");
        let conditional = path.is_ident("cfg_attr") && !tokens.starts_with("test");
        let conditional = conditional && (tokens.contains("allow(") || tokens.contains("expect("));
        if (silences || conditional) && !has_reason(&tokens) {
            self.report(attribute.span(), "reason", format!("#[{}] without `reason = \"…\"`", spelled(path)));
        }
        if path.is_ident("cfg_attr") && tokens.contains("ignore") {
            self.report(attribute.span(), "ignored-test", "a test that is not run says nothing".to_owned());
        }
        visit::visit_attribute(self, attribute);
    }
}

pub(crate) fn is_test(attribute: &syn::Attribute) -> bool {
    let path = attribute.path();
    let condition = attribute.meta.require_list().map(|list| compact(&list.tokens)).unwrap_or_default();
    let last = path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
    last == "test" || (path.is_ident("cfg") && (condition == "test" || condition.starts_with("all(test")))
}

/// The tokens without spaces, however they are printed.
fn compact(tokens: &TokenStream) -> String {
    tokens.to_string().replace(' ', "")
}

fn has_reason(tokens: &str) -> bool {
    tokens.split_once("reason=\"").is_some_and(|(_, rest)| !rest.starts_with('"'))
}

fn is_semicolon(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';')
}

/// The names joined by `::` from here, and where they end. `$crate` is `crate`: the dollar is not a name.
fn chain(tokens: &[TokenTree], from: usize) -> (Vec<String>, usize) {
    let colon = |at: usize, spacing: Option<Spacing>| {
        matches!(tokens.get(at), Some(TokenTree::Punct(p))
            if p.as_char() == ':' && spacing.is_none_or(|wanted| p.spacing() == wanted))
    };
    let mut names = Vec::new();
    let mut at = from;
    while let Some(TokenTree::Ident(ident)) = tokens.get(at) {
        names.push(ident.to_string());
        at += 1;
        if !(colon(at, Some(Spacing::Joint)) && colon(at + 1, None)) {
            break;
        }
        at += 2;
    }
    (names, at)
}

fn spelled(path: &syn::Path) -> String {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::")
}
