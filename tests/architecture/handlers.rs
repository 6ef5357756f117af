//! A handler is four lines: who, parse, execute, encode. What a method of a gRPC service does besides belongs into what it
//! calls.

use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// The body lines of a handler that is short.
const SHORT: usize = 4;
/// So many handlers are short, and so many may be longer.
const SHORT_AT_LEAST: usize = 60;
const LONG_AT_MOST: usize = 5;

/// A method of a gRPC service.
#[derive(Debug, PartialEq, Eq)]
struct Handler {
    name: String,
    /// The lines between its braces.
    lines: usize,
}

#[derive(Default)]
struct Handlers(Vec<Handler>);

impl<'ast> Visit<'ast> for Handlers {
    fn visit_item_impl(&mut self, it: &'ast syn::ItemImpl) {
        let of = it.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
        if of.is_some_and(|of| is_service(&of.ident.to_string())) {
            visit::visit_item_impl(self, it);
        }
    }

    fn visit_impl_item_fn(&mut self, it: &'ast syn::ImplItemFn) {
        if it.sig.asyncness.is_some() {
            let brace = it.block.brace_token.span;
            let (first, last) = (brace.open().span().start().line, brace.close().span().end().line);
            self.0.push(Handler { name: it.sig.ident.to_string(), lines: last.saturating_sub(first + 1) });
        }
    }
}

/// A trait that tonic makes of a service: all of this API's end so, and Envoy's is the one other.
fn is_service(name: &str) -> bool {
    name == "Authorization" || (name.ends_with("Service") && name != "Service")
}

fn handlers(text: &str) -> Vec<Handler> {
    let mut handlers = Handlers::default();
    handlers.visit_file(&syn::parse_file(text).unwrap());
    handlers.0
}

#[test]
fn a_handler_says_who_parses_executes_encodes() {
    let all: Vec<Handler> = crate::files("src/server").iter().flat_map(|(_, text)| handlers(text)).collect();
    let (short, long): (Vec<Handler>, Vec<Handler>) = all.into_iter().partition(|handler| handler.lines <= SHORT);
    assert!(short.len() >= SHORT_AT_LEAST, "{} handlers of at most {SHORT} lines; longer: {long:?}", short.len());
    assert!(long.len() <= LONG_AT_MOST, "{} handlers of more than {SHORT} lines: {long:?}", long.len());
}

#[test]
fn a_handlers_lines_are_counted_and_no_other_functions() {
    let text = "
        #[tonic::async_trait]
        impl LockService for Locks {
            async fn get_lock(
                &self,
                request: Request<A>,
            ) -> Result<Response<B>, Status> {
                let caller = self.caller(&request)?;
                // why
                answer(caller)
            }

            type Stream = Messages<A>;

            async fn list_locks(&self) { none() }
        }

        impl Locks {
            async fn found(&self) {
                one();
            }
        }

        impl Service<Request> for Calls {
            async fn call(&self) {
                one();
            }
        }
    ";
    let handler = |name: &str, lines| Handler { name: name.to_owned(), lines };
    assert_eq!(handlers(text), [handler("get_lock", 3), handler("list_locks", 0)]);
}
