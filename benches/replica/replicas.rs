//! The process of the replicas: an order a line, and its outcome.

use std::io::BufRead as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use countersign::check::Query;
use countersign::sdk::{CheckedBatch, Client, Replica};
use countersign::wire::v1::RevokeGrantRequest;

use crate::resident_bytes;
use crate::world::{REVOKER, Size, WIDE, holder_of, id_of, resource_of, service};

/// Replicas that begin together: they, the broker and the forwarder share the processors.
const AT_ONCE: usize = 16;
const CHECKS: usize = 200_000;
const TOGETHER: usize = 16;
/// How often it is looked whether a replica lets somebody in.
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub fn obey(folder: &Path, size: Size) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut process = Replicas { folder: folder.to_owned(), size, replicas: Vec::new() };
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let outcome = runtime.block_on(process.carry_out(&words));
        println!("{outcome}");
    }
}

struct Replicas {
    folder: std::path::PathBuf,
    size: Size,
    /// Each with a grant that it can see.
    replicas: Vec<(Replica, u64)>,
}

impl Replicas {
    async fn carry_out(&mut self, words: &[&str]) -> String {
        match *words {
            ["wide", address] => self.wide(address).await,
            ["narrow", address, count, of] => self.narrow(address, count.parse().unwrap(), of.parse().unwrap()).await,
            ["check"] => self.check(),
            ["revoke", address, count] => self.revoke(address, count.parse().unwrap()).await,
            ["after-cut"] => self.after_cut().await,
            ["frozen"] => self.frozen().await,
            _ => panic!("no such order: {words:?}"),
        }
    }

    async fn connect(&self, name: &str, address: &str) -> Replica {
        let file = |ending: &str| self.folder.join(format!("{name}.{ending}"));
        let builder = Replica::builder([format!("https://{address}")])
            .authority_file(self.folder.join("authority.pem"))
            .identity_files(file("pem"), file("key"))
            .server_name("localhost");
        builder.connect().await.unwrap()
    }

    /// Seconds, and bytes a grant.
    async fn wide(&mut self, address: &str) -> String {
        let before = resident_bytes(std::process::id());
        let begun = Instant::now();
        let replica = self.connect(WIDE, address).await;
        let seconds = begun.elapsed().as_secs_f64();
        let bytes = (resident_bytes(std::process::id()) - before) as f64 / self.size.grants as f64;
        self.replicas.push((replica, 0));
        format!("{seconds:.2} {bytes:.0}")
    }

    async fn narrow(&mut self, address: &str, count: u64, of: u64) -> String {
        let begun = Instant::now();
        let mut connecting = tokio::task::JoinSet::new();
        for number in 0..count {
            let grant = number % of;
            let this = Self { folder: self.folder.clone(), size: self.size, replicas: Vec::new() };
            let address = address.to_owned();
            connecting.spawn(async move { (this.connect(&service(grant), &address).await, grant) });
            if connecting.len() >= AT_ONCE {
                self.replicas.push(connecting.join_next().await.unwrap().unwrap());
            }
        }
        while let Some(connected) = connecting.join_next().await {
            self.replicas.push(connected.unwrap());
        }
        assert!(self.replicas.iter().all(|(replica, grant)| allowed(replica, *grant, self.size)));
        format!("{:.2}", begun.elapsed().as_secs_f64())
    }

    /// Nanoseconds of a check one by one and in batches, and checks a second.
    fn check(&self) -> String {
        let replica = &self.replicas[0].0;
        let asked: Vec<(String, String)> = (0..CHECKS as u64)
            .map(|number| number.wrapping_mul(7_919 * 104_729) % self.size.grants)
            .map(|grant| (holder_of(grant, self.size), resource_of(grant, self.size)))
            .collect();
        let queries: Vec<Query<'_>> =
            asked.iter().map(|(subject, resource)| Query { subject, action: "db.read", resource }).collect();
        let begun = Instant::now();
        for query in &queries {
            assert!(replica.check(query.subject, query.action, query.resource).is_allowed());
        }
        let single = begun.elapsed().as_nanos() as f64 / CHECKS as f64;
        let mut answers = CheckedBatch::with_capacity(TOGETHER);
        let begun = Instant::now();
        for together in queries.chunks(TOGETHER) {
            replica.check_batch(together, &mut answers);
            assert!(answers.iter().all(|answer| answer.is_allowed()));
        }
        let batched = begun.elapsed().as_nanos() as f64 / CHECKS as f64;
        format!("{single:.0} {batched:.0} {:.0}", 1e9 / single)
    }

