//! Where the cluster lives, who runs it, and that only one server does.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::EmbeddedOptions;
use super::error::{At, EmbeddedError};
use super::process::{Account, setpriv_exists};

/// PostgreSQL names its socket after a port, also where no port is opened.
pub const PORT: u16 = 5432;

/// Longest path of a Unix socket on Linux, in bytes, without the closing zero.
const SOCKET_PATH_MAX: usize = 107;

/// The outcome of looking around. Holds the lock on the data folder for as long as it lives.
#[derive(Debug)]
pub struct Layout {
    pub account: Account,
    /// May not exist yet.
    pub cluster: PathBuf,
    pub socket_dir: PathBuf,
    pub log: PathBuf,
    /// Major version of the cluster, if there is one.
    pub major: Option<u32>,
    /// The socket folder is ours to remove when the cluster stops.
    temporary_socket_dir: bool,
    _lock: File,
}

impl Layout {
    /// # Errors
    /// `InUse`, `NotOurs`, `Unreachable`, `NotACluster`, `NoSocketDir`, `NoSetpriv`, `Io`.
    pub fn find(options: &EmbeddedOptions) -> Result<Self, EmbeddedError> {
        let mut account = Account::current();
        if account.switch && !setpriv_exists() {
            return Err(EmbeddedError::NoSetpriv);
        }
        // Of root: others may pass, to reach the cluster inside; they cannot list or read it.
        let mode = if account.switch { 0o711 } else { 0o700 };
        let data = &options.data_dir;
        DirBuilder::new().recursive(true).mode(mode).create(data).at("cannot create", data)?;
        let data = fs::canonicalize(data).at("cannot open", data)?;
        let lock = lock(&data)?;

        let cluster = cluster_dir(&data, &account, &options.system_dir)?;
        let major = major_of(&cluster)?;
        if major.is_some() {
            let owner = fs::metadata(&cluster).at("cannot read", &cluster)?;
            if account.switch && owner.uid() != 0 {
                // A cluster that a user made stays that user's, also when root runs it once.
                account = Account { uid: owner.uid(), gid: owner.gid(), switch: true };
            } else if owner.uid() != account.uid {
                return Err(EmbeddedError::NotOurs { path: cluster });
            }
            if account.switch && !account.can_use(&cluster) {
                return Err(EmbeddedError::Unreachable { path: cluster, account: account.name() });
            }
        }
        let (socket_dir, temporary_socket_dir) = socket_dir(&data, &account)?;
        let log = data.join("postgres.log");
        Ok(Self { account, cluster, socket_dir, log, major, temporary_socket_dir, _lock: lock })
    }

    /// Creates a folder that belongs to the account and to nobody else.
    pub fn make_private(&self, dir: &Path) -> Result<(), EmbeddedError> {
        make_private(dir, &self.account).at("cannot create", dir)
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        if self.temporary_socket_dir {
            // Stays if something is still in it, and is adopted by the next start.
            let _ = fs::remove_dir(&self.socket_dir);
        }
    }
}

/// One server per data folder; the lock goes with the process, however it ends.
fn lock(data: &Path) -> Result<File, EmbeddedError> {
    let path = data.join("postgres.lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .at("cannot open", &path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            let holder = match pid.trim() {
                "" => String::new(),
                pid => format!(" (process {pid})"),
            };
            return Err(EmbeddedError::InUse { data_dir: data.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(error).at("cannot lock", &path),
    }
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).at("cannot write", &path)?;
    Ok(file)
}

/// `<data>/postgres`; or, when the account cannot get there, a folder under `system_dir`, which
/// `<data>/postgres.location` then names for good.
fn cluster_dir(data: &Path, account: &Account, system_dir: &Path) -> Result<PathBuf, EmbeddedError> {
    let usual = data.join("postgres");
    let pointer = data.join("postgres.location");
    match fs::read_to_string(&pointer) {
        Ok(location) => return Ok(PathBuf::from(location.trim_end())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).at("cannot read", &pointer),
    }
    if !account.switch || usual.join("PG_VERSION").exists() || can_pass(data, account) {
        return Ok(usual);
    }
    let other = system_dir.join(digest(data));
    DirBuilder::new().recursive(true).mode(0o755).create(system_dir).at("cannot create", system_dir)?;
    if !can_pass(system_dir, account) {
        return Err(EmbeddedError::Unreachable { path: data.to_owned(), account: account.name() });
    }
    tracing::warn!(
        "PostgreSQL runs as {}, which cannot enter {}: its files go to {}",
        account.name(),
        data.display(),
        other.display()
    );
    let draft = data.join("postgres.location.new");
    fs::write(&draft, format!("{}\n", other.display())).at("cannot write", &draft)?;
    fs::rename(&draft, &pointer).at("cannot write", &pointer)?;
    Ok(other)
}

/// Whether the account can use what lies inside `dir`: tried with a folder of its own.
fn can_pass(dir: &Path, account: &Account) -> bool {
    let probe = dir.join(format!(".reach-{}", std::process::id()));
    let usable = make_private(&probe, account).is_ok() && account.can_use(&probe);
    let _ = fs::remove_dir(&probe);
    usable
}

fn make_private(dir: &Path, account: &Account) -> std::io::Result<()> {
    DirBuilder::new().mode(0o700).create(dir)?;
    if account.switch { chown(dir, Some(account.uid), Some(account.gid)) } else { Ok(()) }
}

