//! Filters as long as somebody likes, in each production of the grammar that repeats or nests: a link may hold them, and none may
//! overflow a stack or take for ever.

/// What a long filter is to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is read and lets these packets of `mtu-100-srv.pcap` through: all of TCP, none, or every one.
    Tcp,
    None,
    All,
    /// It is no filter, which is said in a short sentence.
    Wrong,
    /// It is nested too deeply.
    TooDeep,
}

/// A production: its name, what it begins with, what is repeated, what it ends with, and the outcome within the length bound.
pub(crate) type Production = (&'static str, &'static str, &'static str, &'static str, Outcome);

/// All of them.
pub(crate) const PRODUCTIONS: &[Production] = &[
    ("||", "tcp", "||tcp", "", Outcome::Tcp),
    ("or", "tcp", " or tcp", "", Outcome::Tcp),
    ("&&", "tcp", "&&tcp", "", Outcome::Tcp),
    ("and", "tcp", " and tcp", "", Outcome::Tcp),
    ("^^", "tcp", "^^tcp^^tcp", "", Outcome::Tcp),
    ("xor", "tcp", " xor tcp xor tcp", "", Outcome::Tcp),
    ("or of and", "tcp", " or tcp and tcp", "", Outcome::Tcp),
    ("!", "", "!!", "tcp", Outcome::Tcp),
    ("not", "", "not not ", "tcp", Outcome::Tcp),
    ("! =", "tcp", " && frame.len!=1", "", Outcome::Tcp),
    ("+", "tcp.port", "+1", " > 0", Outcome::Tcp),
    ("-", "tcp.port", " - 0", " > 0", Outcome::Tcp),
    ("*", "tcp.port", "*1", " > 0", Outcome::Tcp),
    ("/", "tcp.port", " / 1", " > 0", Outcome::Tcp),
    ("%", "tcp.port", "%70000", " > 0", Outcome::Tcp),
    ("&", "tcp.port", "&0xffff", " > 0", Outcome::Tcp),
    ("bitand", "tcp.port", " bitand 0xffff", " > 0", Outcome::Tcp),
    // Two values each: their sums double with each term, until no more are computed.
    ("+ of two values", "tcp.port", "+tcp.port", " > 0", Outcome::None),
    ("[]", "tcp", "[0:20]", "", Outcome::Tcp),
    ("[,]", "tcp[0:20", ",0:20", "]", Outcome::Tcp),
    ("in", "ip.proto in {6", ",6", "}", Outcome::Tcp),
    ("in, with blanks", "ip.proto in {6", " 6", "}", Outcome::Tcp),
    ("in, stretches", "ip.proto in {6..6", ",6..6", "}", Outcome::Tcp),
    ("in, fields", "ip.proto in {ip.proto", ",ip.proto", "}", Outcome::Tcp),
    ("all in", "all ip.proto in {6", ",6", "}", Outcome::Tcp),
    ("max", "max(tcp.port", ",1", ") > 1", Outcome::Tcp),
    ("min of fields", "min(tcp.port", ",tcp.port", ") > 0", Outcome::Tcp),
    ("patterns", "tcp", " and frame matches \"\\x00\"", "", Outcome::Tcp),
    ("a text", "frame contains \"a", "a", "\"", Outcome::None),
    ("escapes", "frame contains \"", "\\x00", "\"", Outcome::None),
    ("blanks", "tcp", " ", "", Outcome::Tcp),
    ("a word", "tcp", "p", "", Outcome::Wrong),
    ("a number", "frame.len == 1", "0", "", Outcome::Wrong),
    ("a pattern", "frame matches \"a", "a", "\"", Outcome::Wrong),
    ("open brackets", "tcp", "[", "", Outcome::Wrong),
    ("closed parentheses", "tcp", ")", "", Outcome::Wrong),
    ("(", "", "(", "tcp", Outcome::TooDeep),
    ("!(", "", "!(", "tcp", Outcome::TooDeep),
    ("not (", "", "not (", "tcp", Outcome::TooDeep),
    ("(tcp or", "", "(tcp or ", "tcp", Outcome::TooDeep),
    ("{", "", "{", "tcp.len", Outcome::TooDeep),
    ("{1+", "", "{1+", "tcp.len", Outcome::TooDeep),
    ("len(", "", "len(", "tcp", Outcome::TooDeep),
    ("max(1,", "", "max(1,", "tcp.len", Outcome::TooDeep),
    ("f(", "", "f(", "tcp", Outcome::TooDeep),
];

/// A filter of about this many bytes: one that ends in its outcome.
pub(crate) fn long(production: &Production, bytes: usize) -> String {
    let (_, begin, again, end, _) = production;
    let times = bytes.saturating_sub(begin.len() + end.len()) / again.len();
    format!("{begin}{}{end}", again.repeat(times))
}

/// The deepest that is read, of each kind of nesting: `(((…tcp…)))`.
pub(crate) fn deepest(levels: usize) -> [String; 5] {
    let nested = |open: &str, inner: &str, close: &str| open.repeat(levels) + inner + &close.repeat(levels);
    [
        nested("(", "tcp", ")"),
        nested("!(", "tcp", ")"),
        nested("(tcp and ", "tcp", ")"),
        nested("{1+", "tcp.port", "}") + " > 0",
        nested("max(1,", "tcp.port", ")") + " > 1",
    ]
}
