//! Text to [`Expr`]: the grammar of Wireshark's display filters (wireshark-filter(4)).
//!
//! ```text
//! or      = xor  { ("or" | "||") xor }
//! xor     = and  { ("xor" | "^^") and }
//! and     = not  { ("and" | "&&") not }
//! not     = ("not" | "!") not | test
//! test    = "(" or ")" | [ "any" | "all" ] bits [ comparison bits | [ "not" ] "in" "{" set "}" ]
//! bits    = sum { "&" sum }
//! sum     = product { ("+" | "-") product }
//! product = operand { ("*" | "/" | "%") operand }
//! operand = ( word | name "(" bits { "," bits } ")" | "{" bits "}" ) { "[" pieces "]" }
//! ```
//!
//! As there, what stands on both sides of `-` and `/` needs a blank before it: they are part of names and addresses, too.

use super::syntax::{Arithmetic, Expr, Join, Op, Operand, Piece, Quantity, Word};
use super::{Error, Limit};
use std::borrow::Cow;
use winnow::ascii::{multispace0, multispace1};
use winnow::combinator::{alt, cut_err, delimited, opt, peek, preceded, repeat, separated, terminated};
use winnow::error::{AddContext, ErrMode, ParserError};
use winnow::prelude::*;
use winnow::stream::{LocatingSlice, Location, Stateful, Stream};
use winnow::token::{any, one_of, take_while};

/// The text, and how many parentheses and braces are open.
type Input<'a> = Stateful<LocatingSlice<&'a str>, Depth>;
type Parsed<T> = Result<T, ErrMode<Fault>>;

/// Parentheses, braces and calls within each other. Only these make the parser, and whatever walks what it gives, call itself.
const DEEPEST: usize = 32;
/// Bytes of a filter: about 4,000 IPv4 addresses. What a filter costs in time and memory is proportional to its length.
const LONGEST: usize = 64 << 10;

#[derive(Clone, Debug, Default)]
struct Depth(usize);

/// What was expected, and where.
#[derive(Clone, Debug)]
struct Fault {
    at: usize,
    /// `None` where no rule of the grammar has said so yet.
    expected: Option<&'static str>,
    /// Whether more than [`DEEPEST`] are open here.
    too_deep: bool,
}

impl Fault {
    /// A fault that no other rule of the grammar can mend.
    fn cut(at: usize, expected: &'static str) -> ErrMode<Self> {
        ErrMode::Cut(Self { at, expected: Some(expected), too_deep: false })
    }
}

impl<'a> ParserError<Input<'a>> for Fault {
    type Inner = Self;
    fn from_input(input: &Input<'a>) -> Self {
        Self { at: input.current_token_start(), expected: None, too_deep: false }
    }
    fn into_inner(self) -> Result<Self, Self> {
        Ok(self)
    }
}

impl<'a> AddContext<Input<'a>, &'static str> for Fault {
    fn add_context(self, _: &Input<'a>, _: &<Input<'a> as Stream>::Checkpoint, expected: &'static str) -> Self {
        // The innermost rule knows best.
        Self { expected: self.expected.or(Some(expected)), ..self }
    }
}

/// Reads a filter's text, which must not be blank.
pub(super) fn parse(text: &str) -> Result<Expr, Error> {
    if text.len() > LONGEST {
        let beyond = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        return Err(Error::limit(beyond..text.len(), Limit::Length { bytes: text.len(), longest: LONGEST }));
    }
    let mut input = Stateful { input: LocatingSlice::new(text), state: Depth::default() };
    let fault = match preceded(multispace0, or).parse_next(&mut input) {
        Ok(expr) if input.is_empty() => return Ok(expr),
        Ok(_) => Fault { at: input.current_token_start(), expected: Some("`and`, `or` or the end"), too_deep: false },
        Err(ErrMode::Backtrack(fault) | ErrMode::Cut(fault)) => fault,
        Err(ErrMode::Incomplete(_)) => Fault { at: text.len(), expected: None, too_deep: false },
    };
    if fault.too_deep {
        return Err(Error::limit(fault.at..fault.at + 1, Limit::Nesting { deepest: DEEPEST }));
    }
    let rest = &text[fault.at..];
    let found = rest.split(|c: char| c.is_whitespace() || "()[]{},".contains(c)).next().unwrap_or("");
    let found = if found.is_empty() { rest.chars().next().map(String::from).unwrap_or_default() } else { found.to_owned() };
    let expected = fault.expected.unwrap_or("a field or a value");
    let message = if found.is_empty() {
        format!("The filter ends where {expected} is expected.")
    } else {
        format!("`{}` stands where {expected} is expected.", shortened(&found))
    };
    Err(Error::new(fault.at..fault.at + found.len(), message))
}

