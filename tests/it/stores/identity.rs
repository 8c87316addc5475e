//! Credentials that a machine or a container is given rather than a person: whoever hands them out is
//! asked as AWS's own tools ask, and what it gives lets the run in.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use super::bucket::session_of_a_role;
use super::{Bucket, Versions};

/// What a request to the keeper said: method and path, and the header that is looked for.
type Asked = Arc<Mutex<Vec<(String, Option<String>)>>>;

/// A keeper of credentials on a port of its own: the metadata service of a machine, and the agent of a
/// container. It lives as long as the test's process.
struct Keeper {
    port: u16,
    asked: Asked,
}

impl Keeper {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Asked::default();
        let keys = session_of_a_role();
        let seen = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (keys, seen) = (keys.clone(), Arc::clone(&seen));
                thread::spawn(move || answer(stream, &seen, &keys));
            }
        });
        Self { port, asked }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn asked(&self) -> MutexGuard<'_, Vec<(String, Option<String>)>> {
        self.asked.lock().expect("nobody panicked")
    }
}

/// Answers the requests of one connection.
fn answer(mut stream: TcpStream, asked: &Asked, [key, secret, session]: &[String; 3]) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split_whitespace();
        let wanted = format!(
            "{} {}",
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default()
        );
        let (mut token, mut length) = (None, 0);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).expect("a header");
            let Some((name, value)) = header.trim().split_once(':') else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "x-aws-ec2-metadata-token" | "authorization" => {
                    token = Some(value.trim().to_owned());
                }
                "content-length" => length = value.trim().parse().expect("a length"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        let text = match wanted.as_str() {
            "PUT /latest/api/token" => "machine-token".to_owned(),
            "GET /latest/meta-data/iam/security-credentials/" => "a-role".to_owned(),
            "GET /latest/meta-data/iam/security-credentials/a-role" | "GET /pod" => format!(
                r#"{{"AccessKeyId": "{key}", "SecretAccessKey": "{secret}", "Token": "{session}",
                     "Expiration": "2999-01-01T00:00:00Z"}}"#
            ),
            other => panic!("nobody asks for {other}"),
        };
        asked.lock().expect("nobody panicked").push((wanted, token));
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        )
        .expect("an answer");
    }
}

/// A dataset whose program has no keys of its own.
fn without_keys() -> (Versions, Keeper) {
    let mut versions = Versions::small(Bucket::on_moto());
    let keeper = Keeper::start();
    versions.change_cli(|cli| {
        cli.unset("AWS_ACCESS_KEY_ID")
            .unset("AWS_SECRET_ACCESS_KEY")
    });
    (versions, keeper)
}

#[test]
fn the_role_of_a_machine_lets_its_runs_in() {
    let (mut versions, keeper) = without_keys();
    let url = keeper.url();
    versions.change_cli(|cli| cli.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", url));
    versions.publish(1);
    assert_eq!(versions.published(), Some(1));
    let asked = keeper.asked();
    // By the second version of the service, which answers nobody without a token.
    let role = asked
        .iter()
        .find(|(wanted, _)| wanted.ends_with("/a-role"))
        .expect("the role was asked for");
    assert_eq!(role.1.as_deref(), Some("machine-token"));
}

#[test]
fn the_identity_of_a_container_lets_its_runs_in() {
    let (mut versions, keeper) = without_keys();
    let url = format!("{}/pod", keeper.url());
    let token = Path::new(versions.extraction.cli.home()).join("token");
    std::fs::write(&token, "container-token").expect("a file");
    versions.change_cli(|cli| {
        cli.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", url).env(
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            token.display().to_string(),
        )
    });
    versions.publish(1);
    assert_eq!(versions.published(), Some(1));
    let asked = keeper.asked();
    assert!(!asked.is_empty());
    assert!(
        asked
            .iter()
            .all(|(_, token)| token.as_deref() == Some("container-token")),
        "{asked:?}"
    );
}

#[test]
fn a_shared_signature_lets_a_run_in_on_azure_and_never_shows() {
    let mut versions = Versions::small(Bucket::on("azure"));
    let signature = versions.bucket.signature();
    let (account, endpoint) = (versions.bucket.key().0, versions.bucket.endpoint());
    versions.change_cli(|cli| {
        cli.unset("AZURE_STORAGE_CONNECTION_STRING")
            .env("AZURE_STORAGE_ACCOUNT_NAME", account)
            .env("AZURE_STORAGE_SAS_TOKEN", &signature)
    });
    let options = ["--store-endpoint", endpoint.as_str()];
    let outcome = versions.run(1, &options).expect_code(0);
    assert!(!outcome.stdout.contains("sig=") && !outcome.stderr.contains("sig="));
    // Looked at with the account's own key.
    versions.change_cli(|_| Bucket::on("azure").cli());
    assert_eq!(versions.published(), Some(1));
}
