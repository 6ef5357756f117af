//! Nobody changes the rules for themselves: what a proposal would give to those who make or approve it, or to machines
//! of theirs (design.md 7; known failure J2). They may gain from wider terms, but must wait to use them
//! (`author_waits`).

use std::collections::{BTreeMap, BTreeSet};

use super::records::{more_in_account, more_in_person, opened};
use super::rights::{Right, difference_of, gains_of_person};
use super::waiting::author_waits;
use crate::domain::directory::Account;
use crate::domain::policy::{Approver, Policy};
use crate::domain::record::proposal::ProposedFile;
use crate::domain::state::identities::When;
use crate::domain::state::organisation::Organisation;
use crate::domain::value::ids::{AccountId, PersonId, RequirementName};
use crate::domain::value::refusal::{Reason, Refusal};
use crate::domain::value::scope::Scope;
use crate::domain::value::time::Timestamp;

/// What a proposal would change, and for whom it may not widen anything.
#[derive(Debug, Clone, Copy)]
pub struct Widening<'a> {
    /// The organisation that it would change.
    pub before: &'a Organisation,
    /// What that would become.
    pub after: &'a Organisation,
    /// Whoever makes or approves it.
    pub authors: &'a BTreeSet<PersonId>,
}

impl Widening<'_> {
    /// Refuses a proposal that would widen what its authors may do.
    ///
    /// # Errors
    /// `OWN_STANDING`: the first that one of them would be given.
    pub fn refuse(self, file: ProposedFile, at: Timestamp) -> Result<(), Refusal> {
        let given = self.by_account(file, at).or_else(|| self.by_record(at)).or_else(|| self.by_what_is_shut(file, at));
        let given = given.or_else(|| self.by_baseline()).or_else(|| self.by_admission());
        let Some((person, right)) = given else { return Ok(()) };
        let detail = format!("it would give `{person}`, who is behind it: {right}");
        Err(Refusal::new(Reason::OwnStanding, detail).with("person", person).with("gives", right))
    }

    /// What an account of theirs gains; or what everybody gains, if it makes a difference to one of them.
    fn by_account(self, file: ProposedFile, at: Timestamp) -> Option<(PersonId, Right)> {
        let of = |person| self.before.accounts_of(person).chain(self.after.accounts_of(person));
        let own: BTreeMap<&AccountId, &PersonId> =
            self.authors.iter().flat_map(of).map(|(id, account)| (id, account.person())).collect();
        let waited_for = |right: &Right| {
            file == ProposedFile::Policy && matches!(right, Right::Ask(_) | Right::Terms(_) | Right::Approve(_))
        };
        let changes = difference_of(self.before, self.after, own.keys().copied(), at);
        changes.into_iter().find_map(|change| match &change.account {
            Some(id) => {
                let right = change.gains.into_iter().find(|right| !waited_for(right))?;
                Some(((*own.get(id)?).clone(), right))
            }
            None => change.gains.into_iter().find_map(|right| {
                let (Right::Without(name) | Right::Valid(name)) = &right else { return None };
                let author = self.authors.iter().find(|person| self.would_lapse(person, name, at))?;
                Some((author.clone(), right))
            }),
        })
    }

    /// What is on record of them, whether or not it is of use to them yet.
    fn by_record(self, at: Timestamp) -> Option<(PersonId, Right)> {
        let of_person = |person: &PersonId| {
            let (was, is) = (self.before.people().get(person)?, self.after.people().get(person)?);
            let account = |(id, is): (&AccountId, &Account)| {
                self.before.accounts().get(id).and_then(|was| more_in_account(was, is).into_iter().next())
            };
            let accounts = || self.after.accounts_of(person).find_map(account);
            more_in_person(was, is, at).into_iter().next().or_else(accounts)
        };
        self.authors.iter().find_map(|person| Some((person.clone(), of_person(person)?)))
    }

    /// What they could do as soon as an account of theirs, or of those whom they answer for, that is shut today were open: time,
    /// another file or an enrolment opens it.
    fn by_what_is_shut(self, file: ProposedFile, at: Timestamp) -> Option<(PersonId, Right)> {
        let open = |organisation: &Organisation| {
            let mut opened_up = organisation.clone();
            for author in self.authors {
                let persons = organisation.reports_of(author).chain([author]);
                for (id, account) in persons.flat_map(|person| organisation.accounts_of(person)) {
                    opened_up.put_account(id.clone(), opened(account), When { at, sequence: 0 });
                }
            }
            opened_up
        };
        let (before, after) = (open(self.before), open(self.after));
        let by_person = || {
            let gains = |person| gains_of_person(&before, &after, person, at).into_iter().next();
            self.authors.iter().find_map(|person| Some((person.clone(), gains(person)?)))
        };
        let widening = Widening { before: &before, after: &after, authors: self.authors };
        widening.by_account(file, at).or_else(by_person)
    }

    /// Whether a requirement that a person lacks now, or would lack before the authors' wait is over, would be met for
    /// longer.
    fn would_lapse(self, person: &PersonId, name: &RequirementName, at: Timestamp) -> bool {
        let (was, is) = (self.before.policy(), self.after.policy());
        let until = |policy: &Policy| {
            let attested = self.before.people().get(person).and_then(|person| person.attestations.get(name));
            match policy.requirements.get(name) {
                Some(rule) => attested.map_or(Timestamp::MIN, |attested| rule.lapses_at(*attested)),
                None => Timestamp::MAX,
            }
        };
        let asked = |policy: &Policy| policy.baseline.requires.contains(name);
        let before = until(was);
        let after = if asked(was) && !asked(is) { Timestamp::MAX } else { until(is) };
        before.is_over(at.plus(author_waits(self.before, is, at))) && after > before && !after.is_over(at)
    }

    /// Whatever the baseline newly gives to everybody bypasses the entitlements that offer it, so it widens every
    /// author's standing.
    fn by_baseline(self) -> Option<(PersonId, Right)> {
        let (was, is) = (self.before.policy(), self.after.policy());
        let offered: Vec<&Scope> =
            was.entitlements.values().chain(is.entitlements.values()).map(|it| &it.terms.scope).collect();
        let each = is.baseline.allows.iter().flat_map(|scope| {
            scope.actions().iter().flat_map(|action| scope.resources().iter().map(move |resource| (action, resource)))
        });
        let new = each.filter_map(|(action, resource)| {
            let scope = Scope::new(BTreeSet::from([action.clone()]), BTreeSet::from([resource.clone()]))?;
            let is_new = !was.baseline.allows.iter().any(|known| known.contains(&scope));
            (is_new && offered.iter().any(|it| it.overlaps(&scope))).then_some((action, resource))
        });
        let (action, resource) = new.into_iter().next()?;
        Some((self.authors.first()?.clone(), Right::Baseline(format!("{action} on {resource}"))))
    }

    /// Whoever changes who approves new accounts must not be one of the new approvers, unless stages are only added.
    fn by_admission(self) -> Option<(PersonId, Right)> {
        let (was, is) = (&self.before.policy().baseline.approval, &self.after.policy().baseline.approval);
        if is.starts_with(was) {
            return None;
        }
        let holds = |person: &PersonId, approver: &Approver| match approver {
            Approver::Role(role) => {
                self.after.accounts_of(person).any(|(_, it): (_, &Account)| it.roles.contains_key(role))
            }
            Approver::Manager => self.after.reports_of(person).next().is_some(),
            Approver::RoleOwner | Approver::Tenant | Approver::Capability(_) => false,
        };
        let decides = |person: &&PersonId| is.iter().flat_map(|stage| &stage.by).any(|it| holds(person, it));
        Some((self.authors.iter().find(decides)?.clone(), Right::Admit))
    }
}
