//! What broker and clients ask of PEM files before their libraries read them, which skip in silence what they do not know.
//! A file is read whole, or the mistake is told with its line (known failure G18).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Labels of certificates.
pub(crate) const CERTIFICATES: &[&str] = &["CERTIFICATE"];
/// Labels of a certificate or a key, and of what OpenSSL writes in front of a key: one file may have both.
pub(crate) const CERTIFICATES_AND_KEYS: &[&str] =
    &["CERTIFICATE", "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "EC PARAMETERS"];

/// A line as long as this that has nothing but base64 is no comment: the line in front of it was lost.
const SHORTEST_LOST_BYTES: usize = 40;

/// What a line is to a PEM file.
enum Line<'t> {
    Begins(&'t str),
    Ends(&'t str),
    /// It only looks as if a part began or ended there.
    Odd,
    Other,
}

/// The first thing in a PEM text that would not be read, or be read as something else. `read` are the labels that whoever
/// asks can read. Comments between the parts are left alone, as OpenSSL writes them.
pub(crate) fn mistake(text: &[u8], read: &[&str]) -> Option<String> {
    let text = Zeroizing::new(String::from_utf8_lossy(text).replace("\r\n", "\n"));
    let mut open: Option<(usize, &str)> = None;
    // It may be a key: what is copied of it is overwritten.
    let mut body = Zeroizing::new(String::with_capacity(text.len()));
    for (number, line) in (1_usize..).zip(text.split(['\n', '\r'])) {
        let wrong = match (kind_of(line), open) {
            (Line::Odd, _) => {
                let wanted = "it is `-----BEGIN CERTIFICATE-----`, say, on a line of its own";
                Some(format!("`{}` begins or ends no part as it is written; {wanted}", shown(without_base64(line))))
            }
            (Line::Begins(label), Some((begun, _))) => {
                Some(format!("a part `{}` begins before that of line {begun} has ended", shown(label)))
            }
            (Line::Begins(label), None) if !read.contains(&label) => Some(format!(
                "a part `{}` would not be read; what is read here is `{}`",
                shown(label),
                read.join("`, `")
            )),
            (Line::Begins(label), None) => {
                open = Some((number, label));
                body.clear();
                None
            }
            (Line::Ends(label), None) => Some(format!("a part `{}` ends that has not begun", shown(label))),
            (Line::Ends(label), Some((begun, known))) if label != known => {
                Some(format!("the part `{known}` of line {begun} ends as `{}`", shown(label)))
            }
            (Line::Ends(label), Some((begun, _))) => {
                open = None;
                (!is_whole(&body)).then(|| format!("the part `{label}` of line {begun} is empty or damaged"))
            }
            (Line::Other, Some(_)) if line.contains(':') => {
                Some("a part with a passphrase, or with words in it, is not read".to_owned())
            }
            (Line::Other, None) if is_lost(line) => Some("a part has lost its line `-----BEGIN …-----`".to_owned()),
            (Line::Other, Some(_)) => {
                body.extend(line.chars().filter(|character| !character.is_whitespace()));
                None
            }
            (Line::Other, None) => None,
        };
        if let Some(wrong) = wrong {
            return Some(format!("line {number}: {wrong}"));
        }
    }
    open.map(|(begun, label)| format!("line {begun}: the part `{label}` does not end"))
}

/// How many private keys a PEM text in order has.
pub(crate) fn private_keys(text: &[u8]) -> usize {
    let text = String::from_utf8_lossy(text);
    let begins = |line: &str| matches!(kind_of(line), Line::Begins(label) if label.ends_with("PRIVATE KEY"));
    text.split(['\n', '\r']).filter(|line| begins(line)).count()
}

/// The text without the mark that some editors put in front of UTF-8; what reads PEM takes its first line for no line.
pub(crate) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Whether what stands in a part is base64 of one whole DER value: its length is as long as it says.
fn is_whole(body: &str) -> bool {
    let Ok(bytes) = STANDARD.decode(body).map(Zeroizing::new) else { return false };
    let (value, length) = match *bytes.as_slice() {
        [_, length @ ..=0x7f, ref value @ ..] => (value, usize::from(length)),
        [_, 0x81, length, ref value @ ..] => (value, usize::from(length)),
        [_, 0x82, high, low, ref value @ ..] => (value, usize::from(u16::from_be_bytes([high, low]))),
        // Certificates and keys of 64 KiB are none that anything here takes.
        _ => return false,
    };
    value.len() == length
}

fn kind_of(line: &str) -> Line<'_> {
    let ended = line.trim_end_matches(' ').strip_suffix("-----").filter(|rest| !rest.ends_with('-'));
    let label = |begin: &str| ended.and_then(|rest| rest.strip_prefix(begin)).filter(|label| !label.is_empty());
    if let Some(label) = label("-----BEGIN ") {
        return Line::Begins(label);
    }
    if let Some(label) = label("-----END ") {
        return Line::Ends(label);
    }
    // As word processors and hands write it.
    let mut squeezed = String::new();
    for character in line.chars().filter(|character| !character.is_whitespace()) {
        match character {
            '\u{2013}'..='\u{2015}' => squeezed.push_str("--"),
            '\u{2010}'..='\u{2012}' | '\u{2212}' => squeezed.push('-'),
            other => squeezed.extend(other.to_uppercase()),
        }
    }
    let looks_so = ["BEGIN", "END"].iter().any(|word| {
        squeezed.contains(&format!("--{word}")) || (squeezed.starts_with(word) && squeezed.ends_with("--"))
    });
    if looks_so { Line::Odd } else { Line::Other }
}

fn is_lost(line: &str) -> bool {
    let line = line.trim();
    let bare = line.trim_end_matches('=');
    // A line of `=` alone underlines a name in many bundles.
    bare.len() >= SHORTEST_LOST_BYTES && bare.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
}

/// A line without what stands in front of its first dash: that may be of a key.
fn without_base64(line: &str) -> &str {
    let is_dash = |character| matches!(character, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}');
    let begins = |word: &str| line.trim_start().get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word));
    let from = if begins("BEGIN") || begins("END") { None } else { line.find(is_dash) };
    from.and_then(|from| line.get(from..)).unwrap_or(line)
}

