use super::*;
use crate::base::{Code, Coded as _};
use crate::config::{Config, ConfigError};

fn parse(text: &str) -> Result<Serve, ConfigError> {
    Config::parse(text, Path::new("/srv/shop")).map(|config| config.serve)
}

const HOOK: &str = r#"
    [[serve.webhook]]
    name = "github"
    sender = "github"
    secrets = ["${env:HOOK}"]
"#;

const RULE: &str = r#"
    [[serve.webhook.rule]]
    event = "push"
    revision = "{after}"
"#;

#[test]
fn a_file_without_the_section_serves_on_loopback_whatever_is_pushed() {
    let serve = parse("").unwrap();
    assert_eq!(serve, Serve::default());
    assert_eq!(serve, parse("[serve]").unwrap());
    assert_eq!(serve.listen.to_string(), "127.0.0.1:8400");
    assert_eq!(serve.public_url("127.0.0.1:4711".parse().unwrap()), "http://127.0.0.1:4711");
    assert_eq!((serve.when_busy, serve.release.pushed), (WhenBusy::Queue, true));
    assert!(serve.webhooks.is_empty() && serve.notify.is_empty() && serve.projects.is_empty());
}

#[test]
fn every_key_is_read() {
    let text = r#"
        [serve]
        listen = "[::1]:9000"
        url = "https://windlass.example.org/"
        projects = ["../billing", "/srv/crm/windlass.toml"]
        tls = { cert = "cert.pem", key = "/etc/key.pem" }
        when_busy = "refuse"
        [serve.release]
        folder = "releases/{revision}/migrations"
        git = { url = "https://git.example.org/shop.git", path = "./db/migrations", timeout = "2m" }
        pushed = false
        [[serve.notify]]
        url = "https://chat.example.org/hooks?room=7"
        secret = "${env:NOTIFY_SECRET}"
        events = ["deploy.finished"]
        [serve.traces]
        otlp = "http://127.0.0.1:4318"
    "#;
    let serve = parse(text).unwrap();
    assert_eq!(serve.listen.to_string(), "[::1]:9000");
    assert_eq!(serve.public_url(serve.listen), "https://windlass.example.org");
    assert_eq!(serve.projects, [Path::new("/srv/shop/../billing"), Path::new("/srv/crm/windlass.toml")]);
    let tls = Tls { cert: "/srv/shop/cert.pem".into(), key: "/etc/key.pem".into() };
    assert_eq!((serve.tls, serve.when_busy), (Some(tls), WhenBusy::Refuse));
    let folder = serve.release.folder.unwrap();
    let revision = Revision::new("release/7").unwrap();
    assert_eq!(folder.at(&revision), Path::new("/srv/shop/releases/release/7/migrations"));
    let git = serve.release.git.unwrap();
    assert_eq!(
        (git.url.as_str(), git.path.as_path()),
        ("https://git.example.org/shop.git", Path::new("db/migrations"))
    );
    assert_eq!((git.timeout, serve.release.pushed), (Duration::from_mins(2), false));
    assert_eq!(serve.notify[0].url.as_str(), "https://chat.example.org/hooks?room=7");
    assert_eq!(serve.notify[0].events.as_deref(), Some(["deploy.finished".to_owned()].as_slice()));
    assert_eq!(serve.traces.unwrap().otlp.as_str(), "http://127.0.0.1:4318");
}

