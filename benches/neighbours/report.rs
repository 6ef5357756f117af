//! The table, as docs/performance.md has it.

use crate::Row;

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Ratios are to the run in which as much processor time was burnt.
pub fn print(rows: &[Row]) {
    println!(
        "| beside the honest | calls answered, not let | check p50, p99 ms | request p50, p99 ms | revoke p50, p99 ms \
         | p99 of burning: check, request, revoke | a flush by itself, p99 ms | processor time | memory MiB | later \
         | disk + MiB | threads |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for row in rows {
        let calls = row.calls.map_or_else(String::new, |[answered, refused]| format!("{answered}, {refused}"));
        let [check, request, revoke] = row.told.micros.map(|[p50, p99]| format!("{:.2}, {:.2}", p50 / 1e3, p99 / 1e3));
        let ratios = row.burnt.as_ref().map_or_else(String::new, |burnt| {
            let both = row.told.micros.iter().zip(&burnt.micros);
            let ratios: Vec<_> = both.map(|([_, p99], [_, burnt])| format!("{:.2}", p99 / burnt.max(1.0))).collect();
            ratios.join(", ")
        });
        let seen = row.seen;
        println!(
            "| {} | {calls} | {check} | {request} | {revoke} | {ratios} | {:.2} | {:.1} s | {:.0} | {:.0} | {:.1} | {} |",
            row.name,
            seen.flush / 1e3,
            row.processor_seconds,
            seen.resident as f64 / MEBIBYTE,
            row.later as f64 / MEBIBYTE,
            seen.disk as f64 / MEBIBYTE,
            seen.threads,
        );
    }
}
