use super::*;
use clap::Subcommand;
use std::path::Path;

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, Subcommand)]
enum Sub {
    Serve(Box<crate::serve::Args>),
    Migrate(crate::migrate::Args),
    Retention(crate::retention::Args),
    Doctor(Box<crate::doctor::Args>),
    Config(Box<Args>),
}

/// The options of a command line with this configuration file.
fn options(text: &str, args: &[&str]) -> Result<Options, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fieldvitals.toml");
    std::fs::write(&file, text).unwrap();
    let args = ["fieldvitals"].iter().chain(args).copied().chain(["--config"]).map(OsString::from);
    let args: Vec<OsString> = args.chain([file.into()]).collect();
    match parse_from::<Line>(args) {
        Ok((_, options)) => Ok(options),
        Err(Wrong::File(message)) => Err(without(&message, folder.path())),
        Err(Wrong::Line(error)) => Err(without(&error.to_string(), folder.path())),
    }
}

fn without(text: &str, folder: &Path) -> String {
    text.replace(&format!("{}/", folder.display()), "")
}

/// The values of an option, and its layer.
fn value(options: &Options, long: &str) -> (Vec<String>, Option<&'static str>) {
    let arg = options.command.get_arguments().find(|arg| arg.get_long() == Some(long)).unwrap();
    let raw = options.matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
    let from = options.origin(arg).map(|origin| match origin {
        Origin::Flag => "flag",
        Origin::Environment(_) => "environment",
        Origin::File(..) => "file",
        Origin::Default => "default",
    });
    (raw.map(|value| value.to_string_lossy().into_owned()).collect(), from)
}

fn of(values: &[&str], from: &'static str) -> (Vec<String>, Option<&'static str>) {
    (values.iter().map(|&value| value.to_owned()).collect(), Some(from))
}

#[test]
fn flag_wins_over_the_file_and_the_file_over_the_default() {
    let text =
        "client-rate = 7\ntrusted-proxy = [\"10.0.0.1\", \"10.1.0.0/16\"]\nno-demo = true\nlog = \"warn\"\n";
    let options = options(text, &["serve", "--log", "debug"]).unwrap();
    assert_eq!(value(&options, "client-rate"), of(&["7"], "file"));
    assert_eq!(value(&options, "trusted-proxy"), of(&["10.0.0.1", "10.1.0.0/16"], "file"));
    assert!(options.matches.get_flag("no_demo"));
    assert_eq!(value(&options, "log"), of(&["debug"], "flag"));
    assert_eq!(value(&options, "drain"), of(&["5"], "default"));
    assert_eq!(value(&options, "public-url"), (Vec::new(), None));
    let of_client_rate = options.command.get_arguments().find(|arg| arg.get_long() == Some("client-rate"));
    assert!(matches!(options.origin(of_client_rate.unwrap()), Some(Origin::File(_, 1))));
}

#[test]
fn retention_show_has_the_days_of_the_file() {
    let text = "keep-views-days = 60\nkeep-rollups-days = 400\nlisten = \"127.0.0.1:1\"\n";
    let options = options(text, &["retention", "show"]).unwrap();
    assert_eq!(value(&options, "keep-views-days"), of(&["60"], "file"));
    assert_eq!(value(&options, "keep-rollups-days"), of(&["400"], "file"));
}

#[test]
fn option_of_a_database_hides_the_other_one_of_the_file() {
    let options = options("database-url-file = \"/nowhere\"\n", &["serve", "--database-url", "sqlite:x"]);
    // The file's option is parsed in any case, and names no file.
    assert!(options.is_err_and(|message| message.contains("cannot be read")));
    let url = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(url.path(), "sqlite:y").unwrap();
    let text = format!("database-url-file = {:?}\n", url.path());
    let options = super::tests::options(&text, &["serve", "--database-url", "sqlite:x"]).unwrap();
    assert_eq!(value(&options, "database-url"), of(&["sqlite:x"], "flag"));
    assert_eq!(value(&options, "database-url-file"), (Vec::new(), None));
}

#[test]
fn other_commands_take_the_options_that_they_share_with_serve() {
    let options = options("listen = \"0.0.0.0:80\"\ndata-dir = \"/d\"\n", &["migrate"]).unwrap();
    assert_eq!(value(&options, "data-dir"), of(&["/d"], "file"));
    assert!(options.command.get_arguments().all(|arg| arg.get_long() != Some("listen")));
}

