//! Files of people on the command line, as spreadsheets, scripts and broken transfers leave them: read exactly, or refused
//! with the line, and nothing applied (known failures B4, B8 and F8).

use countersign::wire::v1 as pb;

use crate::harness::{Broker, Ended, run};
use crate::hr_feed::{Line, csv, everybody, json_lines};
use crate::organisation::identity;
use crate::person::millis;

fn import(broker: &Broker, name: &str, content: &[u8], more: &[&str]) -> Ended {
    let path = broker.organisation.path(name);
    std::fs::write(&path, content).unwrap();
    let words = ["hr", "import", path.to_str().unwrap(), "--stream", "people", "--number", "1"];
    run(&mut broker.command("hr-sync", &[&words, more].concat()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_as_a_spreadsheet_saves_it_says_what_it_says() {
    let broker = Broker::new();
    let mut people = everybody();
    people.push(("new".into(), "ben".into(), identity("new")));
    // given a mark before it, lines that end twice, quotes, the columns in another order, and a last day
    let lines = people.iter().map(|(id, manager, login)| {
        let last_day = if id == "eng03" { "2099-12-31" } else { "" };
        format!("\"{login}\",{last_day},\"{id}\",\"{manager}\"\r\n")
    });
    let text = format!("\u{feff}login,\"last_day\",person,manager\r\n{}", lines.collect::<String>());
    let done = import(&broker, "people.csv", text.as_bytes(), &[]);
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    assert!(done.stdout.contains("2 to apply, 0 to hold"), "{}", done.stdout);
    // then who leaves on the last day of a year works on that day, in UTC
    let person = broker.person("eng03").await.whoami().await.person.unwrap();
    assert_eq!(millis(person.employment_end_time.as_ref()), 4_102_444_800_000);
    assert_eq!(broker.person("new").await.whoami().await.person.unwrap().manager, "ben");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_wrong_is_refused_with_its_line_and_nothing_is_applied() {
    let broker = Broker::new();
    let omar = broker.person("omar").await;
    let people = everybody();
    let (table, lines) = (csv(&people), json_lines(&people));
    let with = |change: fn(&mut Vec<Line>)| {
        let mut people = people.clone();
        change(&mut people);
        csv(&people)
    };
    let many: String = (0..40_001)
        .map(|number| {
            let day = if number == 39_999 { "2027-02-30" } else { "" };
            format!("p{number:05},,,{day}\n")
        })
        .collect();
    let many = format!("person,manager,login,last_day\n{many}");
    let cut = |text: &str| text[..text.len() - 20].to_owned();
    let rows: Vec<(&str, String, &[&str])> = vec![
        ("a.csv", String::new(), &["nobody"]),
        ("a.jsonl", "\n\n".to_owned(), &["nobody"]),
        ("a.csv", "person,manager,login,last_day\n".to_owned(), &["nobody"]),
        // a transfer that broke off
        ("a.csv", cut(&table), &["a.csv:69:"]),
        ("a.jsonl", cut(&lines), &["a.jsonl:68:"]),
        ("a.csv", many, &["a.csv:40001:", "2027-02-30"]),
        ("a.csv", table.replacen("manager", "boss", 1), &["a.csv:1:", "boss"]),
        ("a.csv", table.replacen("login,", "", 1), &["a.csv:1:", "login"]),
        ("a.csv", table.replacen("last_day\n", "last_day,team\n", 1), &["a.csv:1:", "team"]),
        ("a.csv", table.replacen("eng07,ines", "eng07;ines", 1), &["a.csv:16:"]),
        ("a.csv", table.replacen("eng07,", "\"eng07,", 1), &["a.csv:16:"]),
        ("a.csv", table.replacen("eng07,", "Eng07,", 1), &["a.csv:16:", "Eng07"]),
        ("a.csv", table.replacen("eng07,", "eng07 ,", 1), &["a.csv:16:"]),
        ("a.csv", table.replacen("eng07,", "eng08,", 1), &["eng08"]),
        ("a.csv", with(|it| it[10].2 = identity("eng01")), &["a.csv:12:", "eng01"]),
        ("a.csv", with(|it| it[3].1 = "ana".into()), &["circle"]),
        ("a.csv", with(|it| it[0].1 = "ana".into()), &["a.csv:2:", "ana"]),
        ("a.csv", with(|it| it[0].1 = "nemo".into()), &["nemo"]),
        ("a.jsonl", lines.replacen("\"person\":\"ben\"", "\"person\":\"ben\",\"person\":\"ben\"", 1), &["a.jsonl:2:"]),
        ("a.jsonl", format!("[{lines}]"), &["a.jsonl:1:"]),
        ("a.jsonl", table.clone(), &["a.jsonl:1:"]),
        ("a.csv", lines.clone(), &["a.csv:1:"]),
    ];
    let before = omar.events(pb::ListEventsRequest::default()).await;
    for (number, (name, text, says)) in rows.into_iter().enumerate() {
        for more in [&["--dry-run"][..], &[]] {
            let ended = import(&broker, name, text.as_bytes(), more);
            let told = format!("{}{}", ended.stdout, ended.stderr);
            assert_eq!(ended.code, Some(1), "row {number}: {told}");
            assert!(says.iter().all(|word| told.contains(word)), "row {number}: {says:?}: {told}");
            assert!(told.contains("nothing was changed"), "row {number}: {told}");
        }
    }
    // what is not text is told by its line too
    let mut bytes = table.clone().into_bytes();
    let at = table.find("eng07").unwrap();
    bytes[at] = 0xff;
    let ended = import(&broker, "a.csv", &bytes, &[]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stdout.contains("a.csv:16:"), "{}{}", ended.stdout, ended.stderr);
    // then nobody was touched
    let after = omar.events(pb::ListEventsRequest::default()).await;
    let refused_only = |it: &&pb::Event| !before.contains(it) && !it.kind.starts_with("command-refused");
    assert_eq!(after.iter().filter(refused_only).count(), 0, "{after:?}");
    // and what somebody or something has already is no mistake of the file: that one is set aside, and named
    let taken = with(|it| it[21].2 = identity("orders-api"));
    let ended = import(&broker, "a.csv", taken.as_bytes(), &[]);
    let told = format!("{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.code, Some(0), "{told}");
    assert!(["eng14", "account:orders-api", "IDENTITY_TAKEN"].iter().all(|word| told.contains(word)), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_file_is_named_and_fifty_thousand_people_are_shorter() {
    let broker = Broker::new();
    // given a file over the limit, in either form
    let long = "a".repeat(300) + "\n";
    for (name, begin) in [("a.csv", "person,manager,login,last_day\n"), ("a.jsonl", "")] {
        let text = format!("{begin}{}", long.repeat(16 * 1024 * 1024 / long.len() + 1));
        let ended = import(&broker, name, text.as_bytes(), &[]);
        // then the limit is named, and what to do
        assert_eq!(ended.code, Some(2), "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains("16777216 bytes"), "{}", ended.stderr);
    }
    // fifty thousand with long names are no such file: each form of it is read, and what it would do is told
    let logins = |number: usize| format!("spiffe://northwind.example/person/of.the.northern.division/p{number:05}");
    let people = (0..50_000).map(|number| (format!("p{number:05}"), "omar".to_owned(), logins(number)));
    let all: Vec<_> = everybody().into_iter().chain(people).collect();
    for (name, text) in [("a.csv", csv(&all)), ("a.jsonl", json_lines(&all))] {
        let ended = import(&broker, name, text.as_bytes(), &["--dry-run", "--timeout", "120s"]);
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stdout.contains("0 to apply, 50000 to hold"), "{}", ended.stdout);
    }
}
