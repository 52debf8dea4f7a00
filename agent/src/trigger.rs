//! Triggers: what has to happen for the minutes around it to be kept.
//!
//! One language for all of them, as `--trigger` takes it:
//!
//! | expression | happens when |
//! |---|---|
//! | `nstat.TcpExtListenDrops>10/s` | a counter grows faster than that |
//! | `conntrack.count>200000` | a counter stands higher than that |
//! | `rule:--dport 443 -j DROP` | a firewall rule with these words, or this id, is hit; `>N/s` as above |
//! | `drop:NETFILTER_DROP` | the kernel drops a packet for this reason; `>N/s` as above |
//! | `finding:firewall_drop`, `finding:critical` | Dropscope finds something by this rule, or of this severity or worse |
//!
//! Counters are judged as they are read, once a second, on their way into the log; each fires when it passes its bound and again
//! only after it was below. Findings come from the engine, which reads the log behind the recorder ([`crate::finding_watch`]).

use crate::check::{Alarm, alarm};
use crate::source::Sample;
use crate::source::sample::{Name, Reading};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Counters that were not read for so long are forgotten when there are many: sockets come and go.
const FORGET_AFTER_NS: i64 = 180_000_000_000;
const MANY: usize = 10_000;
/// How many names an error suggests.
const NEAREST: usize = 3;

/// What `--trigger --help` and a wrong expression say.
const SYNTAX: &str =
    "a trigger is COUNTER>N/s, COUNTER>N, rule:WORDS, drop:REASON (both also with >N/s) or finding:RULE|SEVERITY";

/// One trigger.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trigger {
    /// As it was written.
    pub(crate) text: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq)]
enum What {
    Counter { key: String, of: Of, above: Above },
    Finding(Alarm),
}

/// Which of the counters of a key.
#[derive(Clone, Debug, PartialEq)]
enum Of {
    All,
    /// Those of firewall rules with these words in their text, or with this id.
    Rule(String),
    /// Those of kernel drops with this reason.
    Reason(String),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Above {
    Level(f64),
    PerSecond(f64),
}

/// A trigger that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fired {
    /// The trigger as it was written.
    pub(crate) trigger: String,
    /// What happened, as a clause: `nstat.TcpExtListenDrops grew by 35 in 1.0 s`.
    pub(crate) what: String,
}

impl std::str::FromStr for Trigger {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bounded = |text: &str| match text.rsplit_once('>') {
            Some((head, bound)) => above(bound).map(|above| (head.trim().to_owned(), Some(above))),
            None => Some((text.trim().to_owned(), None)),
        };
        let wrong = || format!("`{text}` is no trigger: {SYNTAX}");
        let any = Above::PerSecond(0.0);
        let what = if let Some(name) = text.strip_prefix("finding:") {
            What::Finding(alarm(name.trim())?)
        } else if let Some(words) = text.strip_prefix("rule:") {
            // A rule's text may hold a `>` of its own; then it is no bound.
            let (words, above) = bounded(words).unwrap_or_else(|| (words.trim().to_owned(), None));
            What::Counter { key: "firewall.rule.packets".into(), of: Of::Rule(words), above: above.unwrap_or(any) }
        } else if let Some(reason) = text.strip_prefix("drop:") {
            let (reason, above) = bounded(reason).ok_or_else(wrong)?;
            What::Counter { key: "drop.count".into(), of: Of::Reason(reason.to_uppercase()), above: above.unwrap_or(any) }
        } else {
            let (key, Some(above)) = bounded(text).ok_or_else(wrong)? else { return Err(wrong()) };
            What::Counter { key, of: Of::All, above }
        };
        let is_empty = match &what {
            What::Counter { key, of: Of::All, .. } => key.is_empty(),
            What::Counter { of: Of::Rule(words) | Of::Reason(words), .. } => words.is_empty(),
            What::Finding(_) => false,
        };
        if is_empty { Err(wrong()) } else { Ok(Self { text: text.to_owned(), what }) }
    }
}

