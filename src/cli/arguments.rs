//! The command line as clap parses it: every command in the order in which `--help` lists them.

use clap::{Parser, Subcommand};

use super::admin::{directory, lock, policy};
use super::audit::report::arguments::ReportCommand;
use super::audit::{events, record};
use super::connect::context::ConnectionArguments;
use super::help::{completion, errors};
use super::notify::{notifier, webhook};
use super::people::hr::arguments::HrCommand;
use super::people::{account, attest, enrol, recertify};
use super::request::{ask, check, entitlements, grants, token};
use super::review::{approve, close, follow_up, inbox, show};
use super::term::output::Format;
#[cfg(feature = "cli")]
use super::{
    broker::{init, serve},
    dev,
};

const EXIT_CODES: &str = "Exit codes: 0 yes, 1 failed, 2 usage, 3 denied, 4 not found, 5 conflict, 6 still waiting or \
                          expired, 7 not authenticated, 8 unreachable";

/// Just-in-time privileged access: ask, be approved by somebody else, hold it for minutes
#[derive(Debug, Clone, Parser)]
#[command(name = "countersign", version, after_help = EXIT_CODES, max_term_width = 100, propagate_version = false)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to write data
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Text)]
    pub output: Format,
    /// Where the broker is, and who you are.
    #[command(flatten)]
    pub connection: ConnectionArguments,
}

/// What there is to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// What runs a broker, or makes its journal.
    #[cfg(feature = "cli")]
    #[command(flatten)]
    Broker(BrokerCommand),
    /// What calls a broker.
    #[command(flatten)]
    Call(CallCommand),
    /// What needs none.
    #[command(flatten)]
    Offline(OfflineCommand),
}

/// What runs a broker, or makes its journal. The command line without the broker (the feature `command` alone) has none of it.
#[cfg(feature = "cli")]
#[derive(Debug, Clone, Subcommand)]
pub enum BrokerCommand {
    /// Run the whole story once, against a broker of its own
    Demo,
    /// Run a broker with example people, on this machine alone
    Dev(dev::DevArguments),
    /// Make a journal from a policy and a directory
    Init(init::InitArguments),
    /// Run the broker
    Serve(serve::ServeArguments),
}

/// What calls a broker. Of `policy`, `audit` and `record` some commands need none.
#[derive(Debug, Clone, Subcommand)]
pub enum CallCommand {
    /// Who you are to the broker, and what stands in your way
    Whoami,
    /// What you may ask for, and on what terms
    Entitlements(entitlements::EntitlementsArguments),
    /// Ask for an entitlement
    Request(ask::RequestArguments),
    /// Requests, enrolments and proposals that wait for you
    Inbox(inbox::InboxArguments),
    /// One request, enrolment or proposal, with what a reviewer should know
    Show(show::ShowArguments),
    /// Approve one request, enrolment or proposal, after reading it
    Approve(approve::ApproveArguments),
    /// Record what you found about an emergency that bypassed you
    FollowUp(follow_up::FollowUpArguments),
    /// Deny a request, enrolment or proposal
    Deny(close::DenyArguments),
    /// Take your request, enrolment or proposal back
    Withdraw(close::WithdrawArguments),
    /// The grants that you hold
    Grants(grants::GrantsArguments),
    /// Ask for more time: a request of its own, the whole way again
    Extend(ask::ExtendArguments),
    /// Give your grant up
    Relinquish(grants::RelinquishArguments),
    /// Take a grant away at once
    Revoke(grants::RevokeArguments),
    /// Stop something at once, on every path
    #[command(subcommand)]
    Lock(lock::LockCommand),
    /// Lift a lock
    Unlock(lock::UnlockArguments),
    /// A signed copy of your grant, for a service that cannot reach the broker
    Token(token::TokenArguments),
    /// Whether a subject may do something now: exits 0 to allow, 3 to deny
    Check(check::CheckArguments),
    /// Ask for an account, a role or a machine, or to keep or restore one
    #[command(subcommand)]
    Enrol(enrol::EnrolCommand),
    /// What you asked for by `enrol`
    Enrolments(enrol::EnrolmentsArguments),
    /// Record what people have proved
    #[command(subcommand)]
    Attest(attest::AttestCommand),
    /// What HR says: who joins, moves and leaves
    #[command(subcommand)]
    Hr(HrCommand),
    /// Campaigns in which the holders of a role are confirmed, or end
    #[command(subcommand)]
    Recertify(recertify::RecertifyCommand),
    /// Accounts, and the persons behind them
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// The directory: who has which account, role and proof
    #[command(subcommand)]
    Directory(directory::DirectoryCommand),
    /// The policy
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// The journal
    #[command(subcommand)]
    Audit(events::AuditCommand),
    /// What an auditor asks, as of now or of a time
    #[command(subcommand)]
    Report(ReportCommand),
    /// A customer's own record, signed
    #[command(subcommand)]
    Record(record::RecordCommand),
    /// Run a command for each thing that somebody should know
    Notify(notifier::NotifyArguments),
}

/// What needs no broker.
#[derive(Debug, Clone, Subcommand)]
pub enum OfflineCommand {
    /// Send what is on stdin to a signed webhook
    Webhook(webhook::WebhookArguments),
    /// Why a broker says no, and what to do
    Errors(errors::ErrorsArguments),
    /// What your shell needs to complete commands
    Completion(completion::CompletionArguments),
}
