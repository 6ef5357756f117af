//! What a directory file means for an organisation that commands and HR have changed since (design.md 7; known failures B2, B4 and B5).
//!
//! Once a command or HR event has touched a person, a file gives that person nothing: no employment, account, identity,
//! attestation, role, audience or later end, no other manager, and no account that was disabled. It still takes away: a role that it leaves out of an account that
//! it names, an account or person that it knew and names no more. Whom HR brought and what enrolments made it never knew,
//! so that leaving them out says nothing. What the broker keeps for itself stays as it is.
//!
//! Those who propose or approve a file are treated as touched: no file widens what its author may do.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::directory::{Account, AccountState, Directory, Disabling, Employment, Membership, Move, Person};
use crate::domain::rule::proposal::records::{more_in_account, more_in_person};
use crate::domain::rule::proposal::right::Right;
use crate::domain::state::State;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, Identity, PersonId, Principal};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::time::Now;

/// At most this many of the things that a file may not give are named.
const NAMED_AT_MOST: usize = 50;

/// A directory as it would be with the proposed file.
pub(super) struct Merged {
    /// All that the file names, and what it leaves alone.
    pub(super) directory: Directory,
    /// The same as policy judges it: without memberships that are over and that the file does not name, and with those who
    /// left before, who may still own roles.
    pub(super) checked: Directory,
    /// Why the file is refused, if it is.
    pub(super) refusals: Result<(), Refusal>,
}

/// Merges a file into what is on record.
pub(super) fn merge(state: &State, authors: &BTreeSet<PersonId>, file: Directory, now: Now) -> Merged {
    let mut merge = Merge { state, before: &state.organisation, authors, now, given: Vec::new() };
    let named: BTreeSet<AccountId> = file.accounts.keys().cloned().collect();
    let mut directory = Directory { tenants: file.tenants, ..Directory::default() };
    for (id, person) in &file.people {
        let person = merge.person(id, person.clone());
        directory.people.insert(id.clone(), person);
    }
    merge.keep_people(&mut directory);
    for (id, account) in &file.accounts {
        let account = merge.account(id, account.clone());
        directory.accounts.insert(id.clone(), account);
    }
    merge.keep_accounts(&mut directory);
    let identities = merge.one_place_each(&mut directory, &named);
    merge.authors_stay_themselves(&directory);
    let refusals = merge
        .refuse_given()
        .and(identities)
        .and_then(|()| merge.one_domain_each(&directory))
        .and_then(|()| no_cycle(&directory, now));
    let checked = merge.checked(&directory, &named);
    Merged { directory, checked, refusals }
}

struct Merge<'a> {
    state: &'a State,
    before: &'a Organisation,
    authors: &'a BTreeSet<PersonId>,
    now: Now,
    given: Vec<Given>,
}

/// Something that a file would give to a person to whom it may give nothing.
struct Given {
    reason: Reason,
    person: PersonId,
    what: String,
}

