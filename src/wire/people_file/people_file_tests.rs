use super::*;

fn read(format: PeopleFormat, text: &str) -> BTreeMap<PersonId, ImportedPerson> {
    parse_people(format, text).unwrap()
}

fn mistakes(format: PeopleFormat, text: &str) -> Vec<String> {
    parse_people(format, text).unwrap_err().iter().map(ToString::to_string).collect()
}

fn json(text: &str) -> Vec<String> {
    mistakes(PeopleFormat::JsonLines, text)
}

fn csv(rows: &str) -> Vec<String> {
    mistakes(PeopleFormat::Csv, &format!("person,manager,login,last_day\n{rows}"))
}

#[track_caller]
fn one(mistakes: &[String], begins: &str, says: &str) {
    assert_eq!(mistakes.len(), 1, "{mistakes:#?}");
    assert!(mistakes[0].starts_with(begins) && mistakes[0].contains(says), "{mistakes:#?}");
}

#[test]
fn both_formats_say_the_same_people() {
    let json = r#"{"person":"ana","manager":"bob","login":["spiffe://n.example/person/ana","spiffe://n.example/ana"]}
{"person":"bob","manager":null,"last_day":"2027-01-31"}

{"person":"cleo","login":[],"last_day":"2027-01-31T18:00:00+02:00"}
"#;
    let csv = "person,manager,login,last_day\n\
               ana,bob,spiffe://n.example/person/ana  spiffe://n.example/ana,\n\
               bob,,,2027-01-31\ncleo,,,2027-01-31T18:00:00+02:00\n";
    let people = read(PeopleFormat::JsonLines, json);
    assert_eq!(read(PeopleFormat::Csv, csv), people);
    let person = |id: &str| &people[id];
    assert_eq!(person("ana").manager.as_ref().unwrap().as_str(), "bob");
    assert_eq!(person("ana").login.len(), 2);
    // The end of the day in UTC; an instant counts with its offset.
    assert_eq!(person("bob").leaves_at.unwrap().to_string(), "2027-02-01T00:00:00.000Z");
    assert_eq!(person("cleo").leaves_at.unwrap().to_string(), "2027-01-31T16:00:00.000Z");
}

#[test]
fn a_table_may_have_a_byte_order_mark_crlf_quotes_and_its_columns_in_another_order() {
    let text =
        "\u{feff}login,\"person\",last_day,manager\r\n\"spiffe://n.example/a\",\"ana\",\"\",\"bob\"\r\n,bob,,\r\n";
    let people = read(PeopleFormat::Csv, text);
    assert_eq!(people["ana"].manager.as_ref().unwrap().as_str(), "bob");
    assert_eq!(people["ana"].login.first().unwrap().as_str(), "spiffe://n.example/a");
    assert!(people.contains_key("bob"));
    let text = "\u{feff}{\"person\":\"ana\"}\r\n\r\n{\"person\":\"bob\"}\r\n";
    assert_eq!(read(PeopleFormat::JsonLines, text).len(), 2);
    // and lines are counted as an editor counts them
    one(
        &mistakes(PeopleFormat::Csv, "person,manager,login,last_day\r\n\r\nana,,,\r\nBob,,,\r\n"),
        "line 4: `person`",
        "`Bob`",
    );
}

#[test]
fn of_40_001_lines_the_40_000th_is_named() {
    let mut lines: Vec<String> = (1..=40_001).map(|n| format!("{{\"person\":\"p{n}\",\"manager\":\"p1x\"}}")).collect();
    assert_eq!(read(PeopleFormat::JsonLines, &lines.join("\n")).len(), 40_001);
    lines[39_999] = "{\"person\":\"P 40000\"}".to_owned();
    one(&json(&lines.join("\n")), "line 40000: `person`: found `P 40000`", "a person's id");
    // the header is the first line of a table
    let mut rows: Vec<String> = (2..=40_001).map(|n| format!("p{n},,spiffe://n.example/p{n},\r")).collect();
    rows[39_998] = "p40000,,http://n.example/p40000,\r".to_owned();
    one(&csv(&rows.join("\n")), "line 40000: `login`: found `http://n.example/p40000`", "a SPIFFE ID");
}

#[test]
fn every_mistake_of_every_line_is_told_at_once() {
    let found = json(
        "{\"person\":\"Ana\",\"manager\":\"b b\",\"login\":[\"ana@n.example\",7],\"last_day\":\"31.1.2027\"}\n\
         {\"person\":\"bob\",\"mangaer\":\"cleo\",\"person\":\"dana\"}\n{\"manager\":\"bob\"}\n[\"eve\"]\n{\"person\":\"fay\"",
    );
    let begins = [
        "line 1: `last_day`: found `31.1.2027`",
        "line 1: `login`: found `ana@n.example`",
        "line 1: `login`: found a number",
        "line 1: `manager`: found `b b`",
        "line 1: `person`: found `Ana`",
        "line 2: `mangaer`: found an unknown key; wanted `manager`?",
        "line 2: `person`: found a second time",
        "line 3: `person`: found nothing",
        "line 4: found `[\\\"eve\\\"]`",
        "line 5: found `{\\\"person\\\":\\\"fay\\\"`",
    ];
    assert_eq!(found.len(), begins.len(), "{found:#?}");
    for (found, begins) in found.iter().zip(begins) {
        assert!(found.starts_with(begins), "{found}\n{begins}");
    }
}