#[test]
fn a_webhook_is_read_with_its_rules() {
    let text = r#"
        [[serve.webhook]]
        name = "github"
        sender = "github"
        secrets = ["${env:NEW}", "${file:old}"]
        report = { api = "https://api.github.com", token = "${env:GITHUB_TOKEN}" }
          [[serve.webhook.rule]]
          event = "deployment"
          when = { "action" = "created", "deployment.environment" = ["production", "staging-*"], "deployment.id" = 7, "deployment.production_environment" = true }
          revision = "{deployment.sha}"
          environment = "{deployment.environment}"
          workflow = "all-or-nothing"
          fleet = "shop"
          [[serve.webhook.rule]]
          event = "push"
          revision = "{ref|after:refs/tags/}"
        [[serve.webhook]]
        name = "ci"
        sender = "standard"
        secrets = ["${env:CI}"]
          [[serve.webhook.rule]]
          event = "release.ready"
          revision = "{data.revision}"
    "#;
    let serve = parse(text).unwrap();
    let github = serve.webhook("github").unwrap();
    assert_eq!((github.sender, github.secrets.len(), github.rules.len()), (Sender::Github, 2, 2));
    assert_eq!(format!("{:?}", github.secrets), "[SecretRef(${env:NEW}), SecretRef(${file:/srv/shop/old})]");
    assert_eq!(github.report.as_ref().unwrap().api.as_str(), "https://api.github.com");
    let condition = |field: &str, accepts: &[Accepted]| Condition {
        field: FieldPath::new(field).unwrap(),
        accepts: accepts.to_vec(),
    };
    let text = |text: &str| Accepted::Text(text.to_owned());
    let expected = [
        condition("action", &[text("created")]),
        condition("deployment.environment", &[text("production"), Accepted::Prefix("staging-".to_owned())]),
        condition("deployment.id", &[Accepted::Number(7)]),
        condition("deployment.production_environment", &[Accepted::Flag(true)]),
    ];
    assert_eq!(github.rules[0].when, expected);
    assert_eq!(github.rules[0].fleet.as_ref().unwrap().as_str(), "shop");
    assert_eq!((github.rules[1].environment.as_ref(), github.rules[1].when.len()), (None, 0));
    assert_eq!(serve.webhook("ci").unwrap().sender, Sender::Standard);
    assert!(serve.webhook("CI").is_none());
}

#[test]
fn every_sender_has_the_name_it_is_written_by() {
    for sender in Sender::ALL {
        assert_eq!(serde_json::to_value(sender).unwrap(), sender.to_string());
    }
}

#[test]
fn what_is_wrong_is_named_with_its_key() {
    let table = [
        ("[serve]\nlisten = \"8400\"", "serve.listen: it must be an address and a port"),
        ("[serve]\nlisten = 8400", "line 2, listen: "),
        ("[serve]\nlissten = \"\"", "line 2: unknown field `lissten`"),
        ("[serve]\nurl = \"windlass\"", "serve.url: it is not a URL"),
        ("[serve]\nurl = \"http://u:p@h\"", "serve.url: it must hold no credentials"),
        ("[serve]\nprojects = [1]", "line 2, projects: it must be a list of texts"),
        ("[serve]\nprojects = [\"a\", \"a\"]", "serve.projects: a project is there twice"),
        ("[serve]\nprojects = [\"\"]", "serve.projects: a project is a folder"),
        ("[serve]\ntls = { cert = \"x\" }", "missing field `key`"),
        ("[serve]\nwhen_busy = \"wait\"", "when_busy: unknown variant `wait`, expected `queue` or `refuse`"),
        ("[serve.release]\nfolder = \"releases/current\"", "serve.release.folder: it must hold {revision}"),
        ("[serve.release]\nfolder = \"{revision}/{x}\"", "serve.release.folder: only {revision}"),
        ("[serve.release]\ngit = { url = \"ext::sh\" }", "serve.release.git.url: it must be an https://"),
        (
            "[serve.release]\ngit = { url = \"/r\", path = \"../x\" }",
            "serve.release.git.path: it must be a folder inside",
        ),
        ("[serve.release]\ngit = { url = \"/r\", path = \"/x\" }", "serve.release.git.path: "),
        ("[serve.release]\ngit = { url = \"/r\", timeout = \"2h\" }", "serve.release.git.timeout: it must be 1s to 1h"),
        ("[serve.release]\ngit = { url = \"/r\", timeout = \"0s\" }", "serve.release.git.timeout: "),
        ("[serve.release]\ngit = { url = \"/r\", branch = \"x\" }", "unknown field `branch`"),
        ("[[serve.notify]]\nurl = \"h\"\nsecret = \"${env:X}\"", "serve.notify 1, url: it is not a URL"),
        ("[[serve.notify]]\nurl = \"http://h\"\nsecret = \"x\"", "serve.notify 1, secret: a secret does not stand"),
        (
            "[[serve.notify]]\nurl = \"http://h\"\nsecret = \"${env:X}\"\nevents = []",
            "serve.notify 1, events: it must name",
        ),
        (
            "[[serve.notify]]\nurl = \"http://h\"\nsecret = \"${env:X}\"\nevents = [\"deploy.done\"]",
            "serve.notify 1, events: ",
        ),
        ("[[serve.notify]]\nurl = \"http://h\"\nsecret = \"${env:X}\"\nevents = [\"*\"]", "serve.notify 1, events: "),
        ("[serve.traces]\notlp = \"h:4318\"", "serve.traces.otlp: it must begin with http://"),
    ];
    for (text, expected) in table {
        let error = parse(text).unwrap_err();
        assert_eq!(error.code(), Code::ConfigInvalid);
        assert!(error.to_string().contains(expected), "{text}\n{error}");
    }
}

