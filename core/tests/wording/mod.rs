//! How a finding's sentences may not read, whatever they say. Text in, faults out: the rules' own cases use it, too.

use std::net::Ipv6Addr;

/// The sentences of one finding.
pub(crate) struct Wording<'a> {
    /// The sentence that stands on its card.
    pub(crate) sentence: &'a str,
    /// What argues for it: reasons, certainty, rival, questions.
    pub(crate) rest: Vec<&'a str>,
    /// How many times it was seen, which stands on the card, too.
    pub(crate) count: u64,
}

impl Wording<'_> {
    /// What is wrong with it.
    pub(crate) fn faults(&self) -> Vec<String> {
        let all = || std::iter::once(self.sentence).chain(self.rest.iter().copied());
        let mut faults = Vec::new();
        for text in all() {
            if text.matches('`').count() % 2 == 1 {
                faults.push(format!("a backtick without its partner: {text}"));
            }
            for word in text.split([' ', '`', '[', ']', '/', '(', ')']).map(|word| word.trim_end_matches(['.', ',', ';', ':'])) {
                if word.parse::<Ipv6Addr>().is_ok() && word.contains(|c: char| c.is_ascii_uppercase()) {
                    faults.push(format!("an address with a capital letter, {word}: {text}"));
                }
            }
        }
        // What stands as code and is longer than a name or an option is told once.
        let mut quoted: Vec<&str> =
            all().flat_map(|text| text.split('`').skip(1).step_by(2)).filter(|code| code.len() > 24).collect();
        quoted.sort_unstable();
        faults
            .extend(quoted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| format!("twice in one finding: {}", pair[0])));
        if self.count > 1 && !numbers(self.sentence).contains(&self.count) {
            faults.push(format!("× {} on its card, and another number in its sentence: {}", self.count, self.sentence));
        }
        faults
    }
}

/// The whole numbers in a text; 1,024 is one.
fn numbers(text: &str) -> Vec<u64> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != ',' && c != '.').map(|word| word.replace(',', ""));
    words.filter_map(|word| word.trim_end_matches('.').parse().ok()).collect()
}

#[test]
fn faults_are_seen() {
    let of = |sentence: &str, rest: &[&str], count| Wording { sentence, rest: rest.to_vec(), count }.faults().len();
    assert_eq!(of("Fd77:2::1 sent 2 packets.", &[], 2), 1);
    assert_eq!(of("fd77:2::1 sent 2 packets.", &["`ss -lnt"], 2), 1);
    assert_eq!(of("3 of 1,024 packets were lost.", &[], 2), 1);
    let rule = "`-A INPUT -p tcp -m tcp --dport 80 -j DROP`";
    assert_eq!(of(&format!("It dropped 2 packets: {rule}."), &[&format!("The hits of {rule} rose.")], 2), 1);
    assert_eq!(of("fd77:2::1 lost 3 of 1,024 packets.", &["`ss -lnt` shows it."], 1_024), 0);
}