impl Merge<'_> {
    /// Why a file gives a person nothing; none: it may.
    fn guarded(&self, id: &PersonId) -> Option<Reason> {
        if self.authors.contains(id) {
            return Some(Reason::OwnStanding);
        }
        let person = self.before.people.get(id)?;
        let by_enrolment = || {
            let mut accounts = self.before.accounts_of(id);
            accounts.any(|(account_id, account)| {
                self.state.made_by_enrolment.contains(account_id)
                    || account.roles.values().any(|membership| membership.approved.is_some())
            })
        };
        let touched = person.touched || !person.attested_by.is_empty() || by_enrolment();
        touched.then_some(Reason::PersonTouched)
    }

    fn give(&mut self, reason: Reason, person: &PersonId, what: String) {
        self.given.push(Given { reason, person: person.clone(), what });
    }

    fn person(&mut self, id: &PersonId, file: Person) -> Person {
        let Some(old) = self.before.people.get(id) else { return file };
        let mut person = Person {
            employed_until: old.employed_until,
            moves: old.moves.clone(),
            awaits_manager: old.awaits_manager,
            brought_by: old.brought_by.clone(),
            touched: old.touched,
            tenant: old.tenant.clone().or(file.tenant),
            ..file
        };
        let (guard, given) = (self.guarded(id), self.given.len());
        if let Some(reason) = guard {
            if !old.is_employed(self.now.latest) {
                self.give(reason, id, "employment".to_owned());
            }
            let manager = std::mem::replace(&mut person.manager, old.manager.clone());
            if let Some(manager) = manager.filter(|it| Some(it) != old.manager_at(self.now.latest)) {
                self.give(reason, id, format!("the manager `{manager}`"));
            }
            person.login = self.login(reason, id, old, person.login);
            self.attestations(reason, id, old, &mut person);
        }
        let same = |name| person.attestations.get(name) == old.attestations.get(name);
        person.attested_by = old.attested_by.iter().filter(|(name, _)| same(*name)).map(clone_pair).collect();
        let person = self.arrived(person);
        if let Some(reason) = guard.filter(|_| self.given.len() == given) {
            for right in more_in_person(old, &person, self.now.latest) {
                self.give(reason, id, right.to_string());
            }
        }
        person
    }

    /// If the manager whom an announced transfer names has left, a file that brings them back does not make them the
    /// manager: a person whose transfer is due is left without one, and later transfers no longer name them (known
    /// failure B5).
    fn arrived(&self, mut person: Person) -> Person {
        let now = self.now.latest;
        let works_here = |id: &PersonId| self.before.works_here(id, now);
        let mut announced = person.announced_by_time();
        let come = announced.iter().rfind(|(at, _)| at.is_over(now)).map(|(_, manager)| manager);
        if come.is_some_and(|manager| !manager.as_ref().is_some_and(works_here)) {
            announced.retain(|at, _| !at.is_over(now));
            (person.manager, person.awaits_manager) = (None, true);
        }
        for (_, manager) in announced.iter_mut().filter(|(at, _)| !at.is_over(now)) {
            let gone = |id: &PersonId| self.before.people.contains_key(id) && !works_here(id);
            *manager = manager.take().filter(|manager| !gone(manager));
        }
        person.moves = Move::in_order(announced);
        person
    }

    /// A file that names no logins leaves them as they are; one that names some removes the others.
    fn login(&mut self, reason: Reason, id: &PersonId, old: &Person, file: BTreeSet<Identity>) -> BTreeSet<Identity> {
        if file.is_empty() {
            return old.login.clone();
        }
        let accounts = self.before.accounts_of(id).filter(|(_, account)| !account.is_machine());
        let own: BTreeSet<&Identity> =
            accounts.flat_map(|(_, account)| &account.identities).chain(&old.login).collect();
        for identity in file.iter().filter(|identity| !own.contains(identity)) {
            self.give(reason, id, format!("the identity `{identity}`"));
        }
        old.login.intersection(&file).cloned().collect()
    }

    /// An attestation that a source has recorded stands, because the file is older or does not know of it. A file may
    /// remove what came from a file.
    fn attestations(&mut self, reason: Reason, id: &PersonId, old: &Person, person: &mut Person) {
        for (name, attested) in &mut person.attestations {
            match old.attestations.get(name) {
                Some(known) if *attested <= *known && old.attested_by.contains_key(name) => *attested = *known,
                // One that is ahead does not count yet, and an earlier one would.
                Some(known) if *attested == *known || *attested < *known && known.is_over(self.now.latest) => {}
                Some(_) | None => self.give(reason, id, format!("an attestation of `{name}` at {attested}")),
            }
        }
        for (name, known) in old.attestations.iter().filter(|(name, _)| old.attested_by.contains_key(*name)) {
            person.attestations.entry(name.clone()).or_insert(*known);
        }
    }

    fn account(&mut self, id: &AccountId, file: Account) -> Account {
        let whole = || format!("account `{id}`");
        let Some(old) = self.before.accounts.get(id) else {
            if let Some(reason) = self.guarded(file.person()) {
                self.give(reason, file.person(), whole());
            }
            return self.since_now(file);
        };
        if old.state == AccountState::Closed {
            // A closed account can never be used again, touched or not.
            if file.state == AccountState::Active {
                self.give(Reason::PersonTouched, old.person(), whole());
            }
            return old.clone();
        }
        if old.kind != file.kind {
            for person in [file.person(), old.person()] {
                if let Some(reason) = self.guarded(person) {
                    self.give(reason, person, whole());
                }
            }
            return self.since_now(file);
        }
        let guard = self.guarded(file.person());
        // HR sets the identities of people, and the file those of machines.
        if let Some(reason) = guard.filter(|_| !file.is_machine()) {
            let login = self.before.people.get(file.person()).map(|person| &person.login);
            let own = |it: &Identity| old.identities.contains(it) || login.is_some_and(|login| login.contains(it));
            for identity in file.identities.iter().filter(|identity| !own(identity)) {
                self.give(reason, file.person(), format!("the identity `{identity}`"));
            }
        }
        let mut account = file;
        for (role, membership) in &mut account.roles {
            let (held, merged) = (old.roles.get(role), std::mem::take(membership));
            let (merged, more) = self.membership(held, merged, guard.is_some());
            *membership = merged;
            if let (Some(reason), Some(more)) = (guard, more) {
                self.give(reason, old.person(), format!("the role `{role}` of `{id}`{more}"));
            }
        }
        account.state = state(&old.state, account.state);
        if let Some(reason) = guard {
            self.more_of_account(reason, id, old, &account);
        }
        account
    }

    /// What the file would give with an account beside roles and identities of people, which have been named.
    fn more_of_account(&mut self, reason: Reason, id: &AccountId, old: &Account, account: &Account) {
        for right in more_in_account(old, account) {
            // The file names the certificates of machines, but its authors not those of their own.
            let may_name = !account.is_machine() || reason != Reason::OwnStanding;
            let is_named = matches!(right, Right::Hold(..)) || matches!(right, Right::Identity(_)) && may_name;
            if !is_named {
                self.give(reason, account.person(), format!("more by account `{id}`: {right}"));
            }
        }
    }

    /// The merged membership, and what more the file would give by it, as the end of a sentence.
    fn membership(&self, held: Option<&Membership>, file: Membership, guarded: bool) -> (Membership, Option<String>) {
        let Some(held) = held else {
            return (Membership { since: Some(self.now.stamp), ..file }, Some(String::new()));
        };
        let mut merged = held.clone();
        let until = file.until.filter(|until| held.until != Some(*until));
        match until {
            Some(until) if held.until.is_none_or(|held| until < held) => {
                merged.until = Some(until);
                merged.cut = None;
                (merged, None)
            }
            Some(until) => {
                if held.ends_at().is_over(self.now.latest) {
                    // It is given anew, and by the file.
                    (merged.since, merged.approved, merged.fed_by) = (Some(self.now.stamp), None, None);
                }
                merged.until = Some(until);
                (merged, Some(format!(" up to {until}")))
            }
            None => {
                // A file that names no end leaves it as it is for a guarded person; for others it means that there is
                // none.
                if !guarded {
                    merged.until = file.until;
                }
                (merged, None)
            }
        }
    }

    fn since_now(&self, mut account: Account) -> Account {
        account.roles.values_mut().for_each(|membership| membership.since = Some(self.now.stamp));
        account
    }

    /// Keeps the people whom HR added and the file never knew.
    fn keep_people(&self, directory: &mut Directory) {
        for id in &self.state.joined_by_feed {
            let person = self.before.people.get(id).filter(|person| person.employment == Employment::Employed);
            if let Some(person) = person.filter(|_| !directory.people.contains_key(id)) {
                directory.people.insert(id.clone(), self.arrived(person.clone()));
            }
        }
    }

    /// Keeps the accounts that enrolments and tenants' feeds made, which the file never knew, and those that are shut
    /// for good. Others that it leaves out it takes away.
    fn keep_accounts(&self, directory: &mut Directory) {
        for (id, account) in &self.before.accounts {
            if directory.accounts.contains_key(id) {
                continue;
            }
            let made = || {
                let by_tenant = account.tenant().is_some() && self.state.joined_by_feed.contains(account.person());
                (by_tenant || self.state.made_by_enrolment.contains(id))
                    && directory.people.contains_key(account.person())
            };
            if is_shut(&account.state) || made() {
                directory.accounts.insert(id.clone(), account.clone());
            }
        }
    }

    /// A trust domain belongs to one tenant, those that the file leaves out included, and nobody else has an identity
    /// in it, named by the file or not.
    fn one_domain_each(&self, directory: &Directory) -> Result<(), Refusal> {
        let left_out = self.before.tenants.iter().filter(|(id, _)| !directory.tenants.contains_key(*id));
        let mut domains = BTreeMap::new();
        for (id, tenant) in directory.tenants.iter().chain(left_out) {
            if let Some(other) = domains.insert(tenant.trust_domain.as_str(), id) {
                let detail =
                    format!("trust domain `{}` is that of the tenants `{other}` and `{id}`", tenant.trust_domain);
                return Err(Refusal::new(Reason::IdentityTaken, detail).with("tenant", id));
            }
        }
        let of_accounts = directory.accounts.values().filter(|account| account.state != AccountState::Closed);
        let of_accounts = of_accounts.map(|account| (account.tenant(), &account.identities));
        let of_people = directory.people.values().map(|person| (person.tenant.as_ref(), &person.login));
        for (own, identities) in of_accounts.chain(of_people) {
            for identity in identities {
                match (domains.get(identity.trust_domain()).copied(), own) {
                    (of, own) if of == own => {}
                    (Some(of), _) => {
                        return Err(identity_taken(identity, format!("the trust domain of tenant `{of}`")));
                    }
                    (None, _) => return Err(identity_taken(identity, "no tenant's trust domain".to_owned())),
                }
            }
        }
        Ok(())
    }

    /// No identity means two (known failure D8): an identity that the file names may not belong to anything that it
    /// leaves alone. It is taken from the account of somebody who left.
    fn one_place_each(&self, directory: &mut Directory, named: &BTreeSet<AccountId>) -> Result<(), Refusal> {
        let (mut from_accounts, mut from_logins) = (Vec::new(), Vec::new());
        let keeps = |id: &PersonId, it: &Identity| directory.people.get(id).is_some_and(|id| id.login.contains(it));
        for (id, account) in directory.accounts.iter().filter(|(id, _)| named.contains(*id)) {
            for identity in &account.identities {
                match self.before.principals.get(identity) {
                    Some(Principal::Account(other)) if other != id && !named.contains(other) => {
                        from_accounts.push((other.clone(), identity.clone()));
                    }
                    Some(Principal::Person(person)) if keeps(person, identity) => {
                        if account.is_machine() || account.person() != person {
                            return Err(identity_taken(identity, format!("the person `{person}`")));
                        }
                        from_logins.push((person.clone(), identity.clone()));
                    }
                    _ => {}
                }
            }
        }
        let is_own = |id: &PersonId, of: &AccountId| {
            directory.accounts.get(of).is_some_and(|account| !account.is_machine() && account.person() == id)
        };
        for (id, person) in &directory.people {
            for identity in &person.login {
                match self.before.principals.get(identity) {
                    Some(Principal::Account(other)) if !named.contains(other) && !is_own(id, other) => {
                        from_accounts.push((other.clone(), identity.clone()));
                    }
                    Some(Principal::Person(other)) if other != id && keeps(other, identity) => {
                        return Err(identity_taken(identity, format!("the person `{other}`")));
                    }
                    _ => {}
                }
            }
        }
        for (id, identity) in from_logins {
            if let Some(person) = directory.people.get_mut(&id) {
                person.login.remove(&identity);
            }
        }
        for (id, identity) in from_accounts {
            let Some(account) = directory.accounts.get_mut(&id) else { continue };
            if is_shut(&account.state) {
                account.identities.remove(&identity);
            } else if account.identities.contains(&identity) {
                return Err(identity_taken(&identity, format!("the account `{id}`")));
            }
        }
        Ok(())
    }

    /// If an author's certificate came to mean somebody else, the author would have what that person has.
    fn authors_stay_themselves(&mut self, directory: &Directory) {
        let of_accounts = directory.accounts.iter().map(|(id, it)| (Some(id), it.person(), &it.identities));
        let of_people = directory.people.iter().map(|(id, it)| (None, id, &it.login));
        for (account, person, identities) in of_accounts.chain(of_people) {
            for identity in identities {
                let was = match self.before.principals.get(identity) {
                    Some(Principal::Account(id)) if Some(id) != account => {
                        self.before.accounts.get(id).map(Account::person)
                    }
                    Some(Principal::Person(id)) => Some(id),
                    _ => None,
                };
                if let Some(author) = was.filter(|was| *was != person && self.authors.contains(*was)) {
                    self.give(Reason::OwnStanding, author, format!("what is `{person}`'s, by `{identity}`"));
                }
            }
        }
    }

    fn checked(&self, directory: &Directory, named: &BTreeSet<AccountId>) -> Directory {
        let mut checked = directory.clone();
        for (id, account) in directory.accounts.iter().filter(|(id, _)| !named.contains(*id)) {
            checked.accounts.insert(id.clone(), without_past(account, self.now));
        }
        let left = self.before.people.iter().filter(|(_, person)| person.employment == Employment::Left);
        for (id, _) in left.filter(|(id, _)| !directory.people.contains_key(*id)) {
            let tenant = self.before.tenant_of(id).cloned();
            let left = Person { employment: Employment::Left, tenant, ..Person::default() };
            checked.people.insert(id.clone(), left);
        }
        checked
    }

    fn refuse_given(&self) -> Result<(), Refusal> {
        let Some(first) = self.given.first() else { return Ok(()) };
        let more = match self.given.len() {
            1 => String::new(),
            count => format!(", and {} more", count.saturating_sub(1)),
        };
        let detail = format!("it would give `{}` {}{more}", first.person, first.what);
        let mut refusal = Refusal::new(first.reason, detail).with("person", &first.person).with("gives", &first.what);
        for (number, given) in (1_u32..).zip(self.given.iter().take(NAMED_AT_MOST)) {
            refusal = refusal.with(&format!("given.{number:04}"), format!("`{}`: {}", given.person, given.what));
        }
        Err(refusal)
    }
}

