//! Finds the programs of an installed PostgreSQL.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::EmbeddedError;

/// A folder with `initdb` and `postgres`, and their major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    pub dir: PathBuf,
    pub major: u32,
}

impl Binaries {
    pub fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    pub fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }
}

/// Where to look, in this order; the environment is read once, so that tests can give their own.
#[derive(Debug)]
pub struct Search {
    /// `PARSIMONY_PG_BIN` or `PARSE_PG_BIN`: if set, the only place.
    pub named: Option<PathBuf>,
    /// The folders of `PATH`.
    pub path: Vec<PathBuf>,
    /// Where distributions keep one folder per major version: `<here>/15/bin`.
    pub versions: PathBuf,
}

impl Search {
    pub fn from_env() -> Self {
        let named = ["PARSIMONY_PG_BIN", "PARSE_PG_BIN"].iter().find_map(env::var_os);
        Self {
            named: named.filter(|dir| !dir.is_empty()).map(PathBuf::from),
            path: env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default(),
            versions: PathBuf::from("/usr/lib/postgresql"),
        }
    }

    /// The programs to use: the first found for a new cluster, those of the same major version for
    /// an existing one (`cluster` is its folder and version).
    ///
    /// # Errors
    /// `NotInstalled`, `NotABinDir`, `OtherMajor`.
    pub fn find(&self, cluster: Option<(&Path, u32)>) -> Result<Binaries, EmbeddedError> {
        let found = self.all()?;
        let Some((path, wanted)) = cluster else {
            return found.into_iter().next().ok_or_else(|| self.not_installed());
        };
        if found.is_empty() {
            return Err(self.not_installed());
        }
        let majors: Vec<String> = found.iter().map(|b| b.major.to_string()).collect();
        found.into_iter().find(|b| b.major == wanted).ok_or_else(|| EmbeddedError::OtherMajor {
            cluster: path.to_owned(),
            wanted,
            found: majors.join(", "),
        })
    }

    fn all(&self) -> Result<Vec<Binaries>, EmbeddedError> {
        if let Some(dir) = &self.named {
            let dir = resolve(dir).ok_or_else(|| EmbeddedError::NotABinDir { dir: dir.clone() })?;
            return Ok(vec![Binaries { major: version_of(&dir)?, dir }]);
        }
        let mut found: Vec<Binaries> = Vec::new();
        for dir in self.path.iter().filter_map(|dir| resolve(dir)) {
            if found.iter().all(|b| b.dir != dir) {
                // Something on PATH that only looks like PostgreSQL must not hide a real one.
                match version_of(&dir) {
                    Ok(major) => found.push(Binaries { dir, major }),
                    Err(error) => tracing::debug!("skipping {}: {error}", dir.display()),
                }
            }
        }
        let mut versions: Vec<Binaries> = fs::read_dir(&self.versions)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let major = entry.file_name().to_str()?.parse().ok()?;
                Some(Binaries { dir: resolve(&entry.path().join("bin"))?, major })
            })
            .collect();
        versions.sort_by_key(|b| std::cmp::Reverse(b.major));
        versions.retain(|b| found.iter().all(|f| f.dir != b.dir));
        found.extend(versions);
        Ok(found)
    }

    fn not_installed(&self) -> EmbeddedError {
        EmbeddedError::NotInstalled { looked_in: format!("PATH and {}", self.versions.display()) }
    }
}

/// The real folder of the programs behind `dir`, where symbolic links may stand for them. PostgreSQL
/// finds its share files relative to it.
fn resolve(dir: &Path) -> Option<PathBuf> {
    let postgres = fs::canonicalize(dir.join("postgres")).ok()?;
    let real = postgres.parent()?;
    if postgres.file_name()? == "postgres" && real.join("initdb").is_file() {
        return Some(real.to_owned());
    }
    // A wrapper script under another name: keep what was named, if it is complete.
    dir.join("initdb").is_file().then(|| dir.to_owned())
}

/// Asks `postgres --version`, which answers `postgres (PostgreSQL) 15.18 (…)`, also to root.
fn version_of(dir: &Path) -> Result<u32, EmbeddedError> {
    let program = dir.join("postgres");
    let said = match Command::new(&program).arg("--version").output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    parse_version(&said)
        .ok_or_else(|| EmbeddedError::UnknownVersion { command: program.display().to_string(), output: said })
}

fn parse_version(said: &str) -> Option<u32> {
    let number = said.split("(PostgreSQL) ").nth(1)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn fake(dir: &Path, says: &str) {
        fs::create_dir_all(dir).unwrap();
        for name in ["initdb", "postgres"] {
            fs::write(dir.join(name), format!("#!/bin/sh\necho '{says}'\n")).unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    fn search(root: &Path) -> Search {
        Search { named: None, path: Vec::new(), versions: root.join("versions") }
    }

    #[test]
    fn reads_versions() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(parse_version("postgres (PostgreSQL) 18beta2"), Some(18));
        assert_eq!(parse_version("postgres: command not found"), None);
    }

    #[test]
    fn takes_the_newest_and_for_an_existing_cluster_its_own_major() {
        let root = tempfile::tempdir().unwrap();
        for major in [9, 15, 13] {
            let dir = root.path().join(format!("versions/{major}/bin"));
            fake(&dir, &format!("postgres (PostgreSQL) {major}.1"));
        }
        let search = search(root.path());
        assert_eq!(search.find(None).unwrap().major, 15);
        assert_eq!(search.find(Some((Path::new("x"), 13))).unwrap().major, 13);
        let error = search.find(Some((Path::new("x"), 12))).unwrap_err();
        assert!(
            matches!(&error, EmbeddedError::OtherMajor { wanted: 12, found, .. } if found == "15, 13, 9")
        );
        assert!(error.to_string().contains("Install postgresql-12"), "{error}");
    }

    #[test]
    fn path_comes_first_and_links_are_followed() {
        let root = tempfile::tempdir().unwrap();
        fake(&root.path().join("versions/16/bin"), "postgres (PostgreSQL) 16.1");
        let real = root.path().join("real");
        fake(&real, "postgres (PostgreSQL) 14.2");
        let bin = root.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for name in ["initdb", "postgres"] {
            symlink(real.join(name), bin.join(name)).unwrap();
        }
        let mut search = search(root.path());
        search.path = vec![root.path().join("missing"), bin];
        let found = search.find(None).unwrap();
        assert_eq!(found, Binaries { dir: fs::canonicalize(real).unwrap(), major: 14 });
    }

    #[test]
    fn half_an_installation_does_not_count() {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("bin");
        fake(&bin, "postgres (PostgreSQL) 14.2");
        fs::remove_file(bin.join("initdb")).unwrap();
        let mut search = search(root.path());
        search.path = vec![bin.clone()];
        let error = search.find(None).unwrap_err();
        assert!(error.to_string().contains("apt-get install postgresql"), "{error}");
        search.named = Some(bin);
        assert!(matches!(search.find(None).unwrap_err(), EmbeddedError::NotABinDir { .. }));
    }
}