/// A word of the filter as it is quoted in a sentence.
pub(super) fn shortened(word: &str) -> Cow<'_, str> {
    const SHOWN: usize = 64;
    match word.char_indices().nth(SHOWN) {
        Some((end, _)) => Cow::Owned(format!("{}…", &word[..end])),
        None => Cow::Borrowed(word),
    }
}

/// What stands between parentheses or braces, of which the first was read.
fn nested<'a, T>(input: &mut Input<'a>, inner: impl FnOnce(&mut Input<'a>) -> Parsed<T>) -> Parsed<T> {
    if input.state.0 == DEEPEST {
        let at = input.previous_token_end() - 1;
        return Err(ErrMode::Cut(Fault { at, expected: None, too_deep: true }));
    }
    input.state.0 += 1;
    let parsed = inner(input);
    input.state.0 -= 1;
    parsed
}

fn or(input: &mut Input<'_>) -> Parsed<Expr> {
    chain(input, xor, &["or", "||"], Join::Or)
}

fn xor(input: &mut Input<'_>) -> Parsed<Expr> {
    chain(input, and, &["xor", "^^"], Join::Xor)
}

fn and(input: &mut Input<'_>) -> Parsed<Expr> {
    chain(input, not, &["and", "&&"], Join::And)
}

fn chain(
    input: &mut Input<'_>,
    part: fn(&mut Input<'_>) -> Parsed<Expr>,
    words: &'static [&'static str],
    join: Join,
) -> Parsed<Expr> {
    let first = part(input)?;
    let mut parts = Vec::new();
    while opt(|input: &mut Input<'_>| operator(input, words)).parse_next(input)?.is_some() {
        parts.push(cut_err(part).parse_next(input)?);
    }
    if parts.is_empty() {
        return Ok(first);
    }
    parts.insert(0, first);
    Ok(Expr::Chain(join, parts))
}

fn not(input: &mut Input<'_>) -> Parsed<Expr> {
    let mut negations = 0_usize;
    while opt(alt((|input: &mut Input<'_>| operator(input, &["not"]), spaced(exclamation)))).parse_next(input)?.is_some() {
        negations += 1;
    }
    if negations == 0 {
        return test(input);
    }
    let negated = cut_err(test).parse_next(input)?;
    // Two negations are none, also of what cannot be decided yet.
    Ok(if negations.is_multiple_of(2) { negated } else { Expr::Not(Box::new(negated)) })
}

/// `!` but not `!=`.
fn exclamation<'a>(input: &mut Input<'a>) -> Parsed<&'static str> {
    terminated('!', peek(winnow::combinator::not('='))).value("!").parse_next(input)
}

fn test(input: &mut Input<'_>) -> Parsed<Expr> {
    if opt('(').parse_next(input)?.is_some() {
        return nested(input, |input| delimited(multispace0, cut_err(or), cut_err(spaced(')')).context("`)`")).parse_next(input));
    }
    let quantity = opt(quantity).parse_next(input)?;
    let left = bits(input)?;
    let outside = opt(not_in).parse_next(input)?.is_some();
    if outside || opt(|input: &mut Input<'_>| operator(input, &["in"])).parse_next(input)?.is_some() {
        let set = delimited(
            cut_err(spaced('{')).context("`{`"),
            cut_err(repeat(1.., terminated(member, opt(spaced(','))))),
            cut_err(spaced('}')).context("`}` or another value"),
        )
        .parse_next(input)?;
        let inside = Expr::In { quantity, left, set };
        return Ok(if outside { Expr::Not(Box::new(inside)) } else { inside });
    }
    match opt(comparison).parse_next(input)? {
        None if quantity.is_some() => Err(Fault::cut(input.current_token_start(), "a comparison")),
        None => Ok(Expr::Present(left)),
        Some(op) => {
            let right = cut_err(bits).context("a value").parse_next(input)?;
            Ok(Expr::Compare { quantity, left, op, right })
        }
    }
}

