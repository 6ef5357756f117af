//! What a list or a watch of events is narrowed to. What it is about is named as lists print it: by its kind and whole id, by an
//! ending of its id, or by its name alone.

use std::fmt::Display;
use std::str::FromStr;

use super::message::{Fields, InvalidMessage};
use super::queries::Paging;
use super::v1 as pb;
use super::values::{Named, SaidSequence, named, sequence, timestamp};
use crate::domain::record::event::{Fact, Subject};
use crate::domain::value::ids::{
    AccountId, CampaignId, ElevationId, EnrolmentId, GrantId, HoldId, LockId, PersonId, Principal, ProposalId,
    StreamName, TenantName, excerpt,
};
use crate::domain::value::time::Timestamp;

/// What a list or a watch of events is narrowed to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Caused by.
    pub actor: Option<Caused>,
    /// Of this kind, without version.
    pub kind: Option<String>,
    /// About this.
    pub about: Option<About>,
    /// At or after.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// By whom events were caused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caused {
    /// By an account, the broker or the operator.
    By(String),
    /// By a person: as themselves, or by an account that was theirs then.
    Person(PersonId),
}

/// What events are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// Exactly this: `grant:<id>`.
    Whole(String),
    /// Whichever one thing is called so.
    Called(Called),
}

/// A name that is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// As it was said.
    pub text: String,
    /// What it would be in full, if there is such a thing.
    pub whole: Vec<String>,
    /// The beginnings, `grant:`, and the ending of those whose id it may end; none if it can end none.
    pub ending: Option<(Vec<&'static str>, String)>,
}

/// How a kind of thing begins, and whether the rest names one.
type Kind = (&'static str, fn(&str) -> bool);

/// The kinds of things whose ids the broker makes: lists print the endings of those.
const WITH_IDS: [Kind; 7] = [
    ("elevation:", is::<ElevationId>),
    ("grant:", is::<GrantId>),
    ("enrolment:", is::<EnrolmentId>),
    ("proposal:", is::<ProposalId>),
    ("campaign:", is::<CampaignId>),
    ("hold:", is::<HoldId>),
    ("lock:", is::<LockId>),
];
/// Those that have names.
const WITH_NAMES: [Kind; 4] = [
    ("account:", is::<AccountId>),
    ("person:", is::<PersonId>),
    ("tenant:", is::<TenantName>),
    ("stream:", is::<StreamName>),
];
const WANTED: &str = "`elevation:<id>`, `grant:<id>`, `enrolment:<id>`, `proposal:<id>`, `campaign:<id>`, `hold:<id>`, `lock:<id>`, \
                      `account:<id>`, `person:<id>`, `tenant:<name>`, `stream:<name>`, `policy`, `directory` or `broker`, an ending \
                      of an id of at least 4 digits, or a name alone";

fn is<T: FromStr>(text: &str) -> bool {
    text.parse::<T>().is_ok()
}

impl About {
    fn parse(text: &str) -> Option<Self> {
        let whole = [Subject::Policy, Subject::Directory, Subject::Broker].iter().any(|it| it.to_string() == text);
        let kinds = || WITH_IDS.iter().chain(&WITH_NAMES);
        let is_whole = |(kind, is): &Kind| text.strip_prefix(kind).is_some_and(is);
        if whole || kinds().any(is_whole) {
            return Some(Self::Whole(text.to_owned()));
        }
        let ending = |text: &str| match named::<ElevationId>(text) {
            Ok(Named::Ending(ending)) => Some(ending),
            Ok(Named::Whole(_)) | Err(_) => None,
        };
        let called = |whole, ending| Called { text: text.to_owned(), whole, ending };
        if let Some((kind, rest)) = WITH_IDS.iter().find_map(|(kind, _)| Some((*kind, text.strip_prefix(kind)?))) {
            return Some(Self::Called(called(Vec::new(), Some((vec![kind], ending(rest)?)))));
        }
        let whole: Vec<String> = kinds().filter(|(_, is)| is(text)).map(|(kind, _)| format!("{kind}{text}")).collect();
        let ending = ending(text).map(|ending| (WITH_IDS.map(|(kind, _)| kind).to_vec(), ending));
        let is_called = !whole.is_empty() || ending.is_some();
        is_called.then(|| Self::Called(called(whole, ending)))
    }
}

impl Called {
    /// The mistake of whoever means one of several.
    #[must_use]
    pub fn ambiguous(&self, candidates: &[String], and_more: bool) -> InvalidMessage {
        let listed: Vec<String> = candidates.iter().map(|it| format!("`{it}`")).collect();
        let more = if and_more { " or more; give more digits" } else { "; name one of them" };
        InvalidMessage::one("about", format!("`{}` may be {}{more}", self.text, listed.join(" or ")))
    }
}

impl Caused {
    fn parse(text: &str) -> Option<Self> {
        match principal(text) {
            Some(Principal::Person(id)) => Some(Self::Person(id)),
            Some(Principal::Account(_)) => Some(Self::By(text.to_owned())),
            None => matches!(text, "broker" | "operator").then(|| Self::By(text.to_owned())),
        }
    }
}

fn principal(text: &str) -> Option<Principal> {
    match text.split_once(':')? {
        ("account", id) => id.parse().ok().map(Principal::Account),
        ("person", id) => id.parse().ok().map(Principal::Person),
        _ => None,
    }
}

impl EventFilter {
    fn parse(fields: &mut Fields, actor: &str, kind: &str, about: &str) -> Self {
        let who = "`account:<id>`, `person:<id>`, `broker` or `operator`";
        let actor = fields.take("actor", said(actor, Caused::parse, who)).flatten();
        let kind = fields.take(
            "kind",
            said(
                kind,
                |text| is_kind(text).then(|| text.to_owned()),
                "a kind without its version, such as `elevation-requested`",
            ),
        );
        let about = fields.take("about", said(about, About::parse, WANTED)).flatten();
        Self { actor, kind: kind.flatten(), about, from: None, until: None }
    }
}

impl TryFrom<&pb::ListEventsRequest> for (Paging, EventFilter) {
    type Error = InvalidMessage;

    fn try_from(message: &pb::ListEventsRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let paging = Paging::parse(&mut fields, message.page_size, &message.page_token, &message.min_sequence);
        let mut filter = EventFilter::parse(&mut fields, &message.actor, &message.kind, &message.about);
        filter.from = fields.take("from_time", message.from_time.as_ref().map(timestamp).transpose()).flatten();
        filter.until = fields.take("until_time", message.until_time.as_ref().map(timestamp).transpose()).flatten();
        fields.take("until_time", in_order(filter.from, filter.until));
        fields.finish(paging.map(|paging| (paging, filter)))
    }
}

impl TryFrom<&pb::WatchEventsRequest> for (Option<SaidSequence>, EventFilter) {
    type Error = InvalidMessage;

    fn try_from(message: &pb::WatchEventsRequest) -> Result<Self, InvalidMessage> {
        let mut fields = Fields::default();
        let after = fields.take("after_sequence", sequence(&message.after_sequence));
        let filter = EventFilter::parse(&mut fields, &message.actor, &message.kind, &message.about);
        fields.finish(after.map(|after| (after, filter)))
    }
}

/// Whether a range of time has its beginning first: the other way round it would be an answer about nothing.
///
/// # Errors
/// What is wanted instead.
pub(crate) fn in_order(from: Option<Timestamp>, until: Option<Timestamp>) -> Result<(), String> {
    match (from, until) {
        (Some(from), Some(until)) if until < from => {
            Err(format!("`{until}` is before `from_time`, `{from}`; a later time is wanted"))
        }
        _ => Ok(()),
    }
}

fn said<T>(text: &str, parse: impl FnOnce(&str) -> Option<T>, wanted: impl Display) -> Result<Option<T>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    parse(text).map(Some).ok_or_else(|| format!("`{}`; {wanted} is wanted", excerpt(text)))
}