#[test]
fn a_person_or_a_login_of_two_lines_is_a_mistake_that_names_both() {
    one(&json("{\"person\":\"ana\"}\n{\"person\":\"bob\"}\n{\"person\":\"ana\"}"), "line 3: `person`", "after line 1");
    let login = "[\"spiffe://n.example/x\"]";
    let text = format!("{{\"person\":\"ana\",\"login\":{login}}}\n{{\"person\":\"bob\",\"login\":{login}}}");
    one(&json(&text), "line 2: `login`", "which `ana` has in line 1");
    one(&csv("ana,,spiffe://n.example/x spiffe://n.example/x,"), "line 2: `login`", "a second time");
    one(&csv("ana,ana,,"), "line 2: `manager`", "of the same person");
    let many: Vec<String> = (0..9).map(|n| format!("spiffe://n.example/x{n}")).collect();
    one(&csv(&format!("ana,,{},", many.join(" "))), "line 2: `login`", "9 identities");
}

#[test]
fn days_that_are_none_or_tell_no_offset_are_mistakes() {
    for day in ["2027-02-29", "2027-01-31T18:00:00", "2027-1-31", "+2027-01-3", "9999-12-31", "1969-12-31", "soon", " "]
    {
        one(&csv(&format!("ana,,,{day}")), "line 2: `last_day`", "offset");
        one(&json(&format!("{{\"person\":\"ana\",\"last_day\":\"{day}\"}}")), "line 1: `last_day`", "offset");
    }
    one(&json("{\"person\":\"ana\",\"last_day\":20270131}"), "line 1: `last_day`", "found a number");
}

#[test]
fn a_header_names_every_column_once() {
    let header = |text: &str| mistakes(PeopleFormat::Csv, &format!("{text}\nana,,,\n"));
    one(&header("person,manager,login"), "line 1: `last_day`", "no such column");
    one(&header("person,manager,login,last_day,title"), "line 1: `title`", "an unknown column");
    one(&header("person,manager,login,last_day,login"), "line 1: `login`", "a second time");
    assert_eq!(header("person,manager,logins,last_day").len(), 2, "one unknown, one missing");
    assert_eq!(header("ana,bob,,").len(), 8, "no header at all");
    one(&csv("ana,,"), "line 2: ", "3 fields");
    one(&csv("ana,,,,"), "line 2: ", "5 fields");
}

#[test]
fn a_quote_that_is_not_closed_swallows_nobody() {
    let found = csv("ana,\"bob,,\nbob,,,\nCleo,,,\n");
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("line 2: ") && found[0].contains("quoted whole"), "{found:#?}");
    assert!(found[1].starts_with("line 4: `person`"), "{found:#?}");
    for row in ["\"ana\"x,,,", "a\"na,,,", "ana,,,\"", "\"ana\" ,,,"] {
        one(&csv(row), "line 2: ", "quoted whole");
    }
    // a doubled quote is well quoted, and no part of an id
    one(&csv("\"a\"\"na\",,,"), "line 2: `person`", "a person's id");
}

#[test]
fn control_characters_and_lines_without_end_are_refused() {
    one(&csv("ana\0,,,"), "line 2: ", "`\\0`");
    one(&csv("ana,,,\rbob,,,"), "line 2: ", "`\\r`");
    one(&json("{\"person\":\"ana\0\"}"), "line 1: ", "`\\0`");
    one(&json("{\"person\":\"ana\\u0000\"}"), "line 1: `person`", "a person's id");
    let long = format!("{{\"person\":\"ana\",\"manager\":\"{}\"}}", "x".repeat(LONGEST_LINE_BYTES));
    one(&json(&long), "line 1: ", "at most 16384 bytes a line");
    one(&json(&format!("{{\"person\":{}", "[".repeat(10_000))), "line 1: ", "one JSON object");
    let large = "\n".repeat(LONGEST_PEOPLE_BYTES + 1);
    one(&json(&large), "found a file of", "at most 16777216 bytes");
}

#[test]
fn a_file_that_names_nobody_is_a_mistake() {
    for text in ["", "\u{feff}", "\n\n", "person,manager,login,last_day\n"] {
        let csv = mistakes(PeopleFormat::Csv, text);
        one(&csv, "found nobody", "at least one person");
    }
    for text in ["", "\u{feff}\r\n", " \n\t\n"] {
        one(&json(text), "found nobody", "at least one person");
    }
}

#[test]
fn at_most_500_mistakes_are_told() {
    let found = json(&"{\"person\":\"X\"}\n".repeat(2_000));
    assert_eq!(found.len(), MOST_MISTAKES);
    assert!(found[499].starts_with("line 500: "));
}

proptest::proptest! {
    #[test]
    fn whatever_is_read_is_a_person_or_a_mistake_with_its_line(
        text in "(\\PC|[\"{}\\[\\],:\n\r\0]|person|manager|login|last_day|ana|2027-01-31){0,60}",
        csv in proptest::bool::ANY,
    ) {
        let (format, header) =
            if csv { (PeopleFormat::Csv, "person,manager,login,last_day\n") } else { (PeopleFormat::JsonLines, "") };
        match parse_people(format, &format!("{header}{text}")) {
            Ok(people) => assert!(!people.is_empty()),
            Err(mistakes) => {
                assert!(!mistakes.is_empty());
                // what follows a mistake on the next line is still read
                let more = parse_people(format, &format!("{header}{text}\nP,,,\n"));
                assert!(more.unwrap_err().len() >= mistakes.len().min(2));
            }
        }
    }
}
