//! Reads a credential from a file that an environment variable names, as container platforms mount secrets.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::path::Path;

use api_keyring::Secret;
use zeroize::Zeroizing;

/// How many bytes a file may hold. No credential is that long.
const MAX_BYTES: u64 = 64 * 1024;

/// A credential, and what is odd about its file.
pub(crate) struct FileCredential {
    pub(crate) secret: Secret,
    /// Whether every user of this machine can read the file.
    pub(crate) is_public: bool,
}

/// Reads the credential in a file: one word of visible ASCII characters. A line end after it does not count.
///
/// If there is none, returns the reason, without anything that the file holds.
pub(crate) fn read(path: &Path) -> Result<FileCredential, String> {
    let (file, metadata) = open(path).map_err(|why| why.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    let is_public = check_permissions(&metadata)?;
    // The buffer has its full size from the start, because a buffer that grows leaves copies of the secret in memory.
    let mut content = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 1));
    file.take(MAX_BYTES + 1).read_to_end(&mut content).map_err(|why| why.to_string())?;
    if content.len() as u64 > MAX_BYTES {
        return Err(format!("it holds more than {MAX_BYTES} bytes"));
    }
    let line = content.strip_suffix(b"\n").map_or(&content[..], |line| line.strip_suffix(b"\r").unwrap_or(line));
    match std::str::from_utf8(line) {
        Ok("") => Err("it is empty".to_owned()),
        Ok(word) if word.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(FileCredential { secret: Secret::new(word), is_public })
        }
        _ => Err("it holds something other than one word of visible ASCII characters".to_owned()),
    }
}

/// Opens a file without waiting: a pipe that nobody writes to would block this program for ever.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
        options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Refuses a file that other users can change, and returns whether they can read it.
///
/// Reading is no reason to refuse: container platforms mount secrets with the mode 0644.
fn check_permissions(metadata: &Metadata) -> Result<bool, String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        match metadata.mode() {
            mode if mode & 0o002 != 0 => {
                Err("every user of this machine can write to it: take that right away with chmod o-w".to_owned())
            }
            mode => Ok(mode & 0o004 != 0),
        }
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        Ok(false)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_holds_one_word() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credential");
        let long = "x".repeat(MAX_BYTES as usize);
        for content in ["canary", "canary\n", "canary\r\n", &long] {
            fs::write(&path, content).unwrap();
            assert_eq!(read(&path).ok().unwrap().secret.expose(), content.trim_end());
        }
        let longer = format!("{long}xx");
        for content in [
            "",
            "\n",
            "canary\n\n",
            " canary",
            "canary ",
            "can ary",
            "KEY=canary\nOTHER=1",
            "canar\u{e9}",
            "canary\0",
            &longer,
        ] {
            fs::write(&path, content).unwrap();
            let why = read(&path).err().unwrap();
            assert!(!why.contains("canar"), "{content:?}: {why}");
        }
        fs::write(&path, [b'c', 0xff]).unwrap();
        assert!(read(&path).is_err());
        assert!(read(folder.path()).is_err());
        assert!(read(&folder.path().join("missing")).is_err());
    }

    #[test]
    #[cfg(unix)]
    fn a_pipe_does_not_block_and_other_users_do_not_choose_the_credential() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(read(&pipe).err().as_deref(), Some("it is not a regular file"));
        let path = folder.path().join("credential");
        fs::write(&path, "canary").unwrap();
        for (mode, is_public) in [(0o600, Some(false)), (0o640, Some(false)), (0o644, Some(true)), (0o666, None)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path).ok().map(|read| read.is_public), is_public, "{mode:o}");
        }
    }
}
