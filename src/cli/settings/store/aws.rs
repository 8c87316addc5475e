//! What AWS's own tools read: variables, `~/.aws/credentials` and `~/.aws/config`.
//!
//! The order is theirs: a profile that is named by a flag; keys in the environment; a web identity;
//! the profile of `AWS_PROFILE`, else `default`; a container's or machine's role. A profile whose
//! credentials take more than reading a file (single sign-on, an assumed role) is asked for through
//! AWS's command line, which keeps the tokens.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use crate::cli::args::ObjectStoreArgs;
use crate::cli::settings::Environment;
use crate::error::{ExitCode, Failure};
use crate::writer::store::StoreOptions;

/// Variables that are options of the same meaning, in the order in which they are looked at.
const PLAIN: [(&str, &str); 8] = [
    ("AWS_ENDPOINT_URL", "aws_endpoint_url"),
    ("AWS_ENDPOINT_URL_S3", "aws_endpoint_url_s3"),
    (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "aws_container_credentials_relative_uri",
    ),
    (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "aws_container_credentials_full_uri",
    ),
    (
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "aws_container_authorization_token_file",
    ),
    ("AWS_ROLE_SESSION_NAME", "aws_role_session_name"),
    ("AWS_ENDPOINT_URL_STS", "aws_endpoint_url_sts"),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "aws_metadata_endpoint"),
];

/// The settings of one profile, from both files.
type Profile = BTreeMap<String, String>;

/// Everything about S3, settled.
///
/// # Errors
/// 78 for a profile that is named and not there, or a file that cannot be read; 77 where there are
/// no credentials at all.
pub(super) fn options(
    args: &ObjectStoreArgs,
    environment: &Environment,
) -> Result<StoreOptions, Failure> {
    let profile = profile(args, environment)?;
    let mut options = StoreOptions::default();
    let mut set = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            options.values.push((name.to_owned(), value.to_owned()));
        }
    };
    set(
        "aws_endpoint_url",
        profile.get("endpoint_url").map(String::as_str),
    );
    for (variable, option) in PLAIN {
        set(option, environment.get(variable));
    }
    set("aws_endpoint_url_s3", args.store_endpoint.as_deref());
    let region = args.store_region.as_deref();
    let region = region
        .or_else(|| environment.get("AWS_REGION"))
        .or_else(|| environment.get("AWS_DEFAULT_REGION"))
        .or(profile.get("region").map(String::as_str));
    set("aws_region", region);
    if args.store_virtual_host {
        set("aws_virtual_hosted_style_request", Some("true"));
    }
    if let Some(key) = &args.store_kms_key {
        set("aws_server_side_encryption", Some("aws:kms"));
        set("aws_sse_kms_key_id", Some(key));
    }
    if args.store_unsigned {
        set("aws_skip_signature", Some("true"));
        return Ok(options);
    }
    credentials(args, environment, &profile, &mut options)?;
    Ok(options)
}

/// Adds the credentials that come first; none where a container's or machine's role is to be used.
fn credentials(
    args: &ObjectStoreArgs,
    environment: &Environment,
    profile: &Profile,
    options: &mut StoreOptions,
) -> Result<(), Failure> {
    let named = args.store_profile.is_some();
    let keys = |options: &mut StoreOptions, lookup: &dyn Fn(&str) -> Option<String>| {
        let names = ["aws_access_key_id", "aws_secret_access_key"];
        let pair = names.map(lookup);
        let found = pair.iter().any(Option::is_some);
        for (name, value) in names.into_iter().zip(pair) {
            options
                .values
                .extend(value.map(|value| (name.to_owned(), value)));
        }
        if let (true, Some(token)) = (found, lookup("aws_session_token")) {
            options.values.push(("aws_session_token".to_owned(), token));
        }
        found
    };
    let variable = |name: &str| {
        let value = environment.get(&name.to_ascii_uppercase());
        value.map(str::to_owned)
    };
    if !named && keys(options, &variable) {
        return Ok(());
    }
    let identity = |options: &mut StoreOptions, file: Option<&str>, role: Option<&str>| {
        let (Some(file), Some(role)) = (file, role) else {
            return false;
        };
        let mut set =
            |name: &str, value: &str| options.values.push((name.to_owned(), value.to_owned()));
        set("aws_web_identity_token_file", file);
        set("aws_role_arn", role);
        true
    };
    let of_profile = |name: &str| profile.get(name).map(String::as_str);
    let web = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE");
    if !named && identity(options, web, environment.get("AWS_ROLE_ARN")) {
        return Ok(());
    }
    if identity(
        options,
        of_profile("web_identity_token_file"),
        of_profile("role_arn"),
    ) {
        return Ok(());
    }
    if profile.contains_key("role_arn") || profile.keys().any(|key| key.starts_with("sso_")) {
        options.credential_process = Some(by_command_line(args, environment));
        return Ok(());
    }
    if keys(options, &|name| profile.get(name).cloned()) {
        return Ok(());
    }
    if let Some(command) = of_profile("credential_process") {
        options.credential_process = Some(command.to_owned());
        return Ok(());
    }
    a_role_is_possible(environment)
}

