//! Whether the files of a client were exchanged, so that a renewed certificate is taken up while the former one still stands.

use std::path::Path;
use std::time::SystemTime;

/// What files look like from outside. cert-manager and spiffe-helper exchange a link in the folder above, not the file; each is
/// therefore looked at through all links.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Look(Vec<Option<Seen>>);

/// One file: which one it is, when it was written, how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    file: [u64; 2],
    written: Option<SystemTime>,
    bytes: u64,
}

impl Look {
    /// Looks at files that may not be there.
    pub(super) fn at<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Self {
        Self(paths.into_iter().map(seen).collect())
    }

    /// There are none, so that none is ever exchanged.
    #[cfg(feature = "replica")]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn seen(path: &Path) -> Option<Seen> {
    let found = std::fs::metadata(path).ok()?;
    Some(Seen { file: identity(&found), written: found.modified().ok(), bytes: found.len() })
}

#[cfg(unix)]
fn identity(found: &std::fs::Metadata) -> [u64; 2] {
    use std::os::unix::fs::MetadataExt as _;
    [found.dev(), found.ino()]
}

#[cfg(not(unix))]
fn identity(_found: &std::fs::Metadata) -> [u64; 2] {
    [0, 0]
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_exchanged_by_any_means_looks_different() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let look = || Look::at([path("tls.pem").as_path()]);
        // given a link to a file in a folder behind another link, as a kubelet writes it
        let version = |name: &str, text: &str| {
            std::fs::create_dir(path(name)).unwrap();
            std::fs::write(path(name).join("tls.pem"), text).unwrap();
            let _ = std::fs::remove_file(path("data.new"));
            std::os::unix::fs::symlink(name, path("data.new")).unwrap();
            std::fs::rename(path("data.new"), path("data")).unwrap();
        };
        assert_eq!(look(), look());
        let absent = look();
        version("1", "one");
        std::os::unix::fs::symlink("data/tls.pem", path("tls.pem")).unwrap();
        let first = look();
        assert_ne!(first, absent);
        // when only the folder's link is exchanged, for a file as long
        version("2", "two");
        let second = look();
        // then it shows, and nothing shows where nothing is exchanged
        assert_ne!(second, first);
        assert_eq!(look(), second);
        // and so does a file that is written over, or taken away
        std::fs::write(path("2").join("tls.pem"), "three").unwrap();
        assert_ne!(look(), second);
        std::fs::remove_file(path("2").join("tls.pem")).unwrap();
        assert_eq!(look(), absent);
        assert!(!absent.is_empty() && Look::at([]).is_empty());
    }
}
