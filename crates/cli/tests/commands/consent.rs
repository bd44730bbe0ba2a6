//! What destroys needs leave.

use crate::harness::Emulator;

#[test]
fn without_a_terminal_nothing_is_destroyed_unless_yes_is_said() {
    let emulator = Emulator::start();
    let (spartera, spartera_secret) = emulator.create("spartera");
    let (monad, monad_secret) = emulator.create("monad");
    for arguments in [
        &["revoke", &spartera][..],
        &["delete", &spartera],
        &["delete", &monad],
        &["rotate", &monad, "--in-place", "--to", "-"],
    ] {
        let run = emulator.run(arguments);
        assert_eq!(run.code, 2, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains("--yes"), "{}", run.stderr);
    }
    assert!(emulator.works("spartera", &spartera_secret) && emulator.works("monad", &monad_secret));
}
