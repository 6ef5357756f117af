//! Lists of people, accounts, enrolments and campaigns: page by page, each once, and to each what is theirs to see, on every page
//! anew (known failures A14 and F9).

use std::collections::BTreeSet;

use countersign::wire::v1 as pb;

use crate::common::certificates::now_millis;
use crate::harness::Broker;
use crate::life::{DAY, moved, refused, role};
use crate::organisation::ENGINEERS;
use crate::person::{Person, at_millis, call_id};

async fn persons(who: &Person, page_size: i32) -> Vec<String> {
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListPersonsRequest { page_size, page_token, ..Default::default() };
        let page = who.accounts().list_persons(request).await.unwrap().into_inner();
        assert!(page.persons.len() <= page_size as usize);
        ids.extend(page.persons.into_iter().map(|it| it.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return ids;
        }
    }
}

async fn accounts(who: &Person, role: &str, page_size: i32) -> Vec<String> {
    let (mut ids, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListAccountsRequest { page_size, page_token, role: role.to_owned(), ..Default::default() };
        let page = who.accounts().list_accounts(request).await.unwrap().into_inner();
        ids.extend(page.accounts.into_iter().map(|it| it.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return ids;
        }
    }
}

fn to_review(page_size: i32, page_token: &str) -> pb::ListEnrolmentsRequest {
    let (page_token, relation) = (page_token.to_owned(), pb::EnrolmentRelation::CanReview.into());
    pb::ListEnrolmentsRequest { page_size, page_token, relation, ..Default::default() }
}

#[tokio::test]
async fn people_and_accounts_page_by_page_and_to_each_their_own() {
    let broker = Broker::new();
    let (omar, ines, ana) = (broker.person("omar").await, broker.person("ines").await, broker.person("ana").await);
    // who audits sees everybody, each once, whatever the pages
    let all = persons(&omar, 7).await;
    assert_eq!(all.len(), ENGINEERS + 10);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    assert_eq!(all, persons(&omar, 500).await);
    // a manager sees those who report to them, and everybody sees themselves
    let reports: BTreeSet<String> = persons(&ines, 11).await.into_iter().collect();
    assert_eq!(reports.len(), ENGINEERS + 4, "{reports:?}");
    assert!(reports.contains("ines") && reports.contains("pia") && !reports.contains("sam"), "{reports:?}");
    assert_eq!(persons(&ana, 50).await, ["ana"]);
    let other = pb::GetPersonRequest { person_id: "ben".to_owned() };
    refused(ana.accounts().get_person(other).await, "NOT_FOUND");
    // and the owner of a role those who hold it
    assert_eq!(accounts(&omar, "db-engineer", 9).await.len(), ENGINEERS + 1);
    assert_eq!(accounts(&ines, "db-engineer", 9).await.len(), ENGINEERS + 1);
    assert_eq!(accounts(&ana, "db-engineer", 9).await, ["ana"]);
}

#[tokio::test]
async fn enrolments_page_by_page_with_the_rights_of_each_page() {
    // given seven who ask for a role, and wait for ines
    let broker = Broker::new();
    let (ines, hr) = (broker.person("ines").await, broker.person("hr-sync").await);
    let mut asked = Vec::new();
    for number in 1..=7 {
        let engineer = broker.person(&format!("eng{number:02}")).await;
        asked.push(engineer.ask(role("auditor")).await.unwrap().id);
    }
    let newest_first: Vec<String> = asked.iter().rev().cloned().collect();
    let page = async |who: &Person, size, token: &str| {
        let page = who.enrolments().list_enrolments(to_review(size, token)).await.unwrap().into_inner();
        (page.enrolments.into_iter().map(|it| it.id).collect::<Vec<_>>(), page.next_page_token)
    };
    // when they are read in threes, then newest first, and each once
    let (first, token) = page(&ines, 3, "").await;
    assert_eq!(first, newest_first[..3]);
    // when one of those to come is another manager's meanwhile, then it is not told any more
    hr.tell(vec![moved("eng02", "sam", None)]).await.unwrap();
    let (second, last) = page(&ines, 3, &token).await;
    assert_eq!(second, [&asked[3], &asked[2], &asked[0]].map(Clone::clone));
    assert!(last.is_empty(), "the end of the list is told");
    // and a token is the caller's own
    let omar = broker.person("omar").await;
    refused(omar.enrolments().list_enrolments(to_review(3, &token)).await, "PAGE_TOKEN_INVALID");
    assert_eq!(page(&broker.person("eng01").await, 50, "").await.0, Vec::<String>::new());
}

#[tokio::test]
async fn rounds_page_by_page_to_whom_they_concern() {
    let broker = Broker::new();
    let (omar, ben) = (broker.person("omar").await, broker.person("ben").await);
    // given three campaigns, newest last
    let mut begun = Vec::new();
    for role in ["security-duty", "incident-commander", "db-engineer"] {
        let request = pb::StartRecertificationRequest {
            request_id: call_id(),
            role: role.to_owned(),
            due_time: at_millis(now_millis() + 9 * DAY),
            validate_only: false,
        };
        let campaign = omar.campaigns().start_recertification(request).await.unwrap().into_inner().recertification;
        begun.push(campaign.unwrap().id);
    }
    let (mut read, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListRecertificationsRequest { page_size: 1, page_token, ..Default::default() };
        let page = omar.campaigns().list_recertifications(request).await.unwrap().into_inner();
        read.extend(page.recertifications.into_iter().map(|it| it.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(read.iter().collect::<BTreeSet<_>>(), begun.iter().collect::<BTreeSet<_>>());
    assert_eq!(read.len(), 3);
    // ben manages nobody, and sees none
    let none = ben.campaigns().list_recertifications(pb::ListRecertificationsRequest::default()).await.unwrap();
    assert_eq!(none.into_inner().recertifications, []);
}
