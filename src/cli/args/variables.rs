//! The environment that the program reads.

/// Environment variables that are read, with their meaning in one line; `--help` prints them.
/// `settings` reads no others.
pub const VARIABLES: [(&str, &str); 61] = [
    (
        "IXTRACT_SOURCE",
        "the source's URL, where no source flag is given",
    ),
    ("IXTRACT_PASSWORD", "the password, for any source"),
    ("IXTRACT_STATE", "the history's file"),
    (
        "IXTRACT_CONFIG",
        "the configuration, where there is no --config",
    ),
    (
        "IXTRACT_PROFILE",
        "its profile, where there is no --profile",
    ),
    ("IXTRACT_LOG", "what to log on stderr, such as `debug`"),
    ("STATE_DIRECTORY", "set by systemd: the history goes there"),
    (
        "XDG_CONFIG_HOME",
        "the configuration is looked for in its ixtract folder",
    ),
    ("XDG_STATE_HOME", "the history goes to its ixtract/state.db"),
    (
        "HOME",
        "for ~/.config, ~/.local/state, ~/.pgpass, ~/.my.cnf, ~/.aws and the like",
    ),
    ("NO_COLOR", "no colours, whatever its value"),
    ("PGHOST", "as libpq: host"),
    ("PGPORT", "as libpq: port"),
    ("PGDATABASE", "as libpq: database"),
    ("PGUSER", "as libpq: user"),
    ("PGPASSWORD", "as libpq: password"),
    ("PGPASSFILE", "as libpq: instead of ~/.pgpass"),
    ("PGSERVICE", "as libpq: a section of the service file"),
    ("PGSERVICEFILE", "as libpq: instead of ~/.pg_service.conf"),
    ("PGSSLMODE", "as libpq: --tls"),
    ("PGSSLROOTCERT", "as libpq: --tls-ca"),
    ("PGSSLCERT", "as libpq: --tls-cert"),
    ("PGSSLKEY", "as libpq: --tls-key"),
    ("PGCONNECT_TIMEOUT", "as libpq: --connect-timeout-s"),
    ("PGOPTIONS", "as libpq: options for the server"),
    ("MYSQL_PWD", "as MySQL's clients: password"),
    ("MSSQL_PASSWORD", "password for SQL Server"),
    ("SQLCMDPASSWORD", "as sqlcmd: password"),
    ("AWS_ACCESS_KEY_ID", "as AWS's tools: key, with its secret"),
    ("AWS_SECRET_ACCESS_KEY", "as AWS's tools: the key's secret"),
    ("AWS_SESSION_TOKEN", "as AWS's tools: with temporary keys"),
    ("AWS_REGION", "as AWS's tools: --store-region"),
    ("AWS_DEFAULT_REGION", "the same, after AWS_REGION"),
    ("AWS_PROFILE", "as AWS's tools: --store-profile"),
    (
        "AWS_SHARED_CREDENTIALS_FILE",
        "as AWS's tools: instead of ~/.aws/credentials",
    ),
    (
        "AWS_CONFIG_FILE",
        "as AWS's tools: instead of ~/.aws/config",
    ),
    ("AWS_ENDPOINT_URL_S3", "as AWS's tools: --store-endpoint"),
    ("AWS_ENDPOINT_URL", "the same, after AWS_ENDPOINT_URL_S3"),
    ("AWS_ROLE_ARN", "as AWS's tools: role of a web identity"),
    (
        "AWS_ENDPOINT_URL_STS",
        "as AWS's tools: who hands out roles",
    ),
    (
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "as AWS's tools: who hands out a machine's role",
    ),
    ("AWS_ROLE_SESSION_NAME", "as AWS's tools: with AWS_ROLE_ARN"),
    (
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "as AWS's tools: token of a web identity",
    ),
    (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "set by ECS: credentials of the task",
    ),
    (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "set by EKS: credentials of the pod",
    ),
    (
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "set by EKS: token of the pod",
    ),
    (
        "AWS_EC2_METADATA_DISABLED",
        "as AWS's tools: `true` asks no machine for a role",
    ),
    (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "as Google's tools: file of credentials",
    ),
    ("GOOGLE_SERVICE_ACCOUNT", "file of a service account's key"),
    (
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "a service account's key itself, as JSON",
    ),
    (
        "STORAGE_EMULATOR_HOST",
        "as Google's tools: --store-endpoint of gs://",
    ),
    (
        "AZURE_STORAGE_CONNECTION_STRING",
        "as Azure's tools: account, key and endpoint in one",
    ),
    ("AZURE_STORAGE_ACCOUNT_NAME", "the storage account of az://"),
    (
        "AZURE_STORAGE_ACCOUNT",
        "the same, as Azure's command line spells it",
    ),
    ("AZURE_STORAGE_ACCOUNT_KEY", "the account's key"),
    (
        "AZURE_STORAGE_KEY",
        "the same, as Azure's command line spells it",
    ),
    (
        "AZURE_STORAGE_SAS_TOKEN",
        "as Azure's tools: a shared access signature",
    ),
    (
        "AZURE_TENANT_ID",
        "as Azure's tools: tenant of a service principal",
    ),
    (
        "AZURE_CLIENT_ID",
        "as Azure's tools: a service principal or identity",
    ),
    (
        "AZURE_CLIENT_SECRET",
        "as Azure's tools: the principal's secret",
    ),
    (
        "AZURE_FEDERATED_TOKEN_FILE",
        "as Azure's tools: token of a workload identity",
    ),
];
