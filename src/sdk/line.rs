//! The connection of a client. It is made anew when it is lost, and another one when the client's files were exchanged.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tonic::transport::Channel;

use super::builder::ClientBuilder;
use super::error::ClientError;
use super::exchanged::Look;
use super::link::{Dial, Link};
use crate::clock::{BootMillis, Clock as _, SystemClock};
use crate::domain::value::time::Span;

/// How often files are looked at.
const LOOK_EVERY: Span = Span::SECOND;

/// The way to one broker, with the newest certificate that could be used.
#[derive(Debug)]
pub(super) struct Line {
    builder: ClientBuilder,
    now: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    channel: Channel,
    link: Link,
    /// What the files looked like that it was made of.
    look: Look,
    looked: BootMillis,
}

impl Line {
    /// Over a channel that was made of files that looked so.
    pub(super) fn new(builder: ClientBuilder, look: Look, channel: Channel, dial: Dial) -> Self {
        let now = Current { channel, link: dial.link, look, looked: SystemClock.boot() };
        Self { builder, now: Mutex::new(now) }
    }

    /// What calls go over from now on. Calls that are under way go on over what they began with.
    pub(super) fn channel(&self) -> Channel {
        let mut now = self.now();
        let boot = SystemClock.boot();
        if boot < now.looked || boot.since(now.looked) >= LOOK_EVERY {
            let _ = self.take_up(&mut now, boot);
        }
        now.channel.clone()
    }

    pub(super) fn link(&self) -> Link {
        self.now().link.clone()
    }

    /// Looks at the files at once: whether there is another certificate to try again with after this error.
    pub(super) fn is_renewed(&self, error: &ClientError) -> bool {
        error.is_about_certificate() && self.take_up(&mut self.now(), SystemClock.boot())
    }

    /// Files that cannot be used, such as half of a new pair, change nothing: what stands goes on, and they are looked at again.
    fn take_up(&self, now: &mut Current, boot: BootMillis) -> bool {
        now.looked = boot;
        let look = self.builder.look();
        if look == now.look {
            return false;
        }
        match self.builder.dial() {
            Ok(dial) => {
                tracing::info!(broker = dial.address, "the client's files were exchanged, and are taken up");
                (now.channel, now.link, now.look) = (dial.connect_when_needed(), dial.link, look);
                true
            }
            Err(error) => {
                tracing::debug!(%error, "the client's files were exchanged, and cannot be used yet");
                false
            }
        }
    }

    fn now(&self) -> MutexGuard<'_, Current> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