#[test]
fn what_is_wrong_with_a_webhook_is_named_with_its_name_and_rule() {
    let hook = |lines: &str| format!("[[serve.webhook]]\n{lines}\n{RULE}");
    let rule = |lines: &str| format!("{HOOK}{RULE}\n[[serve.webhook.rule]]\n{lines}");
    let ok = "name = \"a\"\nsender = \"github\"\nsecrets = [\"${env:X}\"]\n";
    let table = [
        (hook("name = \"A\"\nsender = \"github\"\nsecrets = []"), "serve.webhook 1, name: it must be 1 to 50 of a-z"),
        (hook(&format!("name = \"{}\"\nsender = \"github\"\nsecrets = []", "a".repeat(51))), "serve.webhook 1, name: "),
        (
            hook("name = \"a\"\nsender = \"gitub\"\nsecrets = []"),
            "sender: unknown variant `gitub`, expected one of `github`",
        ),
        (hook("name = \"a\"\nsender = \"github\""), "missing field `secrets`"),
        (hook("name = \"a\"\nsender = \"github\"\nsecrets = []"), "serve.webhook a, secrets: without a secret"),
        (hook("name = \"a\"\nsender = \"github\"\nsecrets = \"${env:X}\""), "secrets: it must be a list of texts"),
        (
            hook("name = \"a\"\nsender = \"github\"\nsecrets = [\"${exec:x}\"]"),
            "serve.webhook a, secrets: ${exec:…}: references are",
        ),
        (hook(&format!("{ok}report = {{ api = \"h\", token = \"${{env:X}}\" }}")), "serve.webhook a, report.api: "),
        (
            hook(&format!("{ok}report = {{ api = \"http://h\", token = \"t\" }}")),
            "serve.webhook a, report.token: a secret does",
        ),
        (
            hook(
                &ok.replace("github", "standard")
                    .replace("name", "report = { api = \"http://h\", token = \"${env:X}\" }\nname"),
            ),
            "serve.webhook a, report: Standard Webhooks have no way back",
        ),
        (format!("{HOOK}{RULE}{HOOK}{RULE}"), "serve.webhook github, name: two webhooks have it"),
        (HOOK.to_owned(), "serve.webhook github, rule: without a rule"),
        (
            rule("event = \"\"\nrevision = \"x\""),
            "serve.webhook github, rule 2, event: it must be the name of an event",
        ),
        (rule("event = \"x\""), "missing field `revision`"),
        (rule("event = \"x\"\nrevision = \"{a\""), "serve.webhook github, rule 2, revision: a { is not closed"),
        (rule("event = \"x\"\nrevision = \"a b\""), "serve.webhook github, rule 2, revision: what stands beside"),
        (
            rule("event = \"x\"\nrevision = \"x\"\nfleet = \"{a|up}\""),
            "serve.webhook github, rule 2, fleet: the one filter",
        ),
        (
            rule("event = \"x\"\nrevision = \"x\"\nenvironment = \"\""),
            "rule 2, environment: it must be a text of 1 to 500",
        ),
        (rule("event = \"x\"\nrevision = \"x\"\nworkflow = \"<a>\""), "rule 2, workflow: what stands beside"),
        (rule("event = \"x\"\nrevision = \"x\"\nwhen = { \"a b\" = 1 }"), "rule 2, when: a field is 1 to 16 names"),
        (rule("event = \"x\"\nrevision = \"x\"\nwhen = { a.b = 1 }"), "rule 2, when a: it must be a value or a list"),
        (rule("event = \"x\"\nrevision = \"x\"\nwhen = { a = [] }"), "rule 2, when a: no value is accepted"),
        (
            rule("event = \"x\"\nrevision = \"x\"\nwhen = { a = 1.5 }"),
            "rule 2, when a: a field is compared with a text",
        ),
        (rule("event = \"x\"\nrevision = \"x\"\nwehn = { a = 1 }"), "unknown field `wehn`"),
    ];
    for (text, expected) in table {
        let error = parse(&text).unwrap_err();
        assert_eq!(error.code(), Code::ConfigInvalid);
        assert!(error.to_string().contains(expected), "{text}\n{error}");
    }
}