/// `10/s` or `200000`.
fn above(text: &str) -> Option<Above> {
    let (number, per_second) = match text.trim().strip_suffix("/s") {
        Some(number) => (number, true),
        None => (text, false),
    };
    let number = number.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)?;
    Some(if per_second { Above::PerSecond(number) } else { Above::Level(number) })
}

impl Trigger {
    /// The counter it watches, if it names one outright.
    pub(crate) fn counter(&self) -> Option<&str> {
        match &self.what {
            What::Counter { key, of: Of::All, .. } => Some(key),
            _ => None,
        }
    }

    /// What has to be found, for a trigger by finding.
    pub(crate) fn finding(&self) -> Option<&Alarm> {
        match &self.what {
            What::Finding(alarm) => Some(alarm),
            What::Counter { .. } => None,
        }
    }
}

/// What is wrong with a trigger whose counter is none of `known`, with the nearest there are. Counters that appear only when
/// there is something to count are let pass.
pub(crate) fn unknown_counter(trigger: &Trigger, known: &BTreeSet<String>) -> Option<String> {
    const MAY_COME: [&str; 7] = ["firewall.", "ethtool.", "socket.", "drop.", "qdisc.", "conntrack.", "capture."];
    let key = trigger.counter()?;
    if known.contains(key) || MAY_COME.iter().any(|family| key.starts_with(family)) {
        return None;
    }
    let mut nearest: Vec<(usize, &String)> = known.iter().map(|name| (distance(key, name), name)).collect();
    nearest.sort();
    let names: Vec<&str> = nearest.iter().take(NEAREST).map(|(_, name)| name.as_str()).collect();
    Some(format!(
        "--trigger {}: there is no counter {key}; the nearest of the {} there are: {} (FORMAT.md lists the families)",
        trigger.text,
        known.len(),
        names.join(", ")
    ))
}

/// How many single letters have to change, without regard to case (Levenshtein); a name of which only the end is right is near.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    if b.ends_with(a.rsplit('.').next().unwrap_or(&a)) {
        return 0;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, one) in a.bytes().enumerate() {
        let mut before = std::mem::replace(&mut row[0], i + 1);
        for (j, other) in b.bytes().enumerate() {
            let here = (before + usize::from(one != other)).min(row[j] + 1).min(row[j + 1] + 1);
            before = std::mem::replace(&mut row[j + 1], here);
        }
    }
    row[b.len()]
}

/// The triggers on counters, with what they remember.
#[derive(Debug, Default)]
pub(crate) struct CounterTriggers {
    triggers: Vec<Trigger>,
    /// For each trigger the counters it watches.
    known: Vec<HashMap<Name, Known>>,
    /// For each trigger the ids of the rules it means.
    rules: Vec<HashSet<Arc<str>>>,
}

#[derive(Debug)]
struct Known {
    at_ns: i64,
    value: u64,
    is_above: bool,
}

impl CounterTriggers {
    /// Those of these triggers that are on counters.
    pub(crate) fn of(triggers: &[Trigger]) -> Self {
        let triggers: Vec<Trigger> = triggers.iter().filter(|trigger| trigger.finding().is_none()).cloned().collect();
        let count = triggers.len();
        Self {
            triggers,
            known: std::iter::repeat_with(HashMap::new).take(count).collect(),
            rules: std::iter::repeat_with(HashSet::new).take(count).collect(),
        }
    }

    /// What happens by these readings.
    pub(crate) fn judge(&mut self, sample: &Sample) -> Vec<Fired> {
        let mut fired = Vec::new();
        for (nth, trigger) in self.triggers.iter().enumerate() {
            let What::Counter { key, of, above } = &trigger.what else { continue };
            if let Of::Rule(words) = of {
                learn_rules(sample, words, &mut self.rules[nth]);
            }
            for reading in sample.readings.iter().filter(|reading| reading.name.key == key.as_str()) {
                let is_meant = match of {
                    Of::All => true,
                    Of::Rule(_) => reading.name.rule.as_ref().is_some_and(|rule| self.rules[nth].contains(rule)),
                    Of::Reason(reason) => {
                        reading.name.object.as_ref().and_then(|object| object.split(' ').next()) == Some(reason.as_str())
                    }
                };
                if is_meant && let Some(what) = step(&mut self.known[nth], reading, sample.at_ns, *above) {
                    fired.push(Fired { trigger: trigger.text.clone(), what });
                }
            }
            if self.known[nth].len() > MANY {
                self.known[nth].retain(|_, known| sample.at_ns - known.at_ns < FORGET_AFTER_NS);
            }
        }
        fired
    }
}

