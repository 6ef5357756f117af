//! What a policy or directory file changes, whole or not at all, with all that follows. `init` fills an empty journal
//! with both.

use std::collections::BTreeSet;

use super::merge::{self, without_past};
use super::{moves, prefixes};
use crate::domain::directory::{Account, AccountState, Directory, Disabling, Employment, Membership, Person};
use crate::domain::directory_file::{ParsedDirectory, parse_directory};
use crate::domain::effect::cascade::{Touched, consequences};
use crate::domain::effect::life;
use crate::domain::effect::overlay::Overlay;
use crate::domain::policy::{
    Mistake, ParsedPolicy, Places, Policy, SourceFile, check_together, parse_policy, separation_rule_2,
};
use crate::domain::record::event::{
    AccountRecorded, Actor, Event, Fact, FileDigest, FileLoaded, LifeFact, OrganisationFact, PersonRecorded,
    TenantRecorded,
};
use crate::domain::record::proposal::ProposedFile;
use crate::domain::rule::proposal::difference;
use crate::domain::rule::proposal::own_standing::Widening;
use crate::domain::rule::proposal::quorum::two_could_propose;
use crate::domain::state::State;
use crate::domain::state::identities::When;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, Digest, PersonId, RoleName};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::{Now, Timestamp};

/// The two files that an empty journal is filled with.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// The policy.
    pub policy: &'a str,
    /// The directory.
    pub directory: &'a str,
}

/// Fills an empty journal, once: `countersign init`.
///
/// # Errors
/// If a file has mistakes, if the two contradict each other, or if no two persons could propose and approve another
/// file.
pub fn initialise(files: Files<'_>, now: Now) -> Result<Vec<Event>, Refusal> {
    let (events, after) = first_events(files, now, now.stamp)?;
    two_could_propose(&Organisation::default(), &after, now)?;
    Ok(events)
}

/// The events that would fill an empty journal, and the organisation after them: whoever tries files at an instant far from now, when
/// much has lapsed, still learns what they mean then. Memberships are as long as policy lets them be from `loaded` on.
///
/// # Errors
/// If a file has mistakes, or the two contradict each other.
pub fn first_events(files: Files<'_>, now: Now, loaded: Timestamp) -> Result<(Vec<Event>, Organisation), Refusal> {
    let state = State::default();
    let policy = parsed_policy(files.policy)?.policy;
    let ParsedDirectory { directory, places, .. } = parsed_directory(files.directory)?;
    agree(&policy, &directory, SourceFile::Directory, &places)?;
    let mut facts = vec![policy_fact(files.policy, None)];
    let mut after = Organisation::default();
    let directory = with_ends(&after, directory, &policy, &places, loaded)?;
    after.put_policy(files.policy);
    let (records, _) = records_of(&after, &directory);
    let when = When { at: now.stamp, sequence: 0 };
    put_records(&mut after, &records, when);
    facts.extend(records);
    facts.push(directory_fact(files.directory, None));
    Ok((super::super::numbering::events(&state, now.stamp, &Actor::Operator, None, facts), after))
}

/// A file that would come into force.
#[derive(Debug, Clone, Copy)]
pub(super) struct File<'a> {
    /// Which.
    pub(super) file: ProposedFile,
    /// The digest of the one that it replaces.
    pub(super) replaces: Digest,
    /// The file.
    pub(super) text: &'a str,
    /// Whoever proposes or approves it: it may give none of them anything.
    pub(super) authors: &'a BTreeSet<PersonId>,
}

/// What a file brings.
pub(super) struct ProposalOutcome {
    /// In order; the first is the file itself.
    pub(super) facts: Vec<Fact>,
    /// The organisation as it is with the file.
    pub(super) after: Organisation,
    /// Each value that the file changes.
    pub(super) changes: Vec<String>,
}

/// What a file would bring, with all that it cancels, voids, cuts and revokes.
pub(super) fn outcome_of(state: &State, file: File<'_>, now: Now) -> Result<ProposalOutcome, Refusal> {
    let present = state.organisation.digest_in_force(file.file);
    replaces_present(present, file.replaces)?;
    let outcome = match file.file {
        ProposedFile::Policy => outcome_of_policy(state, file.text, now)?,
        ProposedFile::Directory => outcome_of_directory(state, file.authors, file.text, now)?,
    };
    two_could_propose(&state.organisation, &outcome.after, now)?;
    let widening = Widening { before: &state.organisation, after: &outcome.after, authors: file.authors };
    widening.refuse(file.file, now.latest)?;
    Ok(outcome)
}

