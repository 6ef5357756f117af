//! What a person sees while the command waits, and how long it waits.

use std::future::Future;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::session::Session;
use crate::domain::value::time::Span;

/// Resolves after the limit; never, if there is none.
pub(in crate::cli) async fn patience(limit: Option<Span>) {
    match limit {
        Some(limit) => tokio::time::sleep(Duration::from_millis(limit.millis().unsigned_abs())).await,
        None => never().await,
    }
}

fn never() -> impl Future<Output = ()> {
    std::future::pending()
}

/// A sign that something is waited for; without a terminal one line.
pub(in crate::cli) fn spinner(session: &mut Session<'_>, text: &str) -> ProgressBar {
    session.output.go_on();
    if !session.output.can_animate() {
        session.output.note(text);
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        spinner.set_style(style);
    }
    spinner.set_message(text.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}
