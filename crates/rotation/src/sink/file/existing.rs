//! The file that is at a path: what it holds, who may use it, and whether another file can take its place.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _};
use std::path::Path;

use zeroize::Zeroizing;

/// How many bytes of a file to read at most. No file of secrets is that long.
const MAX_BYTES: u64 = 1024 * 1024;

/// What [`ExistingFile::access`] says of a file that does not exist.
pub(super) const ABSENT: &str = "absent";

/// Why a file is no place for a secret.
#[derive(Debug)]
pub(crate) enum Unfit {
    /// The system refused a call.
    System(io::Error),
    /// The file is one that cannot be replaced. The text continues a sentence that begins with its path.
    Kind(String),
}

impl Unfit {
    fn kind(text: &str) -> Self {
        Self::Kind(text.to_owned())
    }
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl From<Unfit> for io::Error {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::System(error) => error,
            Unfit::Kind(text) => Self::new(io::ErrorKind::InvalidInput, format!("the file there {text}")),
        }
    }
}

/// A plain file, as it was opened. What is learned of it is learned of this file, whatever is at its path by then.
#[derive(Debug)]
pub(crate) struct ExistingFile {
    file: File,
    metadata: Metadata,
    /// Extended attributes by name, among them the access-control list and the security label.
    #[cfg(unix)]
    attributes: std::collections::BTreeMap<std::ffi::OsString, Vec<u8>>,
}

impl ExistingFile {
    /// Opens the file at a path. Returns `None` if there is none.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, Unfit> {
        let file = match open_plain(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let is_plain = path.symlink_metadata().is_ok_and(|found| found.is_file());
                return Err(if is_plain { error.into() } else { not_plain() });
            }
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(not_plain());
        }
        #[cfg(unix)]
        if std::os::unix::fs::MetadataExt::nlink(&metadata) > 1 {
            return Err(Unfit::kind(
                "has several names (hard links), of which a new file would replace only one. Remove the other names",
            ));
        }
        #[cfg(unix)]
        let attributes = unix::attributes(&file)?;
        Ok(Some(Self {
            file,
            metadata,
            #[cfg(unix)]
            attributes,
        }))
    }

    /// Returns the file's text.
    pub(crate) fn text(&self) -> Result<Zeroizing<String>, Unfit> {
        // A text that grows leaves copies of a secret in memory, so this one has its full size from the start.
        let size = self.metadata.len().min(MAX_BYTES) + 1;
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(size).unwrap_or_default()));
        (&self.file).rewind()?;
        (&self.file).take(MAX_BYTES + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(Unfit::Kind(format!("is larger than {MAX_BYTES} bytes, and was left unchanged")));
        }
        Ok(text)
    }

    /// Returns the file's length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.metadata.len()
    }
}

fn not_plain() -> Unfit {
    Unfit::kind("is not a plain file, and was left unchanged")
}

