//! The configuration of `countersign serve`: a TOML file, then `COUNTERSIGN_*` of the environment, then flags. Reading is
//! a pure function of those three; [`check`] then looks at the files that it names. Unknown keys are refused, and every
//! mistake is reported, not the first alone.

mod authorities;
mod values;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::Table;

use self::authorities::authorities;
pub use self::authorities::warnings;
use self::values::Values;
pub use self::values::{ConfigMistake, ConfigMistakes};
use super::budget::bucket::{MOST, Rate};
use super::budget::{Budget, Budgets, KeptLimits, PlaceLimits, TurnLimits, Watches};
use super::check::ext_authz::routes::RouteMap;
use super::transport::limits::Limits;
use super::transport::tls::{TlsSettings, TlsStore};
use crate::domain::value::time::{Span, Timestamp};
use crate::reading;

/// The settings of `serve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeSettings {
    /// `listen`: where the API is served.
    pub listen: SocketAddr,
    /// `journal`: the journal's file.
    pub journal: PathBuf,
    /// `[tls]`.
    pub tls: TlsSettings,
    /// `metrics.listen`: a loopback address for `/metrics` and `/live`; none by default.
    pub metrics_listen: Option<SocketAddr>,
    /// `https.listen`: where SCIM and AuthZEN are served, with the same certificates; none by default.
    pub https_listen: Option<SocketAddr>,
    /// `ext_authz.routes`: the file that says what requests held back by Envoy are about; without it each is denied.
    pub ext_authz_routes: Option<PathBuf>,
    /// `runtimes`: threads that serve; by default one a core.
    pub runtimes: usize,
    /// `[limits]`.
    pub limits: Limits,
    /// `[budgets]`.
    pub budgets: Budgets,
    /// `grants_on_restart`.
    pub grants_on_restart: GrantsOnRestart,
    /// `drain_deadline`: how long calls under way have to finish at a stop.
    pub drain_deadline: Span,
    /// `keep_closed`: how long what is closed stays in memory.
    pub keep_closed: Span,
    /// `log_format`.
    pub log_format: LogFormat,
}

/// What a restart does with grants that have not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantsOnRestart {
    /// They go on to their ends.
    Resume,
    /// They are revoked.
    Void,
}

/// How lines of the log look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What flags say, by the key that each stands for; `None` leaves what file and environment say.
#[derive(Debug, Clone, Default)]
pub struct ServeOverrides {
    /// `--listen`.
    pub listen: Option<String>,
    /// `--journal`.
    pub journal: Option<String>,
    /// `--metrics-listen`.
    pub metrics_listen: Option<String>,
    /// `--runtimes`.
    pub runtimes: Option<String>,
    /// `--grants-on-restart`.
    pub grants_on_restart: Option<String>,
    /// `--drain-deadline`.
    pub drain_deadline: Option<String>,
    /// `--log-format`.
    pub log_format: Option<String>,
}

/// The most that may be kept of answers that nobody reads.
const MOST_UNREAD_BYTES: usize = 1024 * 1024 * 1024;
/// The longest file of routes.
const LONGEST_ROUTES_BYTES: u64 = 4 * 1024 * 1024;

/// Every key of the file.
const SCHEMA: &[&str] = &[
    "listen",
    "journal",
    "runtimes",
    "grants_on_restart",
    "drain_deadline",
    "keep_closed",
    "log_format",
    "tls.certificate",
    "tls.key",
    "tls.authorities",
    "https.listen",
    "ext_authz.routes",
    "metrics.listen",
    "limits.connections",
    "limits.per_address",
    "limits.half_open",
    "limits.connections_of_person",
    "limits.connections_of_machine",
    "limits.connections_of_unknown",
    "limits.connections_kept",
    "limits.unread_bytes",
    "limits.unread_bytes_of_identity",
    "limits.unread_deadline",
    "budgets.person_commands",
    "budgets.machine_commands",
    "budgets.recording_commands",
    "budgets.taking_away",
    "budgets.taking_from_others",
    "budgets.journal_minute",
    "budgets.journal_day",
    "budgets.recording_journal",
    "budgets.kept",
    "budgets.recording_kept",
    "budgets.dear_places",
    "budgets.dear_places_each",
    "budgets.watches",
    "budgets.lists",
    "budgets.lists_each",
];

