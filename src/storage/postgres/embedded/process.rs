//! Commands under another account, and signals, without a line of unsafe code.
//!
//! Accounts and signals go through crate `nix`. `setpriv` (util-linux) changes the account of a child, since it
//! also drops groups and capabilities and asks for the signal at its parent's death, between fork and exec.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, User};

/// The account PostgreSQL runs under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    /// This process is root and the child must change to the account.
    pub switch: bool,
}

impl Account {
    /// Our own account. Of root: `postgres` if the machine has it, else `nobody`.
    pub fn current() -> Self {
        let (uid, gid) = (Uid::effective(), Gid::effective());
        if !uid.is_root() {
            return Self { uid: uid.as_raw(), gid: gid.as_raw(), switch: false };
        }
        let known = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
        let (uid, gid) = known.map_or((65534, 65534), |user| (user.uid.as_raw(), user.gid.as_raw()));
        Self { uid, gid, switch: true }
    }

    /// The name if the machine knows one, else the number.
    pub fn name(&self) -> String {
        let known = User::from_uid(Uid::from_raw(self.uid)).ok().flatten();
        known.map_or_else(|| self.uid.to_string(), |user| user.name)
    }

    /// `program` under this account, with an environment that holds none of the server's secrets,
    /// in a process group of its own (a Ctrl-C is for the server, which then stops it in order),
    /// and sent `death_signal` when the thread that starts it ends, however that happens.
    pub fn command(&self, program: &Path, death_signal: &str) -> Command {
        let mut command = if setpriv_exists() {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", death_signal, "--no-new-privs"]);
            if self.switch {
                command.arg(format!("--reuid={}", self.uid));
                command.arg(format!("--regid={}", self.gid));
                command.args(["--clear-groups", "--inh-caps=-all"]);
            }
            command.arg("--").arg(program);
            command
        } else {
            // Only reached without a switch of account: `place` asks for setpriv otherwise.
            Command::new(program)
        };
        command.env_clear().env("LC_ALL", "C").stdin(Stdio::null()).process_group(0);
        for kept in ["PATH", "LD_LIBRARY_PATH", "TZ"] {
            if let Some(value) = env::var_os(kept) {
                command.env(kept, value);
            }
        }
        command
    }

    /// Whether this account may enter and write to `dir`: asked by doing it, since permissions of
    /// any folder above count.
    pub fn can_use(&self, dir: &Path) -> bool {
        let mut command = self.command(Path::new("/bin/sh"), "KILL");
        command.args(["-c", "cd -- \"$1\" && test -w . && test -x .", "sh"]).arg(dir).current_dir("/");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

pub fn setpriv_exists() -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir| dir.join("setpriv").is_file()))
}

pub fn signal(pid: u32, signal: Signal) {
    // 0 and what would be negative mean whole groups of processes.
    let Some(process) = i32::try_from(pid).ok().filter(|pid| *pid > 0) else { return };
    let sent = kill(Pid::from_raw(process), signal);
    tracing::debug!(pid, %signal, ?sent, "signal sent to PostgreSQL");
}

pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        // `pid (comm) state …`: a zombie has ended, its parent only has not looked yet.
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with('Z')))
}

/// Whether the process is some PostgreSQL's, of whichever cluster.
pub fn is_postgres(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("postgres"))
}

/// Whether the process is the postmaster of `cluster`. Its command line is readable for everybody,
/// unlike its folder, for which root in a container lacks a capability.
pub fn is_postmaster_of(pid: u32, cluster: &Path) -> bool {
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let mut arguments = line.split(|byte| *byte == 0);
    let program = arguments.next().unwrap_or_default();
    let cluster = cluster.as_os_str().as_encoded_bytes();
    program.ends_with(b"postgres") && arguments.any(|argument| argument == cluster) && is_alive(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_accounts_of_the_machine() {
        let root = Account { uid: 0, gid: 0, switch: false };
        assert_eq!(root.name(), "root");
        assert_eq!(Account { uid: 4_000_000_007, ..root }.name(), "4000000007");
        let own = Account::current();
        assert_eq!(own.switch, Uid::effective().is_root());
        assert_ne!(own.uid, 0);
    }

    #[test]
    fn signals_reach_one_process_only() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        // Would be everybody's end if they were taken for process groups.
        signal(0, Signal::SIGKILL);
        signal(u32::MAX, Signal::SIGKILL);
        signal(child.id(), Signal::SIGINT);
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGINT as i32));
    }

    #[test]
    fn keeps_secrets_out_of_the_child() {
        let output = Account::current().command(Path::new("/usr/bin/env"), "KILL").output().unwrap();
        let environment = String::from_utf8(output.stdout).unwrap();
        assert!(environment.contains("LC_ALL=C"), "{environment}");
        assert!(!environment.contains("CARGO"), "{environment}");
    }

    #[test]
    fn a_process_that_is_gone_is_not_alive() {
        let mut child = Command::new("/bin/true").spawn().unwrap();
        child.wait().unwrap();
        assert!(!is_alive(child.id()));
        assert!(is_alive(std::process::id()));
        assert!(!is_postmaster_of(std::process::id(), Path::new("/")));
    }
}
