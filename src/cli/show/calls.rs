//! Where a request and its decisions came from, for who audits.

use crate::cli::term::table::card;
use crate::cli::term::text::when;
use crate::domain::value::time::Timestamp;
use crate::wire::v1::Call;

/// A line each, below the card; nothing for whoever is not told.
#[must_use]
pub fn calls_card(width: u16, calls: &[Call], now: Timestamp) -> String {
    let lines: Vec<(&str, String)> = calls.iter().map(|call| ("called", line(call, now))).collect();
    if lines.is_empty() { String::new() } else { format!("\n{}", card(width, &lines)) }
}

fn line(call: &Call, now: Timestamp) -> String {
    let certificate: String = call.certificate_digest.iter().map(|octet| format!("{octet:02x}")).collect();
    let Call { caller, identity, serial, address, .. } = call;
    let time = when(call.time.as_ref(), now);
    format!("{caller}, {time}: {identity} from {address}, certificate {certificate}, serial {serial}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::sample;

    #[test]
    fn who_audits_reads_by_which_certificate_and_from_where() {
        let call = Call {
            caller: "account:ben".into(),
            time: None,
            identity: "spiffe://northwind.example/person/ben".into(),
            certificate_digest: vec![0xab; 32],
            serial: "07".into(),
            address: "10.0.0.7:51200".into(),
        };
        let page = calls_card(400, &[call], sample::moment());
        for said in ["account:ben", "person/ben from 10.0.0.7:51200", &"ab".repeat(32), "serial 07"] {
            assert!(page.contains(said), "{page}");
        }
        assert_eq!(calls_card(40, &[], sample::moment()), "");
    }
}