/// A file can enable only what a file disabled.
fn state(old: &AccountState, file: AccountState) -> AccountState {
    match (old, &file) {
        (AccountState::Disabled { because: Disabling::Termination, .. }, _)
        | (AccountState::Disabled { because: Disabling::Lapse, .. }, AccountState::Active) => old.clone(),
        _ => file,
    }
}

fn is_shut(state: &AccountState) -> bool {
    matches!(state, AccountState::Closed | AccountState::Disabled { because: Disabling::Termination, .. })
}

fn identity_taken(identity: &Identity, of: String) -> Refusal {
    Refusal::new(Reason::IdentityTaken, format!("`{identity}` is of {of}")).with("identity", identity)
}

/// Nobody is above themselves, over however many steps: the file's managers together with those that HR named.
fn no_cycle(directory: &Directory, now: Now) -> Result<(), Refusal> {
    let mut walked: BTreeSet<&PersonId> = BTreeSet::new();
    for start in directory.people.keys() {
        let mut way: BTreeSet<&PersonId> = BTreeSet::new();
        let mut next = Some(start);
        while let Some(person) = next.filter(|person| !walked.contains(person)) {
            if !way.insert(person) {
                return Err(Refusal::new(Reason::ManagerCycle, format!("`{person}`")).with("person", person));
            }
            next = directory.people.get(person).and_then(|it| it.manager_at(now.latest));
        }
        walked.extend(way);
    }
    Ok(())
}

fn clone_pair<K: Clone, V: Clone>((key, value): (&K, &V)) -> (K, V) {
    (key.clone(), value.clone())
}

/// An account with the memberships that are not over.
pub(super) fn without_past(account: &Account, now: Now) -> Account {
    let mut account = account.clone();
    account.roles.retain(|_, membership| !membership.ends_at().is_over(now.latest));
    account
}
