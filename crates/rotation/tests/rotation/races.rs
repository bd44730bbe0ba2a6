//! Somebody swaps a destination's file while a secret is written to it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use api_keyring::{Mark, Secret};
use api_keyring_rotation::{FileSink, Sink as _};

use crate::crashes::setting;

const OLD: &str = "sk_live_old";

/// Creates a file with the old secret, which another user owns or everybody can read.
fn write_theirs(path: &Path, owner: Option<u32>) {
    fs::write(path, OLD).unwrap();
    fs::set_permissions(path, Permissions::from_mode(if owner.is_none() { 0o666 } else { 0o600 })).unwrap();
    if owner.is_some() {
        chown(path, owner, owner).unwrap();
    }
}

/// Names the folder in which [`swap_files`] swaps files.
const FOLDER: &str = "RACE_FOLDER";

/// Swaps a destination's file for another user's and back, until somebody kills this process.
#[test]
#[ignore = "never ends: `a_file_that_somebody_swaps_in_never_gets_the_new_secret` runs and kills it"]
fn swap_files() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let [path, theirs, aside] = ["ci.key", "theirs", "aside"].map(|name| folder.join(name));
    let mut random = fastrand::Rng::with_seed(1);
    // From far shorter to far longer than a write takes.
    let mut pause = || (0..1_u32 << random.u32(6..22)).for_each(|_| std::hint::spin_loop());
    loop {
        for [from, to] in [[&path, &aside], [&theirs, &path], [&path, &theirs], [&aside, &path]] {
            // A rotation may have replaced either file meanwhile.
            drop(fs::rename(from, to));
            pause();
        }
    }
}

/// Checks that nobody else can read a file that holds a new secret.
fn check(folder: &Path, user: u32) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (Ok(text), Ok(metadata)) = (fs::read_to_string(&path), path.metadata()) else { continue };
        let is_private = metadata.uid() == user && metadata.mode() & 0o077 == 0;
        assert!(is_private || !text.contains("sk_live_new"), "others can read {}", path.display());
    }
}

#[tokio::test]
async fn a_file_that_somebody_swaps_in_never_gets_the_new_secret() {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().canonicalize().unwrap();
    let path = base.join("ci.key");
    let user = folder.path().metadata().unwrap().uid();
    // Only a superuser would give a file to another user.
    let owner = (user == 0).then_some(1234);
    fs::write(&path, OLD).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let planned = FileSink::new(&path).unwrap();
    let access = planned.look().await.unwrap().access;
    let sink = planned.expecting(&[access]).unwrap();
    let theirs = folder.path().join("theirs");
    write_theirs(&theirs, owner);
    let arguments = ["races::swap_files", "--exact", "--ignored"];
    let mut swaps = Command::new(std::env::current_exe().unwrap());
    let mut swaps = swaps.args(arguments).env(FOLDER, &base).stdout(Stdio::null()).spawn().unwrap();
    let (mut written, mut refused) = (0, 0);
    for round in 0..setting("RACE_ROUNDS").unwrap_or(300) {
        let (mark, secret) = (Mark::random(), Secret::new(format!("sk_live_new{round}")));
        sink.put(&mark, &secret).await.unwrap();
        match sink.promote(&mark).await {
            Ok(()) => written += 1,
            Err(_) => refused += 1,
        }
        check(folder.path(), user);
        sink.forget_previous(&mark).await.unwrap();
        drop(sink.withdraw(&mark).await);
    }
    swaps.kill().unwrap();
    swaps.wait().unwrap();
    // The other user's file was there all the time.
    let is_theirs = |path: &Path| path.metadata().is_ok_and(|found| found.mode() & 0o077 != 0 || found.uid() != user);
    assert!([&path, &theirs].into_iter().any(|path| is_theirs(path)), "nothing was swapped");
    println!("swapped files: {written} writes, {refused} refusals, 0 violations");
    assert!(written > 0 && refused > 0);
}