    /// Milliseconds from the answer to a revocation until the replica denies: p50, p99 and the longest.
    async fn revoke(&self, address: &str, count: usize) -> String {
        let file = |ending: &str| self.folder.join(format!("{REVOKER}.{ending}"));
        let client = Client::builder(format!("https://{address}"))
            .authority_file(self.folder.join("authority.pem"))
            .identity_files(file("pem"), file("key"))
            .server_name("localhost")
            .connect()
            .await
            .unwrap();
        let replica = &self.replicas[0].0;
        let mut micros = Vec::new();
        for number in 0..count as u64 {
            let grant = (number + 1) * (self.size.grants / (count as u64 + 1)) + number % 97;
            assert!(allowed(replica, grant, self.size));
            let request = RevokeGrantRequest {
                request_id: uuid::Uuid::new_v4().to_string(),
                grant_id: id_of(grant),
                reason: "the incident is over".to_owned(),
            };
            client.revoke_grant(request).await.unwrap();
            let begun = Instant::now();
            while allowed(replica, grant, self.size) {
                tokio::time::sleep(Duration::from_micros(50)).await;
            }
            micros.push(begun.elapsed().as_micros() as u64);
        }
        micros.sort_unstable();
        let at = |percent: usize| micros[(micros.len() - 1) * percent / 100] as f64 / 1e3;
        format!("{:.2} {:.2} {:.2}", at(50), at(99), at(100))
    }

    /// For how many milliseconds any of them denied what it allows, and until all let in again and follow.
    async fn after_cut(&self) -> String {
        let begun = Instant::now();
        let mut denied_since: Vec<Option<Instant>> = vec![None; self.replicas.len()];
        let mut longest = Duration::ZERO;
        let mut quiet_since: Option<Instant> = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = Instant::now();
            for ((replica, grant), since) in self.replicas.iter().zip(&mut denied_since) {
                if allowed(replica, *grant, self.size) {
                    *since = None;
                } else {
                    let since = *since.get_or_insert(now);
                    longest = longest.max(now.duration_since(since));
                }
            }
            let all_are_fresh = self.replicas.iter().all(|(replica, grant)| {
                let answer = replica.check(&holder_of(*grant, self.size), "db.read", &resource_of(*grant, self.size));
                answer.is_allowed()
                    && answer.age() < Duration::from_millis(1_500)
                    && begun.elapsed().as_millis() > 2_000
            });
            match (all_are_fresh, quiet_since) {
                (true, None) => quiet_since = Some(now),
                (true, Some(since)) if now.duration_since(since) > Duration::from_secs(3) => {
                    return format!("{} {}", longest.as_millis(), since.duration_since(begun).as_millis());
                }
                (true, Some(_)) => {}
                (false, _) => quiet_since = None,
            }
            assert!(begun.elapsed() < Duration::from_secs(120), "the replicas do not come back");
        }
    }

    /// Milliseconds until the last of them has stopped to allow; and the bound.
    async fn frozen(&self) -> String {
        let begun = Instant::now();
        let done = Arc::new(AtomicBool::new(false));
        let mut last_allow = Duration::ZERO;
        while !done.load(Ordering::Relaxed) {
            tokio::time::sleep(LOOK_EVERY).await;
            let any = self.replicas.iter().any(|(replica, grant)| allowed(replica, *grant, self.size));
            if any {
                last_allow = begun.elapsed();
            }
            done.store(begun.elapsed() > last_allow + Duration::from_secs(2), Ordering::Relaxed);
        }
        format!("{} 5000", last_allow.as_millis())
    }
}

fn allowed(replica: &Replica, grant: u64, size: Size) -> bool {
    replica.check(&holder_of(grant, size), "db.read", &resource_of(grant, size)).is_allowed()
}
