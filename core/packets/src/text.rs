//! Characters that must not reach a reader as they are: what a terminal obeys, and what shows text in another order than it has.

/// Whether a terminal, a browser or an editor acts on this character instead of showing it: control characters (C0, DEL, C1), line
/// and paragraph separators, bidirectional controls and the other format characters without a glyph (Unicode categories Cc, Zl, Zp, Cf).
pub fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_obeyed_instead_of_shown_is_known() {
        for c in "\u{1b}\u{7}\r\n\t\0\u{7f}\u{9b}\u{85}\u{202e}\u{2066}\u{200f}\u{2028}\u{feff}\u{e0041}".chars() {
            assert!(is_control(c), "{c:?}");
        }
        for c in "aZ0 ;'\"`<>&|äß中文кא–…▲→".chars() {
            assert!(!is_control(c), "{c:?}");
        }
    }
}