/// Takes one value; what to say when it passes the bound.
fn step(known: &mut HashMap<Name, Known>, reading: &Reading, at_ns: i64, above: Above) -> Option<String> {
    let before = known.get(&reading.name).map(|known| (known.at_ns, known.value, known.is_above));
    let (is_above, what) = match (above, before) {
        (Above::Level(level), _) => (reading.value as f64 > level, format!("{} is {}", describe(reading), reading.value)),
        (Above::PerSecond(_), None) => (false, String::new()),
        (Above::PerSecond(rate), Some((then, value, _))) => {
            // A counter that begins has its zero and its value in one sample: it grew within about a second.
            let seconds = if at_ns > then { (at_ns - then) as f64 / 1e9 } else { 1.0 };
            let grown = reading.value.saturating_sub(value);
            (grown as f64 / seconds > rate, format!("{} grew by {grown} in {seconds:.1} s", describe(reading)))
        }
    };
    let was_above = before.is_some_and(|(_, _, was_above)| was_above);
    known.insert(reading.name.clone(), Known { at_ns, value: reading.value, is_above });
    (is_above && !was_above).then_some(what)
}

fn learn_rules(sample: &Sample, words: &str, meant: &mut HashSet<Arc<str>>) {
    for rule in sample.rule_sets.iter().flat_map(|set| &set.chains).flat_map(|chain| &chain.rules) {
        if rule.id == words || rule.text.contains(words) {
            meant.insert(rule.id.as_str().into());
        }
    }
}

