//! How a command gets into a network namespace.

use super::Command;
use super::arg::Arg;

/// The way into a network namespace from a shell of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The shell is in it.
    Here,
    /// `ip netns exec NAME`: a namespace that `ip netns list` shows.
    Named(NetnsName),
    /// `nsenter -n -t PID`: that of a process.
    Process(u32),
    /// `nsenter --net=PATH`: one that a file keeps.
    File(NetnsFile),
}

/// A name that `ip netns` lists: a file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetnsName(Arg);

/// An absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetnsFile(Arg);

impl Reach {
    /// By a name of `ip netns`; `None` if there can be no namespace of that name.
    pub fn named(name: &str) -> Option<Self> {
        let is_name = name != "." && name != ".." && !name.contains('/');
        Arg::checked(name).filter(|_| is_name).map(|name| Self::Named(NetnsName(name)))
    }

    /// By the file that keeps it; `None` if this is no absolute path.
    pub fn file(path: &str) -> Option<Self> {
        Arg::checked(path).filter(|_| path.starts_with('/')).map(|path| Self::File(NetnsFile(path)))
    }
}

impl Command {
    /// The command as it is run in that namespace.
    #[must_use]
    pub fn inside(mut self, reach: &Reach) -> Self {
        let way = match reach {
            Reach::Here => return self,
            Reach::Named(NetnsName(name)) => Self::new("ip").args(["netns", "exec"]).arg(name.clone()),
            Reach::Process(pid) => Self::new("nsenter").args(["-n", "-t"]).arg(*pid),
            Reach::File(NetnsFile(path)) => Self::new("nsenter").arg(Arg::concat(["--net=".into(), path.clone()])),
        };
        self.argv.splice(0..0, way.argv);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(reach: &Reach) -> String {
        Command::new("ss").args(["-lnt"]).inside(reach).line()
    }

    #[test]
    fn each_way_in_stands_before_the_command() {
        assert_eq!(line(&Reach::Here), "ss -lnt");
        assert_eq!(line(&Reach::named("web-1").unwrap()), "ip netns exec web-1 ss -lnt");
        assert_eq!(line(&Reach::named("a b;id").unwrap()), "ip netns exec 'a b;id' ss -lnt");
        assert_eq!(line(&Reach::Process(4711)), "nsenter -n -t 4711 ss -lnt");
        assert_eq!(line(&Reach::file("/run/netns/x y").unwrap()), "nsenter '--net=/run/netns/x y' ss -lnt");
    }

    #[test]
    fn what_names_no_namespace_is_no_way_in() {
        for name in ["", ".", "..", "a/b", "-all", "a\u{1b}c"] {
            assert_eq!(Reach::named(name), None, "{name:?}");
        }
        for path in ["", "a/b", "-x", "/a\nb"] {
            assert_eq!(Reach::file(path), None, "{path:?}");
        }
    }
}
