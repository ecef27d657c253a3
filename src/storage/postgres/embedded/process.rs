//! Commands under another account, and signals, without a line of unsafe code: through `setpriv`
//! (util-linux) and the shell's `kill`.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

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
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let (uid, gid) = (effective_id(&status, "Uid:"), effective_id(&status, "Gid:"));
        if uid != Some(0) {
            return Self { uid: uid.unwrap_or(u32::MAX), gid: gid.unwrap_or(u32::MAX), switch: false };
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let (uid, gid) =
            ["postgres", "nobody"].iter().find_map(|name| ids_of(&passwd, name)).unwrap_or((65534, 65534));
        Self { uid, gid, switch: true }
    }

    /// The name if the machine knows one, else the number.
    pub fn name(&self) -> String {
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        name_of(&passwd, self.uid).unwrap_or_else(|| self.uid.to_string())
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

/// Sends a signal by name (`INT`, `QUIT`).
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("/bin/sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name, &pid.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tracing::debug!(pid, name, ?status, "signal sent to PostgreSQL");
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

/// From the line `Uid: real effective saved filesystem`, separated by tabs.
fn effective_id(status: &str, key: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().nth(1)?.parse().ok()
}

fn ids_of(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut ids = line.split(':').skip(2);
    Some((ids.next()?.parse().ok()?, ids.next()?.parse().ok()?))
}

fn name_of(passwd: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid))?;
    line.split(':').next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:PG:/var/lib:/bin/bash\n";

    #[test]
    fn reads_the_account_table() {
        assert_eq!(effective_id("Name:\tx\nUid:\t1\t2\t3\t4\n", "Uid:"), Some(2));
        assert_eq!(ids_of(PASSWD, "postgres"), Some((101, 104)));
        assert_eq!(ids_of(PASSWD, "post"), None);
        assert_eq!(name_of(PASSWD, 101).as_deref(), Some("postgres"));
        assert_eq!(name_of(PASSWD, 7), None);
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