fn outcome_of_policy(state: &State, text: &str, now: Now) -> Result<ProposalOutcome, Refusal> {
    // What has lapsed under the old policy stays lapsed, even if the new one makes it valid for longer.
    let settled = settled(state, now);
    let (state, before) = (settled.state(), &settled.state().organisation);
    let ParsedPolicy { policy, places, .. } = parsed_policy(text)?;
    agree(&policy, &in_force(before, now), SourceFile::Policy, &places)?;
    let changes = difference::in_policy(&before.policy_text, text);
    let mut after = before.clone();
    after.put_policy(text);
    let mut facts = vec![policy_fact(text, before.policy.digest)];
    let follows = consequences(&after, state, &Touched::All, now);
    // When each requirement lapses next is a matter of this policy.
    facts.extend(
        settled.into_facts().into_iter().filter(|fact| !matches!(fact, Fact::Life(LifeFact::RequirementLapsed(_)))),
    );
    facts.extend(follows);
    Ok(ProposalOutcome { facts, after, changes })
}

/// What the file no longer names is disabled; nothing is deleted. It gives nothing to a person whom a command or HR
/// event has touched, and leaves alone what no file ever named.
fn outcome_of_directory(
    state: &State,
    authors: &BTreeSet<PersonId>,
    text: &str,
    now: Now,
) -> Result<ProposalOutcome, Refusal> {
    // A later attestation alone restores nothing: what has lapsed until now is recorded first.
    let settled = settled(state, now);
    let (state, before) = (settled.state(), &settled.state().organisation);
    let ParsedDirectory { directory, places, .. } = parsed_directory(text)?;
    let merge::Merged { directory, checked, refusals } = merge::merge(state, authors, directory, now);
    agree(&before.policy, &checked, SourceFile::Directory, &places)?;
    refusals?;
    prefixes::one_owner_each(before, &directory)?;
    // The changes are listed before ends are counted from now, because those are not in the file. Ends that were given
    // before stay.
    let directory = with_ends_given(before, directory, &before.policy);
    let changes = difference::in_records(before, &records_of(before, &directory).0);
    let directory = with_ends(before, directory, &before.policy, &places, now.stamp)?;
    let (records, touched) = records_of(before, &directory);
    let moves = moves::between_persons(before, &records, now.latest);
    moves::by_others(&moves, authors)?;
    let changes = moves.iter().map(ToString::to_string).chain(changes).collect();
    let mut after = before.clone();
    let when = When { at: now.stamp, sequence: state.sequence().saturating_add(1) };
    put_records(&mut after, &records, when);
    // After the records, which the consequences rest on.
    let follows = consequences(&after, state, &Touched::Persons(touched), now);
    let mut facts = vec![directory_fact(text, before.directory_digest)];
    facts.extend(settled.into_facts());
    facts.extend(records);
    facts.extend(follows);
    Ok(ProposalOutcome { facts, after, changes })
}

fn settled(state: &State, now: Now) -> Overlay {
    let mut overlay = Overlay::new(state, Actor::Broker, now);
    life::settle_lapses(&mut overlay);
    overlay
}

fn replaces_present(present: Option<Digest>, replaces: Digest) -> Result<(), Refusal> {
    if present == Some(replaces) {
        return Ok(());
    }
    let present = present.map(|digest| digest.to_string()).unwrap_or_default();
    let detail = format!("`{replaces}` was named, `{present}` is in force");
    Err(Refusal::new(Reason::ProposalStale, detail).with("present", present))
}

fn parsed_policy(text: &str) -> Result<ParsedPolicy, Refusal> {
    parse_policy(text).map_err(|mistakes| with_mistakes(Reason::PolicyInvalid, &mistakes))
}

fn parsed_directory(text: &str) -> Result<ParsedDirectory, Refusal> {
    parse_directory(text).map_err(|mistakes| with_mistakes(Reason::DirectoryInvalid, &mistakes))
}

