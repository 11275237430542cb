//! The answer of a probe in the form of a container's termination message. Pure.
//!
//! A message has little room. What does not fit goes in this order: the messages of checks that did not complain,
//! then more and more of the other messages, then the checks that did not complain, and last the warnings. A
//! check that failed is named as long as there is room for its name, and that one failed is always said.

use serde::{Deserialize, Serialize};

use crate::{
    api::{CheckFrom, CheckResult, CheckStatus, Reason},
    problem::CUT,
};

/// The largest message in bytes. Kubernetes keeps 4096 for a container, but no more than 12 KiB for all containers
/// of a pod in equal shares, and a mesh or another admission webhook may add some.
pub const MESSAGE_LIMIT: usize = 2048;

/// What a probe found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeVerdict {
    /// Why nothing was checked, if that is so.
    pub obstacle: Option<String>,
    /// What was found of each kind.
    pub kinds: Vec<KindVerdict>,
}

/// What was found of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindVerdict {
    /// The kind, such as `LdapConfig`.
    pub kind: String,
    /// As in `status.checks`.
    pub checks: Vec<CheckStatus>,
    /// How many more checks there were, for which there was no room.
    pub left_out: usize,
}

/// A text is no verdict of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnreadableVerdict;

/// The version of the format. Another version is not read, since its words may mean something else.
const VERSION: u32 = 1;

/// The message as it is written.
#[derive(Serialize, Deserialize)]
struct WireVerdict {
    v: u32,
    /// The worst result of all.
    #[serde(rename = "r")]
    worst: char,
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    obstacle: Option<String>,
    #[serde(rename = "k", default, skip_serializing_if = "Vec::is_empty")]
    kinds: Vec<(String, usize, Vec<WireCheck>)>,
}

/// A check: its name, the letter of its result, its reason where that says more, and its message.
#[derive(Serialize, Deserialize)]
struct WireCheck(String, char, String, String);

const LETTERS: [(CheckResult, char); 4] = [
    (CheckResult::Passed, 'P'),
    (CheckResult::Skipped, 'S'),
    (CheckResult::Warning, 'W'),
    (CheckResult::Failed, 'F'),
];

fn letter(result: CheckResult) -> char {
    LETTERS.iter().find(|(known, _)| *known == result).map_or('F', |(_, letter)| *letter)
}

fn result(letter: char) -> Option<CheckResult> {
    LETTERS.iter().find(|(_, known)| *known == letter).map(|(result, _)| *result)
}

/// From best to worst.
fn severity(result: CheckResult) -> usize {
    LETTERS.iter().position(|(known, _)| *known == result).unwrap_or(LETTERS.len())
}

fn complains(result: CheckResult) -> bool {
    matches!(result, CheckResult::Warning | CheckResult::Failed)
}

/// How much of the findings is written.
#[derive(Clone, Copy)]
struct VerdictDetail {
    /// How many characters of the messages of checks that did not complain.
    calm: usize,
    /// How many characters of every other message.
    message: usize,
    /// The least severe result of checks that are named.
    least: usize,
    /// How many checks of a kind are named.
    checks: usize,
    /// How many characters of a name.
    name: usize,
}

const EVERYTHING: VerdictDetail =
    VerdictDetail { calm: usize::MAX, message: usize::MAX, least: 0, checks: usize::MAX, name: usize::MAX };

impl KindVerdict {
    /// What was found of a kind, with every check.
    pub fn new(kind: &str, checks: &[CheckStatus]) -> Self {
        Self { kind: kind.to_owned(), checks: checks.to_vec(), left_out: 0 }
    }
}

impl ProbeVerdict {
    /// The worst result; that nothing was checked counts as failed.
    pub fn worst(&self) -> CheckResult {
        if self.obstacle.is_some() {
            return CheckResult::Failed;
        }
        let results = self.kinds.iter().flat_map(|kind| &kind.checks).map(|check| check.result);
        results.max_by_key(|result| severity(*result)).unwrap_or(CheckResult::Passed)
    }