#[cfg(not(unix))]
fn open_plain(path: &Path) -> io::Result<File> {
    match path.symlink_metadata()?.is_file() {
        true => File::open(path),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

#[cfg(not(unix))]
impl ExistingFile {
    /// Returns the same text for every file, because this does not look at the rights of this system.
    pub(super) fn access(&self) -> String {
        "present".to_owned()
    }

    pub(super) fn is_private(&self) -> bool {
        true
    }

    pub(super) fn is_at(&self, _: &Path) -> bool {
        true
    }

    pub(super) fn check_replaceable(&self, _: &Path) -> Result<(), Unfit> {
        match self.metadata.permissions().readonly() {
            true => Err(Unfit::kind("is read-only. Allow writing to it")),
            false => Ok(()),
        }
    }

    pub(super) fn give_access(&self, _: &File) -> Result<(), Unfit> {
        Ok(())
    }
}

#[cfg(unix)]
use unix::open_plain;

#[cfg(unix)]
mod unix {
    use std::collections::BTreeMap;
    use std::ffi::OsString;
    use std::fs::{File, Metadata, Permissions};
    use std::io;
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
    use std::path::Path;

    use rustix::fs::OFlags;
    use sha2::{Digest as _, Sha256};
    use xattr::FileExt as _;

    use super::{ExistingFile, Unfit};

    /// The attribute that holds a file's access-control list.
    const ACL: &str = "system.posix_acl_access";

    /// Opens a path without following a link, and without waiting for the other end of a pipe.
    pub(super) fn open_plain(path: &Path) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)
    }

    /// Returns the extended attributes of a file. A file system without them has none.
    pub(super) fn attributes(file: &File) -> io::Result<BTreeMap<OsString, Vec<u8>>> {
        let names = match file.list_xattr() {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => return Ok(BTreeMap::new()),
            names => names?,
        };
        let mut attributes = BTreeMap::new();
        for name in names {
            if let Some(value) = file.get_xattr(&name)? {
                attributes.insert(name, value);
            }
        }
        Ok(attributes)
    }

    /// Returns whether the file with this metadata is the one at a path.
    pub(in super::super) fn is_at(metadata: &Metadata, path: &Path) -> bool {
        let identity = |metadata: &Metadata| (metadata.dev(), metadata.ino());
        path.symlink_metadata().is_ok_and(|found| identity(&found) == identity(metadata))
    }

    /// Removes the access-control list that a new file got from its folder: only the owner may use the file.
    pub(in super::super) fn drop_inherited_access(file: &File) -> io::Result<()> {
        match attributes(file)?.contains_key(&OsString::from(ACL)) {
            true => file.remove_xattr(ACL),
            false => Ok(()),
        }
    }

    impl ExistingFile {
        /// Returns who may use the file, as a text that changes if that changes.
        pub(in super::super) fn access(&self) -> String {
            let (uid, gid, mode) = (self.metadata.uid(), self.metadata.gid(), self.metadata.mode() & 0o7777);
            let acl = self.attributes.get(&OsString::from(ACL)).map(|acl| {
                let hash: String = Sha256::digest(acl).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
                format!(" acl {hash}")
            });
            format!("user {uid} group {gid} mode {mode:04o}{}", acl.unwrap_or_default())
        }

        /// Returns whether only this process's user may use the file.
        pub(in super::super) fn is_private(&self) -> bool {
            let is_ours = self.metadata.uid() == rustix::process::geteuid().as_raw();
            is_ours && self.metadata.mode() & 0o077 == 0 && !self.attributes.contains_key(&OsString::from(ACL))
        }

        /// Returns whether this file is still the one at the path.
        pub(in super::super) fn is_at(&self, path: &Path) -> bool {
            is_at(&self.metadata, path)
        }

        /// Finds out, without changing anything, whether another file can take the place of this one.
        pub(in super::super) fn check_replaceable(&self, path: &Path) -> Result<(), Unfit> {
            #[cfg(target_os = "linux")]
            super::linux::check_replaceable(&self.file, path)?;
            #[cfg(not(target_os = "linux"))]
            let _ = path;
            Ok(())
        }

        /// Makes a new file usable for exactly those who may use this one: owner, group, mode, access-control list and
        /// all other attributes.
        pub(in super::super) fn give_access(&self, new: &File) -> Result<(), Unfit> {
            let refuse = |what: &str, error: io::Error| {
                Unfit::Kind(format!(
                    "cannot be replaced, because its {what} cannot be kept ({error}), and its users might not be able to \
                     read a new file. It was left unchanged"
                ))
            };
            let ours = new.metadata()?;
            if (ours.uid(), ours.gid()) != (self.metadata.uid(), self.metadata.gid()) {
                fchown(new, Some(self.metadata.uid()), Some(self.metadata.gid()))
                    .map_err(|error| refuse("owner or group", error))?;
            }
            let inherited = attributes(new)?;
            for name in inherited.keys().filter(|name| !self.attributes.contains_key(*name)) {
                // The system itself labels a new file. The old one may be older than the labels, and have none.
                if name.as_encoded_bytes().starts_with(b"security.") {
                    continue;
                }
                new.remove_xattr(name).map_err(|error| refuse("access-control list or attributes", error))?;
            }
            // A list and a mode that do not let the owner write come last: he could set no attributes after them.
            let (lists, others): (Vec<_>, Vec<_>) = self.attributes.iter().partition(|(name, _)| *name == ACL);
            for (name, value) in others.into_iter().chain(lists) {
                if inherited.get(name) != Some(value) {
                    let set = new.set_xattr(name, value);
                    set.map_err(|error| refuse(&format!("attribute {}", name.display()), error))?;
                }
            }
            #[cfg(target_os = "linux")]
            super::linux::give_flags(&self.file, new).map_err(|error| refuse("flags (`lsattr`)", error))?;
            new.set_permissions(Permissions::from_mode(self.metadata.mode() & 0o7777))
                .map_err(|error| refuse("mode", error))
        }
    }
}