fn major_of(cluster: &Path) -> Result<Option<u32>, EmbeddedError> {
    let path = cluster.join("PG_VERSION");
    match fs::read_to_string(&path) {
        // "15", or "9.6" before version 10.
        Ok(text) => match text.trim().split('.').next().and_then(|major| major.parse().ok()) {
            Some(major) => Ok(Some(major)),
            None => Err(EmbeddedError::NotACluster { path: cluster.to_owned() }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let empty = match fs::read_dir(cluster) {
                Ok(mut entries) => entries.next().is_none(),
                Err(error) if error.kind() == ErrorKind::NotFound => true,
                Err(error) => return Err(error).at("cannot read", cluster),
            };
            if empty { Ok(None) } else { Err(EmbeddedError::NotACluster { path: cluster.to_owned() }) }
        }
        Err(error) => Err(error).at("cannot read", &path),
    }
}

/// A folder for the socket that only the account can enter, since whoever reaches the socket is
/// trusted. Inside the data folder; or, where that path is too long or the file system holds no
/// sockets, a folder of the same name at every start in a system folder. Not in `/run/user`, which
/// goes away when its user logs out and leaves the server running.
fn socket_dir(data: &Path, account: &Account) -> Result<(PathBuf, bool), EmbeddedError> {
    let name = format!("parsimony-{}-{}", account.uid, digest(data));
    let mut candidates = vec![(data.join("socket"), false)];
    if account.switch {
        candidates.push((Path::new("/run").join(&name), true));
    }
    candidates.push((std::env::temp_dir().join(&name), true));
    candidates.push((Path::new("/tmp").join(&name), true));
    // Somebody else may have taken the predictable name in a folder open to all.
    candidates.push((Path::new("/tmp").join(format!("{name}-{:08x}", rand::random::<u32>())), true));
    let mut tried = Vec::new();
    for (dir, temporary) in candidates {
        let socket = dir.join(format!(".s.PGSQL.{PORT}"));
        if socket.as_os_str().len() <= SOCKET_PATH_MAX && take(&dir, account, temporary) {
            return Ok((dir, temporary));
        }
        tried.push(dir.display().to_string());
    }
    Err(EmbeddedError::NoSocketDir { tried: tried.join(", ") })
}

/// Makes or adopts `dir`; false if it cannot be used or is not safe.
fn take(dir: &Path, account: &Account, temporary: bool) -> bool {
    if make_private(dir, account).is_err() {
        // Not following links: a link that another user planted must not be adopted.
        let Ok(found) = fs::symlink_metadata(dir) else { return false };
        if !found.is_dir() {
            return false;
        }
        if found.uid() != account.uid || found.mode() & 0o077 != 0 {
            if temporary {
                return false;
            }
            // Inside the data folder it is ours to repair: the cluster's account may have changed.
            let repaired = chown(dir, Some(account.uid), Some(account.gid))
                .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o700)));
            if repaired.is_err() {
                return false;
            }
        }
    }
    let probe = dir.join(".probe");
    let _ = fs::remove_file(&probe);
    let holds_sockets = UnixListener::bind(&probe).is_ok();
    let _ = fs::remove_file(&probe);
    let usable = holds_sockets && (!account.switch || account.can_use(dir));
    if !usable {
        let _ = fs::remove_dir(dir);
    }
    usable
}

/// A short name for a data folder.
fn digest(data: &Path) -> String {
    hex::encode(&Sha256::digest(data.as_os_str().as_encoded_bytes())[..6])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// With the system folder inside the data folder: a test leaves nothing on the machine.
    fn place(data: &Path) -> Result<Layout, EmbeddedError> {
        let system_dir = data.join("system");
        Layout::find(&EmbeddedOptions { system_dir, ..EmbeddedOptions::new(data) })
    }

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
        dir
    }

    #[test]
    fn one_server_per_data_folder() {
        let data = folder();
        let first = place(data.path()).unwrap();
        let error = place(data.path()).unwrap_err();
        assert!(matches!(error, EmbeddedError::InUse { .. }), "{error}");
        assert!(error.to_string().contains(&format!("(process {})", std::process::id())), "{error}");
        drop(first);
        place(data.path()).unwrap();
    }

    #[test]
    fn a_long_path_moves_only_the_socket() {
        let data = folder();
        let long = data.path().join("x".repeat(150));
        let first = place(&long).unwrap();
        let socket_dir = first.socket_dir.clone();
        assert!(socket_dir.as_os_str().len() < 90, "{}", socket_dir.display());
        assert_eq!(fs::metadata(&socket_dir).unwrap().mode() & 0o777, 0o700);
        drop(first);
        assert!(!socket_dir.exists());
        // As a killed server leaves it: adopted.
        make_private(&socket_dir, &Account::current()).unwrap();
        assert_eq!(place(&long).unwrap().socket_dir, socket_dir);
    }

    #[test]
    fn a_planted_socket_folder_is_not_taken() {
        let base = folder();
        let account = Account::current();
        let elsewhere = base.path().join("elsewhere");
        make_private(&elsewhere, &account).unwrap();
        let link = base.path().join("link");
        symlink(&elsewhere, &link).unwrap();
        assert!(!take(&link, &account, true));
        let open = base.path().join("open");
        make_private(&open, &account).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(!take(&open, &account, true));
        assert!(take(&open, &account, false));
        assert_eq!(fs::metadata(&open).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn foreign_content_is_left_alone() {
        let data = folder();
        fs::create_dir(data.path().join("postgres")).unwrap();
        fs::write(data.path().join("postgres/holiday.jpg"), "").unwrap();
        assert!(matches!(place(data.path()).unwrap_err(), EmbeddedError::NotACluster { .. }));
        assert!(data.path().join("postgres/holiday.jpg").exists());
    }
}
