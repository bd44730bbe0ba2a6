//! A new secret that no request can carry: no program may find it, and no key may be left behind.

use std::fs;

use api_keyring_emulator::{Emulator, Fault};

use crate::harness::{QUICK, Run, in_process, program};

/// Forms of secrets that the emulator issues, and what each contains.
const FORMS: [(&str, &str); 5] = [
    ("line", "LD_PRELOAD"),
    ("blank", " "),
    ("control", "\u{7}"),
    ("letter", "\u{e4}"),
    ("long", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Create,
    CreateToStdout,
    Rotate,
    RotateInPlace,
    RotateToStdout,
    Fleet,
}

/// Issues an odd secret with this command, and says what is wrong with the result.
fn judge(provider: &str, form: &str, odd: &str, is_dotenv: bool, task: Task) -> Result<(), String> {
    let emulator = in_process(Emulator::builder().seed(5));
    let seeded = match provider {
        "spartera" => emulator.spartera().add_keys(1).remove(0),
        _ => emulator.monad().add_keys(1).remove(0),
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seeded-00001");
    let text = if is_dotenv { format!("# one\nKEY={}\n", seeded.secret) } else { seeded.secret.clone() };
    fs::write(&path, &text).unwrap();
    let run = |arguments: &[&str]| -> Run {
        let mut command = program();
        command.envs(emulator.environment()).env("API_KEYRING_JOURNAL", folder.path().join("journal"));
        command.args(arguments).output().unwrap().into()
    };
    let write = |path: &str| if is_dotenv { format!("dotenv:{path}#KEY") } else { format!("file:{path}") };
    let (to, all) = (write(path.to_str().unwrap()), write(&format!("{}/{{name}}", folder.path().display())));
    let role = ["--role", if provider == "spartera" { "3" } else { "role-reader" }];
    let key = format!("{provider}/{}", seeded.id);
    let arguments = match task {
        Task::Create => {
            let to = ["--settle", "0s", "--force", "--to", &to];
            [&["create", provider, "--name", "new", "--expires-in", "90d"][..], &role, &to].concat()
        }
        Task::CreateToStdout => {
            [&["create", provider, "--name", "new", "--expires-in", "90d", "--to", "-"][..], &role].concat()
        }
        Task::RotateToStdout => ["rotate", &key, "--to", "-", "--in-place", "--even-own", "--yes"].to_vec(),
        Task::Rotate => [&["rotate", &key, "--to", &to, "--leaked"][..], &role, &QUICK].concat(),
        Task::RotateInPlace => [&["rotate", &key, "--to", &to, "--in-place"][..], &QUICK].concat(),
        Task::Fleet => {
            [&["rotate-fleet", provider, "--named", "seeded*", "--to", &all, "--leaked"][..], &role, &QUICK].concat()
        }
    };
    let living = || emulator.keys().into_iter().filter(|key| key.live_secrets > 0).count();
    let before = living();
    for operation in ["create", "regenerate"] {
        emulator.inject(format!("{operation}:odd-secret={form}").parse::<Fault>().unwrap());
    }
    let run_odd = run(&arguments);
    let expect = |is_true: bool, what: &str| if is_true { Ok(()) } else { Err(format!("{what}: {run_odd:?}")) };
    expect(run_odd.code != 0, "it reports success")?;
    expect(fs::read_to_string(&path).unwrap() == text, "it changed the destination")?;
    let is_printed = odd != " " && (run_odd.stdout.contains(odd) || run_odd.stderr.contains(odd));
    expect(!is_printed, "it prints the secret")?;
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap().path();
        let is_unclaimed = entry.extension().is_some_and(|end| end == "unclaimed");
        let holds = String::from_utf8_lossy(&fs::read(&entry).unwrap()).into_owned();
        let is_journal = entry.file_name().unwrap().to_string_lossy().starts_with("journal");
        let is_other = entry != path && !is_journal && !is_unclaimed;
        expect(!is_other || !holds.contains(odd), &format!("{entry:?} holds it"))?;
        expect(!is_journal || !holds.contains("LD_PRELOAD"), "the journal holds it")?;
    }
    let begins = match task {
        Task::Create => Some("seeded-00001.unclaimed"),
        Task::CreateToStdout | Task::RotateToStdout => Some("stdout-"),
        _ => None,
    };
    let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let unclaimed: Vec<_> = names.filter(|name| name.ends_with(".unclaimed")).collect();
    let is_as_expected = match &unclaimed[..] {
        [] => begins.is_none(),
        [name] => begins.is_some_and(|begin| name.starts_with(begin)),
        _ => false,
    };
    expect(is_as_expected, "the answer is not set aside, or another one is")?;
    let is_created = matches!(task, Task::Create | Task::CreateToStdout);
    expect(living() == before + usize::from(is_created), "a key is left behind, or lost")?;
    emulator.clear_faults();
    if task == Task::RotateInPlace {
        expect(run_odd.stderr.contains("needs attention"), "nobody is told")?;
        let resumed = run(&["resume"]);
        expect(resumed.code == 0, &format!("it cannot be finished, {resumed:?}"))?;
    }
    Ok(())
}

#[test]
fn every_odd_secret_by_every_command() {
    let (mut cells, mut violations) = (0, Vec::new());
    for provider in ["spartera", "monad"] {
        for (form, odd) in FORMS {
            for (is_dotenv, task) in [
                (false, Task::Create),
                (false, Task::CreateToStdout),
                (false, Task::RotateToStdout),
                (false, Task::Rotate),
                (true, Task::Rotate),
                (false, Task::RotateInPlace),
                (true, Task::RotateInPlace),
                (true, Task::Fleet),
            ] {
                if provider == "spartera" && matches!(task, Task::RotateInPlace | Task::RotateToStdout) {
                    continue;
                }
                cells += 1;
                if let Err(violation) = judge(provider, form, odd, is_dotenv, task) {
                    violations.push(format!("{provider}, {form}, {task:?}, dotenv {is_dotenv}: {violation}"));
                }
            }
        }
    }
    println!("odd secrets: {cells} cells, {} violations", violations.len());
    assert!(violations.is_empty(), "{violations:#?}");
}

#[test]
fn no_old_secret_ends_before_there_is_a_place_for_an_answer_that_cannot_be_read() {
    let emulator = in_process(Emulator::builder().seed(5));
    let seeded = emulator.monad().add_keys(1).remove(0);
    let folder = tempfile::tempdir().unwrap();
    let key = format!("monad/{}", seeded.id);
    let rotate = ["rotate", &key, "--to", "-", "--in-place", "--even-own", "--yes"];
    let run = |journal: &str, extra: &[&str]| -> Run {
        let mut command = program();
        command.envs(emulator.environment()).env("API_KEYRING_JOURNAL", journal);
        command.args(rotate).args(extra).output().unwrap().into()
    };
    emulator.inject("monad.regenerate:truncate".parse::<Fault>().unwrap());
    let refused = run("/proc/nowhere/journal", &[]);
    assert!(refused.code == 1 && refused.stderr.contains("Nothing was sent"), "{refused:?}");
    let sent = emulator.requests().into_iter().filter(|request| request.method != "GET").count();
    assert_eq!(sent, 0, "{refused:?}");
    // A journal that is named has a folder.
    let journal = folder.path().join("journal");
    let saved = run("/proc/nowhere/journal", &["--journal", journal.to_str().unwrap()]);
    assert!(saved.stderr.contains(".unclaimed"), "{saved:?}");
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(matches!(&names[..], [name] if name.ends_with(".unclaimed")), "{names:?}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_secret_that_standard_output_does_not_take_is_kept() {
    for format in ["table", "json"] {
        let emulator = in_process(Emulator::builder().seed(5));
        let seeded = emulator.monad().add_keys(1).remove(0);
        let folder = tempfile::tempdir().unwrap();
        let mut command = program();
        command.envs(emulator.environment()).env("API_KEYRING_JOURNAL", folder.path().join("journal"));
        command.args(["--output", format, "rotate", &format!("monad/{}", seeded.id)]);
        command.args(["--to", "-", "--in-place", "--even-own", "--yes"]);
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let run: Run = command.stdout(full).output().unwrap().into();
        let entry = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        assert!(run.code == 1 && run.stderr.contains(entry.to_str().unwrap()), "{format}: {run:?}");
        let mut list = program();
        list.envs(emulator.environment()).env("MONAD_API_KEY", fs::read_to_string(&entry).unwrap());
        assert!(list.args(["list", "monad"]).output().unwrap().status.success(), "{format}");
    }
}