/// As much of a line as a mistake shows.
fn shown(line: &str) -> String {
    line.trim().chars().take(40).collect()
}

/// Whether a private key's file may be read by more than who uses it. It is for its owner alone; or it is root's, and read
/// by the group of a process that is not root, as systemd (`LoadCredential=`) and Kubernetes (`fsGroup`) give secrets.
pub(crate) fn is_exposed(mode: u32, owner: u32, reader: u32) -> bool {
    let given_by_root = owner == 0 && reader != 0 && mode & 0o037 == 0;
    mode & 0o077 != 0 && !given_by_root
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

    fn found(text: &str) -> Option<String> {
        mistake(text.as_bytes(), CERTIFICATES)
    }

    #[test]
    fn a_part_that_is_empty_or_damaged_is_named() {
        for body in ["", "MAA", "MAA=MAA=", "MAE=", "M@A=", "MAAA", "AA=="] {
            let text = format!("{ONE}{}", ONE.replace("MAA=", body));
            let told = found(&text).unwrap_or_else(|| panic!("`{body}` is taken"));
            assert_eq!(told, "line 6: the part `CERTIFICATE` of line 4 is empty or damaged", "{body}");
        }
        // of any length that a certificate has, over as many lines as there are
        for length in [0_usize, 127, 128, 255, 256, 4_000] {
            let mut der = vec![0x30];
            match u8::try_from(length) {
                Ok(short @ ..=0x7f) => der.push(short),
                Ok(long) => der.extend([0x81, long]),
                Err(_) => {
                    der.push(0x82);
                    der.extend(u16::try_from(length).unwrap().to_be_bytes());
                }
            }
            der.resize(der.len() + length, 7);
            let lines: Vec<String> =
                STANDARD.encode(&der).as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into()).collect();
            assert_eq!(found(&ONE.replace("MAA=", &lines.join("\n"))), None, "{length}");
        }
    }

    #[test]
    fn a_part_that_is_not_read_is_named() {
        assert_eq!(found(&ONE.repeat(2)), None);
        assert_eq!(found(&format!("a comment\r\n{ONE}")), None);
        let trusted = ONE.replace("CERTIFICATE", "TRUSTED CERTIFICATE");
        let told = found(&format!("{ONE}{trusted}")).unwrap();
        assert!(told.starts_with("line 4: a part `TRUSTED CERTIFICATE` would not be read"), "{told}");
        // A mark, as some editors write it, is no part of the line.
        let marked = format!("\u{feff}{ONE}");
        assert!(found(&marked).is_some());
        assert_eq!(mistake(without_mark(marked.as_bytes()), CERTIFICATES), None);
    }

    #[test]
    fn what_is_read_is_read_however_lines_end_and_whatever_stands_between() {
        let line = "=".repeat(60);
        let commented =
            format!("subject=/O=Week-end/CN=a--b\n{line}\n{ONE}\n# the end -- of it\n{ONE}trailing words\n");
        for text in
            [commented.clone(), commented.replace('\n', "\r\n"), ONE.replace('\n', "\r"), ONE.trim_end().to_owned()]
        {
            assert_eq!(found(&text), None, "{text:?}");
        }
        assert_eq!(found(&ONE.replace("E-----\n", "E-----  \n")), None);
        assert_eq!(private_keys(ONE.as_bytes()), 0);
        let key = "-----BEGIN EC PRIVATE KEY-----\r\nMAA=\r\n-----END EC PRIVATE KEY-----\r\n";
        assert_eq!(private_keys(format!("{key}{ONE}{key}").as_bytes()), 2);
    }

    #[test]
    fn each_part_that_would_be_lost_is_told_with_its_line() {
        let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
        for (text, told) in [
            // odd spelling
            (ONE.replace("BEGIN", "Begin"), "line 1: `-----Begin CERTIFICATE-----` begins or ends no part"),
            (ONE.replace("-----BEGIN", "----BEGIN"), "line 1: `----BEGIN CERTIFICATE-----` begins or ends"),
            (ONE.replace(begin, "-----BEGIN CERTIFICATE----"), "line 1: `-----BEGIN CERTIFICATE----` begins or ends"),
            (ONE.replace(begin, "-----BEGIN CERTIFICATE------"), "line 1: `-----BEGIN CERTIFICATE------` begins"),
            (ONE.replace(begin, "\u{2014}-BEGIN CERTIFICATE\u{2014}-"), "line 1: `\u{2014}-BEGIN CERTIFICATE"),
            (ONE.replace(begin, "BEGIN CERTIFICATE-----"), "line 1: `BEGIN CERTIFICATE-----` begins or ends"),
            (ONE.replace(begin, "-----BEGIN-----"), "line 1: `-----BEGIN-----` begins or ends"),
            (format!("{ONE}  {ONE}"), "line 4: `-----BEGIN CERTIFICATE-----` begins or ends"),
            (ONE.replace("=\n", "="), "line 2: `-----END CERTIFICATE-----` begins or ends"),
            (ONE.replace("CERTIFICATE", "Certificate"), "line 1: a part `Certificate` would not be read"),
            (ONE.replace("CERTIFICATE", "CERTIFICATE "), "line 1: a part `CERTIFICATE` would not be read"),
            // what does not fit together
            (format!("{end}\n{ONE}"), "line 1: a part `CERTIFICATE` ends that has not begun"),
            (format!("{ONE}{begin}\nMAA=\n"), "line 4: the part `CERTIFICATE` does not end"),
            (format!("{begin}\nMAA=\n{ONE}"), "line 3: a part `CERTIFICATE` begins before that of line 1"),
            (ONE.replace("END CERTIFICATE", "END PRIVATE KEY"), "line 3: the part `CERTIFICATE` of line 1 ends as"),
            (ONE.replace("CERTIFICATE", "PRIVATE KEY"), "line 1: a part `PRIVATE KEY` would not be read"),
            (ONE.replace("MAA=", "Proc-Type: 4,ENCRYPTED\n\nMAA="), "line 2: a part with a passphrase"),
            (format!("{}\nMAA=\n{ONE}", "M".repeat(64)), "line 1: a part has lost its line"),
        ] {
            let found = found(&text).unwrap_or_else(|| panic!("in order: {text}"));
            assert!(found.starts_with(told), "{text:?}: {found}");
        }
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