/// `link.rx_dropped of eth0`, `firewall.rule.packets of filter/INPUT/…`.
fn describe(reading: &Reading) -> String {
    let of = reading.ifname.as_ref().or(reading.name.rule.as_ref()).or(reading.name.object.as_ref());
    of.map_or_else(|| reading.name.key.to_string(), |of| format!("{} of {of}", reading.name.key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::sample::Family;
    use dropscope_core::log::block::{Backend, Chain, CounterKind, FirewallRule, RuleSet, Unit, Verdict};

    static TEST: Family = Family { unit: Unit::Count, kind: CounterKind::Monotonic, source: "test", station: None };

    fn sample(at_s: f64, key: &'static str, object: Option<&str>, rule: Option<&str>, value: u64) -> Sample {
        let mut sample = Sample { at_ns: (at_s * 1e9) as i64, ..Sample::default() };
        let name = Name { key: key.into(), object: object.map(Into::into), rule: rule.map(Into::into), ..Name::default() };
        sample.read(&TEST, name, key, value);
        sample
    }

    fn said(triggers: &mut CounterTriggers, sample: &Sample) -> Vec<String> {
        triggers.judge(sample).into_iter().map(|fired| fired.what).collect()
    }

    #[test]
    fn what_is_no_trigger_is_told_with_the_syntax() {
        for text in ["", "nstat.X", "nstat.X>", "nstat.X>ten/s", ">5", "rule:", "drop:", "drop:X>-1/s", "nstat.X>5/m"] {
            assert!(text.parse::<Trigger>().is_err_and(|why| why.contains("COUNTER>N/s")), "{text}");
        }
        let unknown = "finding:firewall_drip".parse::<Trigger>().unwrap_err();
        assert!(unknown.contains("firewall_drop") && unknown.contains("critical"), "{unknown}");
        for text in ["nstat.X>10/s", "conntrack.count > 5", "rule:-j DROP", "rule:a>b", "drop:netfilter_drop>2/s", "finding:note"]
        {
            assert!(text.parse::<Trigger>().is_ok(), "{text}");
        }
    }

    #[test]
    fn a_rate_fires_when_it_is_passed_and_again_only_after_it_was_below() {
        let mut triggers = CounterTriggers::of(&["nstat.A>10/s".parse().unwrap()]);
        let steps = [(1.0, 100, 0), (2.0, 110, 0), (3.0, 121, 1), (4.0, 200, 0), (5.0, 205, 0), (7.0, 230, 1), (8.0, 3, 0)];
        for (at, value, fires) in steps {
            assert_eq!(said(&mut triggers, &sample(at, "nstat.A", None, None, value)).len(), fires, "{value} at {at} s");
        }
        assert!(said(&mut triggers, &sample(9.0, "nstat.B", None, None, 1000)).is_empty());
    }

    #[test]
    fn a_level_and_a_drop_reason_and_a_rule_fire() {
        let texts = ["conntrack.count>5", "drop:NETFILTER_DROP", "rule:--dport 443"];
        let mut triggers = CounterTriggers::of(&texts.map(|text| text.parse().unwrap()));
        assert_eq!(said(&mut triggers, &sample(1.0, "conntrack.count", None, None, 6)), ["conntrack.count is 6"]);
        let dropped = |at, reason, value| sample(at, "drop.count", Some(reason), None, value);
        let mut first = dropped(1.0, "NETFILTER_DROP nft_do_chain+0x3e8", 0);
        first.readings.extend(dropped(1.0, "NETFILTER_DROP nft_do_chain+0x3e8", 2).readings);
        assert_eq!(
            said(&mut triggers, &first),
            ["drop.count of NETFILTER_DROP nft_do_chain+0x3e8 grew by 2 in 1.0 s"],
            "a counter that begins has its zero beside its value"
        );
        for at in [1.0, 2.0] {
            assert!(said(&mut triggers, &dropped(at, "NETFILTER_DROPS x", at as u64)).is_empty(), "another reason");
        }
        let rule = |id: &str, text: &str| FirewallRule {
            id: id.into(),
            text: text.into(),
            position: 1,
            verdict: Verdict::Drop,
            counted: true,
            probability: None,
            handle: None,
        };
        let chain = Chain {
            table: "filter".into(),
            name: "INPUT".into(),
            hook: None,
            policy: None,
            rules: vec![rule("a", "-p tcp --dport 443 -j DROP"), rule("b", "-p tcp --dport 80 -j DROP")],
            policy_id: None,
        };
        let mut learnt = sample(1.0, "firewall.rule.packets", None, Some("a"), 7);
        learnt.rule_sets.push(RuleSet { at_ns: 0, netns: 1, backend: Backend::IptablesNft, chains: vec![chain], after_ns: None });
        assert!(said(&mut triggers, &learnt).is_empty(), "a first value is no hit");
        let hit = |rule, value| sample(2.0, "firewall.rule.packets", None, Some(rule), value);
        assert_eq!(said(&mut triggers, &hit("a", 8)), ["firewall.rule.packets of a grew by 1 in 1.0 s"]);
        assert!(said(&mut triggers, &hit("b", 1)).is_empty() && said(&mut triggers, &hit("b", 9)).is_empty());
    }

    #[test]
    fn a_counter_that_is_not_there_is_told_with_the_nearest_names() {
        let known = ["nstat.TcpExtListenDrops", "nstat.TcpExtListenOverflows", "link.rx_dropped"].map(str::to_owned).into();
        let told = |text: &str| unknown_counter(&text.parse().unwrap(), &known);
        let why = told("nstat.TcpListenDrop>1/s").unwrap();
        assert!(why.contains("the nearest of the 3 there are: nstat.TcpExtListenDrops, "), "{why}");
        assert!(told("listendrops>1/s").unwrap().contains(": nstat.TcpExtListenDrops, "));
        assert_eq!(told("nstat.TcpExtListenDrops>1/s"), None);
        assert_eq!(told("ethtool.rx_missed_errors>1/s"), None, "a card may have it that is not up yet");
    }
}
