//! From text to a [`Formula`]: reading by the `cel` crate, names and types by us.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};
use cel::parser::{ParseErrors, Parser};

use crate::decide::condition::ConditionError;
use crate::decide::condition::formula::{Arithmetic, Comparison, Formula, Number};
use crate::decide::condition::names;
use crate::decide::signal::Catalog;

/// Longest expression that is read.
const MAX_BYTES: usize = 4096;
/// Deepest nesting of brackets. The reader recurses, and an operator's file must not be able to end the process.
const MAX_NESTING: usize = 8;
/// Most operators, dots, commas and brackets: chains of them nest too, without a bracket to be seen.
const MAX_MARKS: usize = 128;

/// Reads and checks an expression.
pub(super) fn compile(text: &str, catalog: &Catalog) -> Result<Formula, ConditionError> {
    bounded(text)?;
    let (tree, source) =
        Parser::new().parse_with_source_info(text).map_err(|errors| syntax_error(text, &errors))?;
    let checker = Checker { catalog, source };
    match checker.term(&tree)? {
        Term::Truth(formula) => Ok(formula),
        Term::Number(_) => Err(ConditionError {
            message:
                "this is a number, and a condition must be true or false: compare it, as in `cpu.avg > 0.75`"
                    .to_owned(),
            offset: Some(0),
        }),
    }
}

fn bounded(text: &str) -> Result<(), ConditionError> {
    let refuse = |message: String, offset: usize| Err(ConditionError { message, offset: Some(offset) });
    if text.trim().is_empty() {
        return refuse("the expression is empty: write one such as `cpu.avg > 0.75`".to_owned(), 0);
    }
    if text.len() > MAX_BYTES {
        return refuse(format!("the expression is longer than {MAX_BYTES} bytes: split the rule"), MAX_BYTES);
    }
    let (mut nesting, mut marks) = (0_usize, 0_usize);
    for (offset, character) in text.char_indices() {
        match character {
            '(' | '[' | '{' => nesting += 1,
            ')' | ']' | '}' => nesting = nesting.saturating_sub(1),
            _ if !character.is_ascii() => {
                return refuse(format!("`{character}` is not a part of an expression over signals"), offset);
            }
            _ => {}
        }
        marks += usize::from(character.is_ascii_punctuation() && character != '_');
        if nesting > MAX_NESTING {
            return refuse(format!("brackets are nested deeper than {MAX_NESTING}: split the rule"), offset);
        }
        if marks > MAX_MARKS {
            return refuse(format!("more than {MAX_MARKS} operators and dots: split the rule"), offset);
        }
    }
    Ok(())
}

fn syntax_error(text: &str, errors: &ParseErrors) -> ConditionError {
    let Some(first) = errors.errors.first() else {
        return ConditionError { message: "not a CEL expression".to_owned(), offset: None };
    };
    let what = first.msg.trim_start_matches("Syntax error: ");
    ConditionError { message: format!("not a CEL expression: {what}"), offset: offset_of(text, first.pos) }
}

/// From the reader's line and column, both from 1, to bytes.
fn offset_of(text: &str, (line, column): (isize, isize)) -> Option<usize> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let column = usize::try_from(column).ok()?.saturating_sub(1);
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    Some((start + column).min(text.len()))
}

/// A part of an expression, by its type.
enum Term {
    Truth(Formula),
    Number(Number),
}

impl Term {
    fn kind(&self) -> &'static str {
        match self {
            Self::Truth(_) => "true or false",
            Self::Number(_) => "a number",
        }
    }
}

struct Checker<'a> {
    catalog: &'a Catalog,
    source: SourceInfo,
}