/// Reads the three layers. `folder` is the configuration file's: relative paths in the file begin there.
///
/// # Errors
/// Every mistake, each with its place and what would be right.
pub fn parse(
    text: &str,
    folder: &Path,
    environment: &BTreeMap<String, String>,
    overrides: &ServeOverrides,
) -> Result<ServeSettings, ConfigMistakes> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let problem = error.to_string().trim_end().to_owned();
        ConfigMistakes(vec![ConfigMistake { place: "the file is not TOML".to_owned(), problem }])
    })?;
    let mut values = Values::default();
    values.take_file(&table, SCHEMA, "");
    for key in SCHEMA.iter().filter(|key| **key != "tls.authorities") {
        let variable = format!("COUNTERSIGN_{}", key.replace('.', "_").to_uppercase());
        if let Some(text) = environment.get(&variable) {
            values.take_text(key, format!("`{variable}`"), text);
        }
    }
    let flags = [
        ("listen", &overrides.listen),
        ("journal", &overrides.journal),
        ("metrics.listen", &overrides.metrics_listen),
        ("runtimes", &overrides.runtimes),
        ("grants_on_restart", &overrides.grants_on_restart),
        ("drain_deadline", &overrides.drain_deadline),
        ("log_format", &overrides.log_format),
    ];
    for (key, text) in flags {
        if let Some(text) = text {
            values.take_text(key, format!("`--{}`", key.replace(['.', '_'], "-")), text);
        }
    }
    let settings = settings(&mut values, folder);
    match settings {
        Some(settings) if values.mistakes.is_empty() => Ok(settings),
        _ => Err(ConfigMistakes(values.mistakes)),
    }
}

/// What `--check-config` looks at beyond the text: files that are there, keys that nobody else may read, certificates
/// that parse and fit their key, a folder for the journal.
///
/// # Errors
/// Every mistake, each with its place and what would be right.
pub fn check(settings: &ServeSettings) -> Result<(), ConfigMistakes> {
    let mut mistakes = Vec::new();
    // Nobody connects: no certificate is compared with the time here.
    if let Err(found) = TlsStore::load(settings.tls.clone(), Arc::new(|| Timestamp::MIN)) {
        mistakes.extend(found.into_iter().map(|mistake| ConfigMistake {
            place: format!("`{}`", mistake.key),
            problem: format!("`{}`: {}", mistake.file.display(), mistake.problem),
        }));
    }
    if let Err(found) = route_map(settings) {
        mistakes.extend(found.0);
    }
    let folder = settings.journal.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        let problem = format!("the folder `{}` does not exist; make it, for its owner alone", folder.display());
        mistakes.push(ConfigMistake { place: "`journal`".to_owned(), problem });
    }
    if mistakes.is_empty() { Ok(()) } else { Err(ConfigMistakes(mistakes)) }
}

/// The routes of Envoy's requests; none at all if no file is named.
///
/// # Errors
/// Every mistake, with its line.
pub fn route_map(settings: &ServeSettings) -> Result<RouteMap, ConfigMistakes> {
    let Some(path) = &settings.ext_authz_routes else { return Ok(RouteMap::default()) };
    let mistake =
        |problem: String| ConfigMistake { place: format!("`ext_authz.routes`: `{}`", path.display()), problem };
    let text = read_bounded(path);
    let text = text.map_err(|error| ConfigMistakes(vec![mistake(format!("it cannot be read: {error}"))]))?;
    RouteMap::read(&text)
        .map_err(|found| ConfigMistakes(found.iter().map(|found| mistake(found.to_string())).collect()))
}

fn read_bounded(path: &Path) -> io::Result<String> {
    String::from_utf8(reading::read(path, LONGEST_ROUTES_BYTES, reading::PATIENCE)?).map_err(io::Error::other)
}

