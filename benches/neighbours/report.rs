//! The table, as docs/performance.md has it.

use crate::Row;

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// The first row is quiet, the second is burning; ratios are to the burning.
pub fn print(rows: &[Row]) {
    println!(
        "| beside the honest | calls answered, not let | check p50, p99 ms | request p50, p99 ms | revoke p50, p99 ms \
         | p99 of burning: check, request, revoke | broker's processor | memory MiB | later | disk + MiB | threads |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let burning = &rows[1];
    for row in rows {
        let calls = row.calls.map_or_else(String::new, |[answered, refused]| format!("{answered}, {refused}"));
        let [check, request, revoke] = row.told.micros.map(|[p50, p99]| format!("{:.2}, {:.2}", p50 / 1e3, p99 / 1e3));
        let ratios: Vec<String> = row
            .told
            .micros
            .iter()
            .zip(&burning.told.micros)
            .map(|([_, p99], [_, burnt])| format!("{:.2}", p99 / burnt.max(1.0)))
            .collect();
        let seen = row.seen;
        println!(
            "| {} | {calls} | {check} | {request} | {revoke} | {} | {:.1} s | {:.0} | {:.0} | {:.1} | {} |",
            row.name,
            ratios.join(", "),
            seen.processor_seconds,
            seen.resident as f64 / MEBIBYTE,
            row.later as f64 / MEBIBYTE,
            seen.disk as f64 / MEBIBYTE,
            seen.threads,
        );
    }
}