impl Checker<'_> {
    fn term(&self, tree: &IdedExpr) -> Result<Term, ConditionError> {
        match &tree.expr {
            Expr::Literal(literal) => self.literal(literal, tree),
            Expr::Ident(_) | Expr::Select(_) => self.signal(tree),
            Expr::Call(call) => self.call(call, tree),
            Expr::Comprehension(_) => self.refuse(tree, "macros over lists have nothing to work on here"),
            Expr::List(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
                self.refuse(tree, "lists and maps have no place here: every signal is one number")
            }
        }
    }

    fn literal(&self, literal: &LiteralValue, tree: &IdedExpr) -> Result<Term, ConditionError> {
        #[expect(clippy::cast_precision_loss, reason = "thresholds are far below 2^53")]
        let number = match literal {
            LiteralValue::Boolean(value) => return Ok(Term::Truth(Formula::Literal(value.into_inner()))),
            LiteralValue::Double(value) => value.into_inner(),
            LiteralValue::Int(value) => value.into_inner() as f64,
            LiteralValue::UInt(value) => value.into_inner() as f64,
            LiteralValue::String(_) | LiteralValue::Bytes(_) => {
                return self.refuse(tree, "a text cannot be compared with a signal: signals are numbers");
            }
            LiteralValue::Null => {
                return self
                    .refuse(tree, "null is no value here: an expression over a missing signal is unknown");
            }
        };
        if number.is_finite() {
            Ok(Term::Number(Number::Literal(number)))
        } else {
            self.refuse(tree, "this number is too large")
        }
    }

    fn signal(&self, tree: &IdedExpr) -> Result<Term, ConditionError> {
        let Some(path) = path_of(tree) else {
            return self.refuse(tree, "a field can only be taken from a signal's name, as in `cpu.avg`");
        };
        match names::resolve(&path, self.catalog) {
            Ok(name) => Ok(Term::Number(Number::Signal(name))),
            Err(message) => self.refuse(tree, &message),
        }
    }

    fn call(&self, call: &CallExpr, tree: &IdedExpr) -> Result<Term, ConditionError> {
        let args: Vec<&IdedExpr> = call.target.iter().map(AsRef::as_ref).chain(&call.args).collect();
        match (call.func_name.as_str(), args.as_slice()) {
            (operators::LOGICAL_NOT, [one]) => Ok(Term::Truth(Formula::Not(Box::new(self.truth(one, "!")?)))),
            (operators::NEGATE, [one]) => Ok(Term::Number(match self.number(one, "-")? {
                Number::Literal(value) => Number::Literal(-value),
                other => Number::Negated(Box::new(other)),
            })),
            (operators::LOGICAL_AND, [left, right]) => {
                let (left, right) = (self.truth(left, "&&")?, self.truth(right, "&&")?);
                Ok(Term::Truth(Formula::Both(Box::new(left), Box::new(right))))
            }
            (operators::LOGICAL_OR, [left, right]) => {
                let (left, right) = (self.truth(left, "||")?, self.truth(right, "||")?);
                Ok(Term::Truth(Formula::Either(Box::new(left), Box::new(right))))
            }
            (operators::CONDITIONAL, [question, yes, no]) => self.choice(question, yes, no),
            (name, [left, right]) if comparison(name).is_some() || arithmetic(name).is_some() => {
                self.binary(name, left, right, tree)
            }
            (operators::MODULO, _) => self.refuse(tree, "CEL has no % for doubles, and every signal is one"),
            (operators::IN | operators::INDEX, _) => {
                self.refuse(tree, "lists have no place here: every signal is one number")
            }
            (name, _) => self.refuse(
                tree,
                &format!(
                    "there is no function {name}: signals take + - * /, comparisons, && || ! and … ? … : …"
                ),
            ),
        }
    }

    fn binary(
        &self,
        name: &str,
        left: &IdedExpr,
        right: &IdedExpr,
        tree: &IdedExpr,
    ) -> Result<Term, ConditionError> {
        if let Some(how) = arithmetic(name) {
            let sign = name.trim_matches('_');
            let (left, right) = (self.number(left, sign)?, self.number(right, sign)?);
            return Ok(Term::Number(Number::Combined(how, Box::new(left), Box::new(right))));
        }
        let Some(how) = comparison(name) else {
            return self.refuse(tree, "not a comparison");
        };
        match (self.term(left)?, self.term(right)?) {
            (Term::Number(left), Term::Number(right)) => Ok(Term::Truth(Formula::Compare(how, left, right))),
            (Term::Truth(left), Term::Truth(right))
                if matches!(how, Comparison::Equal | Comparison::NotEqual) =>
            {
                Ok(Term::Truth(Formula::Same(how, Box::new(left), Box::new(right))))
            }
            (left, right) => self.refuse(
                tree,
                &format!(
                    "{} compares two numbers; on its left is {}, on its right {}",
                    how.sign(),
                    left.kind(),
                    right.kind()
                ),
            ),
        }
    }

    fn choice(&self, question: &IdedExpr, yes: &IdedExpr, no: &IdedExpr) -> Result<Term, ConditionError> {
        let question = Box::new(self.truth(question, "? :")?);
        match (self.term(yes)?, self.term(no)?) {
            (Term::Truth(yes), Term::Truth(no)) => {
                Ok(Term::Truth(Formula::Choice(question, Box::new(yes), Box::new(no))))
            }
            (Term::Number(yes), Term::Number(no)) => {
                Ok(Term::Number(Number::Choice(question, Box::new(yes), Box::new(no))))
            }
            (yes, other) => self.refuse(
                no,
                &format!("both answers of ? : must be of one kind, not {} and {}", yes.kind(), other.kind()),
            ),
        }
    }

    fn truth(&self, tree: &IdedExpr, sign: &str) -> Result<Formula, ConditionError> {
        match self.term(tree)? {
            Term::Truth(formula) => Ok(formula),
            Term::Number(_) => self.refuse(tree, &format!("{sign} needs true or false here, not a number")),
        }
    }

    fn number(&self, tree: &IdedExpr, sign: &str) -> Result<Number, ConditionError> {
        match self.term(tree)? {
            Term::Number(number) => Ok(number),
            Term::Truth(_) => self.refuse(tree, &format!("{sign} needs a number here, not true or false")),
        }
    }

    fn refuse<T>(&self, tree: &IdedExpr, message: &str) -> Result<T, ConditionError> {
        Err(ConditionError { message: message.to_owned(), offset: self.offset(tree) })
    }

    /// Where a part begins: for a name, at its first letter and not at its dot.
    fn offset(&self, tree: &IdedExpr) -> Option<usize> {
        let mut first = tree;
        while let Expr::Select(select) = &first.expr {
            first = &select.operand;
        }
        self.source.offset_for(first.id).and_then(|(start, _)| usize::try_from(start).ok())
    }
}

/// The dotted name that a part of an expression spells, if it spells one.
fn path_of(tree: &IdedExpr) -> Option<String> {
    match &tree.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            path_of(&select.operand).map(|path| format!("{path}.{}", select.field))
        }
        _ => None,
    }
}

fn comparison(name: &str) -> Option<Comparison> {
    match name {
        operators::LESS => Some(Comparison::Less),
        operators::LESS_EQUALS => Some(Comparison::LessOrEqual),
        operators::GREATER => Some(Comparison::Greater),
        operators::GREATER_EQUALS => Some(Comparison::GreaterOrEqual),
        operators::EQUALS => Some(Comparison::Equal),
        operators::NOT_EQUALS => Some(Comparison::NotEqual),
        _ => None,
    }
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    match name {
        operators::ADD => Some(Arithmetic::Add),
        operators::SUBSTRACT => Some(Arithmetic::Subtract),
        operators::MULTIPLY => Some(Arithmetic::Multiply),
        operators::DIVIDE => Some(Arithmetic::Divide),
        _ => None,
    }
}