/// What is left is a container's or machine's role.
fn a_role_is_possible(environment: &Environment) -> Result<(), Failure> {
    let of_container = [
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ];
    let elsewhere = of_container
        .iter()
        .any(|name| environment.get(name).is_some());
    let disabled = environment
        .get("AWS_EC2_METADATA_DISABLED")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if elsewhere || !disabled {
        return Ok(());
    }
    Err(Failure::new(
        ExitCode::Denied,
        "there are no credentials for S3",
        "none are in the environment or a profile, and AWS_EC2_METADATA_DISABLED is true",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    ))
}

/// The command that gives the credentials of a profile that AWS's own tools have to work for.
fn by_command_line(args: &ObjectStoreArgs, environment: &Environment) -> String {
    let name = profile_name(args, environment).unwrap_or("default");
    let quoted = name.replace('\'', "'\\''");
    format!("aws configure export-credentials --profile '{quoted}' --format process")
}

fn profile_name<'a>(args: &'a ObjectStoreArgs, environment: &'a Environment) -> Option<&'a str> {
    let flag = args.store_profile.as_deref();
    flag.or_else(|| environment.get("AWS_PROFILE"))
}

/// The settings of the profile in hand: the credentials file wins over the configuration.
fn profile(args: &ObjectStoreArgs, environment: &Environment) -> Result<Profile, Failure> {
    let named = profile_name(args, environment);
    let name = named.unwrap_or("default");
    let file = |variable: &str, default: &str| {
        let home = || Some(environment.path("HOME")?.join(".aws").join(default));
        environment.path(variable).or_else(home)
    };
    let files = [
        (file("AWS_CONFIG_FILE", "config"), true),
        (file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), false),
    ];
    let mut found = None::<Profile>;
    for (path, is_config) in files {
        let Some(path) = path else { continue };
        if let Some(section) = section(&read(&path)?, name, is_config) {
            found.get_or_insert_default().extend(section);
        }
    }
    match (found, named) {
        (Some(profile), _) => Ok(profile),
        (None, None) => Ok(Profile::new()),
        (None, Some(name)) => Err(Failure::new(
            ExitCode::Config,
            format!("there is no AWS profile '{name}'"),
            "neither the credentials file nor the configuration has a section of that name",
            "correct AWS_PROFILE or --store-profile, or unset it",
        )),
    }
}

/// A file's text; a missing file is an empty one.
fn read(path: &PathBuf) -> Result<String, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Failure::new(
            ExitCode::Config,
            format!("cannot read {}", path.display()),
            error.to_string(),
            "let this user read the file, or name another with AWS_SHARED_CREDENTIALS_FILE or \
             AWS_CONFIG_FILE",
        )),
    }
}

