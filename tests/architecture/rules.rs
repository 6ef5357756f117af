//! The rules as tables: what design.md 2 draws, written so that a test can read it.

/// A part of `src/` and what it may name.
pub(crate) struct Layer {
    /// The module under the crate's root.
    pub(crate) name: &'static str,
    /// The other layers that it may name. The arrows of design.md 2, followed to their ends.
    pub(crate) may_use: &'static [&'static str],
    /// The external crates that it may name.
    pub(crate) crates: Crates,
}

/// Which of the package's dependencies a layer may name outside tests.
pub(crate) enum Crates {
    /// These alone.
    Only(&'static [&'static str]),
    /// All but these.
    AllBut(&'static [&'static str]),
}

pub(crate) const LAYERS: &[Layer] = &[
    Layer {
        name: "domain",
        may_use: &[],
        crates: Crates::Only(&[
            "serde",
            "serde_json",
            "chrono",
            "uuid",
            "sha2",
            "thiserror",
            "regex",
            "toml",
            "toml_parser",
            "imbl",
        ]),
    },
    Layer {
        name: "check",
        may_use: &["domain"],
        crates: Crates::Only(&["dashmap", "foldhash", "arc_swap", "serde", "sha2", "thiserror", "uuid"]),
    },
    Layer { name: "pem", may_use: &[], crates: Crates::Only(&["base64", "zeroize"]) },
    Layer { name: "reading", may_use: &[], crates: Crates::Only(&[]) },
    Layer { name: "clock", may_use: &["domain"], crates: Crates::Only(&["rustix", "serde", "thiserror", "tracing"]) },
    Layer {
        name: "journal",
        may_use: &["domain"],
        crates: Crates::Only(&["rusqlite", "rustix", "serde", "serde_json", "sha2", "thiserror", "tracing", "uuid"]),
    },
    Layer {
        name: "engine",
        may_use: &["journal", "check", "clock", "domain"],
        crates: Crates::AllBut(&[
            "tonic",
            "tonic_prost",
            "tonic_types",
            "prost",
            "prost_types",
            "rusqlite",
            "rustls",
            "clap",
        ]),
    },
    Layer {
        name: "wire",
        may_use: &["domain"],
        crates: Crates::AllBut(&["tokio", "rusqlite", "dashmap", "rustls", "clap", "rustix"]),
    },
    Layer {
        name: "server",
        may_use: &["engine", "wire", "journal", "check", "clock", "pem", "reading", "domain"],
        crates: Crates::AllBut(&["rusqlite", "clap"]),
    },
    Layer {
        name: "sdk",
        may_use: &["wire", "check", "clock", "pem", "reading", "domain"],
        crates: Crates::AllBut(&["rusqlite", "clap", "anyhow"]),
    },
    Layer {
        name: "cli",
        may_use: &["server", "sdk", "engine", "wire", "journal", "check", "clock", "pem", "reading", "domain"],
        crates: Crates::AllBut(&["rusqlite"]),
    },
];

/// Modules of `std` and `core` that the domain does without.
pub(crate) const BANNED_STD_IN_DOMAIN: &[&str] = &["fs", "net", "io", "thread", "process", "env", "time", "os"];
/// Names that the domain does without: maps without an order, and entropy.
pub(crate) const BANNED_NAMES_IN_DOMAIN: &[&str] = &["HashMap", "HashSet", "RandomState", "new_v4", "now_v7", "now_v1"];

/// The one file that reads clocks.
pub(crate) const CLOCK_FILE: &str = "src/clock.rs";
/// Names that read a clock or lead to local time, wherever they stand.
pub(crate) const CLOCK_NAMES: &[&str] = &["clock_gettime", "now_v7", "now_v1", "now_utc", "now_local"];

pub(crate) const FILE_LINES_MAX: usize = 500;
pub(crate) const FUNCTION_LINES_MAX: usize = 70;

/// The floors of `src/domain/`, from the ground up: each may use what lies below it.
pub(crate) const FLOORS: &[&str] =
    &["value", "directory", "policy", "directory_file", "record", "state", "rule", "effect", "decide"];