fn is_kind(text: &str) -> bool {
    Fact::kinds().any(|kind| kind.split_once('/').is_some_and(|(name, _)| name == text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "019380a1-0000-7000-8000-0000aa11bb22";

    #[test]
    fn a_range_of_time_has_its_beginning_first() {
        let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let asked = |from_time, until_time| {
            let message = pb::ListEventsRequest { from_time, until_time, ..Default::default() };
            <(Paging, EventFilter)>::try_from(&message)
        };
        assert!(asked(at(5), at(9)).is_ok() && asked(at(9), None).is_ok() && asked(None, at(5)).is_ok());
        let mistake = format!("{:?}", asked(at(9), at(5)).unwrap_err());
        assert!(mistake.contains("until_time") && mistake.contains("is before `from_time`"), "{mistake}");
    }

    #[test]
    fn what_lists_print_names_what_events_are_about() {
        let whole = |text: &str| About::parse(text) == Some(About::Whole(text.to_owned()));
        for kind in WITH_IDS.map(|(kind, _)| kind) {
            assert!(whole(&format!("{kind}{ID}")), "{kind}");
        }
        for text in
            ["account:ana", "person:acme.lena", "tenant:acme", "stream:workday", "policy", "directory", "broker"]
        {
            assert!(whole(text), "{text}");
        }
        // an ending, with its kind or without
        let Some(About::Called(called)) = About::parse("proposal:aa11bb22") else { panic!("an ending") };
        assert_eq!((called.whole.len(), called.ending), (0, Some((vec!["proposal:"], "aa11bb22".to_owned()))));
        let Some(About::Called(called)) = About::parse("aa11bb22") else { panic!("an ending") };
        assert_eq!(called.ending.as_ref().map(|(kinds, _)| kinds.len()), Some(7));
        // which may be a name as well
        assert_eq!(called.whole, ["account:aa11bb22", "person:aa11bb22", "tenant:aa11bb22", "stream:aa11bb22"]);
        // and a whole id without its kind
        let Some(About::Called(called)) = About::parse(ID) else { panic!("an id") };
        assert!(called.whole.contains(&format!("lock:{ID}")) && called.ending.is_none());
        for text in ["grant:1", "grant:ana", "group:x", "account:Ana", "Ana", "a b", ":"] {
            assert_eq!(About::parse(text), None, "{text}");
        }
    }
}
