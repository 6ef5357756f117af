//! Lists while things come and go: what stays is neither repeated nor skipped (known failure F9); sequences to read by.

use std::collections::BTreeSet;

use countersign::wire::v1 as pb;
use tonic::Code;

use crate::harness::Broker;
use crate::person::{Person, refused, repair};

fn page(size: i32, token: &str) -> pb::ListElevationsRequest {
    pb::ListElevationsRequest {
        page_size: size,
        page_token: token.to_owned(),
        relation: pb::ElevationRelation::Visible.into(),
        states: vec![pb::ElevationState::Pending.into()],
        ..Default::default()
    }
}

async fn list(person: &Person, request: pb::ListElevationsRequest) -> pb::ListElevationsResponse {
    person.elevations().list_elevations(request).await.unwrap().into_inner()
}

#[tokio::test]
async fn a_list_that_changes_while_it_is_paged_neither_repeats_nor_skips_what_stayed() {
    // given twelve people with an elevation each, on a broker of their own
    let broker = Broker::new();
    let ben = broker.person("ben").await;
    let mut open = Vec::new();
    for number in 1..=12 {
        let engineer = broker.person(&format!("eng{number:02}")).await;
        let id = engineer.request(repair()).await.unwrap().id;
        open.push((engineer, id));
    }
    let (mut seen, mut token, mut gone, mut late) = (Vec::new(), String::new(), BTreeSet::new(), 20);
    loop {
        // when a page is read, and between pages one thing that was seen, one that was not, and the page's last are closed
        let page = list(&ben, page(3, &token)).await;
        let ids: Vec<String> = page.elevations.into_iter().map(|elevation| elevation.id).collect();
        assert!(ids.len() <= 3);
        for closed in [ids.last().cloned(), open.first().map(|(_, id)| id.clone())].into_iter().flatten() {
            if let Some(at) = open.iter().position(|(_, id)| *id == closed) {
                let (engineer, id) = open.remove(at);
                engineer.withdraw(&id).await.unwrap();
                gone.insert(id);
            }
        }
        // and another comes
        broker.person(&format!("eng{late}")).await.request(repair()).await.unwrap();
        late += 1;
        seen.extend(ids);
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    // then each was told once at most, in order, and each that stayed was told
    let distinct: BTreeSet<&String> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len(), "{seen:?}");
    assert!(seen.windows(2).all(|two| two[0] > two[1]), "newest first: {seen:?}");
    for (_, id) in &open {
        assert!(distinct.contains(id), "{id} was skipped");
    }
    assert!(gone.len() >= 6 && !open.is_empty());
}

#[tokio::test]
async fn a_token_is_the_callers_and_the_lists_own() {
    let broker = Broker::new();
    let (ben, omar) = (broker.person("ben").await, broker.person("omar").await);
    for number in 1..=3 {
        broker.person(&format!("eng{number:02}")).await.request(repair()).await.unwrap();
    }
    let token = list(&ben, page(1, "")).await.next_page_token;
    assert_eq!(list(&ben, page(1, &token)).await.elevations.len(), 1);
    let mut forged: Vec<char> = token.chars().collect();
    let last = forged.len() - 1;
    forged[last] = if forged[last] == 'A' { 'B' } else { 'A' };
    let forged: String = forged.into_iter().collect();
    let other_filter = pb::ListElevationsRequest { states: vec![], ..page(1, &token) };
    let refusals = [
        // a made-up one, one with another end, another person's, another filter's
        (&ben, page(1, "made-up")),
        (&ben, page(1, &forged)),
        (&omar, page(1, &token)),
        (&ben, other_filter),
    ];
    for (person, request) in refusals {
        refused(person.elevations().list_elevations(request).await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    }
    let grants = pb::ListGrantsRequest {
        relation: pb::GrantRelation::Visible.into(),
        page_token: token.clone(),
        ..Default::default()
    };
    refused(ben.grants().list_grants(grants).await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
    let events = pb::ListEventsRequest { page_token: token, ..Default::default() };
    refused(ben.audit().list_events(events).await, Code::InvalidArgument, "PAGE_TOKEN_INVALID");
}

#[tokio::test]
async fn whoever_wrote_reads_it_and_a_sequence_that_is_not_there_yet_is_said_so() {
    let broker = Broker::shared();
    let engineer = broker.engineer().await;
    // when a list is to be at least at what was just written, then it is in it
    for _ in 0..5 {
        let response = engineer.elevations().request_elevation(repair()).await.unwrap().into_inner();
        let id = response.elevation.unwrap().id;
        let listed =
            list(&engineer, pb::ListElevationsRequest { min_sequence: response.sequence, ..page(0, "") }).await;
        assert_eq!(listed.elevations.iter().map(|it| &it.id).collect::<Vec<_>>(), [&id]);
        engineer.withdraw(&id).await.unwrap();
    }
    // when it is to be at what nobody has written, then the broker says that it is not there
    let far = pb::ListElevationsRequest { min_sequence: "1000000000".to_owned(), ..page(0, "") };
    refused(engineer.elevations().list_elevations(far).await, Code::Unavailable, "BEHIND_SEQUENCE");
}

#[tokio::test]
async fn the_catalogue_accounts_and_events_are_paged_the_same_way() {
    let broker = Broker::shared();
    let (engineer, omar) = (broker.engineer().await, broker.person("omar").await);
    // given the catalogue as one page
    let request = pb::ListEntitlementsRequest::default();
    let whole = engineer.elevations().list_entitlements(request).await.unwrap().into_inner();
    assert_eq!(whole.next_page_token, "");
    // when it is read one by one, then it is the same
    let (mut names, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListEntitlementsRequest { page_size: 1, page_token, ..Default::default() };
        let page = engineer.elevations().list_entitlements(request).await.unwrap().into_inner();
        names.extend(page.offers.into_iter().map(|offer| offer.entitlement.unwrap().name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let all: Vec<String> = whole.offers.into_iter().map(|offer| offer.entitlement.unwrap().name).collect();
    assert_eq!(names, all);
    assert_eq!(names.len(), 6);
    let accounts = pb::ListAccountsRequest { page_size: 500, role: "db-engineer".to_owned(), ..Default::default() };
    let accounts = omar.accounts().list_accounts(accounts).await.unwrap().into_inner().accounts;
    assert_eq!(accounts.len(), crate::organisation::ENGINEERS + 1);
    assert!(accounts.windows(2).all(|two| two[0].id < two[1].id));
}
