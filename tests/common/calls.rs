//! Calls as a connection would have them.
#![allow(dead_code, unreachable_pub, reason = "each test crate uses a part of it")]

use countersign::domain::record::called_from::CalledFrom;
use countersign::domain::value::ids::{Digest, Identity};

/// What somebody with this identity presents.
pub fn calling(identity: Identity) -> CalledFrom {
    let certificate = Digest::of(identity.as_str().as_bytes());
    CalledFrom { identity, certificate, serial: "07".to_owned(), address: "127.0.0.1:9".to_owned() }
}
