//! The private folder of a pool: the host program, the socket and the journals.
//!
//! The program is embedded in the binary and written out at start, since Node runs files.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Every file of the host program.
const PROGRAM: &[(&str, &str)] = &[
    ("adapters.cjs", include_str!("host/adapters.cjs")),
    ("application.cjs", include_str!("host/application.cjs")),
    ("cloud-api.cjs", include_str!("host/cloud-api.cjs")),
    ("codec.cjs", include_str!("host/codec.cjs")),
    ("esm-hooks.mjs", include_str!("host/esm-hooks.mjs")),
    ("files.cjs", include_str!("host/files.cjs")),
    ("functions.cjs", include_str!("host/functions.cjs")),
    ("graphql-function.cjs", include_str!("host/graphql-function.cjs")),
    ("graphql-schema.cjs", include_str!("host/graphql-schema.cjs")),
    ("inflate.cjs", include_str!("host/inflate.cjs")),
    ("keep.cjs", include_str!("host/keep.cjs")),
    ("link.cjs", include_str!("host/link.cjs")),
    ("load.cjs", include_str!("host/load.cjs")),
    ("log.cjs", include_str!("host/log.cjs")),
    ("main.cjs", include_str!("host/main.cjs")),
    ("middleware.cjs", include_str!("host/middleware.cjs")),
    ("registry.cjs", include_str!("host/registry.cjs")),
    ("sdk.cjs", include_str!("host/sdk.cjs")),
    ("special-triggers.cjs", include_str!("host/special-triggers.cjs")),
    ("triggers.cjs", include_str!("host/triggers.cjs")),
    ("validators.cjs", include_str!("host/validators.cjs")),
    ("watchdog.cjs", include_str!("host/watchdog.cjs")),
    ("wire.cjs", include_str!("host/wire.cjs")),
];

/// A Unix socket's path has to fit into 108 bytes, its end included.
const MAX_SOCKET_PATH: usize = 107;

/// Removed with everything in it when dropped.
#[derive(Debug)]
pub struct Workspace {
    folder: PathBuf,
}

impl Workspace {
    /// # Errors
    /// When neither the system's temporary folder nor `/tmp` can be written.
    pub fn create() -> io::Result<Self> {
        let name = format!("parsimony-cloud-{:016x}", rand::random::<u64>());
        let mut folder = std::env::temp_dir().join(&name);
        if folder.join("socket").as_os_str().len() > MAX_SOCKET_PATH {
            folder = Path::new("/tmp").join(&name);
        }
        // Nobody else may connect, or exchange the program.
        DirBuilder::new().mode(0o700).create(&folder)?;
        let workspace = Self { folder };
        for (name, text) in PROGRAM {
            fs::write(workspace.folder.join(name), text)?;
        }
        Ok(workspace)
    }

    pub fn program(&self) -> PathBuf {
        self.folder.join("main.cjs")
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// Creates the journal of a host, at its full size: writing to it later cannot fail for want of space.
    pub fn create_journal(&self, host: u32, size: usize) -> io::Result<PathBuf> {
        let path = self.folder.join(format!("journal-{host}"));
        let file = File::create_new(&path)?;
        io::Write::write_all(&mut &file, &vec![0; size])?;
        Ok(path)
    }
}

impl Workspace {
    /// Removes the folder. Done at shutdown, since a process may end without dropping everything.
    pub fn remove(&self) {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::debug!(folder = %self.folder.display(), %error, "cannot remove the Cloud Code folder");
            }
            _ => {}
        }
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_folder_is_private_and_goes_away() {
        let workspace = Workspace::create().unwrap();
        let folder = workspace.folder.clone();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(workspace.program().exists());
        workspace.remove();
        assert!(!folder.exists());
        drop(workspace);
    }

    #[test]
    fn every_file_of_the_program_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cloud/node/host");
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let embedded: Vec<_> = PROGRAM.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(files, embedded);
    }
}