#[cfg(unix)]
pub(super) use unix::{drop_inherited_access, is_at};

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::path::Path;

    use rustix::fs::{
        AtFlags, CWD, IFlags, StatxAttributes, StatxFlags, ioctl_getflags, ioctl_setflags, open, statx, unlinkat,
    };
    use rustix::io::Errno;

    use super::Unfit;
    use crate::sink::file::secret_file::folder_of;

    pub(super) fn check_replaceable(file: &File, path: &Path) -> Result<(), Unfit> {
        let shown = look_at(file, path)?;
        if shown.contains(StatxAttributes::MOUNT_ROOT) {
            return Err(Unfit::kind(
                "is a mount point, which nothing can replace. Mount the folder that contains it instead of the file",
            ));
        }
        if shown.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND) {
            return Err(Unfit::kind("is marked immutable or append-only. Remove that mark (`chattr -i -a`)"));
        }
        // The system checks all rights to a name, sticky folders among them, before it finds that a plain file is no
        // folder. So this call never removes the file, and its answer tells whether a rename could replace it.
        match unlinkat(CWD, path, AtFlags::REMOVEDIR) {
            Err(Errno::NOTDIR) => Ok(()),
            Err(error) => Err(Unfit::Kind(format!("cannot be replaced: {}", std::io::Error::from(error)))),
            Ok(()) => Err(Unfit::kind("was replaced by an empty folder meanwhile. Check who can write there")),
        }
    }

    /// The flags of a file, as `chattr` sets them, that a new file must have, too.
    const FLAGS: IFlags =
        IFlags::NOATIME.union(IFlags::NODUMP).union(IFlags::SECURE_REMOVAL).union(IFlags::SYNC).union(IFlags::UNRM);

    /// The flags that only say how the file system stores a file. Some cannot be set once it holds something.
    const STORAGE_FLAGS: IFlags = IFlags::COMPRESSED
        .union(IFlags::JOURNALING)
        .union(IFlags::NOCOW)
        .union(IFlags::NOTAIL)
        .union(IFlags::PROJECT_INHERIT);

    /// Gives a new file the flags of an old one. A file system without flags has none.
    pub(super) fn give_flags(old: &File, new: &File) -> std::io::Result<()> {
        let flags = |file: &File| match ioctl_getflags(file) {
            Ok(flags) => Ok(flags),
            Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => Ok(IFlags::empty()),
            Err(error) => Err(error),
        };
        let (old, found) = (flags(old)?, flags(new)?);
        let with = |kept: IFlags| found.difference(kept).union(old.intersection(kept));
        let set = |wanted: IFlags| if wanted == found { Ok(()) } else { ioctl_setflags(new, wanted) };
        set(with(FLAGS.union(STORAGE_FLAGS))).or_else(|_| set(with(FLAGS))).map_err(Into::into)
    }

    /// Refuses a folder in which nothing can be renamed or removed.
    pub(in super::super) fn check_folder(path: &Path) -> Result<(), Unfit> {
        let folder = folder_of(path);
        let file = open(folder, rustix::fs::OFlags::DIRECTORY | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty());
        let shown = look_at(file.map_err(std::io::Error::from)?, folder)?;
        match shown.intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND) {
            true => Err(Unfit::kind(
                "cannot be replaced, because its folder is marked immutable or append-only. Remove that mark \
                 (`chattr -i -a`)",
            )),
            false => Ok(()),
        }
    }

    /// Returns the attributes of an open file or folder.
    fn look_at(file: impl AsFd, path: &Path) -> Result<StatxAttributes, Unfit> {
        let shown = match statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS) {
            // The system or a sandbox does not offer this call. The rehearsal still tries everything else.
            Err(Errno::NOSYS | Errno::PERM) => return Ok(mount_point_in_table(path)),
            shown => shown.map_err(std::io::Error::from)?,
        };
        match shown.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
            true => Ok(shown.stx_attributes),
            false => Ok(shown.stx_attributes | mount_point_in_table(path)),
        }
    }

    /// Looks a path up in the table of mount points. Kernels before 5.8 do not tell it otherwise.
    fn mount_point_in_table(path: &Path) -> StatxAttributes {
        let Some(path) = path.canonicalize().ok().and_then(|path| path.to_str().map(str::to_owned)) else {
            return StatxAttributes::empty();
        };
        let escaped = path.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011");
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        match table.lines().any(|line| line.split(' ').nth(4) == Some(&escaped)) {
            true => StatxAttributes::MOUNT_ROOT,
            false => StatxAttributes::empty(),
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::check_folder;

#[cfg(not(target_os = "linux"))]
pub(super) fn check_folder(_: &Path) -> Result<(), Unfit> {
    Ok(())
}
