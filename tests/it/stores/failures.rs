//! What stands in the way shows before reading starts, in three lines without secrets; a line that
//! breaks is tried again, and one that stays broken ends the run with nothing published.

use super::bucket::user_without;
use super::{Bucket, Versions};
use crate::extraction::state_file;
use crate::ixtract::{Cli, Outcome};
use crate::proxy::Proxy;

/// A secret that must never be seen.
const SECRET: &str = "hidden-secret-of-nobody";

/// Fails the test unless the outcome is three lines, holds no secret, and nothing was begun.
#[track_caller]
fn assert_refused(versions: &Versions, outcome: &Outcome, words: &str) {
    let text = &outcome.stderr;
    assert!(text.contains(words), "{words}: {outcome:#?}");
    assert!(
        text.contains("\n  why: ") && text.contains("\n  fix: "),
        "{outcome:#?}"
    );
    let (_, secret) = versions.bucket.key();
    for secret in [SECRET, &secret] {
        assert!(!text.contains(secret), "{outcome:#?}");
    }
    let store = rusqlite::Connection::open(state_file(&versions.extraction.cli));
    let begun: u32 = store
        .and_then(|store| store.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)))
        .expect("a count");
    assert_eq!(begun, 0, "a run was begun: {outcome:#?}");
}

fn refused_with(bucket: Bucket, change: impl FnOnce(Cli) -> Cli, code: i32, words: &str) {
    let mut versions = Versions::small(bucket);
    versions.change_cli(change);
    let outcome = versions.run(1, &[]).expect_code(code);
    assert_refused(&versions, &outcome, words);
}

#[test]
fn a_wrong_secret_is_denied() {
    for bucket in [Bucket::new(), Bucket::on_moto()] {
        let change = |cli: Cli| {
            cli.unset("AWS_SECRET_ACCESS_KEY")
                .env("AWS_SECRET_ACCESS_KEY", SECRET)
        };
        refused_with(bucket, change, 77, "SignatureDoesNotMatch");
    }
}

#[test]
fn an_unknown_key_is_denied() {
    for bucket in [Bucket::new(), Bucket::on_moto()] {
        let change = |cli: Cli| {
            cli.unset("AWS_ACCESS_KEY_ID")
                .env("AWS_ACCESS_KEY_ID", "nobody")
        };
        refused_with(bucket, change, 77, "InvalidAccessKeyId");
    }
}

#[test]
fn a_missing_bucket_is_named() {
    for bucket in [Bucket::new(), Bucket::on_moto()] {
        let versions = Versions::small(bucket);
        let words = versions
            .extraction
            .words("run", &["--output", "s3://no-such-bucket/x"]);
        let outcome = versions.extraction.cli.run(words).expect_code(73);
        assert_refused(&versions, &outcome, "no-such-bucket");
        assert!(outcome.stderr.contains("create the bucket"), "{outcome:#?}");
    }
}

/// Lets the program be a user who may not do everything.
fn be_without(versions: &mut Versions, actions: &[&str]) {
    let (key, secret) = user_without(actions);
    versions.change_cli(|cli| {
        cli.unset("AWS_ACCESS_KEY_ID")
            .unset("AWS_SECRET_ACCESS_KEY")
            .env("AWS_ACCESS_KEY_ID", key)
            .env("AWS_SECRET_ACCESS_KEY", secret)
    });
}

#[test]
fn a_right_that_is_missing_is_told_before_reading() {
    for action in ["s3:PutObject", "s3:ListBucket"] {
        let mut versions = Versions::small(Bucket::on_moto());
        be_without(&mut versions, &[action]);
        let outcome = versions.run(1, &[]).expect_code(77);
        assert_refused(&versions, &outcome, "AccessDenied");
        assert_eq!(versions.bucket.keys().len(), 0);
    }
}

#[test]
fn who_may_not_remove_publishes_and_is_told_what_stays() {
    let mut versions = Versions::small(Bucket::on_moto());
    be_without(&mut versions, &["s3:DeleteObject"]);
    for version in 1..=2 {
        let report = versions.run(version, &["--json"]).expect_code(0).json();
        let warnings = report["warnings"].to_string();
        assert!(warnings.contains("AccessDenied"), "{report}");
        assert_eq!(versions.published(), Some(version));
    }
    assert_eq!(versions.bucket.runs().len(), 2);
}

