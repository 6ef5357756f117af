//! What a supervisor is told (sd_notify): that the broker serves, and that it is about to end. systemd (`Type=notify`) sends no
//! signal to reload before the first, so that none comes while the program is not even loaded (known failure G17).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Says it, if somebody wants to hear it. Waits for nobody: what is not taken is lost, and the broker goes on.
pub(super) fn tell(state: &str) {
    // As everywhere, a variable that is empty is not set.
    let Some(place) = std::env::var_os("NOTIFY_SOCKET").filter(|place| !place.is_empty()) else { return };
    if let Err(error) = tell_at(&place, state) {
        tracing::warn!(%error, place = %place.display(), "the supervisor cannot be told `{state}`; see `NOTIFY_SOCKET`");
    }
}

fn tell_at(place: &OsString, state: &str) -> io::Result<()> {
    let address = match place.as_bytes().strip_prefix(b"@") {
        Some(name) => unnamed(name)?,
        None => SocketAddr::from_pathname(OsStr::new(place))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}

/// A name that stands in no folder.
#[cfg(target_os = "linux")]
fn unnamed(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn unnamed(_name: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