fn settings(values: &mut Values, folder: &Path) -> Option<ServeSettings> {
    let an_address = "an address and port, such as `127.0.0.1:7443`";
    let address = |text: &str| text.parse::<SocketAddr>().ok();
    let listen = values.require("listen", an_address, address);
    let metrics_listen = values.parse("metrics.listen", an_address, None, |text| address(text).map(Some));
    if metrics_listen.is_some_and(|address| !address.ip().is_loopback()) {
        let place = values.given("metrics.listen").map(|given| given.place.clone()).unwrap_or_default();
        values.mistake(&place, "is not a loopback address; metrics are plain text, so use `127.0.0.1` or `[::1]`");
    }
    let https_listen = values.parse("https.listen", an_address, None, |text| address(text).map(Some));
    let routes = values.given("ext_authz.routes").is_some();
    let routes =
        routes.then(|| path(values, folder, "ext_authz.routes", "a file of routes, see docs/envoy.md")).flatten();
    let journal = path(values, folder, "journal", "the journal's file");
    let certificate = path(values, folder, "tls.certificate", "the broker's certificate, a PEM file");
    let key = path(values, folder, "tls.key", "the certificate's private key, a PEM file");
    let authorities = authorities(values, folder);
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let defaults = Limits::default();
    let limits = Limits {
        connections: count(values, "limits.connections", defaults.connections, 1_000_000),
        per_address: count(values, "limits.per_address", defaults.per_address, 1_000_000),
        of_person: count(values, "limits.connections_of_person", defaults.of_person, 1_000_000),
        of_machine: count(values, "limits.connections_of_machine", defaults.of_machine, 1_000_000),
        of_unknown: count(values, "limits.connections_of_unknown", defaults.of_unknown, 1_000_000),
        kept: count(values, "limits.connections_kept", defaults.kept, 1_000_000),
        half_open: count(values, "limits.half_open", defaults.half_open, 1_000_000),
        unread_bytes: count(values, "limits.unread_bytes", defaults.unread_bytes, MOST_UNREAD_BYTES),
        unread_bytes_of_identity: count(
            values,
            "limits.unread_bytes_of_identity",
            defaults.unread_bytes_of_identity,
            MOST_UNREAD_BYTES,
        ),
        unread_deadline: unread_deadline(values, defaults.unread_deadline),
        ..defaults
    };
    let budgets = budgets(values);
    let runtimes = count(values, "runtimes", cores, 1024);
    let grants_on_restart =
        values.parse("grants_on_restart", "`resume` or `void`", GrantsOnRestart::Resume, |text| match text {
            "resume" => Some(GrantsOnRestart::Resume),
            "void" => Some(GrantsOnRestart::Void),
            _ => None,
        });
    let log_format = values.parse("log_format", "`text` or `json`", LogFormat::Text, |text| match text {
        "text" => Some(LogFormat::Text),
        "json" => Some(LogFormat::Json),
        _ => None,
    });
    let drain_deadline = span(values, "drain_deadline", Span::seconds(25), Span::seconds(3_600));
    let keep_closed = span(values, "keep_closed", Span::DAY, Span::seconds(30 * 86_400));
    Some(ServeSettings {
        listen: listen?,
        journal: journal?,
        tls: TlsSettings { certificate: certificate?, key: key?, authorities },
        metrics_listen,
        https_listen,
        ext_authz_routes: routes,
        runtimes,
        limits,
        budgets,
        grants_on_restart,
        drain_deadline,
        keep_closed,
        log_format,
    })
}

impl ServeSettings {
    /// The drain's deadline, for the listener.
    #[must_use]
    pub fn drain_deadline(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.drain_deadline.millis()).unwrap_or_default())
    }
}

fn path(values: &mut Values, folder: &Path, key: &'static str, wanted: &str) -> Option<PathBuf> {
    let from_file = values.given(key).is_some_and(|given| given.from_file);
    let path = values.require(key, wanted, |text| (!text.is_empty()).then(|| PathBuf::from(text)))?;
    Some(if from_file { folder.join(path) } else { path })
}

fn count(values: &mut Values, key: &'static str, default: usize, most: usize) -> usize {
    let wanted = format!("a whole number from 1 to {most}");
    values.parse(key, &wanted, default, |text| text.parse().ok().filter(|number| (1..=most).contains(number)))
}

fn bytes(values: &mut Values, key: &'static str, default: u64) -> u64 {
    let most = u64::from(MOST);
    let wanted = format!("a number of bytes from 1 to {most}");
    values.parse(key, &wanted, default, |text| text.parse().ok().filter(|number| (1..=most).contains(number)))
}

fn unread_deadline(values: &mut Values, usual: Duration) -> Duration {
    let usual = u32::try_from(usual.as_secs()).map_or(Span::MAX, Span::seconds);
    let deadline = span(values, "limits.unread_deadline", usual, Span::seconds(3_600));
    Duration::from_millis(deadline.millis().unsigned_abs())
}

fn budgets(values: &mut Values) -> Budgets {
    let Budgets { mut rates, kept, places, watches, lists } = Budgets::default();
    for budget in Budget::ALL {
        let usual = rates.of(budget);
        let wanted = format!("a rate such as `{usual}`: numbers from 1 to {MOST}, a time of at most `7d`");
        rates.set(budget, values.parse(budget.key(), &wanted, usual, Rate::parse));
    }
    let kept = KeptLimits {
        each: bytes(values, "budgets.kept", kept.each),
        recording: bytes(values, "budgets.recording_kept", kept.recording),
    };
    let places = PlaceLimits {
        all: count(values, "budgets.dear_places", places.all, 1_024),
        each: count(values, "budgets.dear_places_each", places.each, 1_024),
    };
    let watches = Watches(count(values, "budgets.watches", watches.0, 1_024));
    let lists = TurnLimits {
        all: count(values, "budgets.lists", lists.all, 1_024),
        each: count(values, "budgets.lists_each", lists.each, 1_024),
    };
    Budgets { rates, kept, places, watches, lists }
}

fn span(values: &mut Values, key: &'static str, default: Span, most: Span) -> Span {
    let wanted = format!("a duration such as `90s`, `15m` or `24h`, at most `{most}`");
    values.parse(key, &wanted, default, |text| Span::parse(text).ok().filter(|span| *span <= most))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
