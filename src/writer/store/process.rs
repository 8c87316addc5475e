//! Credentials from a command: what AWS calls a credential process, and the way to everything that
//! its own tools can do (single sign-on, assumed roles, hardware keys) without carrying it here.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::connect::is_one_line;

/// How long the command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Credentials are fetched again after so long; AWS's shortest last fifteen minutes.
const LIFE: Duration = Duration::from_secs(300);

/// Runs a command for credentials.
#[derive(Debug)]
pub(super) struct CredentialProcess {
    command: String,
    known: Mutex<Option<(tokio::time::Instant, Arc<AwsCredential>)>>,
}

/// The document that the command prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
}

impl CredentialProcess {
    pub(super) fn new(command: String) -> Self {
        Self {
            command,
            known: Mutex::default(),
        }
    }

    async fn fetch(&self) -> Result<AwsCredential, String> {
        let running = tokio::process::Command::new("sh")
            .args(["-c", &self.command])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = match tokio::time::timeout(PATIENCE, running).await {
            Err(_) => return Err(format!("took more than {} s", PATIENCE.as_secs())),
            Ok(output) => output.map_err(|error| error.to_string())?,
        };
        if !output.status.success() {
            // Its own last words; what it prints to standard output may be secret.
            let words = String::from_utf8_lossy(&output.stderr);
            let last = words.lines().rfind(|line| !line.trim().is_empty());
            return Err(format!("{}: {}", output.status, last.unwrap_or("no words")));
        }
        parse(&output.stdout)
    }
}

fn parse(document: &[u8]) -> Result<AwsCredential, String> {
    // serde's own message would repeat what it read.
    let printed: Printed = serde_json::from_slice(document)
        .map_err(|_| "it does not print the document of an AWS credential process".to_owned())?;
    let token = printed.session_token.as_deref().unwrap_or_default();
    let values = [&printed.access_key_id, &printed.secret_access_key, token];
    if !values.into_iter().all(is_one_line) {
        return Err("what it prints holds a line break inside a value".to_owned());
    }
    Ok(AwsCredential {
        key_id: printed.access_key_id,
        secret_key: printed.secret_access_key,
        token: printed.session_token.filter(|token| !token.is_empty()),
    })
}

#[async_trait]
impl CredentialProvider for CredentialProcess {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut known = self.known.lock().await;
        if let Some((since, credential)) = &*known
            && since.elapsed() < LIFE
        {
            return Ok(Arc::clone(credential));
        }
        let fetched = self
            .fetch()
            .await
            .map_err(|why| object_store::Error::Generic {
                store: "S3",
                source: format!("the command for credentials failed: {why}").into(),
            })?;
        let credential = Arc::new(fetched);
        *known = Some((tokio::time::Instant::now(), Arc::clone(&credential)));
        Ok(credential)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_gives_credentials_and_its_failure_no_secrets() {
        let of = |command: &str| {
            let process = CredentialProcess::new(command.to_owned());
            async move { process.get_credential().await }
        };
        let printed =
            r#"echo '{"Version":1,"AccessKeyId":"id","SecretAccessKey":"key","SessionToken":""}'"#;
        let credential = of(printed).await.unwrap();
        assert_eq!(credential.key_id, "id");
        assert_eq!(credential.token, None);
        for command in [
            "echo '{\"hidden\":1}'",
            r#"printf %s '{"AccessKeyId":"hidden\n","SecretAccessKey":"key"}'"#,
            "echo hidden; echo sorry >&2; exit 3",
        ] {
            let error = of(command).await.unwrap_err().to_string();
            assert!(!error.contains("hidden"), "{error}");
            assert!(
                error.contains("the command for credentials failed"),
                "{error}"
            );
        }
    }
}
