//! A replica's numbers, for whichever metrics a service has.

use super::status::{FeedState, ReplicaStatus};
use super::view::Trust;

/// Takes numbers in: an adapter to the metrics of a service has these two functions.
pub trait ReplicaMetrics {
    /// A number that goes up and down.
    fn gauge(&mut self, name: &'static str, help: &'static str, value: f64);
    /// A number that only grows as long as the replica lives. `name` is without the `_total` that Prometheus ends it with.
    fn counter(&mut self, name: &'static str, help: &'static str, value: u64);
}

impl ReplicaStatus {
    /// Gives all numbers, each under a name of its own. What to watch: `countersign_replica_age_seconds` against
    /// `countersign_replica_max_staleness_seconds`, and `countersign_replica_following`.
    pub fn report(&self, to: &mut impl ReplicaMetrics) {
        let truth = |is: bool| if is { 1.0 } else { 0.0 };
        let seconds = |span: std::time::Duration| span.as_secs_f64();
        let following = self.feed == FeedState::Following;
        to.gauge("countersign_replica_following", "Whether a broker is followed (1) or not (0).", truth(following));
        let live = self.trust == Trust::Live;
        to.gauge("countersign_replica_live", "Whether what is held is believed (1) or not (0).", truth(live));
        let age = self.age.map_or(f64::INFINITY, seconds);
        to.gauge("countersign_replica_age_seconds", "How old what is held may be.", age);
        let longest = seconds(self.max_staleness);
        to.gauge("countersign_replica_max_staleness_seconds", "From this age on everything is denied.", longest);
        let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        to.gauge("countersign_replica_grants", "Grants that are held.", count(self.grants));
        to.gauge("countersign_replica_bytes", "Bytes that grants and accounts take.", count(self.bytes));
        to.counter("countersign_replica_allowed", "Checks that were allowed.", self.allowed);
        to.counter("countersign_replica_denied", "Checks that were denied, except as STALE.", self.denied);
        to.counter("countersign_replica_denied_stale", "Checks that were denied as STALE.", self.denied_stale);
        to.counter("countersign_replica_changes", "Changes that came into force.", self.changes);
        to.counter("countersign_replica_snapshots", "Snapshots that came into force.", self.snapshots);
        to.counter("countersign_replica_resumes", "Feeds that went on without a snapshot.", self.resumes);
        to.counter("countersign_replica_renewals", "Feeds that went on with a renewed certificate.", self.renewals);
        to.counter("countersign_replica_losses", "Feeds that were lost or could not be opened.", self.losses);
        to.counter("countersign_replica_breaks", "How often trust was destroyed.", self.breaks);
    }
}

#[cfg(feature = "prometheus")]
pub use self::prometheus::ReplicaCollector;

#[cfg(feature = "prometheus")]
mod prometheus {
    use std::fmt;

    use prometheus_client::collector::Collector;
    use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
    use prometheus_client::metrics::counter::ConstCounter;
    use prometheus_client::metrics::gauge::ConstGauge;

    use super::ReplicaMetrics;
    use crate::sdk::replica::Replica;

    /// A replica's numbers in a registry of prometheus-client: `registry.register_collector(Box::new(…))`.
    #[derive(Debug)]
    pub struct ReplicaCollector(Replica);

    impl ReplicaCollector {
        /// Of this replica.
        #[must_use]
        pub fn new(replica: Replica) -> Self {
            Self(replica)
        }
    }

    impl Collector for ReplicaCollector {
        fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
            let mut encoding = Encoding { encoder, failed: Ok(()) };
            self.0.status().report(&mut encoding);
            encoding.failed
        }
    }

    struct Encoding<'e> {
        encoder: DescriptorEncoder<'e>,
        failed: fmt::Result,
    }

    impl Encoding<'_> {
        fn put(&mut self, name: &str, help: &str, metric: &impl EncodeMetric) {
            let encoded = self.encoder.encode_descriptor(name, help, None, metric.metric_type());
            let encoded = encoded.and_then(|encoder| metric.encode(encoder));
            self.failed = self.failed.and(encoded);
        }
    }

    impl ReplicaMetrics for Encoding<'_> {
        fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
            self.put(name, help, &ConstGauge::new(value));
        }

        fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
            self.put(name, help, &ConstCounter::new(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::sdk::replica::testing::TestReplica;

    #[derive(Default)]
    struct Written(BTreeMap<&'static str, f64>);

    impl ReplicaMetrics for Written {
        fn gauge(&mut self, name: &'static str, _help: &'static str, value: f64) {
            assert_eq!(self.0.insert(name, value), None, "{name}");
        }
        fn counter(&mut self, name: &'static str, help: &'static str, value: u64) {
            self.gauge(name, help, u32::try_from(value).unwrap().into());
        }
    }

    fn written(test: &TestReplica) -> BTreeMap<&'static str, f64> {
        let mut written = Written::default();
        test.replica().status().report(&mut written);
        written.0
    }

    #[test]
    fn each_number_has_a_name_of_its_own() {
        let test = TestReplica::for_service("orders-api", &["prod/**"]).unwrap();
        assert!(!test.replica().check("ana", "db.read", "prod/db").is_allowed());
        test.go_silent();
        test.advance(std::time::Duration::from_millis(4_500));
        let numbers = written(&test);
        for (name, value) in
            [("live", 1.0), ("following", 1.0), ("age_seconds", 4.5), ("denied", 1.0), ("allowed", 0.0)]
        {
            assert_eq!(numbers.get(format!("countersign_replica_{name}").as_str()), Some(&value), "{name}");
        }
        test.break_trust();
        assert_eq!(written(&test).get("countersign_replica_live"), Some(&0.0));
    }

    #[cfg(feature = "prometheus")]
    #[test]
    fn a_registry_of_prometheus_client_writes_them() {
        let test = TestReplica::for_service("orders-api", &["prod/**"]).unwrap();
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(ReplicaCollector::new(test.replica())));
        let mut page = String::new();
        prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
        assert!(page.contains("# TYPE countersign_replica_denied_stale counter\n"), "{page}");
        assert!(page.contains("countersign_replica_denied_stale_total 0\n"), "{page}");
        assert!(
            page.contains("# HELP countersign_replica_live Whether what is held is believed (1) or not (0).\n"),
            "{page}"
        );
        assert!(page.contains("countersign_replica_live 1.0\n"), "{page}");
    }
}
