//! What a proposal gives and takes, by accounts: "who gains what, who loses what" (issue of guard rails, part 3).

use countersign::domain::rule::proposal::rights::difference;

use crate::world::{Organisation, POLICY, World};

/// What changes from one policy and directory to another, a line each.
fn changes(policy: &str, organisation: Organisation) -> Vec<String> {
    let (before, after) = (World::new(), World::of(policy, organisation).unwrap());
    let changed = difference(before.state.organisation(), after.state.organisation(), before.at);
    let lines = changed.iter().flat_map(|it| {
        let who = it.account.as_ref().map_or("everybody".to_owned(), ToString::to_string);
        let (gains, loses) = (it.gains.iter(), it.loses.iter());
        let gains = gains.map(|right| format!("+ {who}: {right}")).collect::<Vec<_>>();
        gains.into_iter().chain(loses.map(|right| format!("- {who}: {right}")).collect::<Vec<_>>()).collect::<Vec<_>>()
    });
    lines.collect()
}

fn of_policy(from: &str, to: &str) -> Vec<String> {
    assert!(POLICY.contains(from), "{from}");
    changes(&POLICY.replacen(from, to, 1), Organisation::example())
}

fn of_directory(change: impl FnOnce(&mut Organisation)) -> Vec<String> {
    let mut organisation = Organisation::example();
    change(&mut organisation);
    changes(POLICY, organisation)
}

#[test]
fn the_same_gives_and_takes_nothing() {
    assert_eq!(changes(POLICY, Organisation::example()), Vec::<String>::new());
}

#[test]
fn a_policy_says_who_may_ask_approve_and_use_what() {
    // an approving role more
    assert_eq!(
        of_policy(
            "approval = [{ by = [\"commander\"], count = 1 }]\n\n[entitlements.critical]",
            "approval = [{ by = [\"commander\", \"security\"], count = 1 }]\n\n[entitlements.critical]"
        ),
        [
            "+ ana: wider terms of `repair`",
            "- ana: wider terms of `repair`",
            "+ dan: wider terms of `repair`",
            "- dan: wider terms of `repair`",
            "+ eve: approve `repair`",
            "+ sam: approve `repair`"
        ]
    );
    // a longer time
    assert_eq!(
        of_policy("max_duration = \"1h\"\nmax_continuous", "max_duration = \"2h\"\nmax_continuous"),
        ["+ ana: wider terms of `repair`", "+ dan: wider terms of `repair`"]
    );
    // and the same after a shorter break, while a longer one, and a cap where there was none, give nothing
    let cap = "max_continuous = \"2h\"";
    assert_eq!(
        of_policy(cap, "max_continuous = \"2h\"\nmin_break = \"1m\""),
        ["+ ana: wider terms of `repair`", "+ dan: wider terms of `repair`"]
    );
    assert_eq!(
        of_policy(cap, "max_continuous = \"2h\"\nmin_break = \"2h\""),
        ["- ana: wider terms of `repair`", "- dan: wider terms of `repair`"]
    );
    let uncapped = "start_within = \"7d\"\napproval = [{ by = [\"commander\"]";
    assert_eq!(
        of_policy(uncapped, &format!("max_continuous = \"2h\"\n{uncapped}")),
        ["- ana: wider terms of `maintenance`", "- dan: wider terms of `maintenance`"]
    );
    // and a shorter one, a requirement less, and a capability more, narrowed
    assert_eq!(
        of_policy("max_duration = \"1h\"\nmax_continuous", "max_duration = \"30m\"\nmax_continuous"),
        ["- ana: wider terms of `repair`", "- dan: wider terms of `repair`"]
    );
    assert_eq!(
        of_policy("[roles.security]\nrequires = [\"training\"]", "[roles.security]"),
        ["+ eve: do without `training`", "+ sam: do without `training`"]
    );
    assert_eq!(
        of_policy(
            "capabilities = [\"audit.read\"]",
            "capabilities = [{ name = \"audit.read\", resources = [\"prod/**\"] }]"
        ),
        ["+ aud: use `audit.read` of prod/**", "- aud: use `audit.read`"]
    );
    // and what is everybody's
    assert_eq!(
        of_policy("resources = [\"status/**\"] }]", "resources = [\"status/**\", \"wiki/**\"] }]"),
        ["+ everybody: without a grant: metadata.read on wiki/**"]
    );
    assert_eq!(of_policy("valid_for = \"180d\"", "valid_for = \"365d\""), ["+ everybody: a longer `dba`"]);
}

#[test]
fn a_directory_says_who_is_in_what_and_answers_for_whom() {
    assert_eq!(of_directory(|it| it.join("aud", "revoker")), ["+ aud: use `grant.revoke`"]);
    let lost = of_directory(|it| it.leave("ben", "commander"));
    assert!(
        lost.contains(&"- ben: approve `repair`".to_owned()) && lost.iter().all(|line| line.starts_with("- ben")),
        "{lost:?}"
    );
    assert_eq!(
        of_directory(|it| it.people.get_mut("ana").unwrap().manager = Some("omar".into())),
        ["- ines: answer for `ana`", "+ omar: answer for `ana`"]
    );
    // who is disabled has nothing, and a certificate is a right
    let disabled = of_directory(|it| it.accounts.get_mut("rex").unwrap().disabled = Some("away".into()));
    assert!(disabled.contains(&"- rex: use `grant.revoke`".to_owned()), "{disabled:?}");
    let other = of_directory(|it| {
        it.accounts.get_mut("rex").unwrap().identities.insert("spiffe://northwind.example/rex2".into());
    });
    assert_eq!(other, ["+ rex: be `spiffe://northwind.example/rex2`"]);
}
