//! The two files that the story begins with, and changes to them.

use anyhow::{Context as _, Result};

/// The two files that the story's broker begins with.
pub(super) struct Texts {
    pub(super) policy: String,
    pub(super) directory: String,
}

/// The example file with one place changed: an example that no longer has that place is a fault of the story.
pub(super) fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    text.contains(from).then(|| text.replacen(from, to, 1)).with_context(|| format!("the example lacks `{from}`"))
}
