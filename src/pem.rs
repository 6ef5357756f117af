//! What broker and clients ask of PEM files before their libraries read them, which skip in silence what they do not know.

/// The label of a part that nobody would read, or a text that only looks like a part: a file of which half is not read is a
/// mistake, and is told by name (known failure G18). `read` are the labels that whoever asks can read.
pub(crate) fn unread_part(text: &[u8], read: &[&str]) -> Option<String> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let places = text.windows(BEGIN.len()).enumerate().filter(|(_, window)| *window == BEGIN).map(|(place, _)| place);
    for place in places {
        let rest = text.get(place.saturating_add(BEGIN.len())..).unwrap_or_default();
        let line = rest.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let label = line.strip_suffix("-----").filter(|label| read.contains(label));
        let begins_line = place.checked_sub(1).is_none_or(|before| matches!(text.get(before), Some(b'\n' | b'\r')));
        if label.is_none() || !begins_line {
            return Some(line.trim_end_matches('-').to_owned());
        }
    }
    None
}

/// The text without the mark that some editors put in front of UTF-8; what reads PEM takes its first line for no line.
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Labels of certificates.
pub(crate) const CERTIFICATES: &[&str] = &["CERTIFICATE"];
/// Labels of a certificate or a key, and of what OpenSSL writes in front of a key: one file may have both.
pub(crate) const CERTIFICATES_AND_KEYS: &[&str] =
    &["CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "EC PARAMETERS"];

/// Whether a private key's file may be read by more than who uses it. It is for its owner alone; or it is root's, and read
/// by the group of a process that is not root, as systemd (`LoadCredential=`) and Kubernetes (`fsGroup`) give secrets.
pub(crate) fn is_exposed(mode: u32, owner: u32, reader: u32) -> bool {
    let given_by_root = owner == 0 && reader != 0 && mode & 0o037 == 0;
    mode & 0o077 != 0 && !given_by_root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_not_read_is_named() {
        let certificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        let found = |text: &str| unread_part(text.as_bytes(), CERTIFICATES);
        assert_eq!(found(&certificate.repeat(2)), None);
        assert_eq!(found(&format!("a comment\r\n{certificate}")), None);
        assert_eq!(found(&format!("{certificate}  {certificate}")).as_deref(), Some("CERTIFICATE"));
        let trusted = certificate.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
        assert_eq!(found(&format!("{certificate}{trusted}")).as_deref(), Some("TRUSTED CERTIFICATE"));
        // A mark, as some editors write it, is no part of the line.
        let marked = format!("\u{feff}{certificate}");
        assert!(found(&marked).is_some());
        assert_eq!(unread_part(without_mark(marked.as_bytes()), CERTIFICATES), None);
    }

    #[test]
    fn a_key_is_for_its_owner_or_given_by_root_to_a_group() {
        for (mode, owner, reader, exposed) in [
            (0o600, 1000, 1000, false),
            (0o400, 0, 0, false),
            (0o440, 0, 1000, false),
            (0o640, 0, 1000, false),
            (0o640, 0, 0, true),
            (0o640, 1000, 1000, true),
            (0o660, 0, 1000, true),
            (0o644, 0, 1000, true),
            (0o604, 0, 1000, true),
        ] {
            assert_eq!(is_exposed(mode, owner, reader), exposed, "{mode:o} of {owner}, read by {reader}");
        }
    }
}
