//! The real binary, over real mTLS, with a real journal: what a person, a service and an operator see. Each test says
//! what was given, what is done and what then holds; none waits for a time that it does not look at.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]
#![allow(
    clippy::print_stderr,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    unreachable_pub,
    reason = "tests"
)]

#[path = "end_to_end/answers.rs"]
mod answers;
#[path = "end_to_end/audit.rs"]
mod audit;
#[path = "end_to_end/bad_fields.rs"]
mod bad_fields;
#[path = "end_to_end/bad_files.rs"]
mod bad_files;
#[path = "end_to_end/budgets.rs"]
mod budgets;
#[path = "common/calls.rs"]
mod calls;
#[path = "end_to_end/cascades_and_dry_runs.rs"]
mod cascades_and_dry_runs;
#[path = "end_to_end/certificates.rs"]
mod certificates_refused;
#[path = "end_to_end/check_streams.rs"]
mod check_streams;
#[path = "end_to_end/command_line.rs"]
mod command_line;
mod common;
#[path = "end_to_end/customers.rs"]
mod customers;
#[path = "end_to_end/disk.rs"]
mod disk;
#[path = "end_to_end/earlier.rs"]
mod earlier;
#[path = "end_to_end/emergencies.rs"]
mod emergencies;
#[path = "end_to_end/enrolment_watches.rs"]
mod enrolment_watches;
#[path = "end_to_end/every_field.rs"]
mod every_field;
#[path = "end_to_end/freeze.rs"]
mod freeze;
#[path = "end_to_end/full_disk.rs"]
mod full_disk;
#[path = "end_to_end/getting_a_role.rs"]
mod getting_a_role;
#[path = "end_to_end/getting_an_account.rs"]
mod getting_an_account;
#[path = "end_to_end/grants.rs"]
mod grants;
#[path = "end_to_end/guard_rails.rs"]
mod guard_rails;
#[path = "end_to_end/guards.rs"]
mod guards;
#[path = "end_to_end/harness.rs"]
mod harness;
#[path = "common/held.rs"]
mod held;
#[path = "end_to_end/hr_feed.rs"]
mod hr_feed;
#[path = "end_to_end/hr_import_killed.rs"]
mod hr_import_killed;
#[path = "end_to_end/hr_silence.rs"]
mod hr_silence;
#[path = "end_to_end/imports.rs"]
mod imports;
#[path = "end_to_end/keeping_it.rs"]
mod keeping_it;
#[path = "end_to_end/life.rs"]
mod life;
#[path = "end_to_end/life_by_hand.rs"]
mod life_by_hand;
#[path = "end_to_end/life_lists.rs"]
mod life_lists;
#[path = "end_to_end/lists.rs"]
mod lists;
#[path = "end_to_end/locks.rs"]
mod locks;
#[path = "end_to_end/log.rs"]
mod log;
#[path = "end_to_end/main_thread.rs"]
mod main_thread;
#[path = "end_to_end/moving_and_leaving.rs"]
mod moving_and_leaving;
#[path = "end_to_end/notifications.rs"]
mod notifications;
#[path = "end_to_end/notified_once.rs"]
mod notified_once;
#[path = "end_to_end/organisation.rs"]
mod organisation;
#[path = "end_to_end/pem_files.rs"]
mod pem_files;
#[path = "end_to_end/person.rs"]
mod person;
#[path = "end_to_end/proposals.rs"]
mod proposals;
#[path = "end_to_end/reads_back.rs"]
mod reads_back;
#[path = "end_to_end/recertification.rs"]
mod recertification;
#[path = "end_to_end/reflection.rs"]
mod reflection;
#[path = "end_to_end/refused_clients.rs"]
mod refused_clients;
#[path = "end_to_end/repetitions.rs"]
mod repetitions;
#[path = "end_to_end/replication.rs"]
mod replication;
#[path = "end_to_end/restart.rs"]
mod restart;
#[path = "end_to_end/retries.rs"]
mod retries;
#[path = "end_to_end/second_broker.rs"]
mod second_broker;
#[path = "end_to_end/service_accounts.rs"]
mod service_accounts;
#[path = "end_to_end/sight.rs"]
mod sight;
#[path = "end_to_end/surfaces.rs"]
mod surfaces;
#[path = "end_to_end/suspension.rs"]
mod suspension;
#[path = "end_to_end/tokens.rs"]
mod tokens;
#[path = "end_to_end/wandering.rs"]
mod wandering;
#[path = "end_to_end/watches.rs"]
mod watches;
