//! One PostgreSQL for all tests of a run, and a fresh database for each.

use std::sync::{LazyLock, Mutex};

use fechatter::schema;
use local_postgres::LocalPostgres;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;
use uuid::Uuid;

static CLUSTER: LazyLock<Mutex<LocalPostgres>> =
    LazyLock::new(|| Mutex::new(LocalPostgres::temporary().expect("a private PostgreSQL")));
static TEMPLATE: OnceCell<()> = OnceCell::const_new();

fn url(database: &str) -> String {
    CLUSTER.lock().expect("no test panicked here").url(database)
}

/// The URL of a database that holds the schema and nothing else.
pub async fn fresh_database() -> String {
    TEMPLATE
        .get_or_init(async || {
            create("template_fechatter", "template0").await;
            let mut connection = connect("template_fechatter").await;
            bring_schema(&mut connection).await;
            connection.close().await.expect("a clean end");
        })
        .await;
    let name = format!("test_{}", Uuid::new_v4().simple());
    create(&name, "template_fechatter").await;
    url(&name)
}

/// Makes the schema, and the servers' roles with a login.
pub async fn bring_schema(connection: &mut PgConnection) {
    schema::migrate_on(connection, true).await.expect("migrations");
    let logins = "alter role fechatter_server login password 'test';
        alter role notify_server login password 'test'";
    connection.execute(logins).await.expect("a superuser");
}

/// The URL of a database with [`bring_schema`], for one of the servers' own roles.
pub fn as_role(role: &str, url: &str) -> String {
    let (_, place) = url.split_once('@').expect("a URL with a user");
    format!("postgres://{role}:test@{place}")
}

/// The URL of an empty database, as its owner, who may do nothing else; the servers' roles are there.
pub async fn owned_database() -> String {
    let database = fresh_database().await;
    let name = format!("owner_{}", Uuid::new_v4().simple());
    let mut connection = connect("postgres").await;
    for statement in [
        format!("create role {name} login password 'test' nosuperuser nocreaterole"),
        format!("create database {name} owner {name} template template0"),
    ] {
        connection.execute(AssertSqlSafe(statement)).await.expect("a superuser");
    }
    let (way, parameters) = database.split_once('?').expect("the socket's folder");
    let (place, _) = way.rsplit_once('/').expect("a database");
    as_role(&name, &format!("{place}/{name}?{parameters}"))
}

/// The URL of an empty database.
pub async fn empty_database() -> String {
    let name = format!("test_{}", Uuid::new_v4().simple());
    create(&name, "template0").await;
    url(&name)
}

async fn connect(database: &str) -> PgConnection {
    let url = tokio::task::spawn_blocking({
        let database = database.to_owned();
        move || url(&database)
    })
    .await
    .expect("a URL");
    PgConnection::connect(&url).await.expect("a connection")
}

async fn create(name: &str, template: &str) {
    let mut connection = connect("postgres").await;
    // Copying a template refuses while another test copies it.
    for _ in 0..200 {
        let create = AssertSqlSafe(format!("create database {name} template {template}"));
        match connection.execute(create).await {
            Ok(_) => return,
            Err(error)
                if error
                    .as_database_error()
                    .is_some_and(|error| error.code().as_deref() == Some("55006")) =>
            {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{name}: {error}"),
        }
    }
    panic!("{name}: the template was never free");
}
