//! What could not happen as things are is set aside: by its number, with why, until a person decides about it. The stream goes
//! on, so that nobody stops it by having what HR's next joiner is to have (known failure B4).

use super::super::caller::make_numbered_id;
use super::brake;
use super::happening::{Sent, applied, happen, of_own_organisation};
use super::hold::New;
use super::rewriting;
use super::taking::{self, Parts};
use crate::domain::directory::BroughtBy;
use crate::domain::effect::overlay::Overlay;
use crate::domain::record::event::{Fact, FeedFact};
use crate::domain::record::hr::{Aside, Hold, HrChange, HrEvent};
use crate::domain::value::ids::{HoldId, TenantName};
use crate::domain::value::refusal::{Reason, Refusal};

/// What a command sets aside.
pub(super) struct SettingAside<'a> {
    new: &'a New<'a>,
    count: u32,
    /// What waits because of it, in order.
    pub(super) waits: Vec<HrEvent>,
}

impl<'a> SettingAside<'a> {
    pub(super) fn new(new: &'a New<'a>) -> Self {
        Self { new, count: 0, waits: Vec::new() }
    }

    /// Whether an event that is refused may be set aside: one with a place, behind which others would wait.
    pub(super) fn takes(&self, sent: &Sent) -> bool {
        self.number_of(sent).is_some()
    }

    fn number_of(&self, sent: &Sent) -> Option<u64> {
        sent.place.as_ref().map(|place| place.number).or(self.new.number.filter(|_| self.new.from_import))
    }

    /// An event of the own organisation's feed: it happens, it waits for what was set aside before it, or it is set aside.
    pub(super) fn take(&mut self, overlay: &mut Overlay, sent: &Sent) {
        let event = &sent.event;
        let now = overlay.clocks();
        if self.count > 0 && brake::waits_for_held(overlay.state(), event, &self.waits, now) {
            self.wait(overlay, sent);
            return;
        }
        let is_own = of_own_organisation(overlay.state().organisation(), event).is_ok();
        if self.count > 0 && is_own && event.change.is_leaving() && self.holds(overlay, event) {
            if !event.change.is_leaving_now(now.latest) {
                self.waits.push(event.clone());
            } else {
                rewriting::drop_persons(overlay, &[event.person.clone()].into());
                self.waits.retain(|waiting| waiting.person != event.person);
                if !overlay.state().organisation().people().contains_key(&event.person) {
                    overlay.record([applied(sent.place.as_ref(), false, event)]);
                    return;
                }
            }
        }
        if let Err(refusal) = tried(overlay, sent, self.new) {
            let new = self.new;
            if let Some(rest) = self.take_away(overlay, None, sent, |overlay, takes| tried(overlay, takes, new)) {
                self.put(overlay, &rest, &refusal);
            }
        }
    }

    /// It waits for what was set aside before it; but what it takes away happens.
    fn wait(&mut self, overlay: &mut Overlay, sent: &Sent) {
        let new = self.new;
        let rest = self.take_away(overlay, None, sent, |overlay, takes| tried(overlay, takes, new));
        self.waits.extend(rest.map(|rest| rest.event));
    }

    /// What is taken away by a rename that cannot happen, or waits, happens all the same; the rest is left. Of another side's
    /// person nothing is taken, nor told what they have.
    pub(super) fn take_away(
        &mut self,
        overlay: &mut Overlay,
        tenant: Option<&TenantName>,
        sent: &Sent,
        happens: impl FnOnce(&mut Overlay, &Sent) -> Result<(), Refusal>,
    ) -> Option<Sent> {
        let now = overlay.clocks().latest;
        let part = |event| Sent { place: sent.place.clone(), event };
        let is_own = overlay.state().organisation().tenant_of(&sent.event.person) == tenant;
        let parts = taking::parts(overlay.state(), &sent.event, &self.waits, now).filter(|_| is_own);
        let Some(parts) = parts else { return Some(part(sent.event.clone())) };
        let Parts { takes, gives } = parts;
        let Some(takes) = takes.map(part) else { return gives.map(part) };
        if happens(overlay, &takes).is_err() {
            return Some(part(sent.event.clone()));
        }
        if let HrChange::LoginsChanged { removed, .. } = &takes.event.change {
            let waits = std::mem::take(&mut self.waits).into_iter();
            let is_of = |event: &HrEvent| event.person == takes.event.person;
            self.waits =
                waits.filter_map(|event| if is_of(&event) { event.without(removed) } else { Some(event) }).collect();
        }
        gives.map(part)
    }

    fn holds(&self, overlay: &Overlay, event: &HrEvent) -> bool {
        let waits = || self.waits.iter().any(|waiting| waiting.person == event.person);
        overlay.state().held_of.count(&event.person) > 0 || waits()
    }

    pub(super) fn put(&mut self, overlay: &mut Overlay, sent: &Sent, refusal: &Refusal) {
        let aside = Aside {
            number: self.number_of(sent).unwrap_or_default(),
            reason: refusal.true_reason.unwrap_or(refusal.reason),
            detail: refusal.detail.clone(),
        };
        let new = self.new;
        let hold = Hold {
            id: HoldId::from(make_numbered_id(new.envelope, self.count)),
            held_at: overlay.clocks().stamp,
            sender: new.sender.clone(),
            author: new.author.clone(),
            stream: new.stream.clone(),
            from_import: new.from_import,
            after: overlay.state().sequence(),
            aside: Some(aside),
            suspends: None,
            events: vec![sent.event.clone()],
        };
        self.count = self.count.saturating_add(1);
        overlay.record([Fact::Feed(FeedFact::SetAside(Box::new(hold)))]);
    }
}

/// It happens whole, or nothing of it.
fn tried(overlay: &mut Overlay, sent: &Sent, new: &New<'_>) -> Result<(), Refusal> {
    let event = &sent.event;
    let by = Some(&new.brought_by());
    of_own_organisation(overlay.state().organisation(), event)?;
    if event.change.is_leaving() {
        // Whoever is on record can leave, so that nothing has to be taken back.
        if !overlay.state().organisation().people().contains_key(&event.person) {
            let unknown = Refusal::new(Reason::PersonUnknown, format!("`{}`", event.person));
            return Err(unknown.with("person", &event.person));
        }
        return happen(overlay, None, by, sent.place.as_ref(), false, event);
    }
    overlay.attempt(|overlay| happen(overlay, None, by, sent.place.as_ref(), false, event))
}

impl New<'_> {
    /// The feed, as those whom it brings have it on record.
    pub(super) fn brought_by(&self) -> BroughtBy {
        BroughtBy { sender: self.sender.clone(), author: self.author.clone() }
    }
}