#[test]
fn doctor_reads_the_file_of_serve() {
    let text = "data-dir = \"/d\"\nkeep-views-days = 90\nspool-max-mib = 2048\nlisten = \"0.0.0.0:80\"\n";
    let options = options(text, &["doctor"]).unwrap();
    for (option, expected) in [("data-dir", "/d"), ("keep-views-days", "90"), ("spool-max-mib", "2048")] {
        assert_eq!(value(&options, option), of(&[expected], "file"), "{option}");
    }
}

#[test]
fn options_with_a_name_of_serve_mean_the_same_in_each_command_with_a_file() {
    fn check(command: &Command, serve: &Command, checked: &mut usize) {
        if command.get_arguments().any(|arg| arg.get_long() == Some(CONFIG)) {
            for arg in command.get_arguments() {
                let Some(own) = serve.get_arguments().find(|own| own.get_long() == arg.get_long()) else {
                    continue;
                };
                assert_eq!(arg.get_env(), own.get_env(), "{} {:?}", command.get_name(), arg.get_long());
                *checked += 1;
            }
        }
        command.get_subcommands().for_each(|nested| check(nested, serve, checked));
    }
    let mut checked = 0;
    check(&crate::command(), &serve(), &mut checked);
    assert!(checked > 50, "{checked} options are shared");
}

#[test]
fn file_that_serve_refuses_is_known_without_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fieldvitals.toml");
    for (text, expected) in [
        ("drain = 5\n", ""),
        ("tls-certificate = \"server.crt\"\n", "--tls-certificate needs --tls-key"),
        ("alerts = \"/nowhere\"\n", "/nowhere"),
        ("drian = 5\n", "did you mean `drain`?"),
    ] {
        std::fs::write(&file, text).unwrap();
        let mistake = match check_serve(&file) {
            Ok(()) => String::new(),
            Err(Refused::Wrong(mistake)) => mistake,
            Err(Refused::Unset(variable)) => panic!("{text}: {variable} is not set"),
        };
        assert!(mistake.contains(expected) && mistake.is_empty() == expected.is_empty(), "{text}: {mistake}");
    }
}

#[test]
fn mistakes_of_a_file_are_told_with_their_place() {
    for (text, expected) in [
        ("\n lisen = 1\n", "fieldvitals.toml:2:2: there is no option `lisen`; did you mean `listen`?"),
        (
            "keep_views_days = 9\n",
            "fieldvitals.toml:1:1: there is no option `keep_views_days`; did you mean `keep-views-days`?",
        ),
        ("listen = \"nowhere\"", "fieldvitals.toml:1:10: listen = \"nowhere\": "),
        ("bots = \"eat\"", "fieldvitals.toml:1:8: bots = \"eat\": expected one of filter, keep"),
        ("keep-views-days = 1", "fieldvitals.toml:1:19: keep-views-days = \"1\": 1 is not in 2..=3660"),
        ("no-demo = 1", "fieldvitals.toml:1:11: no-demo is a number; expected true or false"),
        (
            "drain = 0x10",
            "fieldvitals.toml:1:9: drain is a number of another base than 10; expected a text in quotes, or a number",
        ),
        (
            "database-url = \"sqlite:x\"\ndatabase-url-file = \"/nowhere\"\n",
            "fieldvitals.toml:2:1: database-url-file and database-url both name a store; leave one out",
        ),
        ("log = \"info,sqlx=loud\"", "fieldvitals.toml:1:7: log = \"info,sqlx=loud\": "),
        ("drain = 1.5", "fieldvitals.toml:1:9: drain is a number with decimals; expected"),
        ("drain = [5]", "fieldvitals.toml:1:9: drain is a list; expected"),
        (
            "trusted-proxy = [\"10.0.0.1\",\n  7.5]",
            "fieldvitals.toml:2:3: trusted-proxy is a number with decimals",
        ),
        ("[serve]\nlisten = 1", "fieldvitals.toml:1:2: there is no option `serve`"),
        ("config = \"x\"", "fieldvitals.toml:1:1: there is no option `config`"),
        ("listen = ", "fieldvitals.toml:1:"),
        ("drain = 1\ndrain = 2\n", "fieldvitals.toml:2:1: duplicate key"),
    ] {
        let Err(message) = options(text, &["serve"]) else { panic!("{text} is taken") };
        assert!(message.starts_with(expected), "{text}: {message}");
    }
}

#[test]
fn missing_file_is_named() {
    let args = ["fieldvitals", "serve", "--config", "/nowhere/x.toml"].map(OsString::from);
    let Err(Wrong::File(message)) = parse_from::<Line>(args) else { panic!("there is no such file") };
    assert!(message.contains("/nowhere/x.toml") && message.contains("--config"), "{message}");
}