/// What a policy must agree with. People who left and memberships that are over are left out, or they would keep a
/// requirement or a role in policy for ever.
fn in_force(organisation: &Organisation, now: Now) -> Directory {
    let employed = organisation.people.iter().filter(|(_, person)| person.employment == Employment::Employed);
    Directory {
        tenants: organisation.tenants.clone(),
        people: employed.map(|(id, person)| (id.clone(), person.clone())).collect(),
        accounts: organisation.accounts.iter().map(|(id, account)| (id.clone(), without_past(account, now))).collect(),
    }
}

fn with_mistakes(reason: Reason, mistakes: &[Mistake]) -> Refusal {
    let mut refusal = Refusal::new(reason, format!("{} to mend", mistakes.len()));
    for (number, mistake) in (1_u32..).zip(mistakes) {
        refusal = refusal.with(&format!("mistake.{number:04}"), mistake);
    }
    refusal
}

/// Whether policy and directory agree: every role is known, and separation rule 2 holds over all that persons hold.
/// `loaded` is the file that would come into force, with its places.
fn agree(policy: &Policy, directory: &Directory, loaded: SourceFile, places: &Places) -> Result<(), Refusal> {
    let Err(mut mistakes) = check_together(policy, directory) else { return Ok(()) };
    places.locate(loaded, &mut mistakes);
    let conflicts = separation_rule_2(policy, &directory.accounts);
    match conflicts.first() {
        // Each conflict is one of the mistakes. If there are no others, the refusal says so by its own reason.
        Some(conflict) if conflicts.len() == mistakes.len() => {
            let mut refusal = with_mistakes(Reason::RoleConflict, &mistakes);
            refusal.detail = format!("`{}`, of `{}`", conflict.person, conflict.entitlement);
            Err(refusal.with("person", &conflict.person).with("entitlement", &conflict.entitlement))
        }
        _ => Err(with_mistakes(
            match loaded {
                SourceFile::Policy => Reason::PolicyInvalid,
                SourceFile::Directory => Reason::DirectoryInvalid,
                SourceFile::People => Reason::ImportInvalid,
            },
            &mistakes,
        )),
    }
}

/// Gives each membership the end that `longest_membership` asks for: one that names no end keeps the end that it got when
/// it was first recorded; one that names a later end is a mistake.
fn with_ends(
    before: &Organisation,
    mut directory: Directory,
    policy: &Policy,
    places: &Places,
    loaded: Timestamp,
) -> Result<Directory, Refusal> {
    let mut mistakes = Vec::new();
    directory = with_ends_given(before, directory, policy);
    let ids: Vec<_> = directory.accounts.keys().cloned().collect();
    for id in &ids {
        let Some(account) = directory.accounts.get_mut(id) else { continue };
        for (name, membership) in &mut account.roles {
            let Some(longest) = policy.roles.get(name).and_then(|role| role.longest_membership) else { continue };
            let latest = loaded.plus(longest);
            // An end that was given before stays, whatever policy allows now.
            if membership.until.is_some() && membership.until == given(before, id, name) {
                continue;
            }
            match membership.until {
                None => membership.until = Some(latest),
                Some(until) if until > latest => mistakes.push(Mistake {
                    source_file: SourceFile::Directory,
                    line: 0,
                    column: 0,
                    path: format!("accounts.{id}.roles.{name}"),
                    found: format!("an end at {until}"),
                    wanted: format!("one within {longest}, at {latest} or before"),
                }),
                Some(_) => {}
            }
        }
    }
    places.locate(SourceFile::Directory, &mut mistakes);
    if mistakes.is_empty() { Ok(directory) } else { Err(with_mistakes(Reason::DirectoryInvalid, &mistakes)) }
}

/// Gives each membership without an end, in a role with a longest one, the end that it got before.
fn with_ends_given(before: &Organisation, mut directory: Directory, policy: &Policy) -> Directory {
    let has_longest = |name: &RoleName| policy.roles.get(name).is_some_and(|role| role.longest_membership.is_some());
    let lacks = |(name, membership): (&RoleName, &Membership)| membership.until.is_none() && has_longest(name);
    let lacking = directory.accounts.iter().filter(|(_, account)| account.roles.iter().any(lacks));
    let ids: Vec<_> = lacking.map(|(id, _)| id.clone()).collect();
    for id in &ids {
        let Some(account) = directory.accounts.get_mut(id) else { continue };
        for (name, membership) in account.roles.iter_mut().filter(|(name, _)| has_longest(name)) {
            membership.until = membership.until.or_else(|| given(before, id, name));
        }
    }
    directory
}

