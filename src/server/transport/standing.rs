//! Whether a connection's certificate still stands, asked again on every call (known failure G12).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::pki_types::CertificateDer;
use tonic::Status;

use super::peer::unauthenticated;
use super::tls::TlsStore;
use crate::domain::value::time::Timestamp;

/// Whether a connection's certificate still stands: not over, and issued by an authority that the present configuration
/// still trusts for it. A request carries it as an extension, so that open streams can ask again.
#[derive(Debug, Clone)]
pub struct Standing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    not_after: Timestamp,
    chain: Vec<CertificateDer<'static>>,
    tls: Arc<TlsStore>,
    /// The configuration under which the chain was last verified.
    generation: AtomicU64,
}

impl Standing {
    pub(super) fn new(
        not_after: Timestamp,
        chain: Vec<CertificateDer<'static>>,
        tls: Arc<TlsStore>,
        generation: u64,
    ) -> Self {
        Self(Arc::new(Inner { not_after, chain, tls, generation: AtomicU64::new(generation) }))
    }

    /// Checks now.
    ///
    /// # Errors
    /// UNAUTHENTICATED, with what to do.
    pub fn check(&self) -> Result<(), Status> {
        if self.0.not_after.is_over(self.0.tls.now()) {
            let text = format!("the client certificate ended at {}; connect again with a new one", self.0.not_after);
            return Err(unauthenticated("CERTIFICATE_EXPIRED", text));
        }
        let (generation, verifier) = self.0.tls.verifier();
        if self.0.generation.load(Ordering::Acquire) == generation {
            return Ok(());
        }
        let verified = match self.0.chain.split_first() {
            Some((leaf, intermediates)) => verifier.authorize(leaf, intermediates, self.0.tls.now()).is_ok(),
            None => false,
        };
        if !verified {
            let text = "the client certificate's authority is no longer trusted here; connect again with another one";
            return Err(unauthenticated("CERTIFICATE_UNTRUSTED", text.to_owned()));
        }
        self.0.generation.store(generation, Ordering::Release);
        Ok(())
    }
}