#[test]
fn no_secret_is_kept() {
    let versions = Versions::small(Bucket::on_moto());
    let outcome = versions.run(1, &["--json", "--verbose"]).expect_code(0);
    let (_, secret) = versions.bucket.key();
    let state = std::fs::read(state_file(&versions.extraction.cli)).expect("a history");
    let kept = String::from_utf8_lossy(&state);
    let copy = versions.bucket.fetch();
    let manifest = std::fs::read_to_string(copy.path().join("_manifest.json")).expect("a manifest");
    for text in [&kept, outcome.stdout.as_str(), &outcome.stderr, &manifest] {
        assert!(!text.contains(&secret));
    }
}

#[test]
fn googles_and_azures_mistakes_are_told_too() {
    let other = tempfile::tempdir().expect("a directory");
    let file = other.path().join("account.json");
    let account = std::fs::read_to_string(crate::setting("IXTRACT_TEST_GCS_KEY")).expect("a key");
    // Somebody else's key pair, of which the store knows nothing.
    let tls = std::path::PathBuf::from(crate::setting("IXTRACT_TEST_CA"));
    let key = std::fs::read_to_string(tls.with_file_name("client.key")).expect("a key");
    let mut account: serde_json::Value = serde_json::from_str(&account).expect("JSON");
    account["private_key"] = key.into();
    std::fs::write(&file, account.to_string()).expect("a file");
    let stranger = |cli: Cli| {
        cli.unset("GOOGLE_SERVICE_ACCOUNT").env(
            "GOOGLE_SERVICE_ACCOUNT",
            file.to_str().expect("a plain name"),
        )
    };
    refused_with(Bucket::on("gcs"), stranger, 77, "AuthenticationRequired");

    let wrong = |cli: Cli| cli.env("AZURE_STORAGE_KEY", "d3Jvbmcga2V5IG9mIG5vYm9keSBhdCBhbGw=");
    refused_with(Bucket::on("azure"), wrong, 77, "AuthorizationFailure");

    for (store, url) in [
        ("gcs", "gs://no-such-bucket/x"),
        ("azure", "az://no-such-container/x"),
    ] {
        let versions = Versions::small(Bucket::on(store));
        let words = versions.extraction.words("run", &["--output", url]);
        let outcome = versions.extraction.cli.run(words).expect_code(73);
        assert_refused(&versions, &outcome, "no-such-");
        assert!(outcome.stderr.contains("fix: create the "), "{outcome:#?}");
    }
}

#[test]
fn a_store_that_is_not_there_is_unreachable() {
    let nowhere = |cli: Cli| {
        cli.unset("AWS_ENDPOINT_URL")
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    };
    refused_with(Bucket::new(), nowhere, 69, "Connection refused");
}

#[test]
fn no_credentials_at_all_is_told() {
    let none = |cli: Cli| {
        cli.unset("AWS_ACCESS_KEY_ID")
            .unset("AWS_SECRET_ACCESS_KEY")
            .env("AWS_EC2_METADATA_DISABLED", "true")
    };
    refused_with(Bucket::new(), none, 77, "no credentials");
}

#[test]
fn half_a_key_is_told() {
    let half = |cli: Cli| cli.unset("AWS_SECRET_ACCESS_KEY");
    refused_with(Bucket::new(), half, 78, "SecretAccessKey");
}

#[test]
fn a_setting_that_no_request_can_carry_is_named() {
    for (name, value, words) in [
        (
            "AWS_ACCESS_KEY_ID",
            "hidden-secret-of-nobody\n",
            "aws_access_key_id holds a line break",
        ),
        ("AWS_REGION", "eu\nwest", "aws_region holds a line break"),
        (
            "AWS_ENDPOINT_URL",
            "http://127.0.0.1:99999",
            "aws_endpoint_url is no URL",
        ),
        (
            "AWS_ENDPOINT_URL",
            "http://u:hidden-secret-of-nobody@h",
            "aws_endpoint_url holds a login",
        ),
    ] {
        let change = |cli: Cli| cli.unset(name).env(name, value);
        refused_with(Bucket::new(), change, 78, words);
    }
}

