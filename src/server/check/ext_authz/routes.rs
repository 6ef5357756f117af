//! The route map of Envoy's external authorization: a pure function from method, host and path to an action and a
//! resource. What is not canonical is refused and nothing is repaired, since two parsers that repair differently are a
//! way around the check (known failures D3 and D4). Routes that overlap are refused when the file is read, so that order never
//! decides (known failure D7).

use serde::Deserialize;
use toml::Spanned;

use crate::domain::value::scope::{Action, Resource, is_segment};

/// Why a request has no action and resource. Always a deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteRefusal {
    /// The method is absent, not upper-case letters, or CONNECT.
    #[error("METHOD_NOT_CANONICAL")]
    Method,
    /// The host is absent, or not lower-case labels with at most a port.
    #[error("HOST_NOT_CANONICAL")]
    Host,
    /// The path is absent, or says something that another parser may read otherwise.
    #[error("PATH_NOT_CANONICAL")]
    Path,
    /// No route names this request.
    #[error("NO_ROUTE")]
    NoRoute,
}

impl RouteRefusal {
    /// Its name, for a header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Method => "METHOD_NOT_CANONICAL",
            Self::Host => "HOST_NOT_CANONICAL",
            Self::Path => "PATH_NOT_CANONICAL",
            Self::NoRoute => "NO_ROUTE",
        }
    }
}

/// What a request is about to do, and on what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The action.
    pub action: Action,
    /// The resource.
    pub resource: Resource,
}

/// A mistake in the file, with its line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text}")]
pub struct RouteMistake {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what would be right.
    pub text: String,
}

/// All routes of a file.
#[derive(Debug, Clone, Default)]
pub struct RouteMap(Vec<Route>);

impl RouteMap {
    /// Reads a file, whole or not at all.
    ///
    /// # Errors
    /// Every mistake, with its line.
    pub fn read(text: &str) -> Result<Self, Vec<RouteMistake>> {
        let file: File = toml::from_str(text).map_err(|error| {
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            vec![RouteMistake { line, text: error.message().to_owned() }]
        })?;
        let (mut routes, mut mistakes) = (Vec::<Route>::new(), Vec::new());
        for entry in &file.routes {
            let line = line_of(text, entry.span().start);
            match Route::new(entry.get_ref(), line) {
                Err(wrong) => mistakes.extend(wrong.into_iter().map(|text| RouteMistake { line, text })),
                Ok(route) => {
                    if let Some(other) = routes.iter().find(|other| other.overlaps(&route)) {
                        let text = format!("overlaps the route at line {}; no request may match two", other.line);
                        mistakes.push(RouteMistake { line, text });
                    }
                    routes.push(route);
                }
            }
        }
        if mistakes.is_empty() { Ok(Self(routes)) } else { Err(mistakes) }
    }

    /// What a request is about to do, on what. The query, from the first `?`, does not count.
    ///
    /// # Errors
    /// What is not canonical, or has no route.
    pub fn resolve(&self, method: &str, host: &str, path: &str) -> Result<Asked, RouteRefusal> {
        if !is_method(method) {
            return Err(RouteRefusal::Method);
        }
        if !is_host(host) {
            return Err(RouteRefusal::Host);
        }
        if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RouteRefusal::Path);
        }
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        let segments = segments(path).ok_or(RouteRefusal::Path)?;
        let mut found = self.0.iter().filter(|route| route.matches(method, host, &segments));
        match (found.next(), found.next()) {
            (Some(route), None) => {
                let resource = route.resource(&segments).ok_or(RouteRefusal::Path)?;
                Ok(Asked { action: route.action.clone(), resource })
            }
            _ => Err(RouteRefusal::NoRoute),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    routes: Vec<Spanned<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    host: String,
    methods: Vec<String>,
    path: String,
    action: String,
    resource: String,
}

#[derive(Debug, Clone)]
struct Route {
    line: usize,
    host: String,
    methods: Vec<String>,
    path: Vec<Part>,
    action: Action,
    resource: Vec<Part>,
}

/// A literal segment, or a named one.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Named(String),
}