    /// The termination message, with as much as there is room for.
    pub fn to_message(&self) -> String {
        let fits = |detail: &VerdictDetail| self.encode(*detail).len() <= MESSAGE_LIMIT;
        let warnings = severity(CheckResult::Warning);
        let quiet = VerdictDetail { calm: 0, ..EVERYTHING };
        let loud = VerdictDetail { least: warnings, ..quiet };
        let failed = VerdictDetail { least: severity(CheckResult::Failed), message: 0, ..quiet };
        let candidates = [EVERYTHING, quiet]
            .into_iter()
            .chain(halves(quiet, |detail, length| detail.message = length))
            .chain(halves(loud, |detail, length| detail.message = length))
            .chain([failed])
            .chain(halves(failed, |detail, count| detail.checks = count))
            .chain(halves(VerdictDetail { checks: 0, ..failed }, |detail, length| detail.name = length));
        let detail = candidates.into_iter().find(fits);
        detail.map_or_else(
            || format!(r#"{{"v":{VERSION},"r":"{}"}}"#, letter(self.worst())),
            |detail| self.encode(detail),
        )
    }

    /// Reads a termination message.
    pub fn of_message(text: &str) -> Result<Self, UnreadableVerdict> {
        let message: WireVerdict = serde_json::from_str(text.trim()).map_err(|_| UnreadableVerdict)?;
        if message.v != VERSION {
            return Err(UnreadableVerdict);
        }
        let check = |WireCheck(name, letter, reason, message): WireCheck| {
            let result = result(letter).ok_or(UnreadableVerdict)?;
            let reason = if reason.is_empty() { Reason::Passed.as_str().into() } else { reason.into() };
            Ok(CheckStatus {
                name: name.into(),
                result,
                reason,
                message: message.into(),
                from: CheckFrom::default(),
            })
        };
        let kind = |(kind, left_out, checks): (String, usize, Vec<WireCheck>)| {
            let checks: Result<_, _> = checks.into_iter().map(check).collect();
            Ok(KindVerdict { kind, checks: checks?, left_out })
        };
        let kinds: Result<Vec<_>, _> = message.kinds.into_iter().map(kind).collect();
        let verdict = Self { obstacle: message.obstacle, kinds: kinds? };
        // A verdict whose worst part was left out is not better for it.
        let worst = result(message.worst).ok_or(UnreadableVerdict)?;
        if !complains(worst) || severity(verdict.worst()) >= severity(worst) {
            return Ok(verdict);
        }
        Ok(Self { obstacle: Some(LOST.to_owned()), ..verdict })
    }

    fn encode(&self, detail: VerdictDetail) -> String {
        let kind = |KindVerdict { kind, checks, left_out }: &KindVerdict| {
            let named = checks.iter().filter(|check| severity(check.result) >= detail.least);
            let named: Vec<_> = named.take(detail.checks).map(|check| entry(check, detail)).collect();
            (cut(kind, detail.name), left_out + checks.len() - named.len(), named)
        };
        let message = WireVerdict {
            v: VERSION,
            worst: letter(self.worst()),
            obstacle: self.obstacle.as_ref().map(|obstacle| cut(obstacle, detail.message)),
            kinds: self.kinds.iter().map(kind).collect(),
        };
        // A message of texts and numbers can always be written.
        serde_json::to_string(&message).unwrap_or_default()
    }
}

/// Stands for a failure that there was no room to name.
const LOST: &str =
    "A check failed or warned, and there was no room to say which. Look into the log of the container.";

/// Ever less of one kind of detail, down to nothing of it.
fn halves(
    base: VerdictDetail,
    set: impl Fn(&mut VerdictDetail, usize),
) -> impl Iterator<Item = VerdictDetail> {
    let lengths = std::iter::successors(Some(MESSAGE_LIMIT), |length| (*length > 0).then(|| length * 3 / 4));
    lengths.map(move |length| {
        let mut detail = base;
        set(&mut detail, length);
        detail
    })
}

fn entry(check: &CheckStatus, detail: VerdictDetail) -> WireCheck {
    let length = if complains(check.result) { detail.message } else { detail.calm.min(detail.message) };
    let reason = if check.reason == Reason::Passed.as_str() { "" } else { &check.reason };
    WireCheck(check.name.to_string(), letter(check.result), reason.to_owned(), cut(&check.message, length))
}

/// The text, or its beginning and a mark that it goes on.
fn cut(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        None => text.to_owned(),
        Some(_) if length == 0 => String::new(),
        Some((end, _)) => format!("{}{CUT}", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(name: &str, result: CheckResult, message: &str) -> CheckStatus {
        let reason = if result == CheckResult::Passed { "Passed" } else { "Inconclusive" };
        let (name, reason, message) = (name.into(), reason.into(), message.into());
        CheckStatus { name, result, reason, message, from: CheckFrom::default() }
    }

    fn verdict(checks: &[CheckStatus]) -> ProbeVerdict {
        ProbeVerdict { obstacle: None, kinds: vec![KindVerdict::new("LdapConfig", checks)] }
    }

    fn names(verdict: &ProbeVerdict) -> Vec<(&str, CheckResult)> {
        let checks = verdict.kinds.iter().flat_map(|kind| &kind.checks);
        checks.map(|check| (check.name.as_str(), check.result)).collect()
    }

    #[test]
    fn a_verdict_is_compact() {
        let verdict = verdict(&[
            check("DnsResolves", CheckResult::Passed, "It has an address."),
            check("Bind", CheckResult::Failed, "No."),
        ]);
        insta::assert_snapshot!(
            verdict.to_message(),
            @r#"{"v":1,"r":"F","k":[["LdapConfig",0,[["DnsResolves","P","","It has an address."],["Bind","F","Inconclusive","No."]]]]}"#
        );
        assert_eq!(
            ProbeVerdict { obstacle: Some("No variables.".to_owned()), kinds: Vec::new() }.to_message(),
            r#"{"v":1,"r":"F","o":"No variables."}"#
        );
    }

    #[test]
    fn detail_goes_before_verdicts_do() {
        let long = "x".repeat(1500);
        let [passed, warning, failed] = [CheckResult::Passed, CheckResult::Warning, CheckResult::Failed];
        let read =
            |checks: Vec<CheckStatus>| ProbeVerdict::of_message(&verdict(&checks).to_message()).unwrap();
        // Of what passed, only that it did.
        let quiet = read(vec![check("A", passed, &long), check("B", failed, &long)]);
        assert_eq!(quiet.kinds[0].checks, [check("A", passed, ""), check("B", failed, &long)]);
        // Of what did not, as much as there is room for.
        let shorter = read(vec![check("A", warning, &long), check("B", failed, &long)]);
        assert_eq!(names(&shorter), [("A", warning), ("B", failed)]);
        assert!(shorter.kinds[0].checks.iter().all(|check| check.message.len() > 600));
        // Names of what failed last of all.
        let mut many: Vec<_> = (0..200).map(|index| check(&format!("A{index}"), passed, "")).collect();
        many.push(check("B", failed, &long));
        let fewer = read(many);
        assert_eq!(names(&fewer), [("B", failed)]);
        assert_eq!(fewer.kinds[0].left_out, 200);
    }

    #[test]
    fn other_texts_are_no_verdict() {
        for text in [
            "",
            "exit status 1",
            "{}",
            r#"{"v":2,"r":"P"}"#,
            r#"{"v":1,"r":"X"}"#,
            r#"{"v":1,"r":"F","k":[["#,
        ] {
            assert_eq!(ProbeVerdict::of_message(text), Err(UnreadableVerdict), "{text}");
        }
        let lost = ProbeVerdict::of_message(r#"{"v":1,"r":"F"}"#).unwrap();
        assert_eq!((lost.worst(), lost.obstacle.is_some()), (CheckResult::Failed, true));
    }

    fn any_check() -> impl Strategy<Value = CheckStatus> {
        let results = proptest::sample::select(LETTERS.map(|(result, _)| result).to_vec());
        let message = prop_oneof!["[a-z .]{0,80}", any::<String>(), "[\"\\\\\n\u{1}ü…]{0,900}"];
        ("[A-Z][A-Za-z/_0-9]{0,40}", results, "[A-Z][a-z]{1,20}", message).prop_map(
            |(name, result, reason, message)| CheckStatus {
                name: name.into(),
                result,
                reason: reason.into(),
                message: message.into(),
                from: CheckFrom::default(),
            },
        )
    }

    prop_compose! {
        fn any_verdict()(
            obstacle in proptest::option::weighted(0.1, any::<String>()),
            kinds in proptest::collection::vec(
                (prop_oneof!["[A-Z][a-z]{3,12}", ".{0,3000}"], proptest::collection::vec(any_check(), 0..40)),
                0..5,
            ),
        ) -> ProbeVerdict {
            let kinds = kinds.into_iter().map(|(kind, checks)| KindVerdict::new(&kind, &checks));
            ProbeVerdict { obstacle, kinds: kinds.collect() }
        }
    }

    proptest! {
        #[test]
        fn every_verdict_has_room_and_stays_what_it_is(verdict in any_verdict()) {
            let message = verdict.to_message();
            prop_assert!(message.len() <= MESSAGE_LIMIT, "{}", message.len());
            let read = ProbeVerdict::of_message(&message).unwrap();
            if complains(verdict.worst()) {
                prop_assert!(severity(read.worst()) >= severity(verdict.worst()));
            } else {
                prop_assert!(!complains(read.worst()));
            }
            if verdict.encode(EVERYTHING).len() <= MESSAGE_LIMIT {
                prop_assert_eq!(&read, &verdict);
            }
            // No check ever seems to be another one, or to have another result.
            for (kind, own) in read.kinds.iter().zip(&verdict.kinds) {
                prop_assert_eq!(kind.checks.len() + kind.left_out, own.checks.len());
                for check in &kind.checks {
                    let is_known = |known: &&CheckStatus| {
                        (&known.name, known.result, &known.reason) == (&check.name, check.result, &check.reason)
                    };
                    prop_assert!(own.checks.iter().any(|known| is_known(&known)));
                }
            }
            // Where every name has room, none is left out.
            let named = VerdictDetail { calm: 0, message: 0, ..EVERYTHING };
            if verdict.encode(named).len() <= MESSAGE_LIMIT {
                prop_assert!(read.kinds.iter().all(|kind| kind.left_out == 0));
            }
        }

        #[test]
        fn no_text_ends_the_process(text in any::<String>()) {
            let _ = ProbeVerdict::of_message(&text);
        }
    }
}