#[test]
fn credentials_come_from_a_profile_or_a_command() {
    let mut versions = Versions::small(Bucket::new());
    let (key, secret) = versions.bucket.key();
    let home = versions.extraction.cli.home().to_owned();
    let aws = home.join(".aws");
    std::fs::create_dir(&aws).expect("a directory");
    let credentials =
        format!("[work]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
    std::fs::write(aws.join("credentials"), credentials).expect("a file");
    let printed =
        format!(r#"{{"Version": 1, "AccessKeyId": "{key}", "SecretAccessKey": "{secret}"}}"#);
    std::fs::write(home.join("printed"), printed).expect("a file");
    let config = format!(
        "[profile asks]\ncredential_process = cat '{}/printed'\n[profile broken]\ncredential_process = false\n",
        home.display()
    );
    std::fs::write(aws.join("config"), config).expect("a file");
    versions.change_cli(|cli| {
        cli.unset("AWS_ACCESS_KEY_ID")
            .unset("AWS_SECRET_ACCESS_KEY")
    });
    for profile in ["work", "asks"] {
        versions
            .run(1, &["--store-profile", profile])
            .expect_code(0);
    }
    let outcome = versions
        .run(1, &["--store-profile", "broken"])
        .expect_code(77);
    assert!(
        outcome
            .stderr
            .contains("the command for credentials failed"),
        "{outcome:#?}"
    );
    versions
        .run(1, &["--store-profile", "none"])
        .expect_code(78);
}

#[test]
fn endpoint_and_region_can_be_flags() {
    let mut versions = Versions::small(Bucket::new());
    versions.change_cli(|cli| cli.unset("AWS_ENDPOINT_URL"));
    let endpoint = versions.bucket.endpoint();
    let options = ["--store-endpoint", &endpoint, "--store-region", "eu-west-1"];
    versions.run(1, &options).expect_code(0);
}

/// A program whose store is behind a proxy.
fn behind(versions: &mut Versions, proxy: &Proxy) {
    let endpoint = format!("http://127.0.0.1:{}", proxy.port());
    versions.change_cli(|cli| {
        cli.unset("AWS_ENDPOINT_URL")
            .env("AWS_ENDPOINT_URL", endpoint)
    });
}

#[test]
fn a_line_that_breaks_once_is_no_failure() {
    let mut versions = Versions::large(Bucket::new());
    // Answers to uploads are short: the break is in one of them.
    let proxy = Proxy::to(versions.bucket.port())
        .cut_after(2_500)
        .once()
        .start();
    behind(&mut versions, &proxy);
    versions.publish(1);
    assert_eq!(proxy.faults(), 1);
    assert_eq!(versions.published(), Some(1));
    versions.assert_swept();
}

#[test]
fn a_slow_store_is_waited_for() {
    let mut versions = Versions::small(Bucket::new());
    let proxy = Proxy::to(versions.bucket.port())
        .latency(std::time::Duration::from_millis(30))
        .kbps(200)
        .start();
    behind(&mut versions, &proxy);
    versions.publish(1);
    assert_eq!(versions.published(), Some(1));
}

/// A store that does not do all it is asked; ends with the test.
pub(crate) struct Faulty {
    process: std::process::Child,
    lines: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
    port: u16,
}

impl Faulty {
    /// So many PUTs meet the fault, one of every so many, as `tests/peers/faulty.py` has it.
    fn start(bucket: &Bucket, times: u32, every: u32, how: &[&str]) -> Self {
        Self::of("PUT", bucket, (times, every), how)
    }

    /// The same for requests of a method.
    pub(crate) fn of(
        method: &str,
        bucket: &Bucket,
        (times, every): (u32, u32),
        how: &[&str],
    ) -> Self {
        use std::io::BufRead;
        let mut process = std::process::Command::new(crate::setting("IXTRACT_TEST_STORE_PYTHON"))
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/peers/faulty.py"
            ))
            .args([
                bucket.port().to_string(),
                times.to_string(),
                every.to_string(),
            ])
            .arg(method)
            .args(how)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("python");
        let stdout = process.stdout.take().expect("piped");
        let mut lines = std::io::BufReader::new(stdout).lines();
        let port = lines.next().expect("a line").expect("text");
        Self {
            process,
            lines,
            port: port.parse().expect("a port"),
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends it; how many requests met the fault.
    pub(super) fn met(mut self) -> usize {
        self.process.kill().expect("a signal");
        self.lines.by_ref().count()
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        // It may have ended already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn throttled_requests_are_sent_again() {
    let mut versions = Versions::large(Bucket::new());
    let throttling = Faulty::start(&versions.bucket, 6, 2, &["throttle"]);
    let endpoint = throttling.endpoint();
    versions.change_cli(|cli| {
        cli.unset("AWS_ENDPOINT_URL")
            .env("AWS_ENDPOINT_URL", endpoint)
    });
    versions.publish(1);
    assert_eq!(throttling.met(), 6);
    let direct = versions.bucket.endpoint();
    versions.change_cli(|cli| {
        cli.unset("AWS_ENDPOINT_URL")
            .env("AWS_ENDPOINT_URL", direct)
    });
    assert_eq!(versions.published(), Some(1));
    versions.assert_swept();
}

#[test]
fn a_store_that_throttles_for_ever_is_told_before_reading() {
    let mut versions = Versions::small(Bucket::new());
    let throttling = Faulty::start(&versions.bucket, u32::MAX, 1, &["throttle"]);
    let endpoint = throttling.endpoint();
    versions.change_cli(|cli| {
        cli.unset("AWS_ENDPOINT_URL")
            .env("AWS_ENDPOINT_URL", endpoint)
    });
    let outcome = versions.run(1, &[]).expect_code(75);
    assert_refused(&versions, &outcome, "SlowDown");
    assert!(throttling.met() > 1);
    assert_eq!(versions.bucket.keys().len(), 0);
}

/// The next requests to the store go through the faulty one, or not any more.
pub(super) fn through(versions: &mut Versions, faulty: Option<&Faulty>) {
    let endpoint = faulty.map_or_else(|| versions.bucket.endpoint(), Faulty::endpoint);
    versions.change_cli(|cli| {
        cli.unset("AWS_ENDPOINT_URL")
            .env("AWS_ENDPOINT_URL", endpoint)
    });
}

#[test]
fn a_manifest_whose_put_is_not_answered_is_published_all_the_same() {
    // Heard or not, the put is sent again: the first of these then meets its own manifest.
    for (how, before) in [
        ("lose", false),
        ("lose", true),
        ("drop", false),
        ("drop", true),
    ] {
        let mut versions = Versions::small(Bucket::new());
        if before {
            versions.publish(1);
        }
        let faulty = Faulty::start(&versions.bucket, 1, 1, &[how, "_manifest.json"]);
        through(&mut versions, Some(&faulty));
        versions.publish(2);
        assert_eq!(faulty.met(), 1);
        through(&mut versions, None);
        assert_eq!(versions.published(), Some(2));
        versions.assert_swept();
    }
}

#[test]
fn a_manifest_that_may_still_be_under_way_keeps_its_files() {
    let mut versions = Versions::small(Bucket::new());
    versions.publish(1);
    let faulty = Faulty::start(&versions.bucket, u32::MAX, 1, &["drop", "_manifest.json"]);
    through(&mut versions, Some(&faulty));
    let outcome = versions.run(2, &[]).expect_code(69);
    assert!(
        outcome.stderr.contains("it is not known whether"),
        "{outcome:#?}"
    );
    assert!(faulty.met() > 1);
    through(&mut versions, None);
    // Readers have the old version; the files of the new one stay, in case they get to see it.
    assert_eq!(versions.published(), Some(1));
    assert_eq!(versions.bucket.runs().len(), 2);
    versions.publish(3);
    assert_eq!(versions.published(), Some(3));
    versions.assert_swept();
}
