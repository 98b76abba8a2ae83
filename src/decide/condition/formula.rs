//! What a checked condition is: numbers and truth values, and nothing that could be of the wrong type.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::decide::condition::Threshold;
use crate::decide::signal::SignalName;
use crate::decide::wording::number;

/// Looks a signal's value up; `None`: it has none.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<f64>;

/// An expression that gives a truth value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Formula {
    /// `true` or `false`.
    Literal(bool),
    /// Two numbers compared.
    Compare(Comparison, Number, Number),
    /// Two truth values that are the same (`==`), or not (`!=`).
    Same(Comparison, Box<Formula>, Box<Formula>),
    /// `!`
    Not(Box<Formula>),
    /// `&&`
    Both(Box<Formula>, Box<Formula>),
    /// `||`
    Either(Box<Formula>, Box<Formula>),
    /// `… ? … : …`
    Choice(Box<Formula>, Box<Formula>, Box<Formula>),
}

/// An expression that gives a number.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Number {
    /// As written.
    Literal(f64),
    /// A signal's value.
    Signal(SignalName),
    /// `-`
    Negated(Box<Number>),
    /// Two numbers put together.
    Combined(Arithmetic, Box<Number>, Box<Number>),
    /// `… ? … : …`
    Choice(Box<Formula>, Box<Number>, Box<Number>),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

impl Comparison {
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
        }
    }

    /// The same with its sides exchanged.
    fn turned(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Equal | Self::NotEqual => self,
        }
    }

    #[expect(
        clippy::float_cmp,
        reason = "a condition that asks for equality gets equality, as CEL defines it"
    )]
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Equal => left == right,
            Self::NotEqual => left != right,
        }
    }
}

/// How two numbers are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Arithmetic {
    fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }

    fn binding(self) -> u8 {
        match self {
            Self::Add | Self::Subtract => 5,
            Self::Multiply | Self::Divide => 6,
        }
    }

    fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Add => left + right,
            Self::Subtract => left - right,
            Self::Multiply => left * right,
            Self::Divide => left / right,
        }
    }
}

impl Formula {
    /// Its truth; `None` where it cannot be computed.
    pub(super) fn truth(&self, lookup: Lookup<'_>) -> Option<bool> {
        match self {
            Self::Literal(value) => Some(*value),
            Self::Compare(how, left, right) => Some(how.holds(left.value(lookup)?, right.value(lookup)?)),
            Self::Same(how, left, right) => {
                let same = left.truth(lookup)? == right.truth(lookup)?;
                Some(same == (*how == Comparison::Equal))
            }
            Self::Not(inner) => inner.truth(lookup).map(|truth| !truth),
            Self::Both(left, right) => match (left.truth(lookup), right.truth(lookup)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                (None, _) | (_, None) => None,
            },
            Self::Either(left, right) => match (left.truth(lookup), right.truth(lookup)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                (None, _) | (_, None) => None,
            },
            Self::Choice(question, yes, no) => {
                if question.truth(lookup)? {
                    yes.truth(lookup)
                } else {
                    no.truth(lookup)
                }
            }
        }
    }

    /// Every signal that it or a part of it names.
    pub(super) fn collect_signals(&self, into: &mut BTreeSet<SignalName>) {
        match self {
            Self::Literal(_) => {}
            Self::Compare(_, left, right) => {
                left.collect_signals(into);
                right.collect_signals(into);
            }
            Self::Not(inner) => inner.collect_signals(into),
            Self::Same(_, left, right) | Self::Both(left, right) | Self::Either(left, right) => {
                left.collect_signals(into);
                right.collect_signals(into);
            }
            Self::Choice(question, yes, no) => {
                question.collect_signals(into);
                yes.collect_signals(into);
                no.collect_signals(into);
            }
        }
    }

    /// Every comparison of a signal with a number as it is written, the signal on the left.
    pub(super) fn collect_thresholds(&self, into: &mut Vec<Threshold>) {
        match self {
            Self::Compare(how, Number::Signal(signal), Number::Literal(value)) => {
                into.push(Threshold { signal: signal.clone(), comparison: how.sign(), value: *value });
            }
            Self::Compare(how, Number::Literal(value), Number::Signal(signal)) => {
                into.push(Threshold {
                    signal: signal.clone(),
                    comparison: how.turned().sign(),
                    value: *value,
                });
            }
            Self::Literal(_) | Self::Compare(..) => {}
            Self::Not(inner) => inner.collect_thresholds(into),
            Self::Same(_, left, right) | Self::Both(left, right) | Self::Either(left, right) => {
                left.collect_thresholds(into);
                right.collect_thresholds(into);
            }
            Self::Choice(question, yes, no) => {
                question.collect_thresholds(into);
                yes.collect_thresholds(into);
                no.collect_thresholds(into);
            }
        }
    }

    /// The expression with every signal's value behind its name.
    pub(super) fn explain(&self, lookup: Lookup<'_>) -> String {
        let mut text = String::new();
        self.write(lookup, 0, &mut text);
        text
    }