#[test]
fn there_is_a_limit_to_everything_that_is_a_list() {
    use crate::base::limits::*;
    let many = |max: usize, one: &dyn Fn(usize) -> String| (0..=max).map(one).collect::<Vec<_>>();
    let secrets = many(WEBHOOK_SECRETS_MAX, &|_| "\"${env:X}\"".to_owned()).join(",");
    let values = many(CONDITION_VALUES_MAX, &|at| at.to_string()).join(",");
    let conditions = many(RULE_CONDITIONS_MAX, &|at| format!("f{at} = 1")).join(",");
    let projects = many(SERVE_PROJECTS_MAX, &|at| format!("\"p{at}\"")).join(",");
    let notify =
        many(NOTIFY_MAX, &|_| "[[serve.notify]]\nurl = \"http://h\"\nsecret = \"${env:X}\"\n".to_owned()).join("");
    let table = [
        (format!("[serve]\nprojects = [{projects}]"), "serve.projects: there are 101, and there may be 100"),
        (many(WEBHOOKS_MAX, &|_| format!("{HOOK}{RULE}")).join(""), "serve.webhook: there are 101"),
        (
            format!("{HOOK}{}", many(WEBHOOK_RULES_MAX, &|_| RULE.to_owned()).join("")),
            "serve.webhook github, rule: there are 101",
        ),
        (format!("{}{RULE}", HOOK.replace("\"${env:HOOK}\"", &secrets)), "serve.webhook github, secrets: there are 11"),
        (format!("{HOOK}{RULE}when = {{ {conditions} }}"), "rule 1, when: there are 21"),
        (format!("{HOOK}{RULE}when = {{ a = [{values}] }}"), "rule 1, when a: there are 101"),
        (
            format!("{HOOK}{RULE}when = {{ a = \"{}\" }}", "x".repeat(TEMPLATE_BYTES_MAX + 1)),
            "rule 1, when a: a text is longer",
        ),
        (notify, "serve.notify: there are 21"),
    ];
    for (text, expected) in table {
        let error = parse(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}\n{error}");
    }
}

#[test]
fn a_secret_in_the_file_is_refused_and_never_shown() {
    let table = [
        format!("{}{RULE}", HOOK.replace("${env:HOOK}", "hunter2")),
        format!("{}{RULE}", HOOK.replace("[\"${env:HOOK}\"]", "\"hunter2\"")),
        format!("{}{RULE}", HOOK.replace("[\"${env:HOOK}\"]", "[[\"hunter2\"]]")),
        format!("{HOOK}report = {{ api = \"http://hunter2@h\", token = \"${{env:X}}\" }}\n{RULE}"),
        format!("{HOOK}report = {{ api = \"http://h\", token = \"hunter2\" }}\n{RULE}"),
        format!("{HOOK}report = \"hunter2\"\n{RULE}"),
        "[serve]\nurl = \"https://u:hunter2@h\"".to_owned(),
        "[serve]\nlisten = \"hunter2\"".to_owned(),
        "[serve.release]\ngit = { url = \"https://u:hunter2@h/x\" }".to_owned(),
        "[serve.release]\ngit = \"https://u:hunter2@h/x\"".to_owned(),
        "[[serve.notify]]\nurl = \"http://h/hunter2?\u{e4}\"\nsecret = \"${env:X}\"".to_owned(),
        "[[serve.notify]]\nurl = \"http://h\"\nsecret = \"whsec_hunter2\"".to_owned(),
    ];
    for text in table {
        let error = parse(&text).unwrap_err();
        let shown = format!("{error} {error:?} {:?}", error.next());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    let serve = parse("[[serve.notify]]\nurl = \"http://h/hunter2\"\nsecret = \"hunter2${env:X}\"").unwrap();
    assert!(!format!("{serve:?}").contains("hunter2"));
}
