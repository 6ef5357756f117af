//! Characters that could deceive whoever reads a text (known failure D2).

/// Whether a character is invisible, or changes the order in which others are shown.
#[must_use]
pub fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Whether it has no place in a file of policy or directory, which somebody approves by reading it. Line ends and tabs have,
/// and what joins the letters of some scripts.
#[must_use]
pub fn deceives_in_a_file(character: char) -> bool {
    !matches!(character, '\n' | '\r' | '\t' | '\u{200c}' | '\u{200d}') && is_deceptive(character)
}
