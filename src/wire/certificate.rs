//! The one name of a client certificate, read by broker and services alike: its single URI. Neither a common name nor a DNS name
//! is read, and a name that cannot be read is no name to be left out: it may be a second URI (known failures D9, D10 and D13).

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, SubjectAlternativeName};
use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;
use x509_parser::prelude::FromDer;

/// Why a certificate does not name exactly one URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSingleUri {
    /// Its alternative names, or one of them, cannot be read.
    Unreadable,
    /// There is none.
    None,
    /// There are so many.
    Several(usize),
}

/// Why a certificate among the authorities is none of an authority; none if it is one. One that signed itself vouches at least
/// for itself, which is enough where whoever shows it is meant to be that one.
#[must_use]
pub fn no_authority(der: &[u8], itself_is_enough: bool) -> Option<&'static str> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Some("a certificate that cannot be read") };
    let itself = itself_is_enough && certificate.issuer().as_raw() == certificate.subject().as_raw();
    (!certificate.is_ca() && !itself)
        .then_some("a certificate of nobody's authority (its basic constraints do not say CA); name that of its issuer")
}

/// The one URI among the subject alternative names of a leaf.
///
/// # Errors
/// If there is none, or several, or a name that cannot be read.
pub fn single_uri<'a>(certificate: &X509Certificate<'a>) -> Result<&'a str, NoSingleUri> {
    let extension = certificate.get_extension_unique(&OID_X509_EXT_SUBJECT_ALT_NAME);
    let Some(extension) = extension.map_err(|_| NoSingleUri::Unreadable)? else { return Err(NoSingleUri::None) };
    let (rest, names) = SubjectAlternativeName::from_der(extension.value).map_err(|_| NoSingleUri::Unreadable)?;
    if !rest.is_empty() {
        return Err(NoSingleUri::Unreadable);
    }
    let mut uris = Vec::new();
    for name in names.general_names {
        match name {
            GeneralName::URI(uri) => uris.push(uri),
            // The last three are of forms that nobody here reads.
            GeneralName::Invalid(..)
            | GeneralName::X400Address(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::RegisteredID(_) => return Err(NoSingleUri::Unreadable),
            GeneralName::IPAddress(bytes) if !matches!(bytes.len(), 4 | 16) => return Err(NoSingleUri::Unreadable),
            GeneralName::OtherName(..)
            | GeneralName::RFC822Name(_)
            | GeneralName::DNSName(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::IPAddress(_) => {}
        }
    }
    match uris.as_slice() {
        [] => Err(NoSingleUri::None),
        [uri] => Ok(uri),
        several => Err(NoSingleUri::Several(several.len())),
    }
}