/// `any` or `all`, where a field follows.
fn quantity(input: &mut Input<'_>) -> Parsed<Quantity> {
    let word = terminated(|input: &mut Input<'_>| operator(input, &["any", "all"]), peek(one_of(is_word))).parse_next(input)?;
    Ok(if word == "any" { Quantity::Any } else { Quantity::All })
}

fn not_in(input: &mut Input<'_>) -> Parsed<()> {
    operator(input, &["not"])?;
    operator(input, &["in"])?;
    Ok(())
}

fn bits(input: &mut Input<'_>) -> Parsed<Operand> {
    compute(input, sum, &[("&", Arithmetic::BitAnd), ("bitand", Arithmetic::BitAnd)])
}

fn sum(input: &mut Input<'_>) -> Parsed<Operand> {
    compute(input, product, &[("+", Arithmetic::Add), ("-", Arithmetic::Subtract)])
}

fn product(input: &mut Input<'_>) -> Parsed<Operand> {
    compute(input, operand, &[("*", Arithmetic::Multiply), ("/", Arithmetic::Divide), ("%", Arithmetic::Remainder)])
}

/// Operands joined by operators of one rank, from left to right.
fn compute(
    input: &mut Input<'_>,
    part: fn(&mut Input<'_>) -> Parsed<Operand>,
    operators: &[(&'static str, Arithmetic)],
) -> Parsed<Operand> {
    let first = part(input)?;
    let mut rest = Vec::new();
    loop {
        // `&&` joins conditions.
        if input.starts_with("&&") {
            break;
        }
        let mut found = None;
        for (text, op) in operators {
            if opt(|input: &mut Input<'_>| operator(input, &[text])).parse_next(input)?.is_some() {
                found = Some(*op);
                break;
            }
        }
        let Some(op) = found else { break };
        rest.push((op, cut_err(part).context("a value").parse_next(input)?));
    }
    Ok(if rest.is_empty() { first } else { Operand::Arithmetic { first: Box::new(first), rest } })
}

/// Comparisons as they are written, longer ones first.
const COMPARISONS: &[(&str, Op)] = &[
    ("===", Op::AllEqual),
    ("!==", Op::AnyUnequal),
    ("==", Op::AnyEqual),
    ("!=", Op::NoneEqual),
    (">=", Op::GreaterOrEqual),
    ("<=", Op::LessOrEqual),
    ("~=", Op::AnyUnequal),
    (">", Op::Greater),
    ("<", Op::Less),
    ("~", Op::Matches),
    ("eq", Op::AnyEqual),
    ("any_eq", Op::AnyEqual),
    ("all_eq", Op::AllEqual),
    ("ne", Op::NoneEqual),
    ("all_ne", Op::NoneEqual),
    ("any_ne", Op::AnyUnequal),
    ("gt", Op::Greater),
    ("lt", Op::Less),
    ("ge", Op::GreaterOrEqual),
    ("le", Op::LessOrEqual),
    ("contains", Op::Contains),
    ("matches", Op::Matches),
];

/// Every word that joins or compares, for completion.
pub(super) const OPERATORS: &[(&str, &str)] = &[
    ("==", "some value equals"),
    ("!=", "no value equals"),
    (">", "is greater"),
    ("<", "is less"),
    (">=", "is greater or equal"),
    ("<=", "is less or equal"),
    ("contains", "holds these characters or bytes"),
    ("matches", "fits a regular expression, upper and lower case alike"),
    ("in", "is one of a set: {80, 443, 8000..8100}"),
    ("not in", "is none of a set"),
    ("&", "the bits that both have"),
    ("+", "the sum; also -, *, / and %"),
    ("and", "both sides hold"),
    ("or", "one of the sides holds"),
    ("xor", "one of the sides holds, but not both"),
    ("not", "the opposite"),
];

fn comparison(input: &mut Input<'_>) -> Parsed<Op> {
    for (text, op) in COMPARISONS {
        if opt(|input: &mut Input<'_>| operator(input, &[text])).parse_next(input)?.is_some() {
            return Ok(*op);
        }
    }
    Err(ErrMode::Backtrack(Fault::from_input(input)))
}

/// One of these operators; one made of letters must end where its word ends. Case does not matter.
fn operator<'a>(input: &mut Input<'a>, words: &[&'static str]) -> Parsed<&'static str> {
    for &word in words {
        let start = input.checkpoint();
        let alphabetic = word.starts_with(|c: char| c.is_ascii_alphabetic());
        let found = if alphabetic {
            take_while(1.., is_word).verify(|text: &str| text.eq_ignore_ascii_case(word)).void().parse_next(input)
        } else {
            winnow::token::literal(word).void().parse_next(input)
        };
        match found {
            Ok(()) => {
                multispace0.parse_next(input)?;
                return Ok(word);
            }
            Err(fault) => {
                let _: ErrMode<Fault> = fault;
                input.reset(&start);
            }
        }
    }
    Err(ErrMode::Backtrack(Fault::from_input(input)))
}

fn operand(input: &mut Input<'_>) -> Parsed<Operand> {
    if opt('{').parse_next(input)?.is_some() {
        return nested(input, |input| {
            delimited(multispace0, cut_err(bits), cut_err(spaced('}')).context("`}`")).parse_next(input)
        });
    }
    // `- tcp.len` is `0 - tcp.len`; without the blank, the sign is read with its word.
    let start = input.current_token_start();
    if opt(('-', multispace1)).parse_next(input)?.is_some() {
        let zero = Operand::Word(Word::plain("0", start..start + 1));
        let right = cut_err(unsigned).context("a value").parse_next(input)?;
        return Ok(Operand::Arithmetic { first: Box::new(zero), rest: vec![(Arithmetic::Subtract, right)] });
    }
    unsigned(input)
}

fn unsigned(input: &mut Input<'_>) -> Parsed<Operand> {
    let word = word(input)?;
    let operand = if !word.quoted && opt('(').parse_next(input)?.is_some() {
        let arguments = nested(input, |input| {
            let arguments = separated(0.., cut_err(bits), spaced(','));
            delimited(multispace0, arguments, cut_err(spaced(')')).context("`,` or `)`")).parse_next(input)
        })?;
        Operand::Call { name: word, arguments }
    } else {
        Operand::Word(word)
    };
    let mut cuts = Vec::new();
    while opt(spaced('[')).parse_next(input)?.is_some() {
        let pieces = terminated(
            cut_err(separated(1.., piece, spaced(','))).context("bytes like 4, 0:2 or 0-2"),
            cut_err(spaced(']')).context("`]`"),
        )
        .parse_next(input)?;
        cuts.push(pieces);
    }
    Ok(if cuts.is_empty() { operand } else { Operand::Slice { of: Box::new(operand), cuts } })
}

fn piece(input: &mut Input<'_>) -> Parsed<Piece> {
    let at = input.current_token_start();
    let refused = |expected| Err(Fault::cut(at, expected));
    let piece = if opt(spaced(':')).parse_next(input)?.is_some() {
        let length = spaced(number).parse_next(input)?;
        Piece::From { offset: 0, length: u64::try_from(length).ok() }
    } else {
        let first = spaced(number).parse_next(input)?;
        if opt(spaced(':')).parse_next(input)?.is_some() {
            let length = opt(spaced(number)).parse_next(input)?;
            Piece::From { offset: first, length: length.and_then(|n| u64::try_from(n).ok()) }
        } else if opt(spaced('-')).parse_next(input)?.is_some() {
            Piece::Between { first, last: spaced(number).parse_next(input)? }
        } else {
            Piece::From { offset: first, length: Some(1) }
        }
    };
    match piece {
        Piece::From { length: Some(0), .. } => refused("at least one byte"),
        Piece::Between { first, last } if first > last && (first < 0) == (last < 0) => refused("a first byte before the last"),
        piece => Ok(piece),
    }
}

fn number(input: &mut Input<'_>) -> Parsed<i64> {
    let hexadecimal = preceded("0x", take_while(1..=8, |c: char| c.is_ascii_hexdigit())).map(|digits| (digits, 16));
    let decimal = take_while(1..=9, |c: char| c.is_ascii_digit()).map(|digits| (digits, 10));
    (opt('-'), alt((hexadecimal, decimal)))
        .try_map(|(sign, (digits, radix))| i64::from_str_radix(digits, radix).map(|n| if sign.is_some() { -n } else { n }))
        .parse_next(input)
        .map_err(|fault: ErrMode<Fault>| fault)
}

impl<'a> winnow::error::FromExternalError<Input<'a>, std::num::ParseIntError> for Fault {
    fn from_external_error(input: &Input<'a>, _: std::num::ParseIntError) -> Self {
        Self { at: input.current_token_start(), expected: Some("a number"), too_deep: false }
    }
}

/// One member of a set: a value or `first..last`.
fn member(input: &mut Input<'_>) -> Parsed<(Word, Option<Word>)> {
    let start = input.checkpoint();
    let first = word(input)?;
    if !first.quoted
        && let Some(dots) = first.text.find("..")
    {
        // `80..90` was read as one word; so is `80..`, whose end is the next one.
        let base = first.at.start;
        let (low, high) = (&first.text[..dots], &first.text[dots + 2..]);
        let low_word = Word::plain(low, base..base + dots);
        if low.is_empty() {
            input.reset(&start);
            return Err(Fault::cut(base, "a value before `..`"));
        }
        let high_word = if high.is_empty() {
            cut_err(word).context("a value after `..`").parse_next(input)?
        } else {
            Word::plain(high, base + dots + 2..first.at.end)
        };
        return Ok((low_word, Some(high_word)));
    }
    let last = opt(preceded(spaced(".."), cut_err(word))).parse_next(input)?;
    Ok((first, last))
}

fn word(input: &mut Input<'_>) -> Parsed<Word> {
    let start = input.current_token_start();
    let is_raw = opt(terminated(one_of(['r', 'R']), peek('"'))).parse_next(input)?.is_some();
    let mut word = match opt(one_of(['"', '\''])).parse_next(input)? {
        Some(quote) => quoted(input, quote, is_raw)?,
        None => take_while(1.., is_word).map(|text: &str| Word::plain(text, start..start)).parse_next(input)?,
    };
    word.at = start..input.previous_token_end();
    if word.character && word.bytes.len() != 1 {
        return Err(Fault::cut(start, "one character in single quotation marks"));
    }
    multispace0.parse_next(input)?;
    Ok(word)
}

/// What stands within quotation marks, of which the first was read.
fn quoted(input: &mut Input<'_>, quote: char, is_raw: bool) -> Parsed<Word> {
    let mut word = Word { quoted: true, character: quote == '\'', ..Word::plain("", 0..0) };
    loop {
        let at = input.current_token_start();
        let c = cut_err(any).context("the closing quotation mark").parse_next(input)?;
        if c == quote {
            return Ok(word);
        }
        if c == '\\' && !is_raw {
            let start = input.checkpoint();
            match opt(escape).parse_next(input)? {
                Some((text, byte)) => {
                    word.text.push_str(&text);
                    word.bytes.push(byte);
                    continue;
                }
                None => input.reset(&start),
            }
            let end = at + 1 + input.chars().next().map_or(0, char::len_utf8);
            word.unknown_escape.get_or_insert(at..end);
        }
        word.text.push(c);
        word.bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// What follows a backslash, as a pattern needs it and as the byte it stands for: `\"`, `\\`, `\n`, `\x0a`, `\012` and the other
/// escapes of C. Of anything else the backslash stays, as in the `\d` of a pattern.
fn escape(input: &mut Input<'_>) -> Parsed<(String, u8)> {
    let fault = ErrMode::Backtrack(Fault::from_input(input));
    let number = |digits: &str, radix| u8::from_str_radix(digits, radix).map(|byte| (format!("\\x{byte:02x}"), byte));
    if let Some(digits) = opt(take_while(1..=3, |c: char| ('0'..='7').contains(&c))).parse_next(input)? {
        return number(digits, 8).map_err(|_| fault);
    }
    let c = any.parse_next(input)?;
    let (text, byte) = match c {
        '"' | '\\' | '\'' => (c.to_string(), c as u8),
        'n' => ("\n".to_owned(), b'\n'),
        'r' => ("\r".to_owned(), b'\r'),
        't' => ("\t".to_owned(), b'\t'),
        // In a pattern `\b` is the edge of a word, and stays.
        'a' => ("\\a".to_owned(), 7),
        'b' => ("\\b".to_owned(), 8),
        'f' => ("\\f".to_owned(), 12),
        'v' => ("\\v".to_owned(), 11),
        'x' => {
            let digits = take_while(1..=2, |c: char| c.is_ascii_hexdigit()).parse_next(input)?;
            return number(digits, 16).map_err(|_| fault);
        }
        _ => return Err(fault),
    };
    Ok((text, byte))
}

/// Characters of names, numbers, addresses and prefixes.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | ':' | '/' | '-' | '#')
}

fn spaced<'a, T>(parser: impl Parser<Input<'a>, T, ErrMode<Fault>>) -> impl Parser<Input<'a>, T, ErrMode<Fault>> {
    terminated(parser, multispace0)
}