/// The settings of a profile's section. In the configuration its head is `[profile NAME]`, of
/// `default` with or without the word; lines that are indented belong to the setting above.
fn section(text: &str, name: &str, is_config: bool) -> Option<Profile> {
    let is_head = |head: &str| {
        let head = head.trim();
        match head.strip_prefix("profile") {
            Some(rest) if is_config && rest.starts_with([' ', '\t']) => rest.trim() == name,
            _ => head == name && (!is_config || name == "default"),
        }
    };
    let mut found = None::<Profile>;
    let mut inside = false;
    for line in text.lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        if let Some(head) = bare.strip_prefix('[') {
            inside = is_head(head.split(']').next().unwrap_or_default());
            if inside {
                found.get_or_insert_default();
            }
            continue;
        }
        if !inside || line.starts_with([' ', '\t']) {
            continue;
        }
        if let (Some(profile), Some((key, value))) = (&mut found, bare.split_once('=')) {
            let value = value.split(" #").next().unwrap_or_default().trim();
            if !value.is_empty() {
                profile.insert(key.trim().to_ascii_lowercase(), value.to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
[default]
region = eu-west-1
s3 =
    endpoint_url = http://nested
[profile work]
region=us-west-2 # near
endpoint_url = http://work
[profile sso]
sso_session = corp
sso_account_id = 1
[profile asks]
credential_process = /bin/get it
[other]
region = nowhere
";
    const CREDENTIALS: &str = "\
; old keys
[default]
aws_access_key_id = id
aws_secret_access_key = a=b#c
[work]
AWS_ACCESS_KEY_ID = wid
aws_secret_access_key=wkey
aws_session_token = wtoken
";

    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            let home = tempfile::tempdir().expect("a home");
            std::fs::create_dir(home.path().join(".aws")).expect("a directory");
            std::fs::write(home.path().join(".aws/config"), CONFIG).expect("a file");
            std::fs::write(home.path().join(".aws/credentials"), CREDENTIALS).expect("a file");
            Self(home)
        }

        fn options(
            &self,
            variables: &[(&str, &str)],
            args: &ObjectStoreArgs,
        ) -> Result<StoreOptions, Failure> {
            let home = self.0.path().to_str().expect("a plain name");
            let variables = [variables, &[("HOME", home)]].concat();
            options(args, &Environment::of(&variables))
        }
    }

    fn of<'a>(options: &'a StoreOptions, name: &str) -> Option<&'a str> {
        let found = options.values.iter().rfind(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_profile_is_read_from_both_files() {
        let home = Home::new();
        let found = home
            .options(&[], &ObjectStoreArgs::default())
            .expect("the default");
        assert_eq!(of(&found, "aws_access_key_id"), Some("id"));
        assert_eq!(of(&found, "aws_secret_access_key"), Some("a=b#c"));
        assert_eq!(of(&found, "aws_region"), Some("eu-west-1"));
        assert_eq!(
            of(&found, "aws_endpoint_url"),
            None,
            "nested settings are others"
        );

        let work = home.options(&[("AWS_PROFILE", "work")], &ObjectStoreArgs::default());
        let work = work.expect("a profile");
        assert_eq!(of(&work, "aws_access_key_id"), Some("wid"));
        assert_eq!(of(&work, "aws_session_token"), Some("wtoken"));
        assert_eq!(of(&work, "aws_region"), Some("us-west-2"));
        assert_eq!(of(&work, "aws_endpoint_url"), Some("http://work"));
        assert!(!format!("{work:?}").contains("wkey"));
    }

    #[test]
    fn what_comes_first_wins() {
        let home = Home::new();
        let keys = [
            ("AWS_ACCESS_KEY_ID", "env"),
            ("AWS_SECRET_ACCESS_KEY", "key"),
        ];
        let found = home
            .options(&keys, &ObjectStoreArgs::default())
            .expect("keys");
        assert_eq!(of(&found, "aws_access_key_id"), Some("env"));
        assert_eq!(of(&found, "aws_session_token"), None);
        let named = ObjectStoreArgs {
            store_profile: Some("work".to_owned()),
            store_region: Some("flag".to_owned()),
            ..ObjectStoreArgs::default()
        };
        let found = home.options(&keys, &named).expect("a profile");
        assert_eq!(of(&found, "aws_access_key_id"), Some("wid"));
        assert_eq!(of(&found, "aws_region"), Some("flag"));
        let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "r")];
        let found = home
            .options(&web, &ObjectStoreArgs::default())
            .expect("an identity");
        assert_eq!(of(&found, "aws_web_identity_token_file"), Some("/t"));
        assert_eq!(of(&found, "aws_access_key_id"), None);
    }

    #[test]
    fn other_credentials_come_from_a_command() {
        let home = Home::new();
        let of_profile = |name: &str| {
            let found = home.options(&[("AWS_PROFILE", name)], &ObjectStoreArgs::default());
            found.expect("a profile").credential_process
        };
        assert_eq!(of_profile("asks").as_deref(), Some("/bin/get it"));
        assert_eq!(
            of_profile("sso").as_deref(),
            Some("aws configure export-credentials --profile 'sso' --format process")
        );
        let missing = home.options(&[("AWS_PROFILE", "gone")], &ObjectStoreArgs::default());
        assert_eq!(missing.expect_err("no profile").exit, ExitCode::Config);
    }

    #[test]
    fn no_credentials_at_all_is_an_error_where_no_machine_could_have_any() {
        let disabled = Environment::of(&[("AWS_EC2_METADATA_DISABLED", "true")]);
        let failure = options(&ObjectStoreArgs::default(), &disabled).expect_err("none");
        assert_eq!(failure.exit, ExitCode::Denied);
        let unsigned = ObjectStoreArgs {
            store_unsigned: true,
            ..ObjectStoreArgs::default()
        };
        let found = options(&unsigned, &disabled).expect("no credentials needed");
        assert_eq!(of(&found, "aws_skip_signature"), Some("true"));
    }
}
