//! Judges the samples of the spec by the rules, and compares the results with the expectations.

use jiff::Timestamp;

use super::{
    AcceptedToken, JwtPlan, RuleRefusal, Rules, TrustedKeys, rules,
    settings::{Sample, SampleProof},
};
use crate::{
    api::{
        CheckName, Reason,
        jwt_issuer::{TokenExpectation, TokenRule},
    },
    engine::{Checked, Report},
    problem::{Problem, quote},
    sensitive::Sensitive,
};

/// Records one check for each sample. Samples with a token are judged only if there are keys to verify it. Returns
/// the samples whose tokens are accepted as expected.
pub(super) fn judge<'a>(
    plan: &'a JwtPlan,
    trusted: Option<TrustedKeys<'_>>,
    now: Timestamp,
    report: &mut Report,
) -> Vec<Genuine<'a>> {
    let mut genuine = Vec::new();
    for Sample { name, proof, expect } in &plan.samples {
        let rules = Rules {
            issuer: &plan.settings.issuer,
            subject: expect.subject.as_deref(),
            audiences: &plan.settings.audiences,
            now,
        };
        let ruling = match (proof, trusted) {
            (SampleProof::Token(token), Some(trusted)) => rules.judge_token(token.expose(), trusted),
            (SampleProof::Token(_), None) => continue,
            (SampleProof::Claims(claims), _) => rules.judge_claims(claims),
        };
        let is_accepted = ruling.is_ok() && expect.valid;
        report.record(CheckName::Sample(name.clone()), compare(proof, &ruling, expect));
        if let (SampleProof::Token(token), true) = (proof, is_accepted) {
            genuine.push(Genuine { name, token });
        }
    }
    genuine
}

/// A sample whose token satisfies all rules.
pub(super) struct Genuine<'a> {
    /// The name of the sample.
    pub name: &'a str,
    /// The token of the sample.
    pub token: &'a Sensitive,
}

fn compare<T>(
    proof: &SampleProof<T>,
    ruling: &Result<AcceptedToken, RuleRefusal>,
    expect: &TokenExpectation,
) -> Result<Checked, Problem> {
    let rules = match proof {
        SampleProof::Token(_) => "every rule",
        SampleProof::Claims(_) => "every rule but Signature, which claims do not have",
    };
    let unexpected = |message: String| Err(Problem::new(Reason::UnexpectedRuling, message));
    match ruling {
        Ok(AcceptedToken { subject, .. }) if expect.valid => Ok(Checked::passed(
            (),
            format!("It satisfies {rules}, as expected; W&B identifies it as \"{}\".", quote(subject)),
        )),
        Ok(_) => unexpected(format!(
            "It satisfies {rules}, but is expected to be refused{}. Correct the sample, or look at what the spec accepts.",
            expect.rule.map_or_else(String::new, |rule| format!(" by the rule {rule}"))
        )),
        Err(RuleRefusal { rule, problem }) if expect.valid => unexpected(format!(
            "The rule {rule} refuses it ({}), but it is expected to be accepted. {}{}",
            problem.reason,
            problem.message,
            advice(*rule, problem.reason)
        )),
        Err(RuleRefusal { rule, problem }) => match expect.rule {
            Some(expected) if expected != *rule => unexpected(format!(
                "The rule {rule} refuses it ({}), but the rule {expected} is expected to. {}{}",
                problem.reason,
                problem.message,
                advice(*rule, problem.reason)
            )),
            _ => Ok(Checked::passed(
                (),
                format!("The rule {rule} refuses it, as expected ({}). {}", problem.reason, problem.message),
            )),
        },
    }
}

/// Advice about how to correct the cause of a sample's refusal.
fn advice(rule: TokenRule, reason: Reason) -> &'static str {
    match (rule, reason) {
        (TokenRule::Subject, reason) if reason != Reason::TokenMalformed => {
            " Configure the issuer to set that subject, or correct expect.subject of the sample."
        }
        (TokenRule::Audience, reason) if reason != Reason::TokenMalformed => {
            " Configure the issuer to set one of these, or add the sample's to spec.audiences."
        }
        _ => rules::advice(rule, reason),
    }
}
