use proptest::prelude::*;

use super::*;

fn account() -> impl Strategy<Value = Change> {
    let name = "[a-z]{1,8}";
    (name, any::<[bool; 2]>(), 0..9_i64, 0..9_i64, prop::collection::btree_set("[a-z]{1,4}", 0..3), patterns(0))
        .prop_map(|(id, [active, locked], baseline, checks, logins, audience)| {
            let identity = |login| format!("spiffe://northwind.example/person/{login}").parse().unwrap();
            Change::Account(AccountEntry {
                id: id.parse().unwrap(),
                identities: logins.into_iter().map(identity).collect(),
                active,
                locked,
                baseline_until: Timestamp::from_millis(baseline).unwrap(),
                audience,
                checks_until: Timestamp::from_millis(checks).unwrap(),
            })
        })
}

fn patterns(least: usize) -> impl Strategy<Value = BTreeSet<crate::domain::value::scope::Pattern>> {
    let text = prop::sample::select(vec!["**", "a/**", "a/b", "a-b/**", "*/b", "tenants/x/**", "a/*/c", "*"]);
    prop::collection::btree_set(text.prop_map(|text| text.parse().unwrap()), least..4)
}

fn scope() -> impl Strategy<Value = Scope> {
    (prop::collection::btree_set("[a-z]{1,3}(\\.[a-z-]{1,3})?", 1..4), patterns(1)).prop_map(|(actions, resources)| {
        Scope::new(actions.iter().map(|action| action.parse().unwrap()).collect(), resources).unwrap()
    })
}

fn change() -> impl Strategy<Value = Change> {
    let grant = ("[a-z]{1,8}", any::<u128>(), scope(), 0..9_i64, any::<[bool; 2]>());
    prop_oneof![
        account(),
        grant.prop_map(|(holder, id, scope, end, [started, locked])| Change::Grant(GrantEntry {
            id: Uuid::from_u128(id).into(),
            holder: holder.parse().unwrap(),
            scope,
            end: Timestamp::from_millis(end).unwrap(),
            started,
            locked,
        })),
        patterns(0).prop_map(Change::Locked),
        prop::collection::vec(scope(), 0..3).prop_map(Change::Baseline),
        "[a-z]{1,8}".prop_map(|id| Change::AccountGone(id.parse().unwrap())),
        ("[a-z]{1,8}", any::<u128>()).prop_map(|(holder, id)| Change::GrantGone {
            holder: holder.parse().unwrap(),
            id: Uuid::from_u128(id).into()
        }),
    ]
}

fn text_of(changes: &[Change]) -> Vec<u8> {
    let mut text = Vec::new();
    changes.iter().for_each(|change| change.put(&mut text));
    text
}

proptest! {
    #[test]
    fn what_was_put_is_read(changes in prop::collection::vec(change(), 0..5)) {
        let read: Result<Vec<_>, _> = read_changes(&text_of(&changes)).collect();
        prop_assert_eq!(read, Ok(changes));
    }

    #[test]
    fn bytes_that_are_read_are_the_one_form_of_what_they_say(change in change(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        // given an entry with one byte altered
        let mut text = text_of(&[change]);
        let at = at.index(text.len());
        text[at] = byte;
        // then it is refused, or says exactly what those bytes say
        if let Ok(read) = read_changes(&text).collect::<Result<Vec<_>, _>>() {
            prop_assert_eq!(text_of(&read), text);
        }
    }

    #[test]
    fn what_is_cut_short_is_refused(change in change(), at in any::<prop::sample::Index>()) {
        let text = text_of(&[change]);
        let cut = &text[..at.index(text.len())];
        prop_assert!(cut.is_empty() || read_changes(cut).any(|read| read.is_err()));
    }

    #[test]
    fn any_bytes_are_refused_or_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_changes(&bytes).count();
    }
}
