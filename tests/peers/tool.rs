//! The real peers that `scripts/tools` installs. A test that lacks its peer fails: it is never passed over.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a tool is: `envoy`, or the `python` that has gRPC.
pub fn tool(name: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/tools");
    let output = Command::new(script).args(["path", name]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().into()
}
