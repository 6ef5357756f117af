//! Mistakes in a file, a line each, as editors read them.

use crate::wire::v1::Mistake;

/// `policy.toml:12:5: error: `key`: found …; wanted …`, as editors read it.
#[must_use]
pub fn mistake_lines(name: &str, level: &str, mistakes: &[Mistake]) -> String {
    mistakes
        .iter()
        .map(|mistake| {
            let place = match (mistake.line, mistake.column) {
                (0, _) => String::new(),
                (line, 0) => format!("{line}:"),
                (line, column) => format!("{line}:{column}:"),
            };
            let path = if mistake.path.is_empty() { String::new() } else { format!("`{}`: ", mistake.path) };
            let wanted = if mistake.wanted.is_empty() { String::new() } else { format!("; wanted {}", mistake.wanted) };
            format!("{name}:{place} {level}: {path}{}{wanted}\n", mistake.text)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_has_its_place() {
        let mistake = |line, column, path: &str| Mistake {
            line,
            column,
            path: path.into(),
            text: "found `15x`".into(),
            wanted: "a duration".into(),
        };
        let mistakes = [mistake(3, 5, "entitlements.a.max_duration"), mistake(4, 0, "b"), mistake(0, 0, "")];
        insta::assert_snapshot!(mistake_lines("policy.toml", "error", &mistakes), @r#"
        policy.toml:3:5: error: `entitlements.a.max_duration`: found `15x`; wanted a duration
        policy.toml:4: error: `b`: found `15x`; wanted a duration
        policy.toml: error: found `15x`; wanted a duration
        "#);
    }
}