    fn binding(&self) -> u8 {
        match self {
            Self::Choice(..) => 0,
            Self::Either(..) => 1,
            Self::Both(..) => 2,
            Self::Compare(..) | Self::Same(..) => 4,
            Self::Literal(_) | Self::Not(_) => 7,
        }
    }

    fn write(&self, lookup: Lookup<'_>, outer: u8, text: &mut String) {
        if let Some(decisive) = self.decisive(lookup) {
            return decisive.write(lookup, outer, text);
        }
        let own = self.binding();
        if own < outer {
            text.push('(');
        }
        match self {
            Self::Literal(value) => push(text, value),
            Self::Compare(how, left, right) => {
                left.write(lookup, 5, text);
                push(text, format_args!(" {} ", how.sign()));
                right.write(lookup, 5, text);
            }
            Self::Same(how, left, right) => pair(text, how.sign(), |text, side| {
                [left, right][side].write(lookup, own + 1, text);
            }),
            Self::Not(inner) => {
                text.push('!');
                inner.write(lookup, 7, text);
            }
            Self::Both(left, right) => {
                pair(text, "&&", |text, side| [left, right][side].write(lookup, own, text));
            }
            Self::Either(left, right) => {
                pair(text, "||", |text, side| [left, right][side].write(lookup, own, text));
            }
            Self::Choice(question, yes, no) => {
                question.write(lookup, 1, text);
                text.push_str(" ? ");
                yes.write(lookup, 1, text);
                text.push_str(" : ");
                no.write(lookup, 1, text);
            }
        }
        if own < outer {
            text.push(')');
        }
    }

    /// Where one side alone settles it, that side: the other is noise to whoever reads why.
    fn decisive(&self, lookup: Lookup<'_>) -> Option<&Self> {
        let (settling, left, right) = match self {
            Self::Either(left, right) => (true, left, right),
            Self::Both(left, right) => (false, left, right),
            Self::Literal(_) | Self::Compare(..) | Self::Same(..) | Self::Not(_) | Self::Choice(..) => {
                return None;
            }
        };
        match (left.truth(lookup)? == settling, right.truth(lookup)? == settling) {
            (true, false) => Some(left),
            (false, true) => Some(right),
            (true, true) | (false, false) => None,
        }
    }
}

impl Number {
    /// Its value; `None` where it has none or is not finite.
    fn value(&self, lookup: Lookup<'_>) -> Option<f64> {
        let value = match self {
            Self::Literal(value) => *value,
            Self::Signal(name) => lookup(name)?,
            Self::Negated(inner) => -inner.value(lookup)?,
            Self::Combined(how, left, right) => how.apply(left.value(lookup)?, right.value(lookup)?),
            Self::Choice(question, yes, no) => {
                if question.truth(lookup)? {
                    yes.value(lookup)?
                } else {
                    no.value(lookup)?
                }
            }
        };
        value.is_finite().then_some(value)
    }

    fn collect_signals(&self, into: &mut BTreeSet<SignalName>) {
        match self {
            Self::Literal(_) => {}
            Self::Signal(name) => {
                into.insert(name.clone());
            }
            Self::Negated(inner) => inner.collect_signals(into),
            Self::Combined(_, left, right) => {
                left.collect_signals(into);
                right.collect_signals(into);
            }
            Self::Choice(question, yes, no) => {
                question.collect_signals(into);
                yes.collect_signals(into);
                no.collect_signals(into);
            }
        }
    }

    fn write(&self, lookup: Lookup<'_>, outer: u8, text: &mut String) {
        match self {
            Self::Literal(value) => push(text, number(*value)),
            Self::Signal(name) => match lookup(name) {
                Some(value) => push(text, format_args!("{name} {}", number(value))),
                None => push(text, format_args!("{name} unknown")),
            },
            Self::Negated(inner) => {
                text.push('-');
                inner.write(lookup, 7, text);
            }
            Self::Combined(how, left, right) => {
                let own = how.binding();
                bracketed(text, own < outer, |text| {
                    left.write(lookup, own, text);
                    push(text, format_args!(" {} ", how.sign()));
                    right.write(lookup, own + 1, text);
                });
            }
            Self::Choice(question, yes, no) => bracketed(text, true, |text| {
                question.write(lookup, 1, text);
                text.push_str(" ? ");
                yes.write(lookup, 1, text);
                text.push_str(" : ");
                no.write(lookup, 1, text);
            }),
        }
    }
}

fn push(text: &mut String, part: impl std::fmt::Display) {
    // Writing to a `String` cannot fail.
    let _ = write!(text, "{part}");
}

fn pair(text: &mut String, sign: &str, mut side: impl FnMut(&mut String, usize)) {
    side(text, 0);
    push(text, format_args!(" {sign} "));
    side(text, 1);
}

fn bracketed(text: &mut String, needed: bool, inner: impl FnOnce(&mut String)) {
    if needed {
        text.push('(');
    }
    inner(text);
    if needed {
        text.push(')');
    }
}
