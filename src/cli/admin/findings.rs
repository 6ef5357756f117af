//! Every mistake and warning in a policy and its directory, found without a broker.

use std::path::Path;

use serde_json::json;

use crate::cli::term::failure::{Failure, read_text};
use crate::domain::directory_file::parse_directory;
use crate::domain::policy::{Mistake, SourceFile, Warning, check_together, parse_policy};

/// All that is wrong with, or odd in, a policy and a directory.
#[derive(Debug, Default)]
pub struct Findings {
    policy: String,
    directory: String,
    /// What has to be mended.
    pub mistakes: Vec<Mistake>,
    /// What deserves a look.
    pub warnings: Vec<Warning>,
}

impl Findings {
    /// Reads the files and looks at them alone and together.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn of(policy: &Path, directory: Option<&Path>) -> Result<Self, Failure> {
        let policy_text = read_text(policy)?;
        let directory_text = directory.map(read_text).transpose()?;
        let name = |path: &Path| path.display().to_string();
        let mut findings =
            Self { policy: name(policy), directory: directory.map(name).unwrap_or_default(), ..Self::default() };
        findings.look(&policy_text, directory_text.as_deref());
        Ok(findings)
    }

    /// One line each, as editors read it: `policy.toml:12:5: error: …`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let place = |file: SourceFile, line: u32, column: u32| match (line, column) {
            (0, _) => format!("{}:", self.name(file)),
            (line, 0) => format!("{}:{line}:", self.name(file)),
            (line, column) => format!("{}:{line}:{column}:", self.name(file)),
        };
        let path = |path: &str| if path.is_empty() { String::new() } else { format!("`{path}`: ") };
        let mistakes = self.mistakes.iter().map(|mistake| {
            let place = place(mistake.source_file, mistake.line, mistake.column);
            format!("{place} error: {}found {}; wanted {}\n", path(&mistake.path), mistake.found, mistake.wanted)
        });
        let warnings = self.warnings.iter().map(|warning| {
            let place = place(warning.source_file, warning.line, warning.column);
            format!("{place} warning: {}{}; {}\n", path(&warning.path), warning.found, warning.meaning)
        });
        mistakes.chain(warnings).collect()
    }

    fn look(&mut self, policy_text: &str, directory_text: Option<&str>) {
        let policy = parse_policy(policy_text).map_err(|mistakes| self.mistakes.extend(mistakes)).ok();
        let directory = directory_text
            .and_then(|text| parse_directory(text).map_err(|mistakes| self.mistakes.extend(mistakes)).ok());
        self.warnings.extend(policy.iter().flat_map(|parsed| parsed.warnings.clone()));
        self.warnings.extend(directory.iter().flat_map(|parsed| parsed.warnings.clone()));
        if let (Some(policy), Some(directory)) = (policy, directory) {
            match check_together(&policy.policy, &directory.directory) {
                Ok(warnings) => self.warnings.extend(warnings),
                Err(mistakes) => self.mistakes.extend(mistakes),
            }
            for (places, file) in [(&policy.places, SourceFile::Policy), (&directory.places, SourceFile::Directory)] {
                places.locate(file, &mut self.mistakes);
                places.locate_warnings(file, &mut self.warnings);
            }
        }
        self.mistakes.sort();
        self.warnings.sort();
    }

    fn name(&self, file: SourceFile) -> &str {
        match file {
            SourceFile::Policy => &self.policy,
            SourceFile::Directory => &self.directory,
            // `policy check` reads none.
            SourceFile::People => "",
        }
    }

    /// The same for programs.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let mistakes = self.mistakes.iter().map(|mistake| {
            json!({ "file": self.name(mistake.source_file), "line": mistake.line, "column": mistake.column,
                    "path": mistake.path, "found": mistake.found, "wanted": mistake.wanted })
        });
        let warnings = self.warnings.iter().map(|warning| {
            json!({ "file": self.name(warning.source_file), "line": warning.line, "column": warning.column,
                    "path": warning.path, "found": warning.found, "meaning": warning.meaning })
        });
        json!({ "mistakes": mistakes.collect::<Vec<_>>(), "warnings": warnings.collect::<Vec<_>>() })
    }
}