impl Route {
    fn new(entry: &Entry, line: usize) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        if !is_host(&entry.host) {
            wrong.push(format!("host `{}` is not lower-case labels with at most a port", entry.host));
        }
        if entry.methods.is_empty() {
            wrong.push("methods is empty; name at least one".to_owned());
        }
        let bad_methods = entry.methods.iter().filter(|method| !is_method(method));
        wrong.extend(bad_methods.map(|method| format!("method `{method}` is not upper-case letters, or is CONNECT")));
        let path = entry.path.strip_prefix('/').and_then(parts);
        let resource = parts(&entry.resource).filter(|parts| matches!(parts.first(), Some(Part::Literal(_))));
        if path.is_none() {
            wrong.push(format!(
                "path `{}` is not `/` and segments, each a literal or a `{{name}}` used once",
                entry.path
            ));
        }
        if resource.is_none() {
            wrong.push(format!("resource `{}` does not begin with a literal segment", entry.resource));
        }
        if let (Some(path), Some(resource)) = (&path, &resource) {
            wrong.extend(resource.iter().filter(|part| !path.contains(part)).filter_map(|part| match part {
                Part::Named(name) => Some(format!("resource names `{{{name}}}`, which the path does not have")),
                Part::Literal(_) => None,
            }));
        }
        let action = entry.action.parse::<Action>().map_err(|error| wrong.push(error.to_string()));
        match (path, resource, action) {
            (Some(path), Some(resource), Ok(action)) if wrong.is_empty() => {
                Ok(Self { line, host: entry.host.clone(), methods: entry.methods.clone(), path, action, resource })
            }
            _ => Err(wrong),
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.host == other.host
            && self.methods.iter().any(|method| other.methods.contains(method))
            && self.path.len() == other.path.len()
            && self.path.iter().zip(&other.path).all(|pair| match pair {
                (Part::Literal(one), Part::Literal(two)) => one == two,
                _ => true,
            })
    }

    fn matches(&self, method: &str, host: &str, segments: &[&str]) -> bool {
        self.host == host
            && self.methods.iter().any(|known| known == method)
            && self.path.len() == segments.len()
            && self.path.iter().zip(segments).all(|(part, segment)| match part {
                Part::Literal(literal) => literal == segment,
                Part::Named(_) => true,
            })
    }

    fn resource(&self, segments: &[&str]) -> Option<Resource> {
        let filled: Option<Vec<&str>> = self
            .resource
            .iter()
            .map(|part| match part {
                Part::Literal(literal) => Some(literal.as_str()),
                Part::Named(_) => {
                    let at = self.path.iter().position(|known| known == part)?;
                    segments.get(at).copied()
                }
            })
            .collect();
        filled?.join("/").parse().ok()
    }
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count().saturating_add(1)
}

/// Segments of a pattern or template; a name stands once in each.
fn parts(text: &str) -> Option<Vec<Part>> {
    if text.is_empty() {
        return None;
    }
    text.split('/')
        .map(|segment| match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => {
                Some(Part::Named(name.to_owned()))
            }
            Some(_) => None,
            None => is_segment(segment.as_bytes()).then(|| Part::Literal(segment.to_owned())),
        })
        .collect::<Option<Vec<Part>>>()
        .filter(|parts| {
            let names = parts.iter().filter(|part| matches!(part, Part::Named(_)));
            names.clone().all(|name| names.clone().filter(|other| *other == name).count() == 1)
        })
}

/// The segments of a canonical path: nothing that one parser decodes, merges or cuts and another does not. They are those of
/// a resource: neither `%`, `;`, `\`, `#` nor anything outside ASCII.
fn segments(path: &str) -> Option<Vec<&str>> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    segments.iter().all(|segment| is_segment(segment.as_bytes())).then_some(segments)
}

fn is_method(method: &str) -> bool {
    (1..=32).contains(&method.len()) && method != "CONNECT" && method.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn is_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    host.len() <= 253
        && name.split('.').all(label)
        && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|number| number != 0 && number.to_string() == port))
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
