//! Figures to watch: how long things take, and how what is there stands now. They say nothing of who or what (known failure J5).

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::clock::{BootMillis, Clock as _, SystemClock};
use crate::domain::rule::feed::streams;
use crate::domain::state::State;
use crate::domain::value::time::{Span, Timestamp};
use crate::engine::{Engine, OnWork, Worked};

/// A duration by method.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Called {
    /// The method's path; `unknown` if there is no such method.
    pub method: String,
}

/// An instant by whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EndOf {
    /// `broker` or `authority`.
    pub of: &'static str,
}

/// A figure with a fraction.
type Fraction = Gauge<f64, AtomicU64>;

/// The figures.
#[derive(Debug)]
pub struct Figures {
    /// Calls but for checks, until their answer begins.
    pub calls: Family<Called, Histogram>,
    /// Commands, until the writer takes them.
    waits: Histogram,
    /// Decisions.
    decisions: Histogram,
    /// Appends to the journal, until they are durable.
    appends: Histogram,
    /// Rows of a journal append.
    rows: Histogram,
    /// The last start, from the journal's opening on.
    pub start: Fraction,
    grants_open: Gauge,
    lapses: Gauge,
    feeds: Gauge,
    feeds_silent: Gauge,
    feed_silence: Gauge,
    certificate_ends: Family<EndOf, Gauge>,
    lapses_counted: Gauge,
}

/// How far lapses are counted ahead.
const AHEAD: Span = Span::seconds(30 * 24 * 3_600);
/// How often: it looks at all that is due.
const COUNTED_EVERY: Span = Span::seconds(60);

/// From a tenth of a millisecond to a quarter of a minute.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 4.0, 10))
}

impl Figures {
    /// Nothing has happened yet.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let figures = Self {
            calls: Family::new_with_constructor(seconds),
            waits: seconds(),
            decisions: seconds(),
            appends: seconds(),
            rows: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            start: Fraction::default(),
            grants_open: Gauge::default(),
            lapses: Gauge::default(),
            feeds: Gauge::default(),
            feeds_silent: Gauge::default(),
            feed_silence: Gauge::default(),
            certificate_ends: Family::default(),
            lapses_counted: Gauge::default(),
        };
        let second = || Unit::Seconds;
        let calls = "Calls but for checks, until their answer begins, by method";
        registry.register_with_unit("call", calls, second(), figures.calls.clone());
        registry.register_with_unit("queue", "Commands until the writer took them", second(), figures.waits.clone());
        registry.register_with_unit("decide", "Decisions of commands", second(), figures.decisions.clone());
        let appends = "Appends to the journal until they were durable";
        registry.register_with_unit("append", appends, second(), figures.appends.clone());
        registry.register("batch_rows", "Rows of a journal append", figures.rows.clone());
        let start = "The last start, with the replay of the journal";
        registry.register_with_unit("start", start, second(), figures.start.clone());
        registry.register("grants_open", "Grants that are scheduled or live", figures.grants_open.clone());
        let lapses = "Requirements of people that lapse within 30 days";
        registry.register("requirements_lapsing", lapses, figures.lapses.clone());
        registry.register("hr_feeds", "Streams of HR's feeds", figures.feeds.clone());
        registry.register("hr_feeds_silent", "Streams that are silent by now", figures.feeds_silent.clone());
        let silence = "Since the stream that was heard of least lately was heard of";
        registry.register_with_unit("hr_feed_silence", silence, second(), figures.feed_silence.clone());
        let ends = "When the first certificate of the broker's, or of the authorities, ends (Unix time)";
        registry.register_with_unit("certificate_end", ends, second(), figures.certificate_ends.clone());
        figures
    }

    /// Notes what the writer does.
    pub(super) fn on_work(&self) -> OnWork {
        let (waits, decisions) = (self.waits.clone(), self.decisions.clone());
        let (appends, batch_rows) = (self.appends.clone(), self.rows.clone());
        OnWork::new(move |worked| match worked {
            Worked::Waited(took) => waits.observe(took.as_secs_f64()),
            Worked::Decided(took) => decisions.observe(took.as_secs_f64()),
            Worked::Appended { rows, took } => {
                batch_rows.observe(f64::from(u32::try_from(rows).unwrap_or(u32::MAX)));
                appends.observe(took.as_secs_f64());
            }
        })
    }

    /// Looks at how what is there stands now. `ends`: when the first certificate of the broker's ends, and of the authorities.
    pub(super) fn look(&self, engine: &Engine, ends: (Option<Timestamp>, Option<Timestamp>)) {
        // A copy shares its parts, so that nobody waits while this looks at them.
        let (state, now) = (engine.read(State::clone), engine.now());
        self.grants_open.set(signed(state.open_grant_count()));
        self.feeds.set(signed(state.feeds().len()));
        self.feeds_silent.set(signed(streams(&state, now).filter(|stream| stream.is_silent).count()));
        let heard = state.feeds().values().map(|feed| feed.heard_at).min();
        self.feed_silence.set(heard.map_or(0, |heard| now.latest.since(heard).millis() / 1_000));
        let boot = SystemClock.boot();
        let counted = BootMillis::new(self.lapses_counted.get());
        if counted.millis() == 0 || boot.since(counted) >= COUNTED_EVERY {
            self.lapses_counted.set(boot.millis());
            self.lapses.set(signed(state.lapses_before(now.latest.plus(AHEAD))));
        }
        let (broker, authority) = ends;
        for (of, end) in [("broker", broker), ("authority", authority)] {
            let Some(end) = end.map(Timestamp::millis) else { continue };
            self.certificate_ends.get_or_create(&EndOf { of }).set(end.div_euclid(1_000));
        }
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