fn given(before: &Organisation, id: &AccountId, role: &RoleName) -> Option<Timestamp> {
    before.accounts.get(id)?.roles.get(role)?.until
}

fn policy_fact(text: &str, replaces: Option<Digest>) -> Fact {
    Fact::Organisation(OrganisationFact::PolicyLoaded(FileLoaded {
        digest: Digest::of(text.as_bytes()),
        replaces,
        text: text.to_owned(),
    }))
}

fn directory_fact(text: &str, replaces: Option<Digest>) -> Fact {
    Fact::Organisation(OrganisationFact::DirectoryLoaded(FileDigest { digest: Digest::of(text.as_bytes()), replaces }))
}

/// The records that a directory changes, and whose standing that may change. Accounts go first: an identity that moves
/// from an account to a person's login is free by then.
fn records_of(before: &Organisation, directory: &Directory) -> (Vec<Fact>, BTreeSet<PersonId>) {
    let mut facts = Vec::new();
    let mut touched = BTreeSet::new();
    for (id, tenant) in &directory.tenants {
        if before.tenants.get(id) != Some(tenant) {
            facts.push(Fact::Organisation(OrganisationFact::TenantRecorded(TenantRecorded {
                id: id.clone(),
                tenant: tenant.clone(),
            })));
        }
    }
    let gone = before.accounts.iter().filter(|(id, _)| !directory.accounts.contains_key(*id));
    let gone = gone.map(|(id, account)| (id, without_place(account)));
    let stays = directory.accounts.iter().map(|(id, account)| (id, account.clone()));
    for (id, account) in gone.chain(stays) {
        let old = before.accounts.get(id);
        if old != Some(&account) {
            touched.insert(account.person().clone());
            touched.extend(old.map(|old| old.person().clone()));
            facts.push(Fact::Organisation(OrganisationFact::AccountRecorded(AccountRecorded {
                id: id.clone(),
                account,
            })));
        }
    }
    let gone = before.people.iter().filter(|(id, _)| !directory.people.contains_key(*id));
    let gone = gone.filter(|(_, person)| person.employment == Employment::Employed).map(|(id, person)| {
        let person = Person {
            employment: Employment::Left,
            login: BTreeSet::new(),
            employed_until: None,
            moves: Vec::new(),
            ..person.clone()
        };
        (id, person)
    });
    let stays = directory.people.iter().map(|(id, person)| (id, person.clone()));
    for (id, person) in gone.chain(stays) {
        let old = before.people.get(id);
        if old != Some(&person) {
            touched.insert(id.clone());
            // The old manager may no longer approve, and the new one may.
            touched.extend(old.and_then(|old| old.manager.clone()));
            touched.extend(person.manager.clone());
            facts.push(Fact::Organisation(OrganisationFact::PersonRecorded(PersonRecorded { id: id.clone(), person })));
        }
    }
    (facts, touched)
}

/// What is left of an account that the directory no longer names: its record, without identities and roles.
fn without_place(account: &Account) -> Account {
    let mut account = account.clone();
    account.identities.clear();
    account.roles.clear();
    account.audience.clear();
    account.state =
        AccountState::Disabled { reason: "no longer in the directory".to_owned(), because: Disabling::Directory };
    account
}

fn put_records(organisation: &mut Organisation, facts: &[Fact], when: When) {
    for fact in facts {
        let Fact::Organisation(fact) = fact else { continue };
        match fact {
            OrganisationFact::TenantRecorded(fact) => {
                organisation.tenants.insert(fact.id.clone(), fact.tenant.clone());
            }
            OrganisationFact::AccountRecorded(fact) => {
                organisation.put_account(fact.id.clone(), fact.account.clone(), when);
            }
            OrganisationFact::PersonRecorded(fact) => {
                organisation.put_person(fact.id.clone(), fact.person.clone(), when);
            }
            OrganisationFact::PolicyLoaded(_) | OrganisationFact::DirectoryLoaded(_) => {}
        }
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
